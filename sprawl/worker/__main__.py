"""``python -m sprawl.worker DESCRIPTOR MODULE…``: started by the node, never by hand."""

import sys

from sprawl.worker.process import main

main(sys.argv[1:])
