"""``python -m tests.simulation``."""

import sys

from tests.simulation.runner import main

if __name__ == "__main__":
    sys.exit(main())
