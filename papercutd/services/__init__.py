"""Use cases: rules joined to stores, no transport."""
