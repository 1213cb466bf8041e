"""Commands that talk to nodes, on a loop of their own.

In: a coroutine. Out: its exit status, as ``Ended`` when it is not 0. Invariant: an interrupt cancels
the work, which puts away what it made, and ends with 130.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from sprawl.cli.ctl import exits


class Ended(Exception):
    """The command ended with a status other than 0 and has said why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(work: Coroutine[Any, Any, int | None], *, fast: bool = False) -> None:
    """Runs ``work`` to its end; ``fast`` on uvloop, where throughput is measured."""
    factory = None
    if fast:
        import uvloop

        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().add_signal_handler(signal.SIGTERM, _terminate)
            status = runner.run(work)
    except KeyboardInterrupt:
        raise Ended(exits.INTERRUPTED) from None
    except asyncio.CancelledError:
        raise Ended(exits.INTERRUPTED) from None
    if status:
        raise Ended(status)


def _terminate() -> None:
    """SIGTERM ends a command as an interrupt does."""
    for task in asyncio.all_tasks():
        if task.get_coro() is not None and not task.done():
            task.cancel()
