"""Which segment holds which offsets: the manifests of the slots, as a node keeps them.

In: records of ``$sys.manifest``. Out: the range of a segment in which an offset or a time lies.
Invariants: what is here is durable in the log; a slot is read into memory when somebody asks for it,
and at most ``CATALOGUE_BYTES`` are kept; ranges of a partition ascend. Its methods may block: they
belong on a pool's threads. Source: docs/design/cloud.md.

| state | key | value |
|---|---|---|
| ``cold:`` | slot u16, last slot sequence u64, part u16, piece u16 | end of its window u64le, piece |
| ``cover:`` | slot u16 | slot sequence up to which everything is in the cloud |
| ``history`` | | 16 bytes: which log the objects in the bucket are of |
"""

import secrets
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sprawl._native import SegmentManifest, last_sequences, snapshot_entries
from sprawl.errors import LogDamaged
from sprawl.limits import CATALOGUE_BYTES, MANIFEST_PIECE_BYTES
from sprawl.log.store import LogStore, counter, counter_of
from sprawl.log.windows import Window

COLD_STATE: Final = b"cold:"
COVER_STATE: Final = b"cover:"
HISTORY_STATE: Final = b"history"

PIECE_KEY: Final = struct.Struct(">HQHH")
"""Slot, last slot sequence of the cover, part of the build, piece: key of a manifest's record."""

_SLOT: Final = struct.Struct(">H")
_LSN: Final = struct.Struct("<Q")
_SECTION: Final = struct.Struct(">QB")
_SLOTS: Final = 2
_HISTORY_BYTES: Final = 16

Cover = tuple[int, int, int, int]
"""Slot, highest epoch, first and last slot sequence."""

Record = tuple[bytes, bytes]
"""Key and value of a record of ``$sys.manifest``."""


@dataclass(frozen=True, slots=True)
class ColdRange:
    """The records of one partition in one segment: offsets ``[first, last]``; times in ns."""

    manifest: SegmentManifest
    first: int
    last: int
    records: int
    log_bytes: int
    oldest_ns: int
    newest_ns: int


def slot_records(
    covers: Iterable[Cover], manifests: Iterable[SegmentManifest]
) -> list[tuple[int, list[Record]]]:
    """The records of ``$sys.manifest`` that a build becomes, by slot; each slot's cover is its last."""
    last = {slot: sequence for slot, _, _, sequence in covers}
    records: dict[int, list[Record]] = {slot: [] for slot in sorted(last)}
    for manifest in manifests:
        for slot, pieces in manifest.slots(MANIFEST_PIECE_BYTES):
            records[slot] += [
                (PIECE_KEY.pack(slot, last[slot], manifest.part[0], number), piece)
                for number, piece in enumerate(pieces)
            ]
    for slot, of_slot in records.items():
        of_slot.append((_SLOT.pack(slot), counter(last[slot])))
    return list(records.items())


def manifest_records(value: bytes) -> list[Record]:
    """The records of ``$sys.manifest`` in a snapshot value, which holds those of topics, too."""
    return [
        (key, state)
        for key, state in snapshot_entries(value)
        if state is not None and len(key) in (_SLOT.size, PIECE_KEY.size)
    ]


def states_of_records(records: Iterable[Record], end_lsn: int) -> dict[bytes, bytes]:
    """The states that follow from records; ``end_lsn`` is the end of the window that they cover."""
    states: dict[bytes, bytes] = {}
    for key, value in records:
        if len(key) == PIECE_KEY.size:
            states[COLD_STATE + key] = _LSN.pack(end_lsn) + value
        elif len(key) == _SLOT.size:
            states[COVER_STATE + key] = value
    return states


class Catalogue:
    """The manifests of one log; made at the start, after the log was opened."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._slots: OrderedDict[int, tuple[tuple[SegmentManifest, ...], int]] = OrderedDict()
        self._loaded_bytes = 0
        self._sizes: dict[str, int] = {}

    @property
    def segments_count(self) -> int:
        """Segments that a manifest names."""
        return len(self._sizes)

    @property
    def stored_bytes(self) -> int:
        """Bytes of their files."""
        return sum(self._sizes.values())

    def load(self) -> Iterator[tuple[int, bytes]]:
        """Every piece with the end of its window; in the order of each slot. Once, at a start."""
        for name, value in self._store.state_iter(COLD_STATE):
            end_lsn, piece = _stored(name, value)
            manifest = SegmentManifest(piece)
            self._sizes[manifest.key] = manifest.size
            yield end_lsn, piece

    def count(self, states: Mapping[bytes, bytes]) -> None:
        """Counts the segments of states that are put without ``add``."""
        for name, value in states.items():
            if name.startswith(COLD_STATE):
                manifest = SegmentManifest(_stored(name, value)[1])
                self._sizes[manifest.key] = manifest.size

    def add(self, slot: int, records: Iterable[Record]) -> None:
        """Takes the durable records of one slot in; their states are put. Twice is as once."""
        with self._lock:
            for key, piece in records:
                if len(key) == PIECE_KEY.size:
                    manifest = SegmentManifest(piece)
                    self._sizes[manifest.key] = manifest.size
            # Read anew by whoever asks next.
            self._forget(slot)

    def remove(self, names: Iterable[bytes], keys: Iterable[str]) -> None:
        """Forgets states that are gone, and the segments that no other names."""
        with self._lock:
            for name in names:
                self._forget(_SLOT.unpack_from(name, len(COLD_STATE))[0])
            for key in keys:
                self._sizes.pop(key, None)

    def find(
        self, slot: int, topic_id: int, partition: int, offset: int, since_ns: int
    ) -> ColdRange | None:
        """The first range that reaches to ``offset``, or (not 0) to an append time."""
        for found in self.ranges(slot, topic_id, partition):
            if found.last >= offset and (since_ns == 0 or found.newest_ns >= since_ns):
                return found
        return None

    def ranges(self, slot: int, topic_id: int, partition: int) -> Iterator[ColdRange]:
        """All ranges of a partition, ascending."""
        for manifest in self._of_slot(slot):
            found = manifest.partition(topic_id, partition)
            if found is not None:
                _, _, _, first, last, records, oldest_ns, newest_ns, log_bytes, _ = found
                yield ColdRange(manifest, first, last, records, log_bytes, oldest_ns, newest_ns)

    def pieces(self) -> Iterator[tuple[bytes, SegmentManifest]]:
        """Every piece with the name of its state."""
        for name, value in self._store.state_iter(COLD_STATE):
            yield name, SegmentManifest(_stored(name, value)[1])

    def is_covered(self, window: Window) -> bool:
        """Whether everything in a window that is still local is in the cloud."""
        section = _SECTION.pack(window.first_lsn, _SLOTS)
        last: dict[int, int] = {}
        for _, value in self._store.index_iter(section):
            last |= {slot: sequence for slot, sequence, _ in last_sequences(value)}
        return bool(last) and all(self.cover(slot) >= at for slot, at in last.items())

    def cover(self, slot: int) -> int:
        """The slot sequence up to which everything is in the cloud; -1 when nothing is."""
        name = COVER_STATE + _SLOT.pack(slot)
        value = self._store.state_get(name)
        return -1 if value is None else counter_of(name, value)

    def history(self) -> str:
        """What the objects of this log carry: 32 hex digits, empty before a first start made them."""
        value = self._store.state_get(HISTORY_STATE)
        if value is None:
            return ""
        if len(value) != _HISTORY_BYTES:
            raise LogDamaged(f"state history of the log has {len(value)} bytes, not 16")
        return value.hex()

    def _of_slot(self, slot: int) -> tuple[SegmentManifest, ...]:
        with self._lock:
            kept = self._slots.get(slot)
            if kept is not None:
                self._slots.move_to_end(slot)
                return kept[0]
            # Under the lock, so that a piece that is added meanwhile is not missed.
            pieces = [
                _stored(name, value)[1]
                for name, value in self._store.state_iter(COLD_STATE + _SLOT.pack(slot))
            ]
            manifests = tuple(SegmentManifest(piece) for piece in pieces)
            self._keep(slot, manifests, sum(map(len, pieces)))
            return manifests

    def _keep(self, slot: int, manifests: tuple[SegmentManifest, ...], size: int) -> None:
        self._forget(slot)
        self._slots[slot] = (manifests, size)
        self._loaded_bytes += size
        while self._loaded_bytes > CATALOGUE_BYTES and len(self._slots) > 1:
            self._forget(next(iter(self._slots)))

    def _forget(self, slot: int) -> None:
        if (kept := self._slots.pop(slot, None)) is not None:
            self._loaded_bytes -= kept[1]


def new_history() -> bytes:
    """A history for a log that goes to the cloud for the first time."""
    return secrets.token_bytes(_HISTORY_BYTES)


def lost_states(
    records: Iterable[Record], catalogue: Catalogue, ends: Mapping[tuple[int, int], int]
) -> dict[bytes, bytes]:
    """States that a crash kept from being put, of records that are in the log.

    ``ends`` names the end of the local window by (slot, last slot sequence); 0 where there is none.
    """
    states: dict[bytes, bytes] = {}
    for key, value in records:
        if len(key) == PIECE_KEY.size:
            slot, sequence, _, _ = PIECE_KEY.unpack(key)
        else:
            slot, sequence = _SLOT.unpack(key)[0], counter_of(b"cover", value)
        if catalogue.cover(slot) < sequence:
            states |= states_of_records([(key, value)], ends.get((slot, sequence), 0))
    return states


def _stored(name: bytes, value: bytes) -> tuple[int, bytes]:
    if len(name) != len(COLD_STATE) + PIECE_KEY.size or len(value) < _LSN.size:
        raise LogDamaged(f"state {name!r} of the log is no piece of a manifest")
    return _LSN.unpack_from(value)[0], value[_LSN.size :]
