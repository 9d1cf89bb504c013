"""A soak whose processes start as tests/support/quick_start.py has it."""

from __future__ import annotations

import sys

from tests.soak.soak import main
from tests.support import quick_start

if __name__ == "__main__":
    quick_start.use()
    sys.exit(main())
