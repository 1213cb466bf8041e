"""What retention takes of what memory has let go of, and when a window is needed no more.

In: windows, ranges in the cloud, and an engine that knows the low offsets. Out: how far a partition's low offset rises,
and whether the oldest window can go. Invariants: a batch that can still be read is never given up;
what is found dead stays dead, so a look goes on where the last one ended. Runs on pool threads.
"""

import logging
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from sprawl.errors import LogDamaged
from sprawl.limits import CLEAN_LOOKS_MAX, RETIRE_BATCHES_MAX
from sprawl.log.store import Damage, LogStore
from sprawl.log.windows import Window, Windows

_log: Final = logging.getLogger("sprawl.log")
_SECTION: Final = struct.Struct(">QB")
_PARTITION_ORDER: Final = 1

Overdue = tuple[tuple[int, int], int, int, int, int, int, bool, int]
"""(topic id, partition), low offset, offset from which memory holds the partition, append time before
which batches go, bytes and records that go, whether the newest batch stays whatever its size, and
``cold_end``: offsets below it are in the cloud alone (0: none are)."""

ColdSpan = tuple[int, int, int, int, int, int]
"""First and last offset, records, bytes of the log, oldest and newest append time of a range."""

Retired = tuple[tuple[int, int], int, int, int, int]
"""(topic id, partition), new low offset, records and bytes below it, time of what is above it."""

Needed = tuple[int, tuple[int, int, int], int, int]
"""Index in its value, (topic id, partition, end), position in the window, length."""


class Engine(Protocol):
    """Who knows what is still needed."""

    def first_needed(self, value: bytes, start: int) -> Needed | None:
        """The first batch of an index value, from an index on, that offsets do not give up."""

    def is_needed(self, topic_id: int, partition: int, end: int) -> bool:
        """Whether a batch that ends there lies above the low offset of a known partition."""

    def last_expiry(self, data: bytes) -> int | None:
        """When the last record of an envelope is over; None for never. Raises LogDamaged."""

    def may_discard(self, value: bytes) -> bool:
        """Whether all batches of an index value may be dropped for want of room."""

    def is_cold(self, topic_id: int, partition: int) -> bool:
        """Whether the cloud alone has the oldest of a partition."""


def retire(windows: Windows, due: Overdue) -> Retired:
    """How far the low offset of a partition rises; at most ``RETIRE_BATCHES_MAX`` batches.

    Nothing of the partition is in the cloud alone.
    """
    place, low, end, before_ns, bytes_over, records_over, keeps_last, cold_end = due
    assert cold_end == 0, f"the oldest of {place} is in the cloud"
    records = size = newest_ns = 0
    for count, batch in enumerate(windows.batches(*place, low)):
        if batch.base >= end:
            break
        held = batch.end - max(batch.base, low)
        is_over = (
            batch.append_ns < before_ns
            or records + held <= records_over
            or (size < bytes_over and not (keeps_last and batch.end >= end))
        )
        if not is_over or count >= RETIRE_BATCHES_MAX:
            if records < records_over and not is_over:
                low = max(low, batch.base) + records_over - records
                records = records_over
            return place, low, records, size, batch.append_ns
        low, newest_ns = batch.end, batch.append_ns
        records += held
        size += batch.length
    return place, end, records, size, newest_ns


def retire_cold(ranges: Iterable[ColdSpan], due: Overdue) -> Retired:
    """How far the low offset of a partition rises in the cloud; at most ``RETIRE_BATCHES_MAX`` ranges.

    ``ranges`` are those that end above the low offset, in order. A range goes whole by age, once all
    of it is over; by count and by bytes it is cut at an offset, as if its records were of one size.
    """
    place, low, end, before_ns, bytes_over, records_over, keeps_last, cold_end = due
    records = size = 0
    oldest_ns = before_ns
    for count, cold in enumerate(ranges):
        if cold[0] >= cold_end:
            break  # recorded, and still on disk as well
        held, length, oldest_ns = _above(cold, low)
        if count >= RETIRE_BATCHES_MAX:
            break
        last, newest_ns = cold[1], cold[5]
        is_newest = keeps_last and last + 1 >= cold_end >= end
        is_over = (
            newest_ns < before_ns
            or records + held <= records_over
            or (size < bytes_over and size + length <= bytes_over and not is_newest)
        )
        if not is_over:
            cut = _cut(cold, low, records_over - records, bytes_over - size, is_newest)
            left, left_size, _ = _above(cold, cut)
            return place, cut, records + held - left, size + length - left_size, oldest_ns
        low = last + 1
        records += held
        size += length
        oldest_ns = newest_ns
    return place, low, records, size, oldest_ns


def _above(cold: ColdSpan, low: int) -> tuple[int, int, int]:
    """Records and bytes of a range from an offset on, as the engine counts them; its oldest time."""
    first, last, records, length, oldest_ns, _ = cold
    span, whole = last + 1 - max(first, low), last + 1 - first
    return min(-(-records * span // whole), span), -(-length * span // whole), oldest_ns


def _cut(cold: ColdSpan, low: int, records: int, size: int, is_newest: bool) -> int:
    """The offset inside a range below which so many records, or so many bytes, lie."""
    first, last, held, length, _, _ = cold
    start, whole = max(first, low), last + 1 - first
    by_count = start + -(-max(records, 0) * whole // held)
    by_bytes = start + -(-max(size, 0) * whole // length) if length else start
    if is_newest:
        by_bytes = min(by_bytes, last)
    cut = max(by_count if records > 0 else low, by_bytes if size > 0 else low)
    return min(cut, last + 1)


@dataclass(slots=True)
class _Place:
    """Where a look at a window stopped: what blocks it, and when that is over (None: never)."""

    window: int
    key: bytes
    index: int = 0
    blocked: tuple[int, int, int] | None = None
    until_ns: int | None = None


class Cleaner:
    """Looks at the oldest window, a bounded step at a time."""

    def __init__(
        self, store: LogStore, windows: Windows, engine: Engine, now_ns: Callable[[], int]
    ) -> None:
        self._store = store
        self._windows = windows
        self._engine = engine
        self._now_ns = now_ns
        self._place: _Place | None = None

    def can_drop(self) -> Window | None:
        """The oldest window when nothing in it is needed any more."""
        if not self._windows.all:
            return None
        window = self._windows.all[0]
        if self._place is None or self._place.window != window.first_lsn:
            self._place = _Place(
                window.first_lsn, _SECTION.pack(window.first_lsn, _PARTITION_ORDER)
            )
        try:
            return window if self._is_dead(window, self._place) else None
        except LogDamaged as error:
            # The scrubber repairs the index; until then the window stays.
            _log.warning("window %d stays: %s", window.first_lsn, error.detail)
            return None

    def may_discard(self, window: Window) -> bool:
        """Whether every topic in a window lets its oldest go for want of room."""
        section = _SECTION.pack(window.first_lsn, _PARTITION_ORDER)
        try:
            return all(self._engine.may_discard(v) for _, v in self._store.index_iter(section))
        except LogDamaged as error:
            _log.warning("window %d stays: %s", window.first_lsn, error.detail)
            return False

    def values(self, window: Window) -> list[bytes]:
        """The index values of a window in partition order."""
        section = _SECTION.pack(window.first_lsn, _PARTITION_ORDER)
        return [value for _, value in self._store.index_iter(section)]

    def _is_dead(self, window: Window, place: _Place) -> bool:
        now_ns = self._now_ns()
        is_blocked = place.blocked is not None and self._engine.is_needed(*place.blocked)
        if is_blocked and self._is_held(place, now_ns):
            return False
        section = _SECTION.pack(window.first_lsn, _PARTITION_ORDER)
        looks = 0
        while (found := self._store.index_seek_ge(place.key, section)) is not None:
            place.key, value = found
            while (needed := self._engine.first_needed(value, place.index)) is not None:
                place.index, place.blocked, lsn, length = needed
                place.until_ns = self._over_ns(window.first_lsn + lsn, length)
                looks += 1
                if self._is_held(place, now_ns) or looks > CLEAN_LOOKS_MAX:
                    return False
                place.index += 1
            place.key, place.index = place.key + b"\0", 0
        return True

    def _is_held(self, place: _Place, now_ns: int) -> bool:
        """Whether the batch at a place keeps its window: it can be read, or it must move instead.

        Over what is in the cloud the low offset cannot rise, and offsets that are nowhere are damage.
        """
        if place.until_ns is None or now_ns <= place.until_ns:
            return True
        return place.blocked is not None and self._engine.is_cold(*place.blocked[:2])

    def _over_ns(self, lsn: int, length: int) -> int | None:
        (data,) = self._store.read_ranges([(lsn, length)])
        if isinstance(data, Damage):
            # Nobody can read it: it keeps nothing.
            return 0
        try:
            return self._engine.last_expiry(data)
        except LogDamaged:
            return 0
