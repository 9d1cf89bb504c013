"""The demonstration: an installation of real processes, its links cut, and what became of it."""
