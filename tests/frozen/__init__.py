"""Releases of the past, run by tests as the real processes they were."""
