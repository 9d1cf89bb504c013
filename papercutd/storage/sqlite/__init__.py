"""Databases in files of SQLite: opened, written, copied, backed up."""
