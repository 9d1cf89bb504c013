"""Rules and values: pure, no input or output, no clock."""
