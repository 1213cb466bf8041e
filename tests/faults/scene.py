"""What every fault test is made of: a node, its clients, a history, and the verdict at the end.

In: a folder, the node's directory, a seed. Out: a ``Scene``. Invariant: ``verdict`` reads everything
that is left and judges the whole history, kept beside the log of the node until the test's folder
goes.
"""

import datetime
import json
import os
import platform
import random
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.faults.checker import Report, check
from tests.faults.history import History, read_records
from tests.faults.node import NodeProcess
from tests.faults.workload import Plan, Workload

FORM: Final = os.environ.get("SPRAWL_FAULTS", "test")
LEVEL: Final = os.environ.get("SPRAWL_FAULTS_LEVEL", "disk")
PROGRAM: Final = os.environ.get("SPRAWL_FAULTS_PROGRAM", "sprawl")


def per_form(test: int, short: int, long: int) -> int:
    """One of three figures, by how long the tests may run."""
    return {"test": test, "short": short, "long": long}[FORM]


def note_result(row: str, title: str, seed: int, figures: Mapping[str, object]) -> None:
    """Writes what a row of the matrix counted, where ``SPRAWL_FAULTS_RESULTS`` names a folder."""
    folder = os.environ.get("SPRAWL_FAULTS_RESULTS")
    if not folder:
        return
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = f"SPRAWL_FAULTS={FORM} SPRAWL_FAULTS_SEED={seed} make faults"
    result = {
        "row": f"fault-{row}",
        "title": title,
        "command": f"{command} T='-m \"fault and {row.partition('-')[0]}\"'",
        "date": day,
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
        "figures": figures,
    }
    file = Path(folder) / f"{day}-fault-{row.lower()}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


class Scene:
    """A node with clients; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        directory: Path,
        seed: int,
        *,
        program: str = PROGRAM,
        planted: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder: Final = folder
        self.directory: Final = directory
        self.seed: Final = seed
        self.draw: Final = random.Random(seed)
        self.history: Final = History(folder / "history.jsonl")
        self.node: Final = NodeProcess(
            directory, folder / "node.log", settings, program=program, planted=planted
        )
        self._workloads: list[Workload] = []

    def begin(self, **plan: Any) -> Workload:
        """Starts the node, makes the topics; on return the clients are at work."""
        self.node.start()
        workload = self.clients(**plan)
        workload.make_topics()
        workload.start()
        return workload

    def clients(self, **plan: Any) -> Workload:
        """Clients that have not begun; the ids of each workload are its own."""
        chosen = Plan(**{"level": LEVEL, **plan})
        workload = Workload(self.node.port, self.history, chosen, len(self._workloads))
        self._workloads.append(workload)
        return workload

    def verdict(self, workload: Workload, *, allows_damage: bool = False) -> Report:
        """Ends the clients, reads everything there is, and judges; the node is running."""
        workload.stop()
        workload.final_read()
        report = check(read_records(self.history.path), allows_damage=allows_damage)
        print("\n".join(report.lines()))  # noqa: T201
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for workload in self._workloads:
                workload.abandon()
        finally:
            self.node.close()
            self.history.close()
