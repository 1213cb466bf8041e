"""What a start finds on disk, and how the engine takes it up.

In: an open store, how the last process ended. Out: the windows, the end of the log, an engine that
knows every topic, offset and slot sequence again. Invariants: every index value is checked before
it is believed; every envelope of the tail is verified; bytes that do not hold are fenced and
reported, never passed over in silence; nothing on disk is changed before all of it was read. Source:
docs/design/disk.md.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sprawl._native import LogScan, build_window, check_index_value, window_header
from sprawl.errors import LogDamaged
from sprawl.log.lasting import Engine as Lasting
from sprawl.log.lasting import restore_ends, restore_topics
from sprawl.log.store import Damage, Item, LogStore
from sprawl.log.windows import Window, window_of

_log: Final = logging.getLogger("sprawl.log")
_HEADER, _PARTITIONS, _SLOTS, _BLOOM, _SNAPSHOT = range(5)
UNCLEAN_STATE: Final = b"unclean"
"""State: the ends of the log at which a process did not stop in order, 8 bytes each."""


class Engine(Lasting, Protocol):
    """What takes the log up; the compiled engine is bound directly."""

    def restore_topics(self, value: bytes) -> None:
        """Topics of one snapshot value."""

    def restore_batches(self, first_lsn: int, value: bytes) -> None:
        """Batches of one index value in partition order."""

    def restore_sequences(self, value: bytes) -> None:
        """Slot sequences of one index value in slot order."""

    def finish_restore(self, unclean_lsns: Sequence[int]) -> None:
        """Nothing more comes."""


@dataclass(frozen=True, slots=True)
class Found:
    """A log as it lies on disk.

    ``tail`` are the index values of a window made of what was not sealed, to be put;
    ``unclean_lsns`` where the log ended each time without order, this time included.
    """

    windows: tuple[Window, ...]
    end_lsn: int
    tail: tuple[Item, ...]
    unclean_lsns: tuple[int, ...]
    is_unclean: bool
    damaged_bytes: int

    @property
    def sealed_lsn(self) -> int:
        """Where the windows end, the tail's included."""
        return self.windows[-1].end_lsn if self.windows else self.end_lsn


def find_log(store: LogStore, *, was_clean: bool) -> Found:
    """Reads and checks index and tail. Raises LogDamaged when an index cannot be believed."""
    windows = _sealed_windows(store)
    first_lsn, end_lsn = store.ends()
    first_lsn = max(first_lsn, store.cut_lsn())
    sealed_lsn = windows[-1].end_lsn if windows else first_lsn
    end_lsn = max(end_lsn, sealed_lsn)
    tail: tuple[Item, ...] = ()
    damaged = 0
    if end_lsn > sealed_lsn:
        skip = list(_fenced(store, sealed_lsn, end_lsn))
        damaged = sum(end - start for start, end in skip)
        header, items = build_window(sealed_lsn, _bytes(store, sealed_lsn, end_lsn), True, skip)
        windows.append(window_of(header))
        tail = tuple(items)
    unclean = list(_unclean(store))
    if not was_clean and end_lsn > 0 and (not unclean or unclean[-1] != end_lsn):
        unclean.append(end_lsn)
    return Found(tuple(windows), end_lsn, tail, tuple(unclean), not was_clean, damaged)


def restore(engine: Engine, store: LogStore, found: Found) -> None:
    """Tells the engine what the windows hold, then writes what the start itself found out."""
    tail_lsn = found.windows[-1].first_lsn if found.tail else None
    restore_topics(engine, store)
    for window in found.windows:
        for value in _values(store, found, window, _SNAPSHOT, tail_lsn):
            engine.restore_topics(value)
    restore_ends(engine, store)
    for window in found.windows:
        for value in _values(store, found, window, _PARTITIONS, tail_lsn):
            engine.restore_batches(window.first_lsn, value)
        for value in _values(store, found, window, _SLOTS, tail_lsn):
            engine.restore_sequences(value)
    engine.finish_restore(found.unclean_lsns)
    state = {UNCLEAN_STATE: b"".join(lsn.to_bytes(8, "little") for lsn in found.unclean_lsns)}
    store.put_commit((), found.tail, state=state)


def _sealed_windows(store: LogStore) -> list[Window]:
    windows: list[Window] = []
    cut = store.cut_lsn()
    for key, value in store.index_iter():
        check_index_value(key, value)
        if key[8] != _HEADER:
            continue
        window = window_of(window_header(value))
        if window.end_lsn <= cut:
            continue
        if windows and windows[-1].end_lsn != window.first_lsn:
            raise LogDamaged(
                f"windows of the log do not join: one ends at {windows[-1].end_lsn}, "
                f"the next begins at {window.first_lsn}"
            )
        windows.append(window)
    return windows


def _fenced(store: LogStore, first_lsn: int, end_lsn: int) -> Iterator[tuple[int, int]]:
    """Ranges of the tail that hold no whole envelope, each reported."""
    scan = LogScan(first_lsn)
    events = []
    for key, value in store.iter_pieces(first_lsn):
        events += scan.feed(key, value)
    events += scan.finish()
    for kind, start, end, reason, claim in events:
        if kind in ("damaged", "torn"):
            _log.error(
                "damaged log: positions %d to %d hold no whole batch: %s",
                start,
                min(end, end_lsn),
                reason,
                extra={"claim": claim} if claim else {},
            )
            yield start, end


def _bytes(store: LogStore, first_lsn: int, end_lsn: int) -> list[bytes]:
    parts = []
    for part in store.iter_log(first_lsn, end_lsn):
        if isinstance(part, Damage):
            parts.append(bytes(part.end_lsn - part.lsn))
        else:
            parts.append(part.data)
    return parts


def _unclean(store: LogStore) -> Iterator[int]:
    value = store.state_get(UNCLEAN_STATE) or b""
    if len(value) % 8:
        raise LogDamaged("state unclean of the log is not a list of positions")
    for at in range(0, len(value), 8):
        yield int.from_bytes(value[at : at + 8], "little")


def _values(
    store: LogStore, found: Found, window: Window, section: int, tail_lsn: int | None
) -> Iterator[bytes]:
    prefix = window.first_lsn.to_bytes(8, "big") + bytes([section])
    if window.first_lsn == tail_lsn:
        yield from (bytes(value) for key, value in found.tail if bytes(key).startswith(prefix))
    else:
        yield from (value for _, value in store.index_iter(prefix))
