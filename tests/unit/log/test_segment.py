"""Segments through the bindings: what others read in a file, and what a cold read gives back."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprawl._native import Page, SegmentManifest, build_segments
from sprawl.errors import LogDamaged
from tests.models import envelope, ids, segment
from tests.models.segment import APPEND_NS, TOPICS

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
ORDERS = 0x0123456789ABCDEF
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def expected(log: bytes, topic_id: int) -> list[tuple[int, int, int, object]]:
    """Records of a topic in a window."""
    out, at = b"", 0
    while at < len(log):
        fields, encoded = envelope.check(log[at:])
        if fields.topic_id == topic_id:
            out += log[at : at + 64 + len(encoded)]
        at += 64 + len(encoded)
    return list(segment.records_of(out))


def read(manifest: SegmentManifest, data: bytes, topic_id: int) -> bytes:
    """What cold reads of a partition give, one range after another."""
    out, offset, footer = b"", 0, data[manifest.footer_at :]
    while found := manifest.locate(topic_id, 3, offset, 0, 1, 1):
        at, length = found
        page = manifest.page(footer, at, data[at : at + length], topic_id, 3, offset, 0, 1 << 20)
        assert page is not None
        envelopes, end = page
        assert Page((topic_id, 3, offset, 0, 1 << 62), end, [envelopes], []).end == end
        out, offset = out + envelopes, end
    return out


def test_records_come_back_as_they_went_in() -> None:
    log = segment.window(copies=700)
    covers, [(described, data)] = build_segments([log[:1000], log[1000:]], segment.topics())
    manifest = SegmentManifest(described)
    assert (manifest.size, manifest.sha256) == (len(data), hashlib.sha256(data).digest())
    assert (manifest.records, manifest.part, manifest.covers) == (6 * 2100, (0, 1), covers)
    for topic_id in TOPICS:
        assert segment.records_of(read(manifest, data, topic_id)) == expected(log, topic_id)
    assert manifest.locate(ORDERS, 3, 1 << 40, 0, 1, 1) is None
    assert manifest.locate(ORDERS, 2, 0, 0, 1, 1) is None


def test_a_slot_has_its_part_of_the_manifest() -> None:
    covers, [(described, data)] = build_segments([segment.window()], segment.topics())
    manifest = SegmentManifest(described)
    assert [cover[0] for cover in covers] == sorted(
        ids.slot_of(name, 3) for name in TOPICS.values()
    )
    slots = dict(manifest.slots(4096))
    assert list(slots) == [cover[0] for cover in covers]
    for topic_id, name in TOPICS.items():
        (piece,) = slots[ids.slot_of(name, 3)]
        own = SegmentManifest(piece)
        assert own.partitions == [manifest.partition(topic_id, 3)]
        assert [cover for cover in covers if cover[0] == ids.slot_of(name, 3)] == own.covers
        assert (own.key, own.sha256) == (manifest.key, manifest.sha256)
        assert segment.records_of(read(own, data, topic_id)) == expected(segment.window(), topic_id)
    with pytest.raises(LogDamaged, match="too few"):
        manifest.slots(300)


def test_a_range_tells_its_log_bytes_and_its_last_expiry() -> None:
    log = segment.window()
    _, [(described, _)] = build_segments([log], segment.topics())
    ranges = {place[0]: place for place in SegmentManifest(described).partitions}
    assert {topic_id: place[8] for topic_id, place in ranges.items()} == {
        topic_id: len(log) // 2 for topic_id in TOPICS
    }
    # The last batch's own lifetime of an hour outlives the topic's minute; without one none is over.
    assert ranges[7][9] == APPEND_NS + 5 + 3600 * 10**9
    assert ranges[ORDERS][9] == 0


def test_damage_and_unknown_topics_are_refused() -> None:
    log = segment.window()
    with pytest.raises(LogDamaged, match="is not named"):
        build_segments([log], segment.topics()[:1])
    with pytest.raises(LogDamaged, match="incomplete"):
        build_segments([log[:-1]], segment.topics())
    _, [(described, data)] = build_segments([log], segment.topics())
    manifest = SegmentManifest(described)
    with pytest.raises(LogDamaged, match="manifest"):
        SegmentManifest(described[:-1])
    at, length = manifest.locate(7, 3, 0, 0, 1, 1) or (0, 0)
    damaged = bytearray(data[at : at + length])
    damaged[length // 2] ^= 1
    with pytest.raises(LogDamaged, match="does not hold"):
        manifest.page(data[manifest.footer_at :], at, bytes(damaged), 7, 3, 0, 0, 1)
    with pytest.raises(LogDamaged, match="footer"):
        manifest.page(data[manifest.footer_at + 1 :], at, data[at : at + length], 7, 3, 0, 0, 1)


def test_segments_of_the_first_release_are_read() -> None:
    """``segment.*`` were written once by ``tests.golden.make``; every later release reads them."""
    log, data = ((GOLDEN / f"segment.{name}").read_bytes() for name in ("log", "parquet"))
    manifest = SegmentManifest((GOLDEN / "segment.manifest").read_bytes())
    assert log == segment.window()
    for topic_id in TOPICS:
        assert segment.records_of(read(manifest, data, topic_id)) == expected(log, topic_id)
    _, [(described, _)] = build_segments([log], segment.topics())
    assert SegmentManifest(described).key == manifest.key


# Times without a zone: DuckDB hands out those with one only where pytz is installed.
ROWS = """select * replace (
    append_time at time zone 'UTC' as append_time,
    create_time at time zone 'UTC' as create_time,
    expiry_time at time zone 'UTC' as expiry_time
) from t order by topic, "offset" """


def check_rows(rows: list[tuple[object, ...]]) -> None:
    """The rows of ``segment.window()`` as any reader of the table must see them."""
    assert len(rows) == 18
    us = timedelta(microseconds=APPEND_NS // 1000)
    first = rows[9]  # "größe" sorts before "orders.eu"
    assert first[:5] == ("orders.eu", ids.topic_id_text(ORDERS), 3, 10, 7)
    assert (first[5], first[6]) == (EPOCH + us, APPEND_NS % 1000)
    assert first[7] == EPOCH + timedelta(milliseconds=1_700_000_000_000)
    assert first[8:15] == (
        EPOCH + us + timedelta(hours=1),
        3600,
        b"k",
        b'{"n":1}',
        "application/json",
        "order-1",
        5,
    )
    assert [row[16] for row in rows[9:12]] == [(1 << 31) - 2, (1 << 31) - 1, 0]
    assert first[17] == [
        {"name": "trace", "value": b"\x00\xff"},
        {"name": "größe", "value": b""},
        {"name": "trace", "value": b"2"},
    ]
    empty, null = rows[10], rows[11]
    assert (empty[8:12], empty[17]) == ((None, None, b"", b""), [])
    assert (null[7], null[10:14]) == (EPOCH - timedelta(milliseconds=1), (None, None, None, None))
    # A topic's own lifetime counts for records without one.
    assert rows[1][8] == EPOCH + us + timedelta(minutes=1)
    assert [row[3] for row in rows[:9]] == list(range(10, 19))


@pytest.mark.needs("duckdb")
def test_duckdb_reads_a_segment(tmp_path: Path) -> None:
    import duckdb

    _, [(_, data)] = build_segments([segment.window()], segment.topics())
    file = tmp_path / "a.parquet"
    file.write_bytes(data)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set threads = 1")
        connection.execute(f"create view t as select * from read_parquet('{file}')")
        rows = connection.execute(ROWS).fetchall()
    check_rows(
        [
            tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row)
            for row in rows
        ]
    )


@pytest.mark.needs("polars")
def test_polars_reads_a_segment(tmp_path: Path) -> None:
    import polars

    _, [(_, data)] = build_segments([segment.window()], segment.topics())
    file = tmp_path / "a.parquet"
    file.write_bytes(data)
    check_rows(polars.read_parquet(file).sort("topic", "offset").rows())


@pytest.mark.needs("pyarrow")
def test_pyarrow_reads_a_segment(tmp_path: Path) -> None:
    import pyarrow.parquet

    _, [(_, data)] = build_segments([segment.window()], segment.topics())
    file = tmp_path / "a.parquet"
    file.write_bytes(data)
    table = pyarrow.parquet.read_table(file, use_threads=False)
    check_rows([tuple(row.values()) for row in table.to_pylist()])
