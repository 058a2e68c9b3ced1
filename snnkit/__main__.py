"""`python -m snnkit`."""

import sys

from snnkit.cli.main import main

sys.exit(main())
