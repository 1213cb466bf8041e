"""The command `sprawl` with twin rooms, for tests of everything around the rooms."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from sprawl.node import rooms
from tests.unit.node import twin_rooms

rooms.build_rooms = twin_rooms.twin_rooms

from sprawl.cli.node import main  # noqa: E402 - the rooms are replaced first

if __name__ == "__main__":
    sys.exit(main())
