"""Whether what is stored is what was written: seals, and what verifies by them."""
