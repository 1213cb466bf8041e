"""Whether a bucket holds what its manifests say, without a node.

In: a cluster's bucket. Out: counts, and each fault as it is found. Invariants: every object that a
manifest names is read whole; of many things (partitions, builds) nothing is held in memory, a
temporary database on disk has them; a fault ends nothing, only a store that does not answer does.
Source: docs/design/cloud.md.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import xxhash

from sprawl._native import SegmentManifest, snapshot_entries, topic_id_text
from sprawl.errors import LogDamaged, ObjectDamaged, ObjectNotFound
from sprawl.limits import MANIFEST_BYTES_MAX
from sprawl.log.cloud.bucket import (
    Bucket,
    build_of,
)
from sprawl.log.cloud.layout import (
    DATA_PREFIX,
    HISTORY_KEY,
    MANIFESTS_PREFIX,
    TOPICS_PREFIX,
    manifest_key,
    unpack_values,
)

_PLACE: Final = struct.Struct(">QH")
_OFFSET: Final = struct.Struct(">Q")
_TABLES: Final = """
    create table parts (cover text, part integer, parts integer, covers blob, key text);
    create table copies (key text primary key) without rowid;
    create table ranges (place blob, first blob, last blob, key text);
    create table finished (cover text primary key) without rowid;
    create table topics (id blob primary key) without rowid;
"""

Fault = Callable[[str, str], None]
"""Takes the key of an object and what is wrong with it."""


@dataclass(slots=True)
class Verified:
    """What was looked at.

    ``unfinished_builds`` and ``unnamed_objects`` (without a manifest) are of moves that go on or did
    not end; ``removed_segments`` held nothing that could be read any more.
    """

    cluster_id: str
    history: str = ""
    manifests: int = 0
    builds: int = 0
    records: int = 0
    bytes: int = 0
    partitions: int = 0
    topics: int = 0
    unfinished_builds: int = 0
    removed_segments: int = 0
    unnamed_objects: int = 0
    faults: int = 0
    oldest_ns: int = 0
    newest_ns: int = 0


def verify(bucket: Bucket, fault: Fault) -> Verified:
    """Reads everything below the cluster's prefix; ``fault`` is told of each thing that does not hold."""
    found = Verified(bucket.cluster_id)

    def tell(key: str, why: str) -> None:
        found.faults += 1
        fault(key, why)

    with closing(_Ledger()) as ledger:
        found.history = _history(bucket, tell)
        for key, manifest in _manifests(bucket, ledger, tell):
            ledger.add(key, manifest)
            _count(found, manifest)
            for why in _object_faults(bucket, manifest):
                tell(manifest.key, why)
        _topics(bucket, ledger, tell)
        for key, why in ledger.faults():
            tell(key, why)
        found.unnamed_objects = _unnamed(bucket, ledger, tell)
        found.builds, found.partitions, found.topics = ledger.counts()
        found.unfinished_builds, found.removed_segments = ledger.missing()
    return found


def _history(bucket: Bucket, tell: Fault) -> str:
    try:
        return bucket.history().history
    except (ObjectNotFound, ObjectDamaged) as error:
        tell(HISTORY_KEY, error.detail)
        return ""


def _manifests(
    bucket: Bucket, ledger: "_Ledger", tell: Fault
) -> Iterator[tuple[str, SegmentManifest]]:
    for info in bucket.objects(MANIFESTS_PREFIX):
        if build_of(info.key) is None:
            continue  # not ours
        ledger.note(info.key)
        if info.size_bytes > MANIFEST_BYTES_MAX:
            tell(info.key, f"{info.size_bytes} bytes exceed {MANIFEST_BYTES_MAX}")
            continue
        try:
            manifest = SegmentManifest(bucket.read(info.key))
            is_its_own = manifest_key(manifest.key) == info.key
        except (LogDamaged, ObjectDamaged, ObjectNotFound) as error:
            tell(info.key, error.detail)
            continue
        if not is_its_own:
            tell(info.key, f"it describes {manifest.key}")
            continue
        yield info.key, manifest


def _count(found: Verified, manifest: SegmentManifest) -> None:
    found.manifests += 1
    found.records += manifest.records
    found.bytes += manifest.size
    found.oldest_ns = min(found.oldest_ns or manifest.oldest_ns, manifest.oldest_ns)
    found.newest_ns = max(found.newest_ns, manifest.newest_ns)


def _object_faults(bucket: Bucket, manifest: SegmentManifest) -> Iterator[str]:
    sha256, size, sums = hashlib.sha256(), 0, _Sums(manifest.checksums)
    try:
        for piece in bucket.pieces(manifest.key):
            sha256.update(piece)
            size += len(piece)
            yield from sums.feed(piece)
    except ObjectNotFound:
        yield "it is named by a manifest and not there"
        return
    except ObjectDamaged as error:
        yield error.detail
        return
    if size != manifest.size:
        yield f"it has {size} bytes, its manifest says {manifest.size}"
    elif sha256.digest() != manifest.sha256:
        yield "its SHA-256 is not the one in its manifest"


class _Sums:
    """Checks ranges of a stream, which ascend, against their checksums."""

    def __init__(self, ranges: Sequence[tuple[int, int, int]]) -> None:
        self._ranges = ranges
        self._number = 0
        self._at = 0
        self._hash = xxhash.xxh3_64()

    def feed(self, piece: bytes) -> Iterator[str]:
        """The next bytes; yields what is wrong with ranges that end in them."""
        view, end = memoryview(piece), self._at + len(piece)
        while self._number < len(self._ranges):
            start, length, expected = self._ranges[self._number]
            stop = start + length
            self._hash.update(view[max(start, self._at) - self._at : max(0, stop - self._at)])
            if stop > end:
                break
            if self._hash.intdigest() != expected:
                yield f"bytes {start} to {stop} do not hold their checksum"
            self._number += 1
            self._hash.reset()
        self._at = end


def _topics(bucket: Bucket, ledger: "_Ledger", tell: Fault) -> None:
    for info in bucket.objects(TOPICS_PREFIX):
        ledger.finish(info.key.rpartition("/")[2])
        try:
            for value in unpack_values(bucket.read(info.key)):
                ledger.add_topics(key for key, _ in snapshot_entries(value))
        except (LogDamaged, ObjectDamaged, ObjectNotFound) as error:
            tell(info.key, error.detail)


def _unnamed(bucket: Bucket, ledger: "_Ledger", tell: Fault) -> int:
    """Tells of the segments of whole builds that have no manifest; how many others have none."""
    count = 0
    for info in bucket.objects(DATA_PREFIX):
        try:
            key = manifest_key(info.key)
        except ObjectDamaged:
            count += 1  # not ours
            continue
        if ledger.has(key):
            continue
        cover, _ = build_of(key) or ("", 0)
        if ledger.is_finished(cover):
            tell(info.key, "its build is whole, and it has no manifest")
        else:
            count += 1
    return count


class _Ledger:
    """What manifests and topic configurations say, in a database that goes with the connection."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Removes it."""
        self._database.close()

    def add(self, key: str, manifest: SegmentManifest) -> None:
        """Takes a manifest in."""
        cover, part = build_of(key) or ("", 0)
        covers = hashlib.sha256(repr(manifest.covers).encode()).digest()
        self._database.execute(
            "insert into parts values (?, ?, ?, ?, ?)",
            (cover, part, manifest.part[1], covers, key),
        )
        self._database.executemany(
            "insert into ranges values (?, ?, ?, ?)",
            (
                (_PLACE.pack(topic_id, partition), _OFFSET.pack(first), _OFFSET.pack(last), key)
                for topic_id, partition, _, first, last, *_ in manifest.partitions
            ),
        )

    def add_topics(self, keys: Iterator[bytes]) -> None:
        """Notes that the configurations of these topics are there."""
        self._database.executemany(
            "insert or ignore into topics values (?)", ((key,) for key in keys)
        )

    def finish(self, cover: str) -> None:
        """Notes that a build was put whole."""
        self._database.execute("insert or ignore into finished values (?)", (cover,))

    def is_finished(self, cover: str) -> bool:
        """Whether a build was put whole."""
        found = self._database.execute("select 1 from finished where cover = ?", (cover,))
        return found.fetchone() is not None

    def note(self, key: str) -> None:
        """Notes that there is a copy of a manifest."""
        self._database.execute("insert or ignore into copies values (?)", (key,))

    def has(self, key: str) -> bool:
        """Whether there is a copy of a manifest under this key, sound or not."""
        found = self._database.execute("select 1 from copies where key = ?", (key,))
        return found.fetchone() is not None

    def counts(self) -> tuple[int, int, int]:
        """Builds, partitions, topics with a configuration."""
        builds, partitions, topics = self._database.execute(
            "select (select count(distinct cover) from parts),"
            " (select count(distinct place) from ranges), (select count(*) from topics)"
        ).fetchone()
        return builds, partitions, topics

    def missing(self) -> tuple[int, int]:
        """Builds that were not put whole, and segments that others have no more."""
        unfinished, removed = self._database.execute(
            "select count(*) filter (where not is_whole),"
            " coalesce(sum(parts - count) filter (where is_whole), 0) from"
            " (select cover in (select cover from finished) as is_whole, max(parts) as parts,"
            " count(distinct part) as count from parts group by cover)"
        ).fetchone()
        return unfinished, removed

    def faults(self) -> Iterator[tuple[str, str]]:
        """What does not fit together."""
        yield from self._builds()
        yield from self._overlaps()
        yield from self._nameless()

    def _builds(self) -> Iterator[tuple[str, str]]:
        for (key,) in self._database.execute(
            "select min(key) from parts group by cover"
            " having count(distinct parts) > 1 or count(distinct covers) > 1 order by 1"
        ):
            yield key, "the manifests of its build contradict each other"

    def _overlaps(self) -> Iterator[tuple[str, str]]:
        place, end, before = b"", b"", ""
        for here, first, last, key in self._database.execute(
            "select place, first, last, key from ranges order by place, first"
        ):
            if here != place:
                place, end, before = here, b"", ""
            if before and first <= end:
                topic_id, partition = _PLACE.unpack(here)
                name = f"{topic_id_text(topic_id)}-{partition}"
                offset = _OFFSET.unpack(first)[0]
                yield key, f"offset {offset} of partition {name} is in {before}, too"
            if last > end:
                end, before = last, key

    def _nameless(self) -> Iterator[tuple[str, str]]:
        for topic, key in self._database.execute(
            "select substr(place, 1, 8) as topic, min(key) from ranges"
            " where topic not in (select id from topics)"
            " and substr(key, -37, 32) in (select cover from finished) group by topic"
        ):
            name = topic_id_text(int.from_bytes(topic, "big"))
            yield key, f"no copy of topic configurations has topic id {name}"
