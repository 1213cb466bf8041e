"""The sealed windows of the log, and what of a partition lies in which of them.

In: index values of the store. Out: the windows in order, and the batches of a partition from an
offset or a time on. Invariants: windows tile the log from the oldest kept position to the newest
sealed one; a look-up reads one Bloom piece a window and at most two pieces of a block. Runs on pool
threads; the list is replaced whole, so readers see one or the other. Source: docs/design/disk.md.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sprawl._native import bloom_admits, bloom_place, find_entries
from sprawl.errors import LogDamaged
from sprawl.limits import DISK_PAGE_BYTES
from sprawl.log.store import LogStore

if TYPE_CHECKING:
    # A shape that only the stub has.
    from sprawl._native import _WindowHeader

_PARTITION_ORDER: Final = 1
_BLOOM: Final = 3
_PLACE: Final = struct.Struct(">QBQHQ")
_SECTION: Final = struct.Struct(">QB")
_NUMBERED: Final = struct.Struct(">QBH")


class IndexDamaged(LogDamaged):
    """A piece of a window's index is not what was written; it can be built again from the log."""

    def __init__(self, window: "Window", detail: str) -> None:
        super().__init__(detail, members={"lsn": window.first_lsn, "end_lsn": window.end_lsn})
        self.window: Final = window


@dataclass(frozen=True, slots=True)
class Window:
    """Log positions ``[first_lsn, end_lsn)`` with their index in the store."""

    first_lsn: int
    end_lsn: int
    batches: int
    records: int
    oldest_ns: int
    newest_ns: int
    bloom_bytes: int


def window_of(header: "_WindowHeader") -> Window:
    """The window that a header in the index describes."""
    return Window(
        first_lsn=header["first_lsn"],
        end_lsn=header["end_lsn"],
        batches=header["batches"],
        records=header["records"],
        oldest_ns=header["oldest_ns"],
        newest_ns=header["newest_ns"],
        bloom_bytes=header["bloom_bytes"],
    )


@dataclass(frozen=True, slots=True)
class Located:
    """One batch of a partition: where its envelope begins and how long it is with its batch."""

    base: int
    lsn: int
    length: int
    records: int
    append_ns: int

    @property
    def end(self) -> int:
        """Offset after its last record."""
        return self.base + self.records


class Windows:
    """All sealed windows, oldest first."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._windows: tuple[Window, ...] = ()

    @property
    def all(self) -> tuple[Window, ...]:
        """The windows now, oldest first."""
        return self._windows

    def append(self, window: Window) -> None:
        """The newest window; it begins where the one before it ends."""
        self._windows = (*self._windows, window)

    def drop_oldest(self) -> None:
        """Forgets the oldest window."""
        self._windows = self._windows[1:]

    def batches(self, topic_id: int, partition: int, offset: int) -> Iterator[Located]:
        """The batches of a partition from the one that holds ``offset``, or the next, on."""
        windows = self._windows
        start = self._holding(windows, topic_id, partition, offset)
        for window in windows[start:]:
            for found in self._inside(window, topic_id, partition, offset):
                if found.end > offset:
                    yield found

    def batches_since(self, topic_id: int, partition: int, since_ns: int) -> Iterator[Located]:
        """The batches of a partition that were appended at or after a time."""
        for window in self._windows:
            if window.newest_ns < since_ns:
                continue
            for found in self._inside(window, topic_id, partition, 0):
                if found.append_ns >= since_ns:
                    yield found

    def _holding(
        self, windows: tuple[Window, ...], topic_id: int, partition: int, offset: int
    ) -> int:
        """Index of the newest window whose first batch of the partition is not above ``offset``."""
        low, high, best = 0, len(windows) - 1, 0
        while low <= high:
            middle = at = (low + high) // 2
            first = None
            while at >= low and first is None:
                first = self._first(windows[at], topic_id, partition)
                at -= first is None
            if first is None:
                low = middle + 1
            elif first <= offset:
                best, low = at, middle + 1
            else:
                high = at - 1
        return best

    def _first(self, window: Window, topic_id: int, partition: int) -> int | None:
        """Base offset of the first batch of the partition in a window, None when it has none."""
        return next((f.base for f in self._inside(window, topic_id, partition, 0, 1)), None)

    def _inside(
        self,
        window: Window,
        topic_id: int,
        partition: int,
        offset: int,
        bytes_max: int = DISK_PAGE_BYTES,
    ) -> Iterator[Located]:
        if not self._admits(window, topic_id, partition):
            return
        section = _SECTION.pack(window.first_lsn, _PARTITION_ORDER)
        key = _PLACE.pack(window.first_lsn, _PARTITION_ORDER, topic_id, partition, offset)
        found = self._store.index_seek_le(key, section)
        if found is None:
            found = self._store.index_seek_ge(key, section)
        while found is not None:
            key, value = found
            try:
                entries, is_at_end = find_entries(value, topic_id, partition, offset, bytes_max)
            except LogDamaged as error:
                raise IndexDamaged(window, error.detail) from error
            for base, lsn, length, records, append_ns in entries:
                offset = base + records
                yield Located(base, window.first_lsn + lsn, length, records, append_ns)
            if not is_at_end:
                if not entries:
                    return
                continue  # bytes_max ended it, or the partition did: look behind what there was
            found = self._store.index_seek_ge(key + b"\0", section)

    def _admits(self, window: Window, topic_id: int, partition: int) -> bool:
        place = bloom_place(topic_id, partition, window.bloom_bytes)
        if place is None:
            return False
        piece, _ = place
        value = self._store.index_get(_NUMBERED.pack(window.first_lsn, _BLOOM, piece))
        try:
            # Without its filter a window is looked into.
            return value is None or bloom_admits(value, topic_id, partition, window.bloom_bytes)
        except LogDamaged as error:
            raise IndexDamaged(window, error.detail) from error
