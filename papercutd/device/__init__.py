"""A device (MFD): its journal, its sessions, its runs, and a simulated paper path."""
