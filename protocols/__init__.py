"""The line protocols, without transport and without papercutd."""
