"""The entry point of ``python -m linesync``."""

import sys

from .cli.main import main

sys.exit(main())
