"""The print provider protocol (docs/protocols/provider.md)."""
