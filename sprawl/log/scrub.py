"""Verifies what lies on disk, slowly and for ever.

In: the sealed windows. Out: damage, reported once with topic, partition and offsets, and index
blocks built again from their log bytes. Invariants: at most ``SCRUB_BYTES_PER_S`` are read; a read
transaction ends before the next part is waited for; log bytes are never changed. Source:
docs/design/disk.md.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from itertools import takewhile
from typing import Final, Protocol, TypeVar

from sprawl._native import LogScan, all_entries, build_window, check_index_value
from sprawl.errors import LogDamaged
from sprawl.limits import DAMAGED_LISTED_MAX, SCRUB_BYTES_PER_S, SCRUB_PAUSE_S, SCRUB_START_S
from sprawl.log.committer import Committer
from sprawl.log.figures import DamagedRange
from sprawl.log.store import Damage, Item, LogStore
from sprawl.log.windows import Window, Windows

_log: Final = logging.getLogger("sprawl.log")
_PARTITION_ORDER: Final = 1
_PART_PIECES: Final = 64
T = TypeVar("T")

Event = tuple[str, int, int, str, object]
"""What, first position, end, reason, and what a damaged envelope claims to be."""


class Run(Protocol):
    """Runs a function on a pool thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Its result."""


class Scrubber:
    """Round after round over all sealed windows."""

    def __init__(
        self, store: LogStore, windows: Windows, committer: Committer, *, run: Run
    ) -> None:
        self.bytes = 0
        self.damaged: Final[list[DamagedRange]] = []
        self.damaged_count = 0
        self.rebuilt_count = 0
        self._store = store
        self._windows = windows
        self._committer = committer
        self._run = run
        self._known: set[tuple[int, int]] = set()
        # Many reads meet one damaged window. A round may do so as well: to build it twice is harmless.
        self._is_mending = asyncio.Lock()

    async def run(self) -> None:
        """Verifies everything, waits, and begins again."""
        await asyncio.sleep(SCRUB_START_S)
        while True:
            await self.round(SCRUB_BYTES_PER_S)
            await asyncio.sleep(SCRUB_PAUSE_S)

    async def round(self, bytes_per_s: float) -> None:
        """Verifies every window that is there now."""
        for window in self._windows.all:
            await self._verify(window, bytes_per_s)

    async def mend(self, window: Window) -> None:
        """Builds the index of a window again at once, when a read has found it damaged."""
        async with self._is_mending:
            if self._is_kept(window) and await self._run(lambda: self._has_bad_index(window)):
                await self._verify(window, math.inf)

    async def _verify(self, window: Window, bytes_per_s: float) -> None:
        ranges = await self._bad_ranges(window, bytes_per_s)
        if not self._is_kept(window):
            return
        if fresh := [r for r in ranges if (window.first_lsn, r[0]) not in self._known]:
            self._known |= {(window.first_lsn, start) for start, _, _ in fresh}
            await self._report(window, fresh)
        if await self._run(lambda: self._has_bad_index(window)):
            await self._rebuild(window, ranges)

    async def _bad_ranges(self, window: Window, bytes_per_s: float) -> list[tuple[int, int, str]]:
        """Positions of a window that hold no whole batch, with the reason."""
        scan = LogScan(window.first_lsn)
        pieces = takewhile(
            lambda piece: int.from_bytes(piece[0], "big") < window.end_lsn,
            self._store.iter_pieces(window.first_lsn),
        )
        events: list[Event] = []
        while part := await self._run(lambda: _verified(scan, pieces)):
            found, size = part
            events += found
            self.bytes += size
            await asyncio.sleep(size / bytes_per_s)
        events += scan.finish()
        return [
            (start, min(end, window.end_lsn), why)
            for kind, start, end, why, _ in events
            if kind in ("damaged", "torn") and start < window.end_lsn
        ]

    def _is_kept(self, window: Window) -> bool:
        kept = self._windows.all
        return bool(kept) and kept[0].first_lsn <= window.first_lsn

    def _has_bad_index(self, window: Window) -> bool:
        counts = 0
        for key, value in self._store.index_iter(window.first_lsn.to_bytes(8, "big")):
            counts += 1
            try:
                check_index_value(key, value)
            except LogDamaged as error:
                _log.error("damaged index of window %d: %s", window.first_lsn, error.detail)
                return True
        return counts == 0

    async def _rebuild(self, window: Window, ranges: list[tuple[int, int, str]]) -> None:
        """Builds the block of a window again from its log bytes."""
        skip = [(start, end) for start, end, _ in ranges]
        items, stale = await self._run(lambda: self._built(window, skip))
        done = asyncio.get_running_loop().create_future()

        def then() -> None:
            if not done.done():
                done.set_result(None)

        self._committer.submit(items, then, deletes=stale)
        await done
        self.rebuilt_count += 1
        _log.warning("index of window %d was built again from the log", window.first_lsn)

    def _built(self, window: Window, skip: list[tuple[int, int]]) -> tuple[list[Item], list[bytes]]:
        parts = [
            bytes(part.end_lsn - part.lsn) if isinstance(part, Damage) else part.data
            for part in self._store.iter_log(window.first_lsn, window.end_lsn)
        ]
        _, items = build_window(window.first_lsn, parts, True, skip)
        keys = {bytes(key) for key, _ in items}
        there = self._store.index_iter(window.first_lsn.to_bytes(8, "big"))
        return list(items), [key for key, _ in there if key not in keys]

    async def _report(self, window: Window, ranges: list[tuple[int, int, str]]) -> None:
        for start, end, why in ranges:
            hit = await self._run(lambda: list(self._entries(window, start, end)))  # noqa: B023
            for topic_id, partition, base, records in hit:
                self.damaged_count += 1
                found = DamagedRange(topic_id, partition, base, base + records, why)
                if len(self.damaged) < DAMAGED_LISTED_MAX:
                    self.damaged.append(found)
                _log.error(
                    "damaged log: topic id %x, partition %d, offsets %d to %d cannot be read: %s",
                    topic_id,
                    partition,
                    base,
                    base + records,
                    why,
                )
            if not hit:
                self.damaged_count += 1
                _log.error("damaged log: positions %d to %d hold no batch: %s", start, end, why)

    def _entries(self, window: Window, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Batches that the index has in a range of positions."""
        section = window.first_lsn.to_bytes(8, "big") + bytes([_PARTITION_ORDER])
        for _, value in self._store.index_iter(section):
            try:
                entries = all_entries(value)
            except LogDamaged:
                # It is built again after this report.
                continue
            for topic_id, partition, base, records, lsn, length in entries:
                at = window.first_lsn + lsn
                if at < end and at + length > start:
                    yield topic_id, partition, base, records


def _verified(
    scan: LogScan, pieces: Iterator[tuple[bytes, bytes]]
) -> tuple[list[Event], int] | None:
    """Feeds the next pieces; what was found and their bytes, None when there were none."""
    events: list[Event] = []
    size = 0
    for _, (key, value) in zip(range(_PART_PIECES), pieces, strict=False):
        events += scan.feed(key, value)
        size += len(value)
    return (events, size) if size else None
