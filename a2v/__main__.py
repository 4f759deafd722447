"""`python -m a2v <verb> ...` is `a2v <verb> ...`."""

import sys

from a2v.cli import main

sys.exit(main())
