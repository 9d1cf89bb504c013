"""Configuration files: their model and their loading."""
