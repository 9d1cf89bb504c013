"""The client protocol: a person's own client, at their desk, asks a server."""
