"""The clients and the checker on an unbroken node, and the tools that break one on plain files."""

import os
import random
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.faults.checker import check
from tests.faults.faults import (
    BitFlip,
    DiskFull,
    OldCopy,
    Swap,
    Truncate,
    ZeroTail,
    copy_sparse,
    written_ranges,
)
from tests.faults.history import History, read_events, read_records
from tests.faults.order import check_order
from tests.faults.planted import PRODUCT_BUGS
from tests.faults.scene import Scene
from tests.faults.volume import Volume

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def history(tmp_path: Path) -> History:
    (tmp_path / "seen").mkdir()
    return History(tmp_path / "seen/history")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two pages, a hole of two, one page."""
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.write(b"a" * 4_096 + b"b" * 4_096)
        stream.seek(16_384)
        stream.write(b"c" * 4_096)
    return path


def test_what_clients_see_of_an_unbroken_node_is_good(tmp_path: Path) -> None:
    with Scene(tmp_path, tmp_path / "data", 1, program="sprawl") as scene:
        workload = scene.begin(level="memory", ttl_share=0.1)
        workload.wait_for(1_000)
        report = scene.verdict(workload)
        assert report.is_good and not report.counts, report.lines()
        assert report.figures["acknowledged at memory"] >= 1_000
        # Readers and the final read saw them, too: the verdict is of more than receipts.
        assert report.figures["messages read"] >= 1_500
        assert set(workload.statuses) == {201}


def test_a_message_that_a_reader_was_not_shown_is_found(tmp_path: Path) -> None:
    with Scene(tmp_path, tmp_path / "data", 1, program="sprawl") as scene:
        workload = scene.begin(level="memory")
        workload.wait_for(100)
        assert scene.verdict(workload).is_good
        httpx.delete(f"{scene.node.url}/v1/topics/faults-0").raise_for_status()
        events = [e for e in read_events(scene.history.path) if not e.get("final")]
        with History(tmp_path / "again") as again:
            for event in events:
                again.write(event)
        workload._history = History(tmp_path / "again")
        workload.final_read()
        assert "lost-write" in check(read_records(tmp_path / "again")).counts


def test_holes_stay_holes(file: Path, tmp_path: Path) -> None:
    assert written_ranges(file) == [(0, 8_192), (16_384, 20_480)]
    copy = tmp_path / "copy"
    copy_sparse(file, copy)
    assert copy.read_bytes() == file.read_bytes()
    assert written_ranges(copy) == written_ranges(file)


@pytest.mark.parametrize("seed", range(20))
def test_a_flip_changes_one_bit_of_written_bytes(history: History, file: Path, seed: int) -> None:
    before = file.read_bytes()
    fault = BitFlip(history, random.Random(seed))
    fault.start(file)
    changed = [i for i, (a, b) in enumerate(zip(before, file.read_bytes(), strict=True)) if a != b]
    assert len(changed) == 1 and any(a <= changed[0] < b for a, b in [(0, 8_192), (16_384, 20_480)])
    assert (before[changed[0]] ^ file.read_bytes()[changed[0]]).bit_count() == 1
    fault.stop()
    assert file.read_bytes() == before


def test_every_damage_is_one_and_is_undone(history: History, file: Path, tmp_path: Path) -> None:
    before, other = file.read_bytes(), tmp_path / "other"
    other.write_bytes(b"other")
    cases = {
        Truncate(history, 0): b"",
        Truncate(history, -1): before[:-1],
        ZeroTail(history): before[:-4_096] + bytes(4_096),
        Swap(history): before[:12_288] + before[16_384:] + before[12_288:16_384],
        Swap(history, other): b"other",
        OldCopy(history, other): b"other",
    }
    for fault, after in cases.items():
        fault.start(file)
        assert file.read_bytes() == after, fault
        fault.stop()
        fault.stop()
        assert file.read_bytes() == before and other.read_bytes() == b"other", fault
    phases = [(e["fault"], e["phase"]) for e in read_events(history.path)]
    assert phases == [(type(f).__name__, p) for f in cases for p in ("start", "done", "stop")]


@pytest.mark.needs("power-cut")
def test_a_power_cut_keeps_what_was_synced_and_nothing_else(tmp_path: Path) -> None:
    with Volume(tmp_path / "volume", 16 << 20) as volume:
        with (volume.path / "synced").open("wb") as synced:
            synced.write(b"kept")
            synced.flush()
            os.fsync(synced.fileno())
            folder = os.open(volume.path, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
            os.pwrite(synced.fileno(), b"lost", 4)
            (volume.path / "unsynced").write_bytes(b"lost")
            volume.cut_power()
            with pytest.raises(OSError, match="Input/output error"):
                os.pwrite(synced.fileno(), b"late", 8)
        volume.unmount()
        volume.mount()
        assert (volume.path / "synced").read_bytes() == b"kept"
        assert not (volume.path / "unsynced").exists()


@pytest.mark.needs("power-cut")
def test_a_closed_volume_leaves_neither_mount_nor_device(tmp_path: Path) -> None:
    with Volume(tmp_path / "volume", 16 << 20) as volume:
        pass
    assert not volume.path.is_mount()
    attached = subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True)
    assert str(volume.image) not in attached.stdout


@pytest.mark.needs("power-cut")
@pytest.mark.parametrize("leave_bytes", [0, 1 << 20])
def test_a_full_disk_leaves_what_it_is_told_to(
    history: History, tmp_path: Path, leave_bytes: int
) -> None:
    with Volume(tmp_path / "volume", 32 << 20) as volume:
        free = volume.free_bytes()
        fault = DiskFull(history, leave_bytes)
        fault.start(volume)
        # ext4 keeps one part in fifty for itself and counts it as free; the filler has blocks of its own.
        assert leave_bytes - (64 << 10) <= volume.free_bytes() <= leave_bytes + (1 << 20)
        if leave_bytes == 0:
            with pytest.raises(OSError, match="No space left"):
                (volume.path / "more").write_bytes(bytes(256 << 10))
            (volume.path / "more").unlink()
        fault.stop()
        assert volume.free_bytes() >= free - (64 << 10)


DATA = "9</d/data.mdb>"
SOCKET = "7<socket:[11]>"
ANSWER = r'sendto({}, "HTTP/1.1 201 Created\r\n\r\n{{\"id\":\"aaaaaaaaaaaaa-0-5\"", 60) = 60'
WRITE = f'pwrite64({DATA}, "\\0\\0id\\22m0-1-2\\20m0-1-2 00ff00ff", 4096, 8192) = 4096'
SYNC = f"fdatasync({DATA}) = 0"
META = 'pwrite64(10</d/data.mdb>, "\\336", 120, 4096) = 120'
SENT = ANSWER.format(SOCKET)


def order_of(*calls: str, dsync: dict[int, str] | None = None) -> str:
    lines = [f"{call}\n" if call[0].isdigit() else f"1 1.0 {call}\n" for call in calls]
    order = check_order(lines, {"aaaaaaaaaaaaa-0-5": "m0-1-2"}, dsync or {})
    assert order.checked_count <= 1
    if not order.checked_count:
        return "unsent"
    return "early" if order.early else "unseen" if order.unseen else "durable"


@pytest.mark.parametrize(
    ("calls", "verdict"),
    [
        ((WRITE, SYNC, SENT), "durable"),
        ((WRITE, SENT, SYNC), "early"),
        ((SYNC, WRITE, SENT), "early"),
        ((WRITE, SENT), "early"),
        ((SENT,), "unseen"),
        ((SENT, WRITE, SYNC), "early"),
        ((WRITE, SYNC), "unsent"),
        ((WRITE, f"fdatasync({DATA}) = -1 EIO (Input/output error) (INJECTED)", SENT), "early"),
        ((WRITE, "fdatasync(8</d/other>) = 0", SENT), "early"),
        ((WRITE.replace("= 4096", "= -1 ENOSPC"), SYNC, SENT), "unseen"),
        # The sync has begun and not returned; then it returns.
        (("2 1.0 " + WRITE, f"2 1.0 fdatasync({DATA} <unfinished ...>", SENT), "early"),
        (
            (
                WRITE,
                f"2 1.0 fdatasync({DATA} <unfinished ...>",
                "2 1.0 <... fdatasync resumed>) = 0",
                SENT,
            ),
            "durable",
        ),
        # A write that ends after the sync began is not covered by it.
        (
            (
                f"2 1.0 fdatasync({DATA} <unfinished ...>",
                WRITE,
                "2 1.0 <... fdatasync resumed>) = 0",
                SENT,
            ),
            "early",
        ),
    ],
)
def test_the_order_of_calls_decides(calls: tuple[str, ...], verdict: str) -> None:
    assert order_of(*calls) == verdict


@pytest.mark.parametrize(
    ("calls", "verdict"),
    [
        ((WRITE, SYNC, META, SENT), "durable"),
        ((WRITE, SYNC, SENT, META), "early"),
        ((WRITE, META, SYNC, SENT), "early"),
    ],
)
def test_a_file_with_a_mark_needs_the_mark(calls: tuple[str, ...], verdict: str) -> None:
    assert order_of(*calls, dsync={10: "/d/data.mdb"}) == verdict


@pytest.mark.parametrize("bug", sorted(PRODUCT_BUGS))
def test_every_defect_can_be_planted(bug: str) -> None:
    """In a process of its own; a seam that was renamed would plant nothing and find nothing."""
    program = f"from tests.faults.planted import plant; plant({bug!r}); print('planted')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "planted\n", done.stderr


def test_the_product_knows_nothing_of_planted_bugs() -> None:
    found = [p for p in (_ROOT / "sprawl").rglob("*.py*") if b"PLANTED" in p.read_bytes().upper()]
    assert not found
