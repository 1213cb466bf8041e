"""What a start finds on disk, and how the engine takes it up.

In: an open store, how the last process ended. Out: the windows, the end of the log, an engine that
knows every topic, offset and slot sequence again. Invariants: every index value is checked before
it is believed; every envelope of the tail is verified; bytes that do not hold are fenced and
reported, never passed over in silence; nothing on disk is changed before all of it was read. Source:
docs/design/disk.md.
"""

import logging
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sprawl._native import (
    LogScan,
    build_window,
    check_index_value,
    last_sequences,
    window_header,
)
from sprawl.errors import LogDamaged
from sprawl.log.catalogue import (
    HISTORY_STATE,
    Catalogue,
    lost_states,
    manifest_records,
    new_history,
)
from sprawl.log.lasting import Engine as Lasting
from sprawl.log.lasting import restore_ends, restore_topics
from sprawl.log.starts import Starts, ended_in_order, start_state
from sprawl.log.store import Damage, Item, LogStore
from sprawl.log.windows import Window, window_of

_log: Final = logging.getLogger("sprawl.log")
_HEADER, _PARTITIONS, _SLOTS, _BLOOM, _SNAPSHOT = range(5)
UNCLEAN_STATE: Final = b"unclean"
"""State: the ends of the log at which a process did not stop in order, and how often there."""

DAMAGED_STATE: Final = b"damaged"
"""State: where bytes ended that a start found to hold no whole batch, and 1."""

_COUNTED: Final = struct.Struct("<QQ")


class Engine(Lasting, Protocol):
    """What takes the log up; the compiled engine is bound directly."""

    def restore_topics(self, value: bytes) -> None:
        """Topics of one snapshot value."""

    def restore_batches(self, first_lsn: int, value: bytes) -> None:
        """Batches of one index value in partition order."""

    def restore_sequences(self, value: bytes) -> None:
        """Slot sequences of one index value in slot order."""

    def set_cold(self, is_on: bool) -> None:
        """Whether there is a cloud tier, which topics then show also while it is empty."""

    def restore_cold(self, piece: bytes, end_lsn: int) -> None:
        """What a manifest names lies in the cloud; its window ended at ``end_lsn``."""

    def finish_restore(
        self, unclean: Sequence[tuple[int, int]], damaged_lsns: Sequence[int]
    ) -> int | None:
        """Nothing more comes; the id of a topic that has batches and no record, if there is one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A log as it lies on disk.

    ``tail`` are the index values of a window made of what was not sealed, to be put; ``unclean`` where
    the log ended each time without order and how often there, ``damaged_lsns`` where bytes that hold
    no whole batch ended, this time included.
    """

    windows: tuple[Window, ...]
    end_lsn: int
    tail: tuple[Item, ...]
    unclean: tuple[tuple[int, int], ...]
    damaged_lsns: tuple[int, ...]
    is_damaged: bool

    @property
    def sealed_lsn(self) -> int:
        """Where the windows end, the tail's included."""
        return self.windows[-1].end_lsn if self.windows else self.end_lsn


def log_end(store: LogStore, windows: Sequence[Window]) -> int:
    """Where the log goes on."""
    sealed_lsn = windows[-1].end_lsn if windows else store.cut_lsn()
    return max(store.ends()[1], sealed_lsn)


def find_log(store: LogStore, starts: Starts) -> Found:
    """Reads and checks index and tail.

    Raises LogDamaged when something cannot be believed, StartError when the log is not of the time
    of ``starts``.
    """
    windows = _sealed_windows(store)
    end_lsn = log_end(store, windows)
    was_clean = ended_in_order(store, starts, end_lsn)
    sealed_lsn = windows[-1].end_lsn if windows else max(store.ends()[0], store.cut_lsn())
    tail: tuple[Item, ...] = ()
    damaged: list[int] = []
    if end_lsn - sealed_lsn > store.file_bytes():
        # A damaged page gave a key that is none.
        raise LogDamaged(
            f"the log ends at {end_lsn} by its last key, which is more after {sealed_lsn} "
            f"than its file of {store.file_bytes()} bytes can hold"
        )
    if end_lsn > sealed_lsn:
        skip = damaged_ranges(store, sealed_lsn, end_lsn)
        damaged = [end for _, end in skip]
        header, items = build_window(sealed_lsn, _bytes(store, sealed_lsn, end_lsn), True, skip)
        windows.append(window_of(header))
        tail = tuple(items)
    unclean = dict(_numbers(store, UNCLEAN_STATE))
    if not was_clean and end_lsn > 0:
        # Each time counts, also where nothing was written in between: something may have been shown.
        unclean[end_lsn] = unclean.get(end_lsn, 0) + 1
    known = [lsn for lsn, _ in _numbers(store, DAMAGED_STATE)]
    return Found(
        tuple(windows), end_lsn, tail, tuple(unclean.items()), (*known, *damaged), bool(damaged)
    )


def restore(
    engine: Engine, store: LogStore, found: Found, start: int, catalogue: Catalogue | None = None
) -> None:
    """Tells the engine what cloud and windows hold, then writes what the start itself found out.

    Raises LogDamaged when messages of a topic are there whose own record is damaged.
    """
    tail_lsn = found.windows[-1].first_lsn if found.tail else None
    restore_topics(engine, store)
    for window in found.windows:
        for value in _values(store, found, window, _SNAPSHOT, tail_lsn):
            engine.restore_topics(value)
    restore_ends(engine, store)
    lost: dict[bytes, bytes] = {}
    if catalogue is not None:
        engine.set_cold(True)
        lost = _lost_states(store, found, tail_lsn, catalogue)
        catalogue.count(lost)
        _restore_cold(engine, found, catalogue)
    for window in found.windows:
        for value in _values(store, found, window, _PARTITIONS, tail_lsn):
            engine.restore_batches(window.first_lsn, value)
        for value in _values(store, found, window, _SLOTS, tail_lsn):
            engine.restore_sequences(value)
    nameless = engine.finish_restore(found.unclean, found.damaged_lsns)
    if nameless is not None and found.is_damaged:
        raise LogDamaged(
            f"the log holds messages of topic id {nameless:x}, and not what it is called"
        )
    state = start_state(start) | lost
    if catalogue is not None and not catalogue.history():
        state[HISTORY_STATE] = new_history()
    if found.unclean:
        state[UNCLEAN_STATE] = _packed(found.unclean)
    if found.damaged_lsns:
        state |= damaged_state(found.damaged_lsns)
    store.put_commit((), found.tail, state=state)


def damaged_state(lsns: Iterable[int]) -> dict[bytes, bytes]:
    """The state that names positions at which bytes ended that hold no whole batch."""
    return {DAMAGED_STATE: _packed((lsn, 1) for lsn in lsns)}


def _restore_cold(engine: Engine, found: Found, catalogue: Catalogue) -> None:
    """What lies in the cloud alone; windows that are still here tell of themselves."""
    local_lsn = found.windows[0].first_lsn if found.windows else found.end_lsn
    for end_lsn, piece in catalogue.load():
        if end_lsn <= local_lsn:
            engine.restore_cold(piece, end_lsn)


def _lost_states(
    store: LogStore, found: Found, tail_lsn: int | None, catalogue: Catalogue
) -> dict[bytes, bytes]:
    """States of manifest records that were durable when a crash kept the states from being put."""
    records, ends = [], {}
    for window in found.windows:
        for value in _values(store, found, window, _SNAPSHOT, tail_lsn):
            records += manifest_records(value)
    if not records:
        return {}
    for window in found.windows:
        for value in _values(store, found, window, _SLOTS, tail_lsn):
            for slot, sequence, _ in last_sequences(value):
                ends[slot, sequence] = window.end_lsn
    return lost_states(records, catalogue, ends)


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


def damaged_ranges(store: LogStore, first_lsn: int, end_lsn: int) -> list[tuple[int, int]]:
    """Ranges of ``[first_lsn, end_lsn)`` that hold no whole envelope, each reported."""
    scan = LogScan(first_lsn)
    events = []
    for key, value in store.iter_pieces(first_lsn):
        if int.from_bytes(key, "big") >= end_lsn:
            break
        events += scan.feed(key, value)
    events += scan.finish()
    ranges = []
    for kind, start, end, reason, claim in events:
        if kind in ("damaged", "torn") and start < end_lsn:
            _log.error(
                "damaged log: positions %d to %d hold no whole batch: %s",
                start,
                min(end, end_lsn),
                reason,
                extra={"claim": claim} if claim else {},
            )
            ranges.append((start, end))
    return ranges


def _bytes(store: LogStore, first_lsn: int, end_lsn: int) -> list[bytes]:
    parts = []
    for part in store.iter_log(first_lsn, end_lsn):
        if isinstance(part, Damage):
            parts.append(bytes(part.end_lsn - part.lsn))
        else:
            parts.append(part.data)
    return parts


def _numbers(store: LogStore, name: bytes) -> Iterator[tuple[int, int]]:
    value = store.state_get(name) or b""
    if len(value) % _COUNTED.size:
        raise LogDamaged(f"state {name.decode()} of the log is not a list of positions")
    yield from _COUNTED.iter_unpack(value)


def _packed(counted: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_COUNTED.pack(*one) for one in counted)


def _values(
    store: LogStore, found: Found, window: Window, section: int, tail_lsn: int | None
) -> Iterator[bytes]:
    prefix = window.first_lsn.to_bytes(8, "big") + bytes([section])
    if window.first_lsn == tail_lsn:
        yield from (bytes(value) for key, value in found.tail if bytes(key).startswith(prefix))
    else:
        yield from (value for _, value in store.index_iter(prefix))
