"""The journal: what was appended is there after reopening, and what is damaged passes for nothing."""

import errno
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sprawl.errors import DiskFailed, DiskFull, LogDamaged, SprawlError, StartError
from sprawl.limits import JOURNAL_BYTES, JOURNAL_RECORD_BYTES_MAX
from sprawl.log.journal import Journal, Record, make_journal, relevant
from tests.models.disk import journal_record

PAGE = 4_096
HEAD = 32


def body(size: int) -> bytes:
    """Different bytes for each size."""
    return random.Random(size).randbytes(size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_journal(tmp_path / "journal", 0)
    return tmp_path / "journal"


@pytest.fixture
def journal(path: Path) -> Journal:
    journal = Journal(path)
    journal.begin(1)
    return journal


def append(journal: Journal, lsn: int, *sizes: int) -> int:
    for size in sizes:
        journal.append(lsn, [body(size)], size)
        lsn += size
    return lsn


def reread(path: Path) -> list[Record]:
    return list(Journal(path).records())


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_new_journal_is_empty_and_of_its_start(path: Path) -> None:
    journal = Journal(path)
    assert journal.start == 0
    assert list(journal.records()) == []
    assert not journal.is_begun(0)
    journal.begin(7)
    again = Journal(path)
    assert again.start == 7
    assert path.stat().st_size == JOURNAL_BYTES
    # A reserved block would cost a write of metadata when it is first used.
    assert path.stat().st_blocks * 512 >= JOURNAL_BYTES


def test_records_are_there_after_reopening(path: Path, journal: Journal) -> None:
    sizes = [1, PAGE - HEAD, PAGE - HEAD + 1, PAGE, JOURNAL_RECORD_BYTES_MAX]
    append(journal, 100, *sizes)
    found = reread(path)
    assert [record.data for record in found] == [body(size) for size in sizes]
    assert found[0].lsn == 100
    assert all(one.end_lsn == next_.lsn for one, next_ in itertools.pairwise(found))


def test_a_record_lies_as_the_model_says(path: Path, journal: Journal) -> None:
    append(journal, 5, 100)
    content = path.read_bytes()
    model = journal_record(int.from_bytes(content[16:24], "little"), 5, body(100))
    assert content[PAGE : PAGE + len(model)] == model


def test_parts_are_one_record(path: Path, journal: Journal) -> None:
    journal.append(5, [b"ab", memoryview(b"cd"), b"e"], 5)
    assert reread(path) == [Record(5, b"abcde")]


def test_it_takes_records_until_it_is_full_and_again_after_rewinding(
    path: Path, journal: Journal
) -> None:
    assert not journal.has_room(JOURNAL_RECORD_BYTES_MAX + 1)
    lsn = count = 0
    while journal.has_room(60_000):
        lsn = append(journal, lsn, 60_000)
        count += 1
    assert count == (JOURNAL_BYTES - PAGE) // (15 * PAGE)
    assert len(reread(path)) == count
    journal.rewind()
    end = append(journal, lsn, 10, 20)
    assert path.stat().st_size == JOURNAL_BYTES
    found = relevant(iter(reread(path)), lsn, path)
    assert [record.data for record in found] == [body(10), body(20)]
    assert relevant(iter(reread(path)), end, path) == []


def test_records_of_an_earlier_start_are_none(path: Path, journal: Journal) -> None:
    append(journal, 0, 100, 5_000, 100)
    journal.begin(2)
    append(journal, 50, 10)
    assert reread(path) == [Record(50, body(10))]


def test_a_record_that_was_not_written_whole_is_none(path: Path, journal: Journal) -> None:
    end = append(journal, 0, 100)
    append(journal, end, 9_000)
    # The last of its pages never reached the disk.
    change(path, 4 * PAGE, bytes(PAGE))
    assert reread(path) == [Record(0, body(100))]
    again = Journal(path)
    assert again.is_begun(end)
    assert not again.is_begun(end + 9_000)


@pytest.mark.parametrize("at", [0, 8, 16, 24, HEAD, HEAD + 99])
def test_a_damaged_record_leaves_a_hole_and_the_next_is_found(
    path: Path, journal: Journal, at: int
) -> None:
    append(journal, 0, 50, 100, 200)
    place = 2 * PAGE + at
    change(path, place, bytes([path.read_bytes()[place] ^ 4]))
    found = relevant(iter(reread(path)), 0, path)
    assert found == [Record(0, body(50)), Record(150, body(200))]


def test_bytes_of_a_client_never_pass_for_a_record(path: Path, journal: Journal) -> None:
    append(journal, 0, 100)
    # A whole record of an earlier start, sent again at a page's begin inside a message.
    record = path.read_bytes()[PAGE : 2 * PAGE]
    journal.begin(2)
    forged = body(PAGE - HEAD) + record + body(77)
    journal.append(0, [forged], len(forged))
    change(path, PAGE + 24, b"\0\0\0\0")
    assert reread(path) == []


def test_records_that_do_not_ascend_are_damage(path: Path) -> None:
    with pytest.raises(LogDamaged, match="begins before 30"):
        relevant(iter([Record(20, b"x" * 10), Record(25, b"x" * 10)]), 20, path)
    with pytest.raises(LogDamaged, match="begins before 25"):
        relevant(iter([Record(20, b"x" * 10)]), 25, path)


# --- What is refused. ---


def refusal(path: Path) -> str:
    with pytest.raises(StartError) as caught:
        Journal(path)
    assert caught.value.code == "directory_unreadable"
    assert "\n" not in caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("size", [0, 10, PAGE, JOURNAL_BYTES // 2, JOURNAL_BYTES - 1])
def test_a_file_that_was_cut_is_refused(path: Path, size: int) -> None:
    os.truncate(path, size)
    assert f"it has {size} bytes" in refusal(path)


@pytest.mark.parametrize(
    ("at", "why"),
    [(0, "not a journal"), (4, "journal version"), (8, "head is damaged"), (31, "head is damaged")],
)
def test_a_damaged_head_is_refused(path: Path, at: int, why: str) -> None:
    change(path, at, bytes([path.read_bytes()[at] ^ 2]))
    assert why in refusal(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "journal")


# --- Errors of the disk. ---


class FailingFile:
    """A file whose writes fail."""

    def __init__(self, number: int) -> None:
        self._error = OSError(number, os.strerror(number))

    def append(self, *_: object) -> None:
        raise self._error

    def write(self, *_: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskFailed)],
)
def test_an_error_appends_nothing(
    path: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[SprawlError],
) -> None:
    end = append(journal, 0, 100)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "_file", FailingFile(number))
        with pytest.raises(error):
            append(journal, end, 200)
        with pytest.raises(error):
            journal.begin(2)
    append(journal, end, 300)
    assert [record.data for record in reread(path)] == [body(100), body(300)]


def test_a_write_beyond_the_limit_of_the_process_is_a_full_disk(path: Path) -> None:
    program = f"""
import pathlib, resource, signal
from sprawl.errors import DiskFull
from sprawl.log.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(pathlib.Path({str(path)!r}))
journal.begin(1)
resource.setrlimit(resource.RLIMIT_FSIZE, ({PAGE + 100}, {PAGE + 100}))
try:
    journal.append(0, [b"x" * 200], 200)
except DiskFull as error:
    print(error.detail)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"no room left" in ended.stdout
    assert reread(path) == []
