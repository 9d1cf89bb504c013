"""A print-management server that keeps working when the network does not."""

__version__ = "0.1.0"
