"""The fault tests themselves: each defect is found, and the model without one passes them.

In the gate one defect is drawn by the seed, of the model's and the product's; ``make faults`` plants
all. ``SPRAWL_FAULTS_BUG`` names one.
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


def _kill_large(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        # One commit is then several pieces of the log.
        test_crashes.cycles(scene, Kill9(scene.history), 4, body_bytes=32_768)


def _power(folder: Path, program: str, bug: str, seed: int) -> None:
    with _on_volume(folder, program, bug, seed) as (scene, volume):
        test_crashes.cycles(scene, PowerCut(scene.history, volume), 3)


def _order(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_syscalls.trace_order(scene, 1_000)


def _order_large(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        # Above what the journal takes.
        test_syscalls.trace_order(scene, 200, body_bytes=100_000)


def _eio(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_syscalls.fail_sync(scene, 1)


def _full(folder: Path, program: str, bug: str, seed: int) -> None:
    with _on_volume(folder, program, bug, seed) as (scene, volume):
        test_full_disk.fill(scene, volume, leave_bytes=0, count=1)


def _flips(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        test_damage.flip_bits(scene, 10)


def _harms(folder: Path, program: str, bug: str, seed: int) -> None:
    with Scene(folder, folder / "data", seed, program=program, planted=bug) as scene:
        kept = test_damage.Kept(scene, is_clean=True)
        test_damage.harm_files(kept)


SCENARIOS: dict[str, Scenario] = {
    "kill": _kill,
    "kill-large": _kill_large,
    "power": _power,
    "order": _order,
    "order-large": _order_large,
    "eio": _eio,
    "full": _full,
    "flips": _flips,
    "harms": _harms,
}
# Which program has the defect, the scenario that finds it, and what that then says.
_BUGS = {f"model {name}": ("model", *found) for name, found in MODEL_BUGS.items()}
if PROGRAM == "sprawl":
    _BUGS |= {
        # The product has more checks of its own: it may refuse to start where the model loses.
        f"sprawl {name}": ("planted", scenario, ".")
        for name, (_, scenario) in PRODUCT_BUGS.items()
    }


@pytest.mark.skipif(FORM == "long", reason="all are planted")
def test_a_planted_bug_drawn_by_the_seed_is_found(tmp_path: Path, seed: int) -> None:
    names = sorted(_BUGS)
    _assert_found(tmp_path, seed, os.environ.get("SPRAWL_FAULTS_BUG", names[seed % len(names)]))


@pytest.mark.skipif(FORM != "long", reason="one is drawn; make faults plants all")
@pytest.mark.parametrize("bug", sorted(_BUGS))
def test_a_planted_bug_is_found(tmp_path: Path, seed: int, bug: str) -> None:
    _assert_found(tmp_path, seed, bug)


def _assert_found(tmp_path: Path, seed: int, bug: str) -> None:
    print(f"SPRAWL_FAULTS_BUG='{bug}'")  # noqa: T201
    program, scenario, says = _BUGS[bug]
    with pytest.raises(_FOUND) as found:
        SCENARIOS[scenario](tmp_path, program, bug.partition(" ")[2], seed)
    print(f"found: {str(found.value)[:300]}")  # noqa: T201
    assert re.search(says, str(found.value)), f"found, but for another reason: {found.value}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_model_without_a_bug_passes(tmp_path: Path, seed: int, scenario: str) -> None:
    SCENARIOS[scenario](tmp_path, "model", "", seed)
