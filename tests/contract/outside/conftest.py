"""Real nodes for the contract tests: one that a module shares, and a maker of more."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.outside.running_node import RunningNode

StartNode = Callable[..., RunningNode]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """One node for all tests of a module; after them it must still be alive and without a defect."""
    running = RunningNode(tmp_path_factory.mktemp("node")).start()
    yield running
    alive = running.process.poll() is None
    running.close()
    assert alive, running.log
    assert " ERROR " not in running.log, running.log


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes with flags and variables of their own; ended with the test."""
    running: list[RunningNode] = []

    def start(*flags: str, **environment: str) -> RunningNode:
        directory = tmp_path / str(len(running))
        directory.mkdir()
        node = RunningNode(directory, *flags, **environment)
        running.append(node)
        return node.start()

    yield start
    for each in running:
        each.close()
