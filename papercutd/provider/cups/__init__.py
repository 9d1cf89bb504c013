"""Printing through CUPS: its server asked by IPP, its backend answered, its jobs followed."""
