"""A node's life with twin rooms: the order of start and stop, failures, reload."""

import asyncio
import logging
from pathlib import Path

import pytest

from sprawl.clock import SystemClock
from sprawl.errors import SettingsError
from sprawl.node.banner import banner_lines
from sprawl.node.directory import Directory, open_directory
from sprawl.node.node import Node
from sprawl.node.ports import take_ports
from sprawl.node.rooms import Rooms
from sprawl.node.tasks import Tasks
from sprawl.node.view import LiveView
from sprawl.settings import Loaded, Settings, load, parse_flags
from tests.unit.node import twin_rooms
from tests.unit.node.free_ports import free_ports


class House:
    """A node on free ports in a fresh directory, and what its rooms were called for."""

    def __init__(self, path: Path, *argv: str) -> None:
        bind, http, health = free_ports(3)
        self.argv = [
            f"-bindPort={bind}",
            f"-httpPort={http}",
            f"-healthPort={health}",
            "-httpAddr=127.0.0.1",
            *argv,
        ]
        self.events: list[str] = []
        self.reloaded: Loaded | SettingsError | None = None
        self.drain_s = 0.0
        self.start_error: Exception | None = None
        settings = load(parse_flags(self.argv), {}).settings
        self.ports = take_ports(settings)
        self.directory = open_directory(str(path), bind, "ab12cd34-5", "0.1.0", lambda: "x")
        self.node = Node(
            settings,
            self.ports,
            self.directory,
            clock=SystemClock(),
            version="0.1.0",
            build=self.build,
            reload=self.reload,
        )

    def build(
        self, _settings: Settings, view: LiveView, _tasks: Tasks, _directory: Directory
    ) -> Rooms:
        self.events.append("build")
        edge = twin_rooms.TwinServer(view, self.events)
        edge.drain_s = self.drain_s
        if self.start_error is not None:
            raise self.start_error
        return Rooms(twin_rooms.TwinEngine(), edge)

    def reload(self) -> Loaded:
        if isinstance(self.reloaded, SettingsError):
            raise self.reloaded
        assert self.reloaded is not None
        return self.reloaded

    def is_given_back(self) -> bool:
        held = (*self.ports.http, *self.ports.health, *self.ports.cluster)
        return all(each.fileno() < 0 for each in held) and self.directory._lock < 0


async def test_rooms_start_in_the_order_of_their_needs_and_stop_in_reverse(tmp_path: Path) -> None:
    house = House(tmp_path)
    node = house.node
    assert node.view.state == "starting"
    await node.start()
    assert node.view.state == "ready"
    assert node.tasks.names == ("node.sample-load",)
    assert node.view.system().resident_bytes > 0
    await node.stop(drain=True)
    assert house.events == ["build", "edge start", "edge stop 10"]
    assert node.view.state == "draining"
    assert node.tasks.names == ()
    assert house.is_given_back()
    await node.stop(drain=True)


async def test_a_failed_start_gives_everything_back_without_a_drain(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start_error = RuntimeError("no engine")
    with pytest.raises(RuntimeError, match="no engine"):
        await house.node.run()
    assert house.events == ["build"]
    assert house.is_given_back()


async def test_asked_to_stop_it_drains_and_ends_with_0(tmp_path: Path) -> None:
    house = House(tmp_path)
    asyncio.get_running_loop().call_soon(house.node.ask_stop)
    assert await asyncio.wait_for(house.node.run(), 10) == 0
    assert house.events[-1] == "edge stop 10"


async def test_asked_twice_it_does_not_wait_for_the_drain(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.drain_s = 3_600
    house.node.ask_stop()
    house.node.ask_stop()
    assert await asyncio.wait_for(house.node.run(), 10) == 0
    assert house.events[-1] == "edge stop 10"


async def test_a_drain_ends_at_its_bound(tmp_path: Path) -> None:
    house = House(tmp_path, "-drainTimeout=0")
    house.drain_s = 3_600
    house.node.ask_stop()
    assert await asyncio.wait_for(house.node.run(), 10) == 0


async def test_a_background_task_that_dies_stops_the_node_with_1(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path)

    async def broken() -> None:
        raise ValueError("boom")

    house.node.tasks.start("room.broken", broken())
    assert await asyncio.wait_for(house.node.run(), 10) == 1
    assert house.events[-1] == "edge stop 0"
    assert "room.broken ended: ValueError: boom" in caplog.text


async def test_reload_applies_what_may_change_and_names_what_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    told: list[str] = []
    monkeypatch.setattr("sprawl.node.logs.configure", lambda **_: None)
    monkeypatch.setattr(
        logging.getLogger("sprawl.node"), "warning", lambda text, *args: told.append(text % args)
    )
    argv = [*house.argv, "-drainTimeout=3s", "-memoryMaxSize=16777216"]
    house.reloaded = load(parse_flags(argv), {})
    house.node.reload()
    settings = house.node.view.settings
    assert settings.drain_timeout_s == 3
    assert str(settings.origin("drain_timeout_s")) == "flag -drainTimeout"
    assert settings.memory_max_size == 104_857_600
    assert told == [
        "setting memoryMaxSize needs a restart: 104857600 stays, not 16777216",
        "setting drainTimeout changed from 10 to 3",
    ]
    await house.node.stop(drain=False)


async def test_a_reload_that_is_refused_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path)
    before = house.node.view.settings
    house.reloaded = SettingsError("f.toml: bindPort: no")
    house.node.reload()
    assert house.node.view.settings is before
    assert "settings not reloaded: f.toml: bindPort: no" in caplog.text
    await house.node.stop(drain=False)


async def test_the_view_says_what_is_true(tmp_path: Path) -> None:
    house = House(tmp_path)
    view = house.node.view
    assert (view.node_id, view.boot_counter, view.version) == ("ab12cd34-5", 1, "0.1.0")
    assert (view.storage_type, view.storage_type_effective) == ("memory", "disk")
    assert view.address == "127.0.0.1"
    assert view.health_port == house.ports.health_port
    assert view.disk_path == str(tmp_path)
    assert 0 <= view.uptime_s() < 60
    await house.node.stop(drain=False)


async def test_the_banner_says_where_how_kept_and_what_to_try(tmp_path: Path) -> None:
    house = House(tmp_path)
    lines = banner_lines(house.node.view)
    assert len(lines) == 6
    text = "\n".join(lines)
    assert "node ab12cd34-5" in text
    assert f"data {tmp_path} · tiers memory (100 MiB) and disk: messages are acknowledged" in text
    assert f"-n http://127.0.0.1:{house.ports.http_port} publish -t my-topic" in text
    await house.node.stop(drain=False)


async def test_without_a_disk_tier_the_banner_says_that_messages_are_in_memory_only(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, "-storageType=memory")
    text = "\n".join(banner_lines(house.node.view))
    assert "messages are held in memory only, bounded to 100 MiB" in text
    assert house.node.view.storage_type_effective == "memory"
    await house.node.stop(drain=False)
