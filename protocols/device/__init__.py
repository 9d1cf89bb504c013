"""The device protocol: MFDs, card terminals and release stations ask a server."""
