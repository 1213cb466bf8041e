"""The states of a log whose messages all lie in a bucket: what a start needs to serve them from there.

In: a cluster's bucket, a new log. Out: states for topics, low offsets, covers and manifest pieces, as
they were while the node lived. Invariants: no message is read; what a build left that lacks a part
was never covered and counts for nothing; every partition goes on well above its last restored offset
and every slot well above its last covered sequence, because what was not uploaded is lost and its
numbers may have been shown. Source: docs/design/cloud.md.

| state | key | value |
|---|---|---|
| ``cold:`` | slot u16, last slot sequence of the cover u64, part u16, piece u16 | end lsn u64 (0), manifest piece |
| ``cover:`` | slot u16 | last covered slot sequence u64 |
| ``history`` | | 16 bytes |
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sprawl._native import SegmentManifest, snapshot_entries
from sprawl.errors import LogDamaged, ObjectDamaged
from sprawl.limits import LOST_SEQUENCES, MIB, SLOTS_COUNT, STATES_PUT_MAX, TOPIC_STATE_BYTES_MAX
from sprawl.log.cloud.bucket import (
    DATA,
    MANIFESTS,
    TOPICS,
    Bucket,
    build_of,
    manifest_key,
    snapshot_values,
)
from sprawl.log.lasting import low_states, sequence_states, topic_states
from sprawl.log.recovery import damaged_state
from sprawl.log.starts import start_state
from sprawl.log.store import LogStore

_COLD: Final = struct.Struct(">5sHQHH")
_COVER: Final = struct.Struct(">6sH")
_NUMBER: Final = struct.Struct("<Q")
_HISTORY: Final = b"history"
_PUT_BYTES_MAX: Final = 8 * MIB
# Behind every batch that is not there any more, and before the first that will be.
_LOST_LSN: Final = 1

Fault = Callable[[str, str], None]
"""Takes the key of an object and why it is left out; raises when nothing may be."""


@dataclass(slots=True)
class Restored:
    """What was found. ``newest_ns`` is the recovery point: the append time of the newest message.

    ``unfinished_builds`` were being uploaded when their node ended; their messages are not counted.
    """

    cluster_id: str
    history: str
    segments: int = 0
    records: int = 0
    bytes: int = 0
    partitions: int = 0
    topics: int = 0
    unfinished_builds: int = 0
    oldest_ns: int = 0
    newest_ns: int = 0


def restore_states(bucket: Bucket, store: LogStore, start: int, fault: Fault) -> Restored:
    """Fills a new log; ``start`` is the number of the start that is noted as ended in order.

    Raises ObjectNotFound or ObjectDamaged when the bucket does not say whose it is.
    """
    history = bucket.history()
    found = Restored(bucket.cluster_id, history.history)
    states = _States(store)
    builds = _Builds()
    for manifest in _manifests(bucket, fault):
        for whole in builds.add(manifest):
            _take(found, states, builds, whole)
    found.unfinished_builds = builds.unfinished
    found.partitions = len(builds.lows)
    found.topics = _put_topics(bucket, states, builds, fault)
    states.put(low_states((*place, low) for place, low in builds.lows.items()))
    covered = builds.covered
    states.put((_COVER.pack(b"cover:", slot), _NUMBER.pack(last)) for slot, last in covered.items())
    states.put(sequence_states((s, covered.get(s, 0) + LOST_SEQUENCES) for s in range(SLOTS_COUNT)))
    states.put({_HISTORY: bytes.fromhex(history.history)})
    states.put(damaged_state([_LOST_LSN]))
    states.put(start_state(start, 0))
    states.flush()
    return found


class _States:
    """Puts states in transactions of bounded size; of one name the last counts."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._waiting: dict[bytes, bytes] = {}
        self._bytes = 0

    def put(self, states: dict[bytes, bytes] | Iterable[tuple[bytes, bytes]]) -> None:
        for name, value in states.items() if isinstance(states, dict) else states:
            self._waiting[name] = value
            self._bytes += len(value)
            if len(self._waiting) >= STATES_PUT_MAX or self._bytes >= _PUT_BYTES_MAX:
                self.flush()

    def flush(self) -> None:
        self._store.state_put(self._waiting)
        self._waiting, self._bytes = {}, 0


class _Builds:
    """Which builds are whole, and what is asked of all of them in the end."""

    def __init__(self) -> None:
        self.lows: Final[dict[tuple[int, int], int]] = {}
        self.covered: Final[dict[int, int]] = {}
        self._newest_ns: dict[str, int] = {}
        self._parts: dict[str, dict[int, SegmentManifest]] = {}

    @property
    def unfinished(self) -> int:
        """Builds that lack a part."""
        return len(self._parts)

    def age_of(self, key: str) -> int:
        """Where a copy of topic configurations stands in the order of builds, by its key."""
        return self._newest_ns.get(key.rpartition("/")[2], 0)

    def add(self, manifest: SegmentManifest) -> list[SegmentManifest]:
        """The segments of a build, once the last of them is here."""
        cover, _ = build_of(manifest.key) or ("", 0)
        self._newest_ns[cover] = max(self._newest_ns.get(cover, 0), manifest.newest_ns)
        part, count = manifest.part
        parts = self._parts.setdefault(cover, {})
        parts[part] = manifest
        if len(parts) < count:
            return []
        return list(self._parts.pop(cover).values())

    def cover(self, manifest: SegmentManifest) -> None:
        """Takes in what a segment of a whole build covers."""
        for slot, _, _, last in manifest.covers:
            self.covered[slot] = max(self.covered.get(slot, 0), last)
        for topic_id, partition, _, first, *_ in manifest.partitions:
            place = topic_id, partition
            self.lows[place] = min(self.lows.get(place, first), first)


def _manifests(bucket: Bucket, fault: Fault) -> Iterator[SegmentManifest]:
    """All manifests that can be read and whose objects are there in their size."""
    sizes = _Sizes(bucket)
    for info in bucket.objects(MANIFESTS):
        if build_of(info.key) is None:
            continue  # not ours
        try:
            manifest = SegmentManifest(bucket.read(info.key))
        except LogDamaged as error:
            fault(info.key, error.detail)
            continue
        if manifest_key(manifest.key) != info.key:
            fault(info.key, f"it describes {manifest.key}")
        elif (size := sizes.of(manifest.key)) != manifest.size:
            has = "is not there" if size is None else f"has {size} bytes"
            fault(manifest.key, f"it {has}, its manifest says {manifest.size}")
        else:
            yield manifest


class _Sizes:
    """The list of data objects, walked in step with that of manifests: both are in the same order."""

    def __init__(self, bucket: Bucket) -> None:
        self._objects = bucket.objects(DATA)
        self._key, self._size = "", 0

    def of(self, key: str) -> int | None:
        """Bytes of an object, None when there is none; keys ascend from call to call."""
        while self._key < key:
            info = next(self._objects, None)
            if info is None:
                return None
            self._key, self._size = info.key, info.size_bytes
        return self._size if self._key == key else None


def _take(found: Restored, states: _States, builds: _Builds, manifest: SegmentManifest) -> None:
    found.segments += 1
    found.records += manifest.records
    found.bytes += manifest.size
    found.oldest_ns = min(found.oldest_ns or manifest.oldest_ns, manifest.oldest_ns)
    found.newest_ns = max(found.newest_ns, manifest.newest_ns)
    builds.cover(manifest)
    last = {slot: last for slot, _, _, last in manifest.covers}
    for slot, pieces in manifest.slots(TOPIC_STATE_BYTES_MAX):
        for number, piece in enumerate(pieces):
            key = _COLD.pack(b"cold:", slot, last[slot], manifest.part[0], number)
            states.put({key: _NUMBER.pack(0) + piece})


def _put_topics(bucket: Bucket, states: _States, builds: _Builds, fault: Fault) -> int:
    """Puts the newest state of each topic; gives how many there are."""
    keys = sorted((builds.age_of(info.key), info.key) for info in bucket.objects(TOPICS))
    newest: dict[bytes, bytes | None] = {}
    for _, key in keys:
        try:
            for value in snapshot_values(key, bucket.read(key)):
                newest |= dict(snapshot_entries(value))
        except (LogDamaged, ObjectDamaged) as error:
            fault(key, error.detail)
    known = {key: state for key, state in newest.items() if state is not None}
    states.put(topic_states(known))
    return len(known)
