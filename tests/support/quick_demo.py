"""The demonstration, whose processes start as tests/support/quick_start.py has it."""

from __future__ import annotations

import sys

from papercutd.demo.__main__ import main
from tests.support import quick_start

if __name__ == "__main__":
    quick_start.use()
    sys.exit(main())
