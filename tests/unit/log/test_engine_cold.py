"""The engine with a cloud tier: what lies in segments alone is counted, read and taken up by a start."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from sprawl._native import (
    Engine,
    Page,
    SegmentManifest,
    Slice,
    build_segments,
    build_window,
    decode_batches,
    find_entries,
    find_entries_since,
    snapshot_entries,
    topic_id_parse,
)
from sprawl.errors import Expired, InvalidRequest, LogDamaged
from sprawl.limits import TOPIC_STATE_BYTES_MAX
from sprawl.log.retention import Cleaner
from sprawl.log.store import LogStore
from sprawl.log.windows import Window as LogWindow
from sprawl.log.windows import Windows
from tests.models import envelope

NOW = 1_700_000_000 * 1_000_000_000
SECOND = 1_000_000_000
PARTITION_ORDER, SNAPSHOT = 1, 4


def fresh(disk_lsn: int = 0) -> Engine:
    return Engine(
        memory_bytes_max=1 << 20,
        chunk_bytes=1 << 12,
        dedup_keys_max=100,
        topics_max=10,
        seed=1,
        node_id="n",
        disk_lsn=disk_lsn,
    )


@dataclass
class Window:
    """A sealed window: where it begins and ends, and the values of its index by key."""

    first_lsn: int
    end_lsn: int
    items: list[tuple[bytes, Slice]]

    def values(self, section: int) -> list[Slice]:
        return [value for key, value in self.items if key[8] == section]


@dataclass
class World:
    """One node's engine, its disk and its bucket."""

    engine: Engine = field(default_factory=fresh)
    log: bytes = b""
    windows: list[Window] = field(default_factory=list)
    segments: list[tuple[SegmentManifest, bytes]] = field(default_factory=list)
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    now_ns: int = NOW

    def publish(self, topic: str, count: int, members: str = "") -> None:
        for _ in range(count):
            self.now_ns += SECOND
            line = b'{"payload":"%d"%s}' % ((self.now_ns - NOW) // SECOND, members.encode())
            assert b"partition" in self.engine.publish_json(topic, line, self.now_ns)[0]
            self.engine.end_tick(self.now_ns)

    def sync(self) -> None:
        self.engine.mark()
        self.engine.end_tick(self.now_ns)
        while taken := self.engine.take_commit(1 << 20):
            first_lsn, slices, end_lsn, mark = taken
            assert first_lsn == len(self.log)
            self.log += b"".join(bytes(part) for part in slices)
            self.engine.synced(end_lsn, mark)

    def seal(self) -> None:
        """Everything so far is a window on disk, and on disk alone."""
        self.sync()
        window = self.engine.window(1)
        assert window is not None
        first_lsn, slices, end_lsn = window
        _, items = build_window(first_lsn, slices, True)
        self.windows.append(Window(first_lsn, end_lsn, items))
        self.engine.window_sealed(end_lsn)
        self.engine.age_out(self.now_ns + 1)
        assert self.engine.tail_lsn() == end_lsn

    def move(self) -> None:
        """Moves the oldest window to the cloud, its manifest records included."""
        window = self.windows[0]
        part = self.log[window.first_lsn : window.end_lsn]
        ids = {fields.topic_id for fields in envelopes(part)} - {1, 2}
        _, built = build_segments([part], self.engine.topics_for_segment(sorted(ids)))
        for described, data in built:
            manifest = SegmentManifest(described)
            self.segments.append((manifest, data))
            for slot, pieces in manifest.slots(TOPIC_STATE_BYTES_MAX):
                records = [(b"%d/%d" % (window.end_lsn, n), p) for n, p in enumerate(pieces)]
                self.pieces += [(window.end_lsn, piece) for piece in pieces]
                self.engine.record_manifests(slot, records, self.now_ns)
        self.sync()
        later = self.windows[1:]
        for value in window.values(PARTITION_ORDER):
            self.engine.cold_value(value, self.now_ns if not later else NOW)
        self.windows = later

    def page(self, want: tuple[int, int, int, int, int]) -> Page:
        """What the host reads for a want: from the cloud what lies there, else from disk."""
        topic_id, partition, offset, since_ns, end = want
        for manifest, data in self.segments:
            place = (topic_id, partition, offset, since_ns)
            if found := manifest.locate(*place, 1, 1):
                at, length = found
                footer, held = data[manifest.footer_at :], data[at : at + length]
                page = manifest.page(footer, at, held, *place, 1 << 20)
                assert page is not None
                return Page(want, page[1], [page[0]], [])
        parts = []
        for window in self.windows:
            for value in window.values(PARTITION_ORDER):
                found_on_disk, _ = (
                    find_entries_since(value, topic_id, partition, since_ns, 1 << 20)
                    if since_ns
                    else find_entries(value, topic_id, partition, offset, 1 << 20)
                )
                for _base, rel, length, _records, _append in found_on_disk:
                    at = window.first_lsn + rel
                    parts.append(self.log[at : at + length])
        return Page(want, end, parts, [])

    def read(self, topic: str, query: bytes = b"") -> list[int]:
        """Payloads of all that follows, across the tiers."""
        reader, out = self.engine.reader(topic, query, "ndjson", None, self.now_ns), b""
        for _ in range(1000):
            if (want := reader.want) is not None:
                reader.feed(self.page(want))
            out += reader.pull(1 << 20, 1000, self.now_ns) or b""
            if not reader.more and reader.want is None:
                break
        return [int(json.loads(line)["payload"]) for line in out.splitlines()]

    def held(self, topic: str) -> dict[str, tuple[int, int]]:
        """Records and bytes of a topic by tier; the sums are checked."""
        info = self.engine.topic_get(topic)
        assert info is not None
        (partition,) = info["partitions"]
        tiers: Any = partition["tiers"]
        assert sum(tier["records"] for tier in tiers.values()) == partition["records"]
        assert sum(tier["bytes"] for tier in tiers.values()) == partition["bytes"]
        times = [tier for tier in tiers.values() if tier["records"]]
        assert partition["oldest_ns"] == min((t["oldest_ns"] for t in times), default=None)
        assert partition["newest_ns"] == max((t["newest_ns"] for t in times), default=None)
        return {name: (tier["records"], tier["bytes"]) for name, tier in tiers.items()}

    def restart(self) -> None:
        """A new engine over what is on disk and in the cloud."""
        old, self.engine = self.engine, fresh(len(self.log))
        ids = [topic_id_parse(t["topic_id"]) for t in old.topics_page("", 0, 100)[0]]
        for key, state in old.topic_states([topic_id for topic_id in ids if topic_id is not None]):
            self.engine.restore_topic(key, state)
        for topic_id, partition, low in old.take_lows(100):
            self.engine.restore_low(topic_id, partition, low)
        for end_lsn, piece in self.pieces:
            self.engine.restore_cold(piece, end_lsn)
        for window in self.windows:
            for value in window.values(SNAPSHOT):
                self.engine.restore_topics(value)
            for value in window.values(PARTITION_ORDER):
                self.engine.restore_batches(window.first_lsn, value)
        assert self.engine.finish_restore([], []) is None


def envelopes(log: bytes) -> list[envelope.Envelope]:
    out, at = [], 0
    while at < len(log):
        fields, encoded = envelope.check(log[at:])
        out.append(fields)
        at += 64 + len(encoded)
    return out


@pytest.fixture
def world() -> World:
    """Payloads 1 to 3 of a topic in the cloud, 4 and 5 on disk, 6 in memory."""
    made = World()
    made.publish("t", 3)
    made.seal()
    made.publish("t", 2)
    made.seal()
    made.move()
    made.publish("t", 1)
    made.sync()
    return made


def test_each_message_counts_in_the_one_tier_that_has_it(world: World) -> None:
    held = world.held("t")
    assert {name: records for name, (records, _) in held.items()} == {
        "memory": 1,
        "disk": 2,
        "cloud": 3,
    }
    stats = world.engine.stats()["gauges"]
    assert [stats[n] for n in ("messages", "moved_messages", "cold_messages")] == [6, 2, 3]
    ((summary,), _) = world.engine.topics_page("", 0, 10)
    assert summary["records"] == 6
    assert summary["tiers"]["cloud"]["records"] == 3
    assert (summary["oldest_ns"], summary["newest_ns"]) == (NOW + SECOND, NOW + 6 * SECOND)


def test_a_read_goes_through_all_tiers(world: World) -> None:
    assert world.read("t") == [1, 2, 3, 4, 5, 6]
    assert world.read("t", b"from=earliest") == [1, 2, 3, 4, 5, 6]
    for offset in range(6):
        assert world.read("t", b"from=offset:%d" % offset) == [*range(offset + 1, 7)]
    assert world.read("t", b"from=latest") == []


@pytest.mark.parametrize("second", range(8))
def test_a_read_by_time_begins_in_the_tier_that_has_it(world: World, second: int) -> None:
    ago = (world.now_ns - NOW) // SECOND - second
    query = b"from=-%ds" % ago if ago >= 0 else b"from=time:2023-11-14T22:13:27Z"
    assert world.read("t", query) == [n for n in range(1, 7) if n >= second]


def test_a_read_finds_what_is_in_the_cloud_alone() -> None:
    world = World()
    world.publish("t", 4)
    world.seal()
    world.move()
    assert world.read("t", b"from=earliest") == [1, 2, 3, 4]
    assert world.read("t", b"from=-1s") == [3, 4]
    assert world.read("t", b"from=latest") == []
    world.publish("t", 1)
    assert world.read("t", b"from=offset:3") == [4]
    world.sync()
    assert world.read("t", b"from=offset:3") == [4, 5]


def test_a_message_is_looked_up_in_the_cloud(world: World) -> None:
    info = world.engine.topic_get("t")
    assert info is not None
    for offset in range(6):
        found = world.engine.message(info["topic_id"], 0, offset)
        if isinstance(found, tuple):
            assert offset < 5, "memory has it"
            found = world.engine.message(info["topic_id"], 0, offset, world.page(found))
        assert isinstance(found, dict)
        assert found["payload"] == b"%d" % (offset + 1)


def test_a_start_takes_up_what_is_in_the_cloud(world: World) -> None:
    before = world.held("t")
    world.seal()
    world.restart()
    after = world.held("t")
    assert after["cloud"] == before["cloud"]
    assert after["disk"] == tuple(map(sum, zip(before["disk"], before["memory"], strict=True)))
    assert world.read("t") == [1, 2, 3, 4, 5, 6]
    world.publish("t", 1)
    world.sync()
    assert world.read("t", b"from=offset:5") == [6, 7]
    # What is moved later joins what was there.
    world.move()
    assert {name: records for name, (records, _) in world.held("t").items()} == {
        "memory": 1,
        "disk": 1,
        "cloud": 5,
    }
    assert world.read("t") == [1, 2, 3, 4, 5, 6, 7]


def test_a_topic_that_was_moved_whole_is_there_after_a_start() -> None:
    world = World()
    world.publish("t", 3)
    world.publish("other", 1)
    world.seal()
    world.move()
    world.seal()
    world.restart()
    assert world.held("t")["cloud"][0] == 3
    assert world.read("t", b"from=earliest") == [1, 2, 3]
    world.publish("t", 1)
    world.sync()
    assert world.read("t") == [1, 2, 3, 5]


def test_retention_takes_the_oldest_from_the_cloud(world: World) -> None:
    world.engine.topic_put("t", {"retention": {"count": 4}})
    ((place, low, end, before_ns, size, records, keeps_last, cold_end),) = world.engine.overdue(10)
    assert (low, end, before_ns < 0, size, records) == (0, 5, True, 0, 2)
    assert (keeps_last, cold_end) == (False, 3)
    bytes_each = world.held("t")["cloud"][1] // 3
    world.engine.retired_cold(place, 2, 2, 2 * bytes_each, NOW + 3 * SECOND)
    assert world.engine.overdue(10) == []
    assert world.held("t")["cloud"] == (1, bytes_each)
    assert world.engine.is_cold(*place)
    assert world.read("t", b"from=earliest") == [3, 4, 5, 6]
    with pytest.raises(Expired):
        world.engine.reader("t", b"from=offset:1", "ndjson", None, world.now_ns)
    world.seal()
    world.restart()
    assert world.held("t")["cloud"] == (1, bytes_each)
    assert world.read("t", b"from=earliest") == [3, 4, 5, 6]


def test_messages_in_the_cloud_are_over_in_time() -> None:
    world = World()
    world.engine.topic_put("t", {"ttl_s": 60})
    world.publish("t", 2)
    world.publish("t", 1, ',"ttl_s":3600')
    world.seal()
    world.move()
    world.engine.sweep(NOW + 61 * SECOND)
    assert world.held("t")["cloud"][0] == 2
    world.now_ns = NOW + 62 * SECOND
    world.engine.sweep(world.now_ns)
    assert world.held("t")["cloud"][0] == 1
    assert world.read("t") == [3]
    # After a start a range is over when the last of its messages is.
    world.seal()
    world.restart()
    world.engine.sweep(NOW + 3602 * SECOND)
    assert world.held("t")["cloud"][0] == 3
    world.engine.sweep(NOW + 3603 * SECOND)
    assert world.held("t") == {"memory": (0, 0), "disk": (0, 0), "cloud": (0, 0)}


class Store:
    """The index and the log bytes of a world, as the cleaner looks at them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def index_seek_ge(self, key: bytes, prefix: bytes) -> tuple[bytes, bytes] | None:
        items = [(k, bytes(v)) for w in self._world.windows for k, v in w.items]
        return next((i for i in items if i[0] >= key and i[0].startswith(prefix)), None)

    def read_ranges(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        return [self._world.log[lsn : lsn + length] for lsn, length in ranges]


def cleaner_of(world: World) -> Cleaner:
    store = cast("LogStore", Store(world))
    windows = Windows(store)
    for window in world.windows:
        windows.append(LogWindow(window.first_lsn, window.end_lsn, 1, 1, NOW, NOW, 0))
    return Cleaner(store, windows, world.engine, lambda: world.now_ns)


def test_a_window_that_is_over_moves_while_older_messages_are_in_the_cloud() -> None:
    world = World()
    world.publish("t", 1)
    world.seal()
    world.publish("t", 1, ',"ttl_s":1')
    world.seal()
    world.move()
    info = world.engine.topic_get("t")
    assert info is not None
    topic_id = topic_id_parse(info["topic_id"])
    assert topic_id is not None
    cleaner = cleaner_of(world)
    assert cleaner.can_drop() is None
    world.now_ns += 60 * SECOND
    world.engine.sweep(world.now_ns)
    assert cleaner.can_drop() is None
    assert cleaner_of(world).can_drop() is None
    # Once nothing older is there the low offset may rise over it.
    world.engine.retired_cold((topic_id, 0), 1, 1, 100, NOW)
    for looked in (cleaner, cleaner_of(world)):
        found = looked.can_drop()
        assert found is not None
        assert found.first_lsn == world.windows[0].first_lsn


def test_manifest_records_lie_in_the_snapshots_of_windows(world: World) -> None:
    world.seal()
    states = [
        s for w in world.windows for value in w.values(SNAPSHOT) for s in snapshot_entries(value)
    ]
    assert [state for key, state in states if len(key) != 8] == [p for _, p in world.pieces]
    written = [e for e in envelopes(world.log) if e.kind == 3]
    assert [(e.topic_id, e.partition == e.slot, e.records_count) for e in written] == [(2, True, 1)]
    for value in (value for w in world.windows for value in w.values(SNAPSHOT)):
        world.engine.restore_topics(value)


def test_offsets_of_manifest_records_ascend() -> None:
    world = World()
    for records in ([(b"a", b"1"), (b"b", None)], [(b"c", b"2")]):
        lsn = world.engine.record_manifests(9, records, NOW)
        world.sync()
        assert lsn == len(world.log)
    out, at = [], 0
    while at < len(world.log):
        _, encoded = envelope.check(world.log[at:])
        out += [(r[0], r[2], r[3]) for r in decode_batches(encoded)]
        at += 64 + len(encoded)
    assert out == [(0, b"a", b"1"), (1, b"b", None), (2, b"c", b"2")]


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([], "0 manifest records"),
        ([(b"topicid8", b"")], "key of 8 bytes"),
        ([(b"", b"")], "key of 0 bytes"),
        ([(b"k", bytes(TOPIC_STATE_BYTES_MAX + 1))], "32769 bytes"),
        ([(b"k%d" % n, bytes(32_000)) for n in range(33)], "exceeds 1048576"),
    ],
)
def test_manifest_records_that_no_window_can_hold_are_refused(
    records: list[tuple[bytes, bytes | None]], text: str
) -> None:
    engine = fresh()
    with pytest.raises(InvalidRequest, match=text):
        engine.record_manifests(0, records, NOW)
    assert not engine.is_dirty()


def test_a_value_that_memory_still_has_is_not_moved(world: World) -> None:
    world.sync()
    window = world.engine.window(1)
    assert window is not None
    _, items = build_window(window[0], window[1], True)
    before = world.held("t")
    (value,) = (value for key, value in items if key[8] == PARTITION_ORDER)
    with pytest.raises(InvalidRequest, match="in memory"):
        world.engine.cold_value(value, NOW)
    assert world.held("t") == before
    with pytest.raises(LogDamaged):
        world.engine.cold_value(b"", NOW)
    with pytest.raises(LogDamaged):
        world.engine.restore_cold(b"", 0)


def test_the_cloud_is_named_once_there_is_one() -> None:
    engine = fresh()
    engine.topic_put("t", {})

    def tiers() -> Any:
        info = engine.topic_get("t")
        assert info is not None
        return info["partitions"][0]["tiers"]

    assert list(tiers()) == ["memory", "disk"]
    engine.set_cold(True)
    assert list(tiers()) == ["memory", "disk", "cloud"]
    assert tiers()["cloud"] == {"records": 0, "bytes": 0, "oldest_ns": None, "newest_ns": None}


def test_topics_for_a_segment_have_their_lifetimes() -> None:
    engine = fresh()
    engine.topic_put("t", {"ttl_s": 60})
    info = engine.topic_get("t")
    assert info is not None
    topic_id = topic_id_parse(info["topic_id"])
    assert topic_id is not None
    assert engine.topics_for_segment([topic_id, 99]) == [
        (topic_id, "t", [(-(2**63), 60)]),
        (99, None, []),
    ]
    ((key, _),) = engine.topic_states([99, topic_id])
    assert key == topic_id.to_bytes(8, "big")
