"""Reads of what lies in the cloud alone.

In: what a reader wants and the range of a segment that begins it. Out: a page, as from disk.
Invariants: what the manifest does not vouch for is never given out; bytes are fetched once for all
who want them at the same time; what is kept and what is under way is bounded; one request for the
footer (kept) and one for the row groups, and while somebody reads on, the next ones are fetched
ahead. Source: docs/design/cloud.md.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from sprawl._native import Page
from sprawl.errors import LogDamaged, ObjectNotFound, SprawlError
from sprawl.limits import (
    COLD_CACHE_BYTES,
    COLD_FETCH_BYTES,
    COLD_FETCHES_MAX,
    COLD_SEGMENTS_MAX,
    DISK_PAGE_BYTES,
    SEGMENT_GROUP_ROWS_MAX,
)
from sprawl.log.reads import ColdWant, Parts, Want
from sprawl.worker.frames import Body

_log: Final = logging.getLogger("sprawl.log")
T = TypeVar("T")

_Place = tuple[str, int, int]
"""Key, first byte, bytes."""


class Getting(Protocol):
    """The part of an object store that reads use."""

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, is_urgent: bool = True
    ) -> Body:
        """The bytes ``[start, start + length)``, or what of them there is."""


class Run(Protocol):
    """Runs a function on a pool thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Its result."""


@dataclass(slots=True)
class ColdStats:
    """Counts since the start."""

    reads: int = 0
    requests: int = 0
    fetched_bytes: int = 0
    kept_reads: int = 0
    failed: int = 0


class ColdReads:
    """Cold pages of one node; on its loop. ``look`` says what follows an offset, in which tier."""

    def __init__(
        self,
        store: Getting,
        prefix: str,
        *,
        run: Run,
        look: Callable[[Want, int], ColdWant | Parts],
    ) -> None:
        self.stats: Final = ColdStats()
        self._store = store
        self._prefix = prefix
        self._run = run
        self._look = look
        self._kept: OrderedDict[_Place, Body] = OrderedDict()
        self._kept_bytes = 0
        self._fetching: dict[_Place, asyncio.Task[Body]] = {}
        self._places = asyncio.Semaphore(COLD_FETCHES_MAX)
        self._tasks: set[asyncio.Task[Any]] = set()

    def read(self, want: ColdWant, done: Callable[[Page | None], None]) -> None:
        """Reads a page and calls ``done`` in the loop; None when the store cannot be read now."""

        async def act() -> None:
            page = None
            try:
                page = await self.page(want)
            except SprawlError as error:
                self.stats.failed += 1
                _log.error("the cloud tier cannot be read: %s", error.detail)
            finally:
                # Whoever waits is told in any case.
                done(page)

        self._start(act())

    async def stop(self) -> None:
        """Ends what is under way; who waits for it is told None."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def page(self, cold: ColdWant) -> Page:
        """What ``cold`` asks for, as much as a page takes, on through segments and disk.

        Where an object is gone or not what its manifest says, the offsets of its range are a gap.
        Raises StoreUnreachable, StoreRefused, Timeout, WorkerLost.
        """
        self.stats.reads += 1
        want, found = cold.want, _Found([], [], 0)
        following: ColdWant | Parts = cold
        for _ in range(COLD_SEGMENTS_MAX):
            if isinstance(following, Parts):
                found.take_parts(following)
                break
            await self._take(following, found)
            if found.end >= want[4] or found.size >= DISK_PAGE_BYTES:
                break
            rest = (want[0], want[1], found.end, 0, want[4])
            left = DISK_PAGE_BYTES - found.size
            following = await self._run(partial(self._look, rest, left))
        return await self._run(partial(_page_of, want, found))

    async def _take(self, cold: ColdWant, found: "_Found") -> None:
        manifest = cold.found.manifest
        for is_last in (False, True):
            try:
                found.take(*await self._envelopes(cold, DISK_PAGE_BYTES - found.size))
            except (LogDamaged, ObjectNotFound) as error:
                # What came over the network may be at fault: once more, nothing kept.
                self._forget(f"{self._prefix}{manifest.key}")
                if is_last:
                    found.take_gap(*_gap(cold, error))
            else:
                return

    async def _envelopes(self, cold: ColdWant, bytes_max: int) -> tuple[bytes, int]:
        """Envelopes from a segment that begin with what is wanted, and the offset after them."""
        topic_id, partition, offset, since_ns, _ = cold.want
        manifest = cold.found.manifest
        key = f"{self._prefix}{manifest.key}"
        first = max(offset, cold.found.first)
        located = manifest.locate(
            topic_id, partition, first, since_ns, SEGMENT_GROUP_ROWS_MAX, COLD_FETCH_BYTES
        )
        if located is None:
            raise LogDamaged(f"segment {manifest.key} holds no offset {first} of its manifest")
        footer_place = (key, manifest.footer_at, manifest.size - manifest.footer_at)
        place = (key, *located)
        footer, data = await asyncio.gather(self._bytes(footer_place), self._bytes(place))

        def decode() -> tuple[bytes, int]:
            found = manifest.page(
                memoryview(footer).toreadonly(),
                located[0],
                memoryview(data).toreadonly(),
                topic_id,
                partition,
                first,
                since_ns,
                bytes_max,
            )
            if found is None:
                raise LogDamaged(f"segment {manifest.key} holds no offset {first} of its manifest")
            return found

        envelopes, end = await self._run(decode)
        if end <= cold.found.last:
            self._read_ahead(cold, end, place)
        return envelopes, min(end, cold.end)

    def _read_ahead(self, cold: ColdWant, offset: int, place: _Place) -> None:
        """Fetches what follows the bytes at ``place`` once ``offset``, the next one, lies there."""
        topic_id, partition, *_ = cold.want
        key, at, length = place
        following = cold.found.manifest.locate(
            topic_id, partition, offset, 0, SEGMENT_GROUP_ROWS_MAX, COLD_FETCH_BYTES
        )
        if following is not None and following[0] >= at + length:
            self._start(self._quietly((key, *following)))

    async def _quietly(self, place: _Place) -> None:
        try:
            await self._bytes(place, is_urgent=False)
        except SprawlError as error:
            # Whoever wants it will ask, and be told.
            _log.debug("read-ahead of %s failed: %s", place[0], error.detail)

    async def _bytes(self, place: _Place, *, is_urgent: bool = True) -> Body:
        kept = self._kept.get(place)
        if kept is not None:
            self._kept.move_to_end(place)
            self.stats.kept_reads += 1
            return kept
        task = self._fetching.get(place)
        if task is None:
            task = self._fetching[place] = self._start(self._fetch(place, is_urgent=is_urgent))
            task.add_done_callback(lambda _: self._fetching.pop(place, None))
        # One who leaves does not take the bytes from the others.
        return await asyncio.shield(task)

    async def _fetch(self, place: _Place, *, is_urgent: bool) -> Body:
        key, start, length = place
        async with self._places:
            self.stats.requests += 1
            data = await self._store.get(key, start=start, length=length, is_urgent=is_urgent)
        self.stats.fetched_bytes += len(data)
        if len(data) != length:
            raise LogDamaged(f"{key} gave {len(data)} of the {length} bytes from {start} on")
        self._kept[place] = data
        self._kept_bytes += length
        while self._kept_bytes > COLD_CACHE_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)
        return data

    def _forget(self, key: str) -> None:
        for place in [place for place in self._kept if place[0] == key]:
            self._kept_bytes -= len(self._kept.pop(place))

    def _start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(work, name="log.cold-read")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@dataclass(slots=True)
class _Found:
    """A page in the making: everything up to ``end``."""

    parts: list[bytes]
    gaps: list[tuple[int, int]]
    end: int
    size: int = 0

    def take(self, envelopes: bytes, end: int) -> None:
        """Envelopes of a segment."""
        self.parts.append(envelopes)
        self.size += len(envelopes)
        self.end = end

    def take_gap(self, first: int, end: int) -> None:
        """Offsets that cannot be read."""
        self.gaps.append((first, end))
        self.end = end

    def take_parts(self, parts: Parts) -> None:
        """What follows on disk; where something there is damaged, the next read says so."""
        if len(parts.sound) == len(parts.data) and not parts.gaps:
            self.parts += parts.sound
            self.end = parts.end


def _page_of(want: Want, found: _Found) -> Page:
    try:
        return Page(want, found.end, found.parts, found.gaps, is_cold=True)
    except ValueError as error:
        # Row groups were checked before they were decoded, so this came from disk or is a defect.
        raise LogDamaged(f"topic id {want[0]:x}, partition {want[1]}: {error}") from error


def _gap(cold: ColdWant, error: SprawlError) -> tuple[int, int]:
    topic_id, partition, offset, _, _ = cold.want
    end = min(cold.found.last + 1, cold.end)
    first = max(offset, cold.found.first)
    _log.error(
        "damaged segment: topic id %x, partition %d, offsets %d to %d cannot be read: %s",
        topic_id,
        partition,
        first,
        end,
        error.detail,
    )
    return first, end
