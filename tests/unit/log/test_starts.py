"""Which start has the log: what is refused, and what is taken for a crash in between."""

import struct
from pathlib import Path

import pytest

from sprawl.clock import SystemClock
from sprawl.errors import LogDamaged, StartError
from sprawl.log.recovery import UNCLEAN_STATE, find_log
from sprawl.log.starts import START_STATE, Starts, ended_in_order, start_state
from sprawl.log.store import LogStore
from tests.models.disk import piece


def opened(path: Path) -> LogStore:
    return LogStore(path, disk_bytes_max=0, is_new=True, clock=SystemClock())


@pytest.mark.parametrize(
    ("note", "starts", "is_in_order"),
    [
        # number, where it ended in order; number of this start, last with the log, was clean
        (None, Starts(1, 0, was_clean=True), False),
        ((1, None), Starts(2, 1, was_clean=False), False),
        ((1, 50), Starts(2, 1, was_clean=True), True),
        # The end was noted in the log, not yet in node.json.
        ((1, 50), Starts(2, 1, was_clean=False), True),
        # The start was noted in the log, not yet in node.json; once, and the very first.
        ((2, None), Starts(2, 1, was_clean=True), False),
        ((1, None), Starts(2, 0, was_clean=False), False),
        # Starts without the disk tier came between.
        ((1, 50), Starts(9, 1, was_clean=False), True),
        ((1, None), Starts(9, 1, was_clean=False), False),
    ],
)
def test_how_the_log_was_left(
    tmp_path: Path, note: tuple[int, int | None] | None, starts: Starts, is_in_order: bool
) -> None:
    with opened(tmp_path) as store:
        if note is not None:
            store.state_put(start_state(*note))
        assert ended_in_order(store, starts, 50) is is_in_order


@pytest.mark.parametrize(
    ("note", "starts", "why"),
    [
        (None, Starts(3, 2, was_clean=False), "older than its directory: it knows no start"),
        ((1, 50), Starts(3, 2, was_clean=False), "it is of start 1, node.json of start 2"),
        ((2, None), Starts(3, 2, was_clean=True), "it is of before start 2 ended in order"),
        ((4, None), Starts(3, 2, was_clean=False), "node.json is older than the log"),
    ],
)
def test_what_was_put_back_is_refused(
    tmp_path: Path, note: tuple[int, int | None] | None, starts: Starts, why: str
) -> None:
    with opened(tmp_path) as store:
        if note is not None:
            store.state_put(start_state(*note))
        with pytest.raises(StartError, match=why) as caught:
            ended_in_order(store, starts, 50)
    assert caught.value.code == "directory_unreadable"
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("end_lsn", [0, 49, 51])
def test_a_log_that_does_not_end_where_it_ended_in_order_is_damaged(
    tmp_path: Path, end_lsn: int
) -> None:
    with opened(tmp_path) as store:
        store.state_put(start_state(2, 50))
        with pytest.raises(LogDamaged, match=f"ends at {end_lsn}; in order it ended at 50"):
            ended_in_order(store, Starts(3, 2, was_clean=True), end_lsn)


def test_a_note_of_another_version_is_damaged(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.state_put({START_STATE: b"\2" + start_state(1)[START_STATE][1:]})
        with pytest.raises(LogDamaged, match="state start"):
            ended_in_order(store, Starts(2, 1, was_clean=False), 0)


def test_a_key_far_above_what_the_file_holds_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit([piece(0, b"x")])
    with opened(tmp_path) as store:
        store.put_commit([piece(1 << 60, b"x")])
        with pytest.raises(LogDamaged, match="than its file of"):
            find_log(store, Starts(1, 0, was_clean=False))


def test_every_end_without_order_counts_also_at_the_same_place(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put_commit([piece(0, b"not an envelope")])
        first = find_log(store, Starts(1, 0, was_clean=False))
        assert (first.unclean, first.damaged_lsns) == (((15, 1),), (15,))
        store.state_put({UNCLEAN_STATE: struct.pack("<QQQQ", 7, 1, 15, 2)})
        again = find_log(store, Starts(2, 0, was_clean=False))
        assert again.unclean == ((7, 1), (15, 3))
