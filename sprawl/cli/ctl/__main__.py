"""``python -m sprawl.cli.ctl``."""

import sys

from sprawl.cli.ctl import main

sys.exit(main())
