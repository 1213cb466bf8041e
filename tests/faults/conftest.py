"""How long the fault tests run, which of them run at all, and what they share.

``SPRAWL_FAULTS`` is ``test`` (the default), ``short`` or ``long``; ``SPRAWL_FAULTS_LEVEL`` is the
level that is asked for, ``SPRAWL_FAULTS_PROGRAM`` what is broken: ``sprawl``, or ``model``, the
model of a node on which the tests themselves are tried. ``SPRAWL_FAULTS_SEED`` repeats a run.
"""

import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.faults.scene import FORM, PROGRAM, Scene, per_form
from tests.faults.volume import Volume

_ROWS = "K1 K3 P1 P5 P6 D1 B1 B2"
# In the form ``test`` three kills and one power cut are enough.
_ROWS_OF_TEST = ("K1", "P1")


def pytest_configure(config: pytest.Config) -> None:
    """Declares a marker for each row of the fault matrix, and one for all of them."""
    config.addinivalue_line("markers", "fault: breaks a node; its row is a marker of its own")
    for row in _ROWS.split():
        config.addinivalue_line("markers", f"{row}: row {row} of the fault matrix")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what was not asked for; an expression of markers (``-m``) asks for what it names."""
    if config.option.markexpr:
        return
    if FORM != "test":
        return
    left = [
        item
        for item in items
        if _has_marker(item, ("fault",)) and not _has_marker(item, _ROWS_OF_TEST)
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def _has_marker(item: pytest.Item, names: Iterable[str]) -> bool:
    return any(item.get_closest_marker(name) for name in names)


@pytest.fixture
def seed() -> int:
    """The seed of a run, printed when it fails."""
    chosen = int(os.environ.get("SPRAWL_FAULTS_SEED", random.SystemRandom().getrandbits(32)))
    print(f"SPRAWL_FAULTS_SEED={chosen} SPRAWL_FAULTS={FORM} program {PROGRAM}")  # noqa: T201
    return chosen


@pytest.fixture
def scene(tmp_path: Path, seed: int) -> Iterator[Scene]:
    """A node in a directory of the machine's own filesystem."""
    with Scene(tmp_path, tmp_path / "data", seed) as scene:
        yield scene


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """A small filesystem of its own; the long form writes more before it is over."""
    with Volume(tmp_path / "volume", per_form(64, 64, 1_024) << 20) as volume:
        yield volume


@pytest.fixture
def volume_scene(tmp_path: Path, volume: Volume, seed: int) -> Iterator[Scene]:
    """A node on a small filesystem of its own."""
    with Scene(tmp_path, volume.path / "data", seed) as scene:
        yield scene
