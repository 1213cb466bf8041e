"""Row K3 for what is not a publish: death at every write and sync of sealing, retention and cleaning.

In every case the same directory is put back, some messages are published, a retention is set and a
compaction asked for, and the node dies at the n-th call of one kind on its data file. So every state
lies between two cases: a window's index put and not yet told to memory, a low offset raised and not
yet written, a window cut away and its pieces still there.
"""

import time
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.faults.checker import Report, check
from tests.faults.faults import SyscallKill
from tests.faults.history import History, Poll, Publish, Record, read_records
from tests.faults.scene import Scene, note_result, per_form
from tests.faults.test_damage import Kept
from tests.faults.workload import Plan, Workload

pytestmark = [
    pytest.mark.fault,
    pytest.mark.K3,
    pytest.mark.timeout(3_600),
    pytest.mark.needs("strace"),
]
_CALLS: Final = ("fdatasync", "pwrite64", "pwritev", "writev")
_NEVER: Final = 60_000
# The newest of each partition that must outlive everything here.
_KEPT_COUNT: Final = 20


class Compaction:
    """One compaction of a directory that is always the same."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._scene = kept.scene
        self._folder = kept.scene.folder
        self._cases = 0
        self._clients = 100

    def calls(self) -> Counter[str]:
        """How many calls of each kind a compaction makes that nobody disturbs."""
        report, has_died = self.die_at(_CALLS[0], _NEVER)
        assert not has_died, "nobody was to die"
        assert report.is_good, report.lines()
        self._require_done(report)
        with self._trace.open() as lines:
            names = (line.split()[1].partition("(")[0] for line in lines if "(" in line)
            return Counter(name for name in names if name in _CALLS)

    def die_at(self, call: str, nth: int) -> tuple[Report, bool]:
        """The verdict, and whether it came to the ``nth`` call."""
        node = self._scene.node
        self._cases += 1
        path = self._folder / f"case-{self._cases}.jsonl"
        node.start()
        with History(path) as history:
            self._publish(history, 100)
            fault = SyscallKill(history, self._trace, call, nth, [self._data], watched=_CALLS)
            with fault.active(node):
                self._act()
                has_died = not node.is_running()
            node.kill()
            node.start()
            self._publish(history, 20).final_read()
        records = list(chain(self._kept.records, read_records(path)))
        report = check(records)
        _require_newest(records, report)
        self._kept.end()
        return report, has_died

    @property
    def _trace(self) -> Path:
        return self._folder / "trace"

    @property
    def _data(self) -> Path:
        return self._scene.directory / "log" / "data.mdb"

    def _publish(self, history: History, count: int) -> Workload:
        """Publishes by clients of their own, who have ended when this returns."""
        self._clients += 1
        plan = self._kept.workload.plan
        workload = Workload(self._scene.node.port, history, plan, self._clients)
        workload.start()
        workload.wait_for(count)
        workload.stop()
        return workload

    def _act(self) -> None:
        """Does what the node may die of."""
        try:
            with httpx.Client(base_url=self._scene.node.url, timeout=40) as client:
                self._ask(client, self._kept.workload.plan)
        except httpx.TransportError:
            # It died while it was asked.
            self._scene.node.wait(10)

    def _ask(self, client: httpx.Client, plan: Plan) -> None:
        """Asks for a retention and for its being applied."""
        config = {"partitions": plan.partitions, "durability": plan.level}
        for topic in sorted({topic for topic, _ in plan.all_partitions()}):
            body = config | {"retention": {"count": _KEPT_COUNT}}
            answer = client.put(f"/v1/topics/{topic}", json=body)
            assert answer.status_code == 200, answer.text
        answer = client.post("/store/compact")
        assert answer.status_code == 200, answer.text

    def _require_done(self, report: Report) -> None:
        assert report.figures["removed, named by a gap"] > 0, "nothing was compacted"


class Move(Compaction):
    """One move of everything to a bucket, in a directory that is always the same."""

    def __init__(self, kept: Kept, bucket: Path) -> None:
        super().__init__(kept)
        self._bucket = bucket

    def _ask(self, client: httpx.Client, plan: Plan) -> None:
        for topic in sorted({topic for topic, _ in plan.all_partitions()}):
            answer = client.post("/store/tiers", json={"topic": topic, "tier": "cloud"})
            assert answer.status_code == 200, answer.text
        deadline = time.monotonic() + 40
        while client.get("/store").json()["disk"]["messages"]:
            assert time.monotonic() < deadline, "the move does not end"
            time.sleep(0.02)

    def _require_done(self, report: Report) -> None:
        assert report.figures.get("removed, named by a gap", 0) == 0, "a move takes nothing away"
        assert any(self._bucket.rglob("*.parquet")), "nothing was moved"


def _require_newest(records: Iterable[Record], report: Report) -> None:
    """What retention may never take is there; the checker alone would let a gap excuse it."""
    acked: dict[tuple[str, int], list[int]] = {}
    final: dict[tuple[str, int], set[int]] = {}
    for record in records:
        if isinstance(record, Publish) and record.outcome == "ok":
            acked.setdefault((record.topic, record.partition), []).append(record.offset)
        elif isinstance(record, Poll) and record.final:
            seen = final.setdefault((record.topic, record.partition), set())
            seen.update(entry[0] for entry in record.seen)
    for place, offsets in acked.items():
        missing = set(sorted(offsets)[-_KEPT_COUNT:]) - final[place]
        if missing:
            report.add("lost-newest", f"{place[0]}/{place[1]}", f"{sorted(missing)}")


def test_nothing_is_lost_by_death_at_any_call_of_a_compaction(scene: Scene) -> None:
    _die_everywhere(scene, Compaction(Kept(scene, is_clean=True)), "compaction")


def test_nothing_is_lost_by_death_at_any_call_of_a_move(scene: Scene) -> None:
    bucket = scene.folder / "objects"
    scene.node.settings["SPRAWL_STORAGE_CLOUD_ENABLED"] = "true"
    scene.node.settings["MINIO_ENDPOINT"] = f"file://{bucket}"
    _die_everywhere(scene, Move(Kept(scene, is_clean=True), bucket), "move")


def _die_everywhere(scene: Scene, compaction: Compaction, name_of_it: str) -> None:
    calls = compaction.calls()
    assert calls["fdatasync"] > 3, calls
    points = [(name, nth) for name in sorted(calls) for nth in range(1, calls[name] + 1)]
    chosen = sorted(scene.draw.sample(points, min(per_form(2, 12, len(points)), len(points))))
    died, wrong = 0, []
    for name, nth in chosen:
        report, has_died = compaction.die_at(name, nth)
        died += has_died
        if not report.is_good:
            wrong.append((name, nth, report.lines()))
    print(f"{len(points)} points {dict(calls)}, died at {died} of {len(chosen)}")  # noqa: T201
    assert not wrong, wrong
    # What else the node writes in between moves the last calls by one or two.
    assert died >= len(chosen) * 3 // 4
    figures = {"calls": dict(calls), "died_at": died, "lost": 0}
    title = f"kill at the n-th call of a {name_of_it}"
    note_result(f"K3-{name_of_it}", title, scene.seed, figures)
