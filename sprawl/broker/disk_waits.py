"""Waiting for the disk: until what was done is synced, and for pages of what memory let go.

In: marks and wants of the engine. Out: coroutines that return when the disk tier is there. Invariant:
without a disk tier there is nothing to wait for, and nothing waits.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from sprawl._native import Page
from sprawl.errors import Unavailable
from sprawl.log.reads import Want


class Disk(Protocol):
    """Who tells of the disk tier's progress: the listener."""

    def when_synced(self, mark: int, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once ``mark`` is on disk."""

    def read_page(self, want: Want, done: Callable[[Page | None], None]) -> None:
        """Reads a page and calls ``done`` with it, None when it cannot be read."""


class DiskWaits:
    """Turns the calls of the disk tier into something to await."""

    def __init__(self) -> None:
        self._disk: Disk | None = None

    def attach(self, disk: Disk) -> None:
        """Names who tells; before this nothing may be waited for."""
        self._disk = disk

    async def synced(self, mark: int) -> None:
        """Returns once everything up to ``mark`` is on disk; at once for 0.

        While the disk is full it waits: the node goes on when there is room again.
        """
        if mark == 0:
            return
        assert self._disk is not None, "a mark is given by a node that serves"
        synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._disk.when_synced(mark, lambda: None if synced.done() else synced.set_result(None))
        await synced

    async def page(self, want: Want) -> Page:
        """What ``want`` asks for. Raises Unavailable when the disk cannot be read."""
        assert self._disk is not None, "a page is wanted by a node that serves"
        read: asyncio.Future[Page | None] = asyncio.get_running_loop().create_future()
        self._disk.read_page(want, lambda page: None if read.done() else read.set_result(page))
        page = await read
        if page is None:
            raise Unavailable("the disk tier cannot be read now", retry_after_s=1)
        return page
