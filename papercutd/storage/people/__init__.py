"""Users and groups: made, changed, merged, brought in from files, let in."""
