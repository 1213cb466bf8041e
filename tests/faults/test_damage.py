"""Rows B1 and B2: files that are not what the node wrote; it refuses, repairs or names what is gone.

In every case one file is changed where it lies, the node started on it, everything read that it
serves, and the whole directory put back.
"""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.faults.checker import WARNINGS, Report, check
from tests.faults.faults import (
    BitFlip,
    Fault,
    OldCopy,
    Swap,
    Truncate,
    ZeroTail,
    copy_sparse,
    written_ranges,
)
from tests.faults.history import Event, History, read_events, record_of
from tests.faults.node import NodeProcess, StartFailed
from tests.faults.scene import Scene, note_result, per_form
from tests.faults.workload import Workload

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3_600)]
# These hold nothing that is read at a start.
_EMPTY_OF_MEANING = frozenset({"LOCK", "lock.mdb"})
_PAGE_BYTES = 4_096
_FLIPS_A_START = 20


class Kept:
    """A node's directory after work and a clean end, and how to judge what becomes of it."""

    def __init__(self, scene: Scene, *, is_clean: bool) -> None:
        self.scene = scene
        first = scene.begin()
        first.wait_for(100)
        first.stop()
        assert scene.node.stop() == 0
        # Of the start before: within one start nothing tells an old copy from the state before a crash.
        self.older = scene.folder / "older"
        copy_tree(scene.directory, self.older)
        scene.node.start()
        self.workload = scene.clients()
        self.workload.start()
        self.workload.wait_for(1_000)
        self.workload.stop()
        if is_clean:
            assert scene.node.stop() == 0
        else:
            scene.node.kill()
        self.events: list[Event] = list(read_events(scene.history.path))
        self.records = [record_of(event) for event in self.events]
        self._whole = scene.folder / "whole"
        copy_tree(scene.directory, self._whole)

    def files(self) -> list[Path]:
        """What lies in the directory and means something."""
        found = sorted(p for p in self.scene.directory.rglob("*") if p.is_file())
        return [p for p in found if p.name not in _EMPTY_OF_MEANING]

    def old(self, file: Path) -> Path:
        return self.older / file.relative_to(self.scene.directory)

    def end(self, *faults: Fault[Path]) -> None:
        """The node down, the faults over, the directory as it was, also where it was repaired."""
        self.scene.node.close()
        for fault in faults:
            fault.stop()
        shutil.rmtree(self.scene.directory)
        copy_tree(self._whole, self.scene.directory)

    def outcome(self) -> tuple[str, Report | None]:
        """``refused``, ``named`` (something is missing and the node says so), ``whole``, ``wrong``."""
        node = self.scene.node
        refusal = start_failure(node)
        if refusal is not None:
            assert refusal.status not in (None, 0) and "Traceback" not in refusal.text, refusal
            assert refusal.text.strip(), "a refusal says why"
            return "refused", None
        read = self.scene.folder / "read.jsonl"
        read.unlink(missing_ok=True)
        with History(read) as history:
            Workload(node.port, history, self.workload.plan).final_read()
        found = list(read_events(read))
        report = check(chain(self.records, map(record_of, found)), allows_damage=True)
        if report.counts.keys() - WARNINGS:
            return "wrong", report
        is_named = any(gap[2] == "damaged" for e in found for gap in e["gaps"])
        return ("named" if is_named else "whole"), report


def start_failure(node: NodeProcess) -> StartFailed | None:
    """Starts a node; what it failed with, or None when it is ready."""
    try:
        node.start()
    except StartFailed as failed:
        return failed
    return None


def copy_tree(source: Path, target: Path) -> None:
    """Copies files with their holes."""
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        elif path.is_file():
            copy_sparse(path, copy)


@pytest.fixture(params=["clean", "killed"])
def kept(scene: Scene, request: pytest.FixtureRequest) -> Kept:
    return Kept(scene, is_clean=request.param == "clean")


def harms(kept: Kept, file: Path) -> Iterator[tuple[str, Fault[Path]]]:
    """All damages of B2 for one file."""
    history, size = kept.scene.history, file.stat().st_size
    yield "cut at 0", Truncate(history, 0)
    yield "cut at half", Truncate(history, size // 2)
    yield "cut by one byte", Truncate(history, -1)
    yield "data cut by half", Truncate(history, written_ranges(file)[-1][1] // 2)
    yield "tail zeroed", ZeroTail(history)
    if size >= 2 * _PAGE_BYTES:
        yield "pages swapped", Swap(history)
    for other in kept.files():
        if other != file:
            yield f"swapped with {other.name}", Swap(history, other)
    if kept.old(file).exists():
        yield "an old copy", OldCopy(history, kept.old(file))


@pytest.mark.B2
def test_a_damaged_file_is_refused_repaired_or_named(kept: Kept) -> None:
    harm_files(kept)


def harm_files(kept: Kept) -> None:
    """Damages every file in every way, one at a time."""
    outcomes: dict[str, str] = {}
    wrong: list[object] = []
    for file in kept.files():
        for name, fault in harms(kept, file):
            fault.start(file)
            outcome, report = kept.outcome()
            outcomes[f"{file.name} {name}"] = outcome
            if outcome == "wrong":
                assert report is not None
                wrong.append((file.name, name, report.lines()))
            kept.end(fault)
    print("\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))  # noqa: T201
    assert not wrong, wrong
    assert "refused" in outcomes.values(), "no damage was noticed"
    assert kept.outcome()[0] == "whole", "undamaged it must start"


@pytest.mark.B1
def test_a_bit_flipped_in_the_journal_of_a_dead_node_is_named(scene: Scene) -> None:
    """All but the last record: a damaged one that nothing follows is taken for one cut off."""
    kept = Kept(scene, is_clean=False)
    journal = next(file for file in kept.files() if file.name == "journal")
    content = journal.read_bytes()
    acked = [e["msg_id"].encode() + b" " for e in kept.events if e.get("outcome") == "ok"]
    places = sorted(at for at in map(content.find, acked) if at >= 0)
    last = places[-1] - places[-1] % _PAGE_BYTES
    earlier = [at for at in places if at < last - _PAGE_BYTES]
    assert len(earlier) > 100, "the journal holds what was published last"
    for _ in range(per_form(2, 10, 100)):
        place = kept.scene.draw.choice(earlier) * 8 + kept.scene.draw.randrange(64)
        fault = BitFlip(scene.history, scene.draw, place)
        fault.start(journal)
        outcome, report = kept.outcome()
        assert outcome == "named", (outcome, place, report and report.lines())
        kept.end(fault)


@pytest.mark.B1
def test_a_flipped_bit_is_never_served(scene: Scene) -> None:
    outcomes = flip_bits(scene, per_form(10, 1_000, 10_000))
    note_result("B1", "flipped bits, by what became of them", scene.seed, outcomes)


def flip_bits(scene: Scene, count: int) -> Counter[str]:
    """Flips ``count`` bits: most in stored messages, many a start; a tenth anywhere, one a start."""
    kept = Kept(scene, is_clean=True)
    draw = scene.draw
    outcomes: Counter[str] = Counter()
    wrong: list[object] = []
    files = kept.files()
    # The model keeps its log in another file.
    data = next(
        (f for f in files if f.name == "data.mdb"), max(files, key=lambda f: f.stat().st_size)
    )
    left, single = count, count // 10
    while left:
        # What is flipped elsewhere may be refused, and then says nothing of other flips.
        is_aimed = left > single
        size = min(_FLIPS_A_START, left - single) if is_aimed else 1
        bits = [message_bit(data, kept, draw) if is_aimed else None for _ in range(size)]
        file = data if is_aimed else draw.choice(kept.files())
        faults = [BitFlip(scene.history, draw, bit) for bit in bits]
        for fault in faults:
            fault.start(file)
        outcome, report = kept.outcome()
        outcomes[f"{outcome}, in messages" if is_aimed else outcome] += size
        if outcome == "wrong":
            assert report is not None
            wrong.append((file.name, [fault.bit for fault in faults], report.lines()))
        kept.end(*faults)
        left -= size
    print(dict(outcomes))  # noqa: T201
    assert not wrong, wrong
    # Older copies of a page hold messages as well, and nobody reads those.
    assert outcomes["named, in messages"] >= (count - single) / 2, outcomes
    return outcomes


def message_bit(file: Path, kept: Kept, draw: random.Random) -> int:
    """A bit of the stored bytes of an acknowledged message."""
    acked = [e["msg_id"] for e in kept.events if e.get("outcome") == "ok"]
    ranges = written_ranges(file)
    content = file.read_bytes()[: ranges[-1][1]]
    while True:
        mark = f"{draw.choice(acked)} ".encode()
        at = content.find(mark)
        if at >= 0:
            return (at + draw.randrange(len(mark) + 64)) * 8 + draw.randrange(8)
