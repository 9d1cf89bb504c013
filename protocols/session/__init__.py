"""One session of any of the protocols, on Twisted."""
