"""The node as its answers show it."""

import asyncio
from pathlib import Path

from sprawl.clock import ManualClock
from sprawl.node.directory import open_directory
from sprawl.node.ports import take_ports
from sprawl.node.rooms import build_rooms
from sprawl.node.tasks import Tasks
from sprawl.node.view import LiveView
from sprawl.settings import load, parse_flags
from tests.unit.node.free_ports import free_ports

SECOND_NS = 1_000_000_000


async def test_the_node_has_one_clock_that_a_step_of_the_wall_clock_does_not_move(
    tmp_path: Path,
) -> None:
    bind, http, health = free_ports(3)
    flags = [f"-bindPort={bind}", f"-httpPort={http}", f"-healthPort={health}"]
    settings = load(
        parse_flags([*flags, "-httpAddr=127.0.0.1", "-storageType=memory"]), {}
    ).settings
    ports = take_ports(settings)
    directory = open_directory(str(tmp_path), bind, "ab12cd34-5", "0.1.0", lambda: "x")
    clock = ManualClock(5 * SECOND_NS)
    view = LiveView(settings, directory, ports, clock, "0.1.0")
    try:
        assert view.now_ns() == 5 * SECOND_NS
        build_rooms(settings, view, Tasks(lambda _failure: None), directory)
        first = view.now_ns()
        clock.step(-3_600 * SECOND_NS)
        await asyncio.sleep(0)
        assert 5 * SECOND_NS < first <= view.now_ns() < first + 60 * SECOND_NS
    finally:
        ports.close()
        directory.release()
