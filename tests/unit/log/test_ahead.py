"""Writing ahead: everything put is in the log after any crash, once, or named as damaged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawl._native import build_window
from sprawl.clock import SystemClock
from sprawl.errors import DiskFull, LogDamaged, StartError
from sprawl.limits import JOURNAL_RECORD_BYTES_MAX
from sprawl.log.ahead import WriteAhead, open_journal
from sprawl.log.journal import JOURNAL_NAME, Journal
from sprawl.log.recovery import damaged_ranges, find_log
from sprawl.log.starts import Starts, start_state
from sprawl.log.store import FORMAT, LogStore, counter
from tests.models.log import envelopes

CRASHED = Starts(2, 1, was_clean=False)
PAGE = 4_096


class House:
    """A log of start 1, opened as by a node."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = LogStore(directory, disk_bytes_max=0, is_new=True, clock=SystemClock())
        self.journal = open_journal(self.store, Starts(1, 0, was_clean=False))
        self.journal.begin(1)
        self.store.state_put(start_state(1))
        self.ahead = WriteAhead(self.store, self.journal)
        self.log = b""
        self.count = 0

    def put(self, count: int = 1, value: bytes = b"v" * 100) -> None:
        """One commit of ``count`` envelopes."""
        parts = envelopes(count, self.count, value)
        self.ahead.put(len(self.log), parts)
        self.log += b"".join(parts)
        self.count += count

    @property
    def path(self) -> Path:
        return self.store.path / JOURNAL_NAME

    def crash(self, name: str = "crashed") -> Path:
        """What a crash now leaves: a copy of the directory."""
        left = self.directory.with_name(name)
        shutil.copytree(self.directory, left)
        return left

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    directory = tmp_path / "data"
    directory.mkdir()
    house = House(directory)
    yield house
    house.close()


def recovered(directory: Path, starts: Starts = CRASHED) -> bytes:
    """The log that a start finds, all of it whole."""
    with LogStore(directory, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        open_journal(store, starts)
        found = find_log(store, starts)
        assert not found.is_damaged
        return store.read_log(0, found.end_lsn)


def store_end(directory: Path) -> int:
    with LogStore(directory, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        return store.ends()[1]


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_small_commits_are_in_the_journal_until_it_is_settled(house: House) -> None:
    for _ in range(10):
        house.put()
    assert house.store.ends() == (0, 0)
    house.ahead.settle()
    assert house.store.read_log(0, len(house.log)) == house.log
    before = house.path.read_bytes()
    house.ahead.settle()
    assert house.path.read_bytes() == before


def test_a_large_commit_goes_into_the_store_with_what_came_before(house: House) -> None:
    house.put()
    house.put(value=bytes(JOURNAL_RECORD_BYTES_MAX))
    assert house.store.read_log(0, len(house.log)) == house.log
    assert recovered(house.crash()) == house.log


def test_a_full_journal_is_settled(house: House) -> None:
    while house.store.ends() == (0, 0):
        house.put(value=bytes(30_000))
    assert house.store.ends() == (0, len(house.log))
    assert len(house.log) > 3_000_000
    house.put()
    assert house.store.ends()[1] < len(house.log)
    assert recovered(house.crash()) == house.log


def test_what_a_crash_left_is_taken_up_in_every_state(house: House) -> None:
    states: list[tuple[Path, bytes]] = []
    for turn in range(12):
        if turn % 5 == 3:
            house.ahead.settle()
        house.put(turn + 1, b"%d" % turn * 50)
        states.append((house.crash(f"crash-{turn}"), house.log))
    for directory, log in states:
        assert recovered(directory) == log
        # A crash of the start itself: again, and nothing is there twice.
        assert recovered(directory) == log


def test_a_start_that_took_it_up_leaves_nothing_to_take_up(house: House) -> None:
    house.put(3)
    left = house.crash()
    assert recovered(left) == house.log
    assert store_end(left) == len(house.log)


def test_a_commit_that_was_cut_off_is_no_damage(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.put(3)
    whole = house.log
    house.put(value=bytes(9_000))
    left = house.crash()
    change(left / "log" / JOURNAL_NAME, 3 * PAGE, b"\xff" * PAGE)
    assert recovered(left) == whole
    assert "is not whole: it is cut" in caplog.text


def test_a_damaged_record_is_fenced_and_reported(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.put()
    first = len(house.log)
    house.put(2)
    second = len(house.log)
    house.put(3)
    left = house.crash()
    change(left / "log" / JOURNAL_NAME, 2 * PAGE + 60, b"\xff")
    with LogStore(left, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        open_journal(store, CRASHED)
        found = find_log(store, CRASHED)
        assert found.is_damaged
        assert found.end_lsn == len(house.log)
        assert found.damaged_lsns == (second,)
        assert store.read_log(0, first) == house.log[:first]
        assert store.read_log(second, len(house.log) - second) == house.log[second:]
        with pytest.raises(LogDamaged):
            store.read_log(first, 1)
    assert f"damaged journal: positions {first} to {second} are missing" in caplog.text


def test_a_store_without_room_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put()

    def full(*_: object, **__: object) -> None:
        raise DiskFull("no room")

    with monkeypatch.context() as patched:
        patched.setattr(house.store, "put_commit", full)
        with pytest.raises(DiskFull):
            house.ahead.settle()
        # Small ones go on as long as the journal has room.
        house.put()
        large = envelopes(1, house.count, bytes(JOURNAL_RECORD_BYTES_MAX))
        with pytest.raises(DiskFull):
            house.ahead.put(len(house.log), large)
        assert recovered(house.crash()) == house.log
    house.ahead.put(len(house.log), large)
    assert house.store.read_log(0, len(house.log) + len(large[0])) == house.log + large[0]


def test_a_log_from_before_the_journal_gets_one(house: House) -> None:
    house.put()
    house.ahead.settle()
    house.store.state_put({b"format": counter(1)})
    left = house.crash()
    (left / "log" / JOURNAL_NAME).unlink()
    assert recovered(left) == house.log
    journal = Journal(left / "log" / JOURNAL_NAME)
    assert (journal.start, list(journal.records())) == (1, [])
    with LogStore(left, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        assert store.state_get(b"format") == counter(FORMAT)


def test_a_window_may_end_inside_of_a_value(house: House) -> None:
    """Later commits share its last value, since the journal is put as one."""
    house.put(3)
    first, window = len(house.log), house.log
    house.put(3)
    house.ahead.settle()
    header, items = build_window(0, [window], True)
    assert header["end_lsn"] == first
    house.store.put_commit((), items)
    assert recovered(house.crash()) == house.log
    assert damaged_ranges(house.store, 0, first) == []
    assert damaged_ranges(house.store, first, len(house.log)) == []


# --- What is refused. ---


def refusal(directory: Path, starts: Starts = CRASHED) -> str:
    """Why a start refuses; it has changed nothing of the log."""
    before = store_end(directory)
    with pytest.raises((StartError, LogDamaged)) as caught:
        recovered(directory, starts)
    assert "\n" not in caught.value.detail
    assert store_end(directory) == before
    return caught.value.detail


def test_a_missing_journal_is_refused(house: House) -> None:
    house.put()
    left = house.crash()
    (left / "log" / JOURNAL_NAME).unlink()
    assert "No such file" in refusal(left)


def test_a_journal_of_an_earlier_start_is_refused(house: House) -> None:
    house.put()
    older = house.crash("older") / "log" / JOURNAL_NAME
    house.ahead.settle()
    house.journal.begin(2)
    house.store.state_put(start_state(2))
    house.put()
    left = house.crash()
    older.replace(left / "log" / JOURNAL_NAME)
    assert "it is of start 1, the log beside it of start 2" in refusal(
        left, Starts(3, 2, was_clean=False)
    )


def test_a_log_of_an_earlier_start_is_refused_with_its_journal_untouched(house: House) -> None:
    house.put()
    house.ahead.settle()
    older = house.crash("older") / "log" / "data.mdb"
    house.journal.begin(2)
    house.store.state_put(start_state(2))
    house.put()
    left = house.crash()
    older.replace(left / "log" / "data.mdb")
    assert "node.json of start 2" in refusal(left, Starts(3, 2, was_clean=False))


def test_a_journal_that_goes_on_after_an_orderly_end_is_refused(house: House) -> None:
    house.put()
    house.ahead.settle()
    house.store.state_put(start_state(1, len(house.log)))
    house.put()
    assert "goes on after the log ended in order" in refusal(
        house.crash(), Starts(2, 1, was_clean=True)
    )
