"""The print provider: its journal, its servers, its spool adapters."""
