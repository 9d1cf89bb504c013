"""What was: the job log, monthly sums, outages and their statements, and when it is forgotten."""
