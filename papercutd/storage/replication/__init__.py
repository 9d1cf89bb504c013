"""Between application server and sites: changes down, journals up, and what a restore lost."""
