"""Real processes, which are started as tests/support/quick_start.py has it."""

from tests.support import quick_start

quick_start.use()
