"""The log in LMDB: what was committed comes back, what is not there is named, never made up."""

import array
import errno
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from sprawl.clock import ManualClock, SystemClock
from sprawl.errors import Closed, DiskFailed, DiskFull, LogDamaged, StartError
from sprawl.limits import DISK_VALUE_BYTES_MAX, GIB, LOG_DELETES_MAX, LOG_STRETCH_BYTES, MIB
from sprawl.log.store import Damage, Item, LogStore, Stretch, counter
from tests.models.disk import piece

ROOT = Path(__file__).resolve().parents[3]
FULL_PIECE = DISK_VALUE_BYTES_MAX - 16


def opened(directory: Path, *, is_new: bool | None = None, **options: Any) -> LogStore:
    if is_new is None:
        is_new = not (directory / "log").exists()
    options = {"disk_bytes_max": 0, "clock": SystemClock()} | options
    return LogStore(directory, is_new=is_new, **options)


def log_bytes(lsn: int, end_lsn: int) -> bytes:
    """What the log of these tests holds at each position."""
    first, last = lsn // 4, (end_lsn + 3) // 4
    whole = array.array("I", range(first, last)).tobytes()
    return whole[lsn - 4 * first : end_lsn - 4 * first]


def pieces(lsn: int, *lengths: int) -> list[tuple[bytes, bytes]]:
    items = []
    for length in lengths:
        items.append(piece(lsn, log_bytes(lsn, lsn + length)))
        lsn += length
    return items


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with opened(tmp_path) as store:
        yield store


def raw(directory: Path, changes: dict[bytes, bytes | None], db: bytes = b"log") -> None:
    """Changes a closed log behind its back."""
    with lmdb.open(str(directory / "log"), max_dbs=3, map_size=GIB) as environment:
        handle = environment.open_db(db)
        with environment.begin(write=True, db=handle) as txn:
            for key, value in changes.items():
                if value is None:
                    assert txn.delete(key)
                else:
                    txn.put(key, value)


# --- Round trip. ---


def test_a_commit_is_there_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 100, 50), [(b"k", b"v")], state={b"s": b"t"})
        store.put_commit(pieces(150, FULL_PIECE))
    with opened(tmp_path) as store:
        assert store.ends() == (0, 150 + FULL_PIECE)
        assert store.read_log(0, 150 + FULL_PIECE) == log_bytes(0, 150 + FULL_PIECE)
        assert store.index_get(b"k") == b"v"
        assert store.state_get(b"s") == b"t"


def test_values_may_be_views_of_somebody_elses_bytes(tmp_path: Path) -> None:
    views: list[Item] = [(key, memoryview(value)) for key, value in pieces(0, 100, 50)]
    for _ in range(2):
        with opened(tmp_path) as store:
            store.put_commit(views, [(b"k", memoryview(b"v"))], state={b"s": b"t"})
            assert store.read_log(0, 150) == log_bytes(0, 150)
            assert store.index_get(b"k") == b"v"


def test_the_log_goes_on_after_reopening(tmp_path: Path) -> None:
    for start in range(0, 500, 100):
        with opened(tmp_path) as store:
            store.put_commit(pieces(start, 60, 40))
    with opened(tmp_path) as store:
        assert store.read_log(0, 500) == log_bytes(0, 500)


def test_any_range_is_read_whatever_the_pieces(store: LogStore) -> None:
    chance = random.Random(7)
    lsn = 1_000
    while lsn < 300_000:
        items = pieces(lsn, *(chance.choice([1, 7, 300, FULL_PIECE]) for _ in range(5)))
        store.put_commit(items)
        lsn += sum(len(value) - 16 for _, value in items)
    ranges = []
    for _ in range(300):
        start, end = sorted(chance.randrange(1_000, lsn + 1) for _ in range(2))
        ranges.append((start, end - start))
    for (start, length), found in zip(ranges, store.read_ranges(ranges), strict=True):
        assert found == log_bytes(start, start + length)


def test_an_empty_log_has_nothing_to_read(store: LogStore) -> None:
    assert store.ends() == (0, 0)
    assert list(store.iter_log(0)) == []
    assert store.index_seek_le(b"x") is None
    assert store.index_seek_ge(b"x") is None
    assert list(store.index_iter()) == []
    assert store.read_log(5, 0) == b""
    with pytest.raises(LogDamaged):
        store.read_log(0, 1)


def test_the_whole_log_is_read_in_stretches(store: LogStore) -> None:
    count = 2 * LOG_STRETCH_BYTES // FULL_PIECE + 3
    store.put_commit(pieces(0, *[FULL_PIECE] * count))
    end = count * FULL_PIECE
    at = 5
    stretches = list(store.iter_log(at))
    assert len(stretches) == 3
    for stretch in stretches:
        assert isinstance(stretch, Stretch)
        assert stretch.lsn == at
        assert stretch.data == log_bytes(at, at + len(stretch.data))
        at += len(stretch.data)
    assert at == end


def test_pieces_are_given_as_they_are_from_the_one_that_covers(tmp_path: Path) -> None:
    lengths = [FULL_PIECE] * (LOG_STRETCH_BYTES // FULL_PIECE + 5)
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, *lengths))
    raw(tmp_path, {struct.pack(">Q", 2 * FULL_PIECE): b"short"})
    wanted = [piece(n * FULL_PIECE, log_bytes(n * FULL_PIECE, (n + 1) * FULL_PIECE)) for n in (1,)]
    with opened(tmp_path) as store:
        found = list(store.iter_pieces(FULL_PIECE + 9))
        assert found[:2] == [*wanted, (struct.pack(">Q", 2 * FULL_PIECE), b"short")]
        assert [key for key, _ in found] == [
            struct.pack(">Q", n * FULL_PIECE) for n in range(1, len(lengths))
        ]
        assert list(store.iter_pieces(2**40)) == found[-1:]
        assert len(list(store.iter_pieces(0))) == len(lengths)


def test_reading_holds_no_transaction_between_stretches(store: LogStore) -> None:
    store.put_commit(pieces(0, *[FULL_PIECE] * (LOG_STRETCH_BYTES // FULL_PIECE + 9)))
    reading = store.iter_log(0)
    next(reading)
    assert store.oldest_reader_age_ns() == 0
    entries = store.index_iter()
    store.put_commit((), [(b"a", b""), (b"b", b"")])
    next(entries)
    assert store.oldest_reader_age_ns() == 0


def test_a_piece_that_is_there_already_is_passed_over(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 10, 10))
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 10, 10, 10))
        assert store.read_log(0, 30) == log_bytes(0, 30)


def test_bytes_that_are_there_are_never_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 10, 10))
    with opened(tmp_path) as store:
        with pytest.raises(LogDamaged, match="log position 10 is below the end"):
            store.put_commit([piece(10, b"x" * 10)], [(b"k", b"v")])
        assert store.read_log(0, 20) == log_bytes(0, 20)
        assert store.index_get(b"k") is None


def test_a_commit_with_a_hole_is_refused(store: LogStore) -> None:
    store.put_commit(pieces(0, 10))
    with pytest.raises(AssertionError, match="piece at 11, the log ends at 10"):
        store.put_commit(pieces(11, 10))
    with pytest.raises(AssertionError, match="piece at 30, the log ends at 20"):
        store.put_commit([*pieces(10, 10), *pieces(30, 10)])
    assert store.ends() == (0, 10)


# --- Index. ---


def test_the_index_is_found_from_below_and_from_above(store: LogStore) -> None:
    store.put_commit((), [(key, key.upper()) for key in (b"a1", b"a3", b"b2")])
    assert store.index_seek_le(b"a3") == (b"a3", b"A3")
    assert store.index_seek_le(b"a4") == (b"a3", b"A3")
    assert store.index_seek_le(b"zz") == (b"b2", b"B2")
    assert store.index_seek_le(b"a0") is None
    assert store.index_seek_le(b"b1", prefix=b"b") is None
    assert store.index_seek_ge(b"a2") == (b"a3", b"A3")
    assert store.index_seek_ge(b"a4", prefix=b"a") is None
    assert [key for key, _ in store.index_iter(b"a")] == [b"a1", b"a3"]


def test_the_index_is_read_in_order_whatever_its_length(store: LogStore) -> None:
    keys = [b"p" + struct.pack(">H", n) for n in range(1_000)]
    store.put_commit((), [(key, b"") for key in reversed(keys)] + [(b"o", b""), (b"q", b"")])
    assert [key for key, _ in store.index_iter(b"p")] == keys
    store.put_commit((), deletes=keys[1:])
    assert [key for key, _ in store.index_iter()] == [b"o", keys[0], b"q"]


# --- Windows. ---


def window_entry(window: int, number: int) -> Item:
    return struct.pack(">QBQ", window, 1, number), b"x"


def test_a_dropped_window_leaves_the_rest(store: LogStore) -> None:
    count = LOG_DELETES_MAX + 10
    store.put_commit(
        pieces(0, *[100] * (2 * count)),
        [window_entry(window, n) for window in (0, 100 * count) for n in range(count)],
    )
    steps = list(store.drop_window(0, 100 * count))
    assert len(steps) == 5
    assert store.cut_lsn() == 100 * count
    assert store.ends() == (100 * count, 200 * count)
    assert store.read_log(100 * count, 100) == log_bytes(100 * count, 100 * count + 100)
    assert len(list(store.index_iter())) == count
    assert list(store.drop_window(0, 100 * count)) == []


def test_a_piece_that_reaches_into_the_next_window_stays(store: LogStore) -> None:
    store.put_commit(pieces(0, 100, 100, 100))
    list(store.drop_window(0, 150))
    assert store.cut_lsn() == 150
    assert store.ends() == (100, 300)
    assert store.read_log(150, 150) == log_bytes(150, 300)


def test_a_drop_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, *[10] * 600), [window_entry(0, 1)])
        next(store.drop_window(0, 5_000))
        assert store.cut_lsn() == 5_000
        assert store.ends() == (0, 6_000)
    with opened(tmp_path) as store:
        list(store.drop_window(0, 5_000))
        assert store.ends() == (5_000, 6_000)
        assert list(store.index_iter()) == []


def test_pages_of_dropped_windows_are_used_again(store: LogStore) -> None:
    lsn, sizes = 0, []
    for turn in range(24):
        store.put_commit(pieces(lsn, *[FULL_PIECE] * 32))
        lsn += 32 * FULL_PIECE
        if turn >= 4:
            list(store.drop_window(0, lsn - 4 * 32 * FULL_PIECE))
            sizes.append(store.file_bytes())
    assert store.used_bytes() < 5 * 32 * 65_536
    assert sizes[-1] == sizes[4]
    assert store.used_bytes() < store.file_bytes()


def test_the_fill_is_that_of_the_pages_in_use(tmp_path: Path) -> None:
    with opened(tmp_path, disk_bytes_max=64 * MIB) as store:
        before = store.fill_ratio()
        assert before < 0.001
        store.put_commit(pieces(0, *[FULL_PIECE] * 64))
        assert store.fill_ratio() == pytest.approx(4 / 64, abs=0.002)
        list(store.drop_window(0, 64 * FULL_PIECE))
        assert store.fill_ratio() < before + 0.001


# --- Damage. ---


def key(lsn: int) -> bytes:
    return struct.pack(">Q", lsn)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "no piece of the log covers it"),
        (b"", "its piece has 0 bytes"),
        (struct.pack("<B3xIQ", 1, 100, 200) + b"short", "its piece has 5 of 100 bytes"),
        (struct.pack("<B3xIQ", 2, 100, 200) + bytes(100), "its piece has version 2"),
        (struct.pack("<B3xIQ", 1, 100, 300) + bytes(100), "its piece says position 300"),
    ],
)
def test_a_damaged_piece_is_named_and_the_rest_is_read(
    tmp_path: Path, value: bytes | None, why: str
) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 200, 100, 200))
    raw(tmp_path, {key(200): value})
    with opened(tmp_path) as store:
        assert list(store.iter_log(0)) == [
            Stretch(0, log_bytes(0, 200)),
            Damage(200, 300, why),
            Stretch(300, log_bytes(300, 500)),
        ]
        assert store.read_log(150, 50) == log_bytes(150, 200)
        assert store.read_log(300, 200) == log_bytes(300, 500)
        with pytest.raises(LogDamaged, match=f"log positions 200 to 260: {why}") as caught:
            store.read_log(190, 70)
        assert caught.value.members == {"lsn": 200, "end_lsn": 260}
        found = store.read_ranges([(250, 10), (310, 10), (199, 2)])
        assert found == [Damage(250, 260, why), log_bytes(310, 320), Damage(200, 201, why)]


def test_a_damaged_last_piece_ends_where_it_can_say(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 200, 100))
    raw(tmp_path, {key(200): piece(200, bytes(100))[1][:40]})
    with opened(tmp_path) as store:
        assert store.ends() == (0, 300)
        assert list(store.iter_log(250)) == [Damage(250, 300, "its piece has 24 of 100 bytes")]


def test_what_lies_below_the_first_piece_is_damage(store: LogStore) -> None:
    store.put_commit(pieces(1_000, 100))
    assert store.read_ranges([(900, 150), (1_000, 150)]) == [
        Damage(900, 1_000, "no piece of the log covers it"),
        Damage(1_100, 1_150, "no piece of the log covers it"),
    ]


# --- Opening. ---


def refusal(directory: Path, **options: Any) -> str:
    with pytest.raises(StartError) as caught:
        opened(directory, **options)
    assert caught.value.code == "directory_unreadable"
    assert "\n" not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("what", ["folder", "file", "bytes"])
def test_a_log_that_is_gone_is_missed(tmp_path: Path, what: str) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 100))
    data = tmp_path / "log/data.mdb"
    if what == "bytes":
        os.truncate(data, 0)
    else:
        data.unlink()
    if what == "folder":
        (tmp_path / "log/lock.mdb").unlink()
        (tmp_path / "log").rmdir()
    assert "it is missing or empty, but there was a log" in refusal(tmp_path, is_new=False)
    assert not data.exists() or data.stat().st_size == 0


def test_a_start_that_was_interrupted_before_the_log_was_made_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/data.mdb").touch()
    with opened(tmp_path, is_new=True) as store:
        store.put_commit(pieces(0, 10))


def test_a_truncated_file_is_refused_before_it_is_mapped(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, *[FULL_PIECE] * 20))
        length = store.file_bytes()
    data = tmp_path / "log/data.mdb"
    for size in (length - 1, length - 4_096, length // 2, 8_192, 8_191, 5_000, 100, 1):
        os.truncate(data, size)
        before = data.read_bytes()
        detail = refusal(tmp_path)
        assert "missing" in detail or "ends inside a meta page" in detail, size
        assert data.read_bytes() == before


def test_pages_that_were_free_may_be_missing_at_the_end(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 100))
        store.put_commit((), [(b"x%05d" % n, bytes(65_520)) for n in range(700)])
        store.put_commit((), deletes=[b"x%05d" % n for n in range(700)])
        # The transaction behind it moves what else lies at the end of the file below.
        for n in range(8):
            store.put_commit((), [(b"y", b"%d" % n)])
        length = store.file_bytes()
    data = tmp_path / "log/data.mdb"
    os.truncate(data, length - 400 * 65_536)
    with opened(tmp_path) as store:
        assert store.read_log(0, 100) == log_bytes(0, 100)
        store.put_commit(pieces(100, *[FULL_PIECE] * 600))
        assert store.read_log(0, 100 + 600 * FULL_PIECE) == log_bytes(0, 100 + 600 * FULL_PIECE)


@pytest.mark.parametrize("at", [16, 20, 4_096 + 16])
def test_a_damaged_meta_page_is_refused(tmp_path: Path, at: int) -> None:
    opened(tmp_path).close()
    data = tmp_path / "log/data.mdb"
    content = bytearray(data.read_bytes())
    content[at] ^= 0x40
    data.write_bytes(content)
    detail = refusal(tmp_path)
    assert "meta page is damaged" in detail or "LMDB data format 65" in detail
    assert data.read_bytes() == content


@pytest.mark.parametrize("content", [bytes(12_288), b"SQLite format 3\0" * 1_000])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/data.mdb").write_bytes(content)
    assert "not an LMDB file" in refusal(tmp_path, is_new=True)
    assert (tmp_path / "log/data.mdb").read_bytes() == content


def test_a_log_of_a_later_lmdb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with lmdb.open(str(tmp_path / "log"), lib_version=1):
        pass
    assert "LMDB data format 3; this version reads 1" in refusal(tmp_path)


@pytest.mark.parametrize("number", [0, 3])
def test_a_log_of_another_format_is_refused(tmp_path: Path, number: int) -> None:
    with opened(tmp_path) as store:
        store.state_put({b"format": counter(number)})
    before = (tmp_path / "log/data.mdb").read_bytes()
    assert f"log format {number}; this version reads 2" in refusal(tmp_path)
    assert (tmp_path / "log/data.mdb").read_bytes() == before


@pytest.mark.parametrize("key", [b"a", b"nine bytes"])
def test_a_key_that_is_no_position_is_damage(tmp_path: Path, key: bytes) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, 10))
    raw(tmp_path, {key: b"value"}, db=b"log")
    with opened(tmp_path) as store:
        with pytest.raises(LogDamaged, match="a key of the log has"):
            store.ends()
        with pytest.raises(LogDamaged, match="a key of the log has"):
            list(store.iter_log(0, 1 << 60))


@pytest.mark.parametrize("value", [b"", b"abc", counter(7), counter(7) + bytes(4)])
def test_a_state_that_is_not_what_was_written_is_damage(tmp_path: Path, value: bytes) -> None:
    with opened(tmp_path) as store:
        store.state_put({b"good": b""})
    raw(tmp_path, {b"bad": value}, db=b"state")
    with opened(tmp_path) as store:
        assert store.state_get(b"good") == b""
        with pytest.raises(LogDamaged, match="state bad of the log does not hold its sum"):
            store.state_get(b"bad")
        with pytest.raises(LogDamaged):
            list(store.state_iter())


def test_a_rocksdb_database_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/CURRENT").touch()
    (tmp_path / "log/MANIFEST-000001").touch()
    assert "it is a RocksDB database" in refusal(tmp_path, is_new=True)
    assert not (tmp_path / "log/data.mdb").exists()


def test_one_log_is_open_once_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    with opened(tmp_path / "real") as store:
        assert "this process has it open already" in refusal(tmp_path / "alias")
        store.put_commit(pieces(0, 10))
    with opened(tmp_path / "alias") as store:
        assert store.ends() == (0, 10)


def test_a_refused_log_can_be_opened_once_it_is_mended(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, FULL_PIECE))
    data = tmp_path / "log/data.mdb"
    content = data.read_bytes()
    os.truncate(data, 8_192)
    refusal(tmp_path)
    data.write_bytes(content)
    with opened(tmp_path) as store:
        assert store.ends() == (0, FULL_PIECE)


def test_a_closed_log_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    store.close()
    with pytest.raises(Closed):
        store.ends()


def test_the_file_takes_what_it_holds_and_not_what_it_may(tmp_path: Path) -> None:
    with opened(tmp_path, disk_bytes_max=100 * GIB) as store:
        assert store.file_bytes() < MIB
        assert store._environment.info()["map_size"] == 200 * GIB
    assert (tmp_path / "log/data.mdb").stat().st_mode & 0o077 == 0


# --- Readers. ---


def test_the_age_of_the_oldest_read_is_told(tmp_path: Path) -> None:
    clock = ManualClock()
    with opened(tmp_path, clock=clock) as store:
        assert store.oldest_reader_age_ns() == 0
        with store._reading():
            clock.advance(700)
            assert store.oldest_reader_age_ns() == 700
        assert store.oldest_reader_age_ns() == 0


def test_reopening_waits_for_reads_and_reads_wait_for_it(store: LogStore) -> None:
    store.put_commit(pieces(0, *[FULL_PIECE] * 16))
    wanted = log_bytes(0, 16 * FULL_PIECE)
    is_over = threading.Event()
    failures: list[str] = []

    def read() -> None:
        while not is_over.is_set():
            if store.read_log(0, 16 * FULL_PIECE) != wanted:
                failures.append("other bytes")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        store.reopen()
    is_over.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_place_of_a_killed_reader_is_freed(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        code = (
            "import lmdb, os, signal, sys\n"
            "environment = lmdb.open(sys.argv[1], max_dbs=3)\n"
            "reader = environment.begin()\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        killed = subprocess.run([sys.executable, "-c", code, str(store.path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert store.reader_check() == 1
        assert store.reader_check() == 0


# --- Failures. ---


def lmdb_error(kind: type[lmdb.Error], code: int) -> lmdb.Error:
    """An error as the library raises it."""
    error = kind("mdb_txn_commit")
    error.code = code  # type: ignore[misc]
    return error


class FailingTransaction:
    """A write transaction whose commit fails, as LMDB's does: nothing of it is visible."""

    def __init__(self, transaction: Any, error: Exception) -> None:
        self._transaction, self._error = transaction, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def __enter__(self) -> Any:
        return self._transaction

    def __exit__(self, *_: object) -> None:
        self._transaction.abort()
        raise self._error


class FailingEnvironment:
    """An environment whose next write transactions fail with ``errors``."""

    errors: list[Exception]

    def __init__(self, environment: Any, errors: list[Exception]) -> None:
        self._environment, self.errors = environment, errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def begin(self, *arguments: Any, **options: Any) -> Any:
        transaction = self._environment.begin(*arguments, **options)
        if options.get("write") and self.errors:
            return FailingTransaction(transaction, self.errors.pop(0))
        return transaction


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (lmdb_error(lmdb.DiskError, errno.ENOSPC), DiskFull),
        (lmdb_error(lmdb.Error, errno.EDQUOT), DiskFull),
        (lmdb_error(lmdb.Error, errno.EFBIG), DiskFull),
        (lmdb_error(lmdb.MapFullError, -30792), DiskFull),
        (lmdb_error(lmdb.Error, errno.EIO), DiskFailed),
        (lmdb_error(lmdb.Error, errno.EROFS), DiskFailed),
        (lmdb_error(lmdb.PanicError, -30795), DiskFailed),
        (lmdb_error(lmdb.CorruptedError, -30796), LogDamaged),
        (OSError(errno.EIO, "Input/output error"), DiskFailed),
    ],
)
def test_a_failed_commit_is_told_for_what_it_is(
    tmp_path: Path, error: Exception, kind: type[Exception]
) -> None:
    errors: list[Exception] = []
    with opened(
        tmp_path, environments=lambda *a, **o: FailingEnvironment(lmdb.open(*a, **o), errors)
    ) as store:
        store.put_commit(pieces(0, 100))
        errors.append(error)
        with pytest.raises(kind) as caught:
            store.put_commit(pieces(100, 100), [(b"k", b"v")])
        assert type(caught.value) is kind
        assert caught.value.__cause__ is error
        assert store.ends() == (0, 100)
        assert store.index_get(b"k") is None


def fill(store: LogStore, lsn: int, count: int) -> int:
    """Commits ``count`` pieces at a time until there is no room; where the log ends then."""
    for _ in range(1_000):
        try:
            store.put_commit(pieces(lsn, *[FULL_PIECE] * count))
        except DiskFull:
            return lsn
        lsn += count * FULL_PIECE
    raise AssertionError("the disk never filled")


def test_a_full_file_refuses_and_takes_the_same_commit_once_it_may_grow(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit(pieces(0, *[FULL_PIECE] * 4))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (store.file_bytes() + 3 * MIB + 100, hard))
        try:
            lsn = 4 * FULL_PIECE
            lsn = fill(store, lsn, 7)
            assert lsn > 4 * FULL_PIECE
            assert store.read_log(0, lsn) == log_bytes(0, lsn)
            with pytest.raises(DiskFull):
                store.put_commit(pieces(lsn, *[FULL_PIECE] * 7))
            assert store.ends() == (0, lsn)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.put_commit(pieces(lsn, *[FULL_PIECE] * 7))
        assert store.read_log(0, lsn + 7 * FULL_PIECE) == log_bytes(0, lsn + 7 * FULL_PIECE)


@pytest.mark.needs("small-mount")
def test_a_full_file_system_refuses_reads_on_and_recovers(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)]
    subprocess.run(mount, check=True)
    try:
        with opened(tmp_path) as store:
            store.put_commit(pieces(0, 100))
            filler = tmp_path / "filler"
            filler.write_bytes(bytes(4 * MIB + 1_000))
            lsn = fill(store, 100, 5)
            assert store.read_log(0, lsn) == log_bytes(0, lsn)
            filler.unlink()
            store.put_commit(pieces(lsn, *[FULL_PIECE] * 5))
            assert store.read_log(0, lsn + 5 * FULL_PIECE) == log_bytes(0, lsn + 5 * FULL_PIECE)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


INJECTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sprawl.clock import SystemClock
from sprawl.errors import SprawlError
from sprawl.log.store import LogStore
from tests.models.disk import piece
store = LogStore(Path(sys.argv[1]), disk_bytes_max=0, is_new=True, clock=SystemClock())
lsn = 0
for _ in range(12):
    try:
        store.put_commit([piece(lsn, bytes(60_000))])
        lsn += 60_000
    except SprawlError as error:
        print(type(error).__name__, store.ends() == (0, lsn), flush=True)
        if type(error).__name__ == "DiskFailed":
            break
print(store.ends()[1] == lsn, len(store.read_log(0, lsn)) == lsn)
"""


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        ("fdatasync", "EIO", "DiskFailed True"),
        ("fdatasync", "ENOSPC", "DiskFull True"),
        ("pwrite64", "ENOSPC", "DiskFull True"),
    ],
)
@pytest.mark.parametrize("when", [10, 11, 12, 13])
def test_what_the_system_refuses_is_not_stored(
    tmp_path: Path, call: str, error: str, told: str, when: int
) -> None:
    """With pwrite64 some of these meet data pages and some a meta page."""
    inject = f"inject={call}:error={error}:when={when}"
    command = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", f"trace={call}", "-e", inject]
    command += [sys.executable, "-c", INJECTED, str(tmp_path), str(ROOT)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "(INJECTED)" in (tmp_path / "trace").read_text()
    assert ended.stdout.splitlines() == [told, "True True"], ended.stderr


WRITER = """
import os
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from sprawl.clock import SystemClock
from sprawl.log.store import LogStore, counter
from tests.models.disk import piece
store = LogStore(Path(sys.argv[1]), disk_bytes_max=0, is_new=sys.argv[2] == "0", clock=SystemClock())
lsn = store.ends()[1]
while True:
    items, first = [], lsn
    for length in (1, 5_000, 65_504, 65_504, 77):
        items.append(piece(lsn, bytes([lsn % 251]) * length))
        lsn += length
    store.put_commit(items, [(b"%020d" % first, b"")], state={b"end": counter(lsn)})
    os.write(1, b"%d\\n" % lsn)
"""


def test_a_commit_that_was_told_survives_kill_9_and_one_that_was_not_is_whole_or_absent(
    tmp_path: Path,
) -> None:
    chance = random.Random(4)
    commit_bytes = 1 + 5_000 + 2 * 65_504 + 77
    told = 0
    for turn in range(6):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(turn), str(ROOT)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(3, 40)):
                told = int(writer.stdout.readline())
            writer.kill()
            for line in writer.stdout:
                if line.endswith(b"\n"):
                    told = int(line)
        with opened(tmp_path) as store:
            first, end = store.ends()
            assert first == 0
            assert told <= end
            assert end % commit_bytes == 0
            assert end - told in (0, commit_bytes)
            assert store.state_get(b"end") == counter(end)
            assert len(list(store.index_iter())) == end // commit_bytes
            assert all(isinstance(part, Stretch) for part in store.iter_log(0))


def test_a_map_that_grows_under_readers_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprawl.log.store.LOG_MAP_BYTES_MIN", MIB)
    reads: list[int] = []
    wrong: list[object] = []
    stop = threading.Event()

    def read(store: LogStore, seed: int) -> None:
        draw, count = random.Random(seed), 0
        # The pause gives the interpreter to the writer, which asks for it again for every page.
        while not stop.wait(0.002):
            _, end = store.ends()
            lsn = draw.randrange(end)
            length = min(end - lsn, draw.randrange(1, 4 * FULL_PIECE))
            try:
                if store.read_log(lsn, length) != log_bytes(lsn, lsn + length):
                    wrong.append((lsn, length))
            except Exception as error:  # noqa: BLE001 - told by the test's own thread
                wrong.append(error)
            count += 1
        reads.append(count)

    with opened(tmp_path) as store:
        assert store.map_bytes == MIB
        store.put_commit(pieces(0, FULL_PIECE))
        readers = [threading.Thread(target=read, args=(store, seed)) for seed in range(2)]
        for reader in readers:
            reader.start()
        lsn, refused = FULL_PIECE, 0
        while store.map_bytes < 16 * MIB:
            try:
                store.put_commit(pieces(lsn, *[FULL_PIECE] * 5))
                lsn += 5 * FULL_PIECE
            except DiskFull:
                refused += 1
                store.grow_map()
        stop.set()
        for reader in readers:
            reader.join(20)
        assert not wrong, wrong[:3]
        assert refused == 4 and len(reads) == 2 and min(reads) > 10
        assert lsn > 5 * MIB
    with opened(tmp_path) as store:
        found = b"".join(part.data for part in store.iter_log(0) if isinstance(part, Stretch))
        assert found == log_bytes(0, lsn)
