"""Durable state: the ledger, the change log, journals and replicas."""
