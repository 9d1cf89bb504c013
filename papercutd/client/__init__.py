"""A person's client: its sessions, what it shows, how it answers."""
