"""Wiring of the three twistd roles; no rules."""
