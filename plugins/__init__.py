"""Replaceable parts, loaded by their configured name."""
