"""``sprawl`` with one defect of ``planted.PRODUCT_BUGS``, named by ``PLANTED_BUG``."""

import os
import sys

from sprawl.cli.node import main
from tests.faults.planted import plant

if __name__ == "__main__":
    plant(os.environ["PLANTED_BUG"])
    sys.exit(main())
