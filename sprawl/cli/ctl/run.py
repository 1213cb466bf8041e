"""Commands that talk to nodes, on a loop of their own.

In: a coroutine. Out: its exit status, as ``Ended`` when it is not 0. Invariant: an interrupt cancels
the work, which puts away what it made, and ends with 130.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from sprawl.cli.ctl import exits
from sprawl.errors import SprawlError


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
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Ended(exits.INTERRUPTED) from None
    except BrokenPipeError:
        raise Ended(_leave_pipe()) from None
    except BaseExceptionGroup as group:
        known = _known(group)
        if known is None:
            raise
        if isinstance(known, BrokenPipeError):
            raise Ended(_leave_pipe()) from None
        raise known from None
    if status:
        raise Ended(status)


def _known(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The first error that says itself what happened, of those that ended tasks together."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            if (found := _known(error)) is not None:
                return found
        elif isinstance(error, SprawlError | BrokenPipeError):
            return error
    return None


def _leave_pipe() -> int:
    """Whoever read our output has gone; so is stdout, silently."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.OK


def _terminate() -> None:
    """SIGTERM ends a command as an interrupt does."""
    for task in asyncio.all_tasks():
        task.cancel()
