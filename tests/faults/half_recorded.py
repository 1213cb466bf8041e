"""A node that is killed by itself between the manifest records of a move and their states."""

import os
import signal
import sys
from typing import Any

from sprawl.cli.node import main
from sprawl.log.cloud.host import CloudTier


async def _die(self: CloudTier, _recorded: Any, end_lsn: int, _window_end: int) -> None:
    await self._disk.durable(end_lsn)
    os.kill(os.getpid(), signal.SIGKILL)


CloudTier._settle = _die  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
