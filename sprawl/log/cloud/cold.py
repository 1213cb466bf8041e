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
from typing import Any, Final, Protocol, TypeVar

from sprawl._native import Page
from sprawl.errors import LogDamaged, ObjectNotFound, SprawlError
from sprawl.limits import (
    COLD_CACHE_BYTES,
    COLD_FETCH_BYTES,
    COLD_FETCHES_MAX,
    DISK_PAGE_BYTES,
    SEGMENT_GROUP_ROWS_MAX,
)
from sprawl.log.reads import ColdWant
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


@dataclass(slots=True)
class ColdStats:
    """Counts since the start."""

    reads: int = 0
    requests: int = 0
    fetched_bytes: int = 0
    kept_reads: int = 0
    failed: int = 0


class ColdReads:
    """Cold pages of one node; on its loop."""

    def __init__(
        self,
        store: Getting,
        prefix: str,
        *,
        run: Callable[[Callable[[], Page]], Awaitable[Page]],
    ) -> None:
        self.stats: Final = ColdStats()
        self._store = store
        self._prefix = prefix
        self._run = run
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
        """Ends what is under way; nobody is called any more."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def page(self, cold: ColdWant) -> Page:
        """What of ``cold`` its range holds, as much as a page takes.

        Where the object is gone or not what the manifest says, the offsets of the range are a gap.
        Raises StoreUnreachable, StoreRefused, Timeout, WorkerLost.
        """
        self.stats.reads += 1
        for is_last in (False, True):
            try:
                return await self._page(cold)
            except (LogDamaged, ObjectNotFound) as error:
                manifest = cold.found.manifest
                self._forget(f"{self._prefix}{manifest.key}")
                if is_last:
                    return _gap(cold, error)
                # What came over the network may be at fault.
        raise AssertionError("both tries returned")

    async def _page(self, cold: ColdWant) -> Page:
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

        def build() -> Page:
            found = manifest.page(
                memoryview(footer).toreadonly(),
                located[0],
                memoryview(data).toreadonly(),
                topic_id,
                partition,
                first,
                since_ns,
                DISK_PAGE_BYTES,
            )
            if found is None:
                raise LogDamaged(f"segment {manifest.key} holds no offset {first} of its manifest")
            envelopes, end = found
            try:
                return Page(cold.want, min(end, cold.end), [envelopes], [], is_cold=True)
            except ValueError as error:
                raise LogDamaged(f"segment {manifest.key}: {error}") from error

        page = await self._run(build)
        if page.end <= cold.found.last:
            self._read_ahead(cold, page.end, place)
        return page

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


def _gap(cold: ColdWant, error: SprawlError) -> Page:
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
    return Page(cold.want, end, [], [(first, end)], is_cold=True)
