"""Releases of the past, run by tests as the real processes they were.

``version1.tar.xz``: the last release that speaks version 1 of the wire alone, made by
``freeze.py`` of commit b2c11aa9e50f5e419f260378eb6ac21a1dbf361c.
"""
