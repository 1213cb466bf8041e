"""The fault tests themselves: each defect is found, and the model without one passes them.

In the gate one defect is drawn by the seed; ``make faults`` plants all. ``SPRAWL_FAULTS_PROGRAM``
says whether the model's or the product's defects are planted.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import test_crashes, test_damage, test_full_disk, test_syscalls
from tests.faults.faults import Kill9, PowerCut
from tests.faults.node import StartFailed
from tests.faults.planted import MODEL_BUGS, PRODUCT_BUGS
from tests.faults.scene import FORM, PROGRAM, Scene
from tests.faults.volume import Volume

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(900),
    pytest.mark.needs("strace", "power-cut"),
]
_VOLUME_BYTES = 64 << 20
_FOUND = (AssertionError, StartFailed, pytest.fail.Exception)
Scenario = Callable[[Path, str, str, int], None]


@contextmanager
def _on_volume(folder: Path, program: str, bug: str, seed: int) -> Iterator[tuple[Scene, Volume]]:
    with (
        Volume(folder / "volume", _VOLUME_BYTES) as volume,
        Scene(folder, volume.path / "data", seed, program=program, planted=bug) as scene,
    ):
        yield scene, volume


def _kill(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_crashes.cycles(scene, Kill9(scene.history), 4)


def _power(folder: Path, program: str, bug: str, seed: int) -> None:
    with _on_volume(folder, program, bug, seed) as (scene, volume):
        test_crashes.cycles(scene, PowerCut(scene.history, volume), 3)


def _order(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_syscalls.test_no_answer_leaves_before_its_sync_has_returned(scene)


def _eio(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_syscalls.test_a_failed_sync_ends_the_node_and_nothing_of_it_is_acknowledged(scene, 1)


def _full(folder: Path, program: str, bug: str, seed: int) -> None:
    with _on_volume(folder, program, bug, seed) as (scene, volume):
        test_full_disk.test_a_full_disk_refuses_keeps_reading_and_recovers(scene, volume, 0)


def _flips(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_damage.test_a_flipped_bit_is_never_served(scene)


def _harms(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        kept = test_damage.Kept(scene, is_clean=True)
        test_damage.test_a_damaged_file_is_refused_repaired_or_named(kept)


SCENARIOS: dict[str, Scenario] = {
    "kill": _kill,
    "power": _power,
    "order": _order,
    "eio": _eio,
    "full": _full,
    "flips": _flips,
    "harms": _harms,
}
_PRODUCT_SCENARIOS = {
    name: (scenario, MODEL_BUGS.get(name, ("", "."))[1])
    for name, (_, scenario) in PRODUCT_BUGS.items()
}
_BUGS = MODEL_BUGS if PROGRAM == "model" else _PRODUCT_SCENARIOS


@pytest.mark.skipif(FORM == "long", reason="all are planted")
def test_a_planted_bug_drawn_by_the_seed_is_found(tmp_path: Path, seed: int) -> None:
    names = sorted(_BUGS)
    _assert_found(tmp_path, seed, os.environ.get("SPRAWL_FAULTS_BUG", names[seed % len(names)]))


@pytest.mark.skipif(FORM != "long", reason="one is drawn; make faults plants all")
@pytest.mark.parametrize("bug", sorted(_BUGS))
def test_a_planted_bug_is_found(tmp_path: Path, seed: int, bug: str) -> None:
    _assert_found(tmp_path, seed, bug)


def _assert_found(tmp_path: Path, seed: int, bug: str) -> None:
    print(f"SPRAWL_FAULTS_BUG={bug}")  # noqa: T201
    scenario, says = _BUGS[bug]
    program = "model" if PROGRAM == "model" else "planted"
    with pytest.raises(_FOUND) as found:
        SCENARIOS[scenario](tmp_path, program, bug, seed)
    assert re.search(says, str(found.value)), f"found, but for another reason: {found.value}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_model_without_a_bug_passes(tmp_path: Path, seed: int, scenario: str) -> None:
    SCENARIOS[scenario](tmp_path, "model", "", seed)
