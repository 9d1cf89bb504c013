"""Accounts, and all that moves money between them after or beside jobs."""
