"""``python -m ncf_utils`` is the command ``ncf``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
