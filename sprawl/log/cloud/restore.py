"""The states of a log whose messages all lie in a bucket: what a start needs to serve them from there.

In: a cluster's bucket, a new log. Out: states for topics, low offsets, covers and manifest pieces, as
they were while the node lived. Invariants: no message is read; a build that was not put whole counts
for nothing; every partition goes on well above its last restored offset and every slot well above its
last covered sequence, because what was not uploaded is lost and its numbers may have been shown.
Source: docs/design/cloud.md.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sprawl._native import SegmentManifest, snapshot_entries
from sprawl.errors import LogDamaged, ObjectDamaged
from sprawl.limits import LOST_SEQUENCES, MIB, SLOTS_COUNT, STATES_PUT_MAX
from sprawl.log.catalogue import (
    COVER_STATE,
    HISTORY_STATE,
    PIECE_KEY,
    slot_records,
    states_of_records,
)
from sprawl.log.cloud.bucket import Bucket, build_of
from sprawl.log.cloud.layout import (
    DATA_PREFIX,
    MANIFESTS_PREFIX,
    TOPICS_PREFIX,
    manifest_key,
    unpack_values,
)
from sprawl.log.lasting import low_states, sequence_states, topic_states
from sprawl.log.recovery import damaged_state
from sprawl.log.starts import start_state
from sprawl.log.store import LogStore, counter

_SLOT: Final = struct.Struct(">H")
_PUT_BYTES_MAX: Final = 8 * MIB
# Behind every batch that is not there any more, and before the first that will be.
_LOST_LSN: Final = 1
# The end of the window that a segment was made of: below everything that is appended from now on.
_GONE_LSN: Final = 0

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
    states, sums = _States(store), _Sums()
    topics = {info.key.rpartition("/")[2]: info.key for info in bucket.objects(TOPICS_PREFIX)}
    unfinished: set[str] = set()
    for cover, manifest in _manifests(bucket, fault):
        if cover not in topics:
            unfinished.add(cover)
        elif sums.add(cover, manifest):
            _count(found, manifest)
            states.put(_pieces(manifest))
        else:
            fault(manifest.key, "the manifests of its build contradict each other")
    found.unfinished_builds, found.partitions = len(unfinished), len(sums.lows)
    known = _topics(bucket, (topics[cover] for cover in sums.covers() if cover in topics), fault)
    found.topics = len(known)
    states.put(topic_states(known))
    states.put(low_states((*place, low) for place, low in sums.lows.items()))
    states.put({COVER_STATE + _SLOT.pack(s): counter(last) for s, last in sums.covered.items()})
    states.put(
        sequence_states((s, sums.covered.get(s, 0) + LOST_SEQUENCES) for s in range(SLOTS_COUNT))
    )
    states.put({HISTORY_STATE: bytes.fromhex(history.history)})
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

    def put(self, states: Mapping[bytes, bytes]) -> None:
        """Takes states in."""
        for name, value in states.items():
            self._waiting[name] = value
            self._bytes += len(value)
            if len(self._waiting) >= STATES_PUT_MAX or self._bytes >= _PUT_BYTES_MAX:
                self.flush()

    def flush(self) -> None:
        """Puts what waits; synced on return."""
        self._store.state_put(self._waiting)
        self._waiting, self._bytes = {}, 0


class _Sums:
    """What is asked of all segments together."""

    def __init__(self) -> None:
        self.lows: Final[dict[tuple[int, int], int]] = {}
        """First offset of each partition."""
        self.covered: Final[dict[int, int]] = {}
        """Last covered sequence of each slot."""
        self._builds: dict[str, tuple[int, int]] = {}
        """Segments of each build, and its newest append time."""

    def add(self, cover: str, manifest: SegmentManifest) -> bool:
        """Takes a segment in; False when it contradicts another of its build."""
        parts = manifest.part[1]
        known, newest_ns = self._builds.get(cover, (parts, manifest.newest_ns))
        if known != parts:
            return False
        self._builds[cover] = parts, max(newest_ns, manifest.newest_ns)
        for slot, _, _, last in manifest.covers:
            self.covered[slot] = max(self.covered.get(slot, 0), last)
        for topic_id, partition, _, first, *_ in manifest.partitions:
            place = topic_id, partition
            self.lows[place] = min(self.lows.get(place, first), first)
        return True

    def covers(self) -> list[str]:
        """The builds in the order in which they were made."""
        return sorted(self._builds, key=lambda cover: self._builds[cover][1])


def _manifests(bucket: Bucket, fault: Fault) -> Iterator[tuple[str, SegmentManifest]]:
    """Cover and manifest of all that can be read and whose objects are there in their size."""
    sizes = _Sizes(bucket)
    for info in bucket.objects(MANIFESTS_PREFIX):
        build = build_of(info.key)
        if build is None:
            continue  # not ours
        try:
            manifest = SegmentManifest(bucket.read(info.key))
            is_its_own = manifest_key(manifest.key) == info.key
        except (LogDamaged, ObjectDamaged) as error:
            fault(info.key, error.detail)
            continue
        if not is_its_own:
            fault(info.key, f"it describes {manifest.key}")
        elif (size := sizes.of(manifest.key)) != manifest.size:
            has = "is not there" if size is None else f"has {size} bytes"
            fault(manifest.key, f"it {has}, its manifest says {manifest.size}")
        else:
            yield build[0], manifest


class _Sizes:
    """The list of data objects, walked in step with that of manifests: both are in the same order."""

    def __init__(self, bucket: Bucket) -> None:
        self._objects = bucket.objects(DATA_PREFIX)
        self._key, self._size = "", 0

    def of(self, key: str) -> int | None:
        """Bytes of an object, None when there is none; keys ascend from call to call."""
        while self._key < key:
            info = next(self._objects, None)
            if info is None:
                return None
            self._key, self._size = info.key, info.size_bytes
        return self._size if self._key == key else None


def _count(found: Restored, manifest: SegmentManifest) -> None:
    found.segments += 1
    found.records += manifest.records
    found.bytes += manifest.size
    found.oldest_ns = min(found.oldest_ns or manifest.oldest_ns, manifest.oldest_ns)
    found.newest_ns = max(found.newest_ns, manifest.newest_ns)


def _pieces(manifest: SegmentManifest) -> dict[bytes, bytes]:
    """The states of a segment; covers are put for all segments together."""
    states: dict[bytes, bytes] = {}
    for _, records in slot_records(manifest.covers, [manifest]):
        pieces = [record for record in records if len(record[0]) == PIECE_KEY.size]
        states |= states_of_records(pieces, _GONE_LSN)
    return states


def _topics(bucket: Bucket, keys: Iterable[str], fault: Fault) -> dict[bytes, bytes]:
    """The newest record of each topic; keys of the copies in the order in which they were made."""
    newest: dict[bytes, bytes | None] = {}
    for key in keys:
        try:
            for value in unpack_values(bucket.read(key)):
                newest |= dict(snapshot_entries(value))
        except (LogDamaged, ObjectDamaged) as error:
            fault(key, error.detail)
    return {key: record for key, record in newest.items() if record is not None}
