"""The site link protocol (docs/protocols/site.md)."""
