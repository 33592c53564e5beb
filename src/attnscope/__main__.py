"""`python -m attnscope`: the command line."""

import sys

from attnscope.cli import main

sys.exit(main())
