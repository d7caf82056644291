"""`python -m panorax` is the command `panorax`."""

import sys

from panorax.cli import main

if __name__ == "__main__":
    sys.exit(main())
