"""A site's own store: its replica, its journal, and what it decides from both."""
