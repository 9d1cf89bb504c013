"""The installation's certificate authority, certificates and join tokens."""
