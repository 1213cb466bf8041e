"""One SELECT over a bucket through our own object store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sprawl.clock import SystemClock
from sprawl.errors import InvalidRequest, NotAvailable, ObjectNotFound, StoreUnreachable
from sprawl.log.cloud import sql
from sprawl.log.cloud.folder import FolderStore
from sprawl.log.cloud.objects import Deadline
from sprawl.log.cloud.place import parse_place
from tests.models import segment
from tests.models.bucket import CLUSTER, FolderBucket, filled

needs_duckdb = pytest.mark.needs("duckdb")


class CountingStore(FolderStore):
    """Notes what is read, and fails when it is told to."""

    def __init__(self, made: FolderBucket) -> None:
        super().__init__(parse_place(made.endpoint, bucket=made.name, region=""))
        self.ranges: list[tuple[str, int, int]] = []
        self.fails = False

    def get(
        self, key: str, deadline: Deadline, *, start: int = 0, length: int | None = None
    ) -> bytes:
        if self.fails:
            raise StoreUnreachable("it is gone")
        data = super().get(key, deadline, start=start, length=length)
        self.ranges.append((key, start, len(data)))
        return data


@contextmanager
def asked(store: FolderStore, query: str) -> Iterator[list[tuple[object, ...]]]:
    with sql.query(store, CLUSTER, query, SystemClock()) as found:
        yield [tuple(row) for row in found.rows()]


@needs_duckdb
def test_a_query_sees_every_message_once(tmp_path: Path) -> None:
    store = CountingStore(filled(tmp_path))
    query = (
        'select topic, count(*), count(distinct "offset"), min(append_time), max(day) from messages'
    )
    with asked(store, f"{query} group by topic order by topic") as rows:
        first = datetime.fromtimestamp(segment.APPEND_NS // 1_000_000_000, UTC)
        assert [row[:3] for row in rows] == [("größe", 18, 18), ("orders.eu", 18, 18)]
        assert rows[1][3] == first.replace(microsecond=123_456)
        assert rows[1][4] == date(2023, 11, 16)


@needs_duckdb
def test_a_query_reads_what_it_needs_of_a_file(tmp_path: Path) -> None:
    made = FolderBucket(tmp_path)
    (manifest,) = made.move(segment.large_window(200))
    store = CountingStore(made)
    with asked(store, 'select topic, max("offset") from messages group by 1 order by 1') as rows:
        assert rows == [("größe", 6399), ("orders.eu", 6399)]
    assert manifest.size > 12_000_000
    assert sum(count for *_, count in store.ranges) < manifest.size / 20
    store.ranges.clear()
    one = "select octet_length(value) from messages where topic = 'orders.eu' and \"offset\" = 3000"
    with asked(store, one) as rows:
        assert rows == [(1024,)]
    # One row group of four.
    assert sum(count for *_, count in store.ranges) < manifest.size / 2


@needs_duckdb
def test_results_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "QUERY_ROWS_COUNT", 7)
    with asked(CountingStore(filled(tmp_path)), "select * from messages") as rows:
        assert len(rows) == 36


@needs_duckdb
@pytest.mark.parametrize(
    "query",
    [
        "copy messages to 'x.parquet'",
        "create table x as select 1",
        "insert into x select * from messages",
        "with a as (select 1) insert into x select * from a",
        "attach 'x.db'",
        "install httpfs",
        "set threads = 1",
        "pragma version",
        "select 1; select 2",
        "",
    ],
)
def test_nothing_but_one_select_is_run(
    tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore(filled(tmp_path))
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(InvalidRequest, match="one SELECT is run and nothing else"),
        asked(store, query),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["messages"]


@needs_duckdb
def test_a_wrong_query_is_said_in_one_line(tmp_path: Path) -> None:
    store = CountingStore(filled(tmp_path))
    with (
        pytest.raises(InvalidRequest, match='"nope" not found') as refused,
        asked(store, "select nope from messages"),
    ):
        pass
    assert "\n" not in refused.value.detail


@needs_duckdb
def test_a_store_that_fails_is_named_instead_of_the_query(tmp_path: Path) -> None:
    store = CountingStore(filled(tmp_path))
    store.fails = True
    with (
        pytest.raises(StoreUnreachable, match="it is gone"),
        asked(store, "select * from messages"),
    ):
        pass


@needs_duckdb
def test_a_cluster_without_segments_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ObjectNotFound, match="has no segment yet"),
        asked(CountingStore(FolderBucket(tmp_path)), "select 1"),
    ):
        pass


def test_without_the_packages_one_line_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with (
        pytest.raises(NotAvailable, match=r"pip install 'sprawl-node\[sql\]'"),
        asked(CountingStore(filled(tmp_path)), "select 1"),
    ):
        pass
