"""A node as answers see it, and a connection as cold requests see it, without a network."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

from sprawl._native import Page
from sprawl.edge.seam import UpgradeHandler
from sprawl.log.reads import Want
from sprawl.metrics.registry import SystemSample

START_NS = 1_767_225_600_000_000_000
SAMPLE = SystemSample(
    cpu_percent=12.5,
    memory_ratio=0.28,
    disk_percent=41.0,
    network_bytes_per_s=10240.0,
    message_rate=3.2,
    cpu_trend=0,
    memory_trend=0,
    gc_cpu_fraction=0.01,
    tasks_count=22,
    heap_objects=1000,
    allocated_bytes=1_000_000,
    resident_bytes=500_000,
    open_files=12,
    cpu_seconds=1.5,
)


@dataclass
class PlainView:
    """A node that was started 12,075.2 s ago."""

    node_id: str = "N1"
    version: str = "0.1.0"
    address: str = "127.0.0.1"
    bind_port: int = 7946
    http_port: int = 8080
    health_port: int | None = 8081
    started_ns: int = START_NS
    state: Literal["starting", "ready", "draining"] = "ready"
    storage_type: str = "memory"
    storage_type_effective: str = "memory"
    memory_bytes_max: int = 104857600
    memory_to_disk_age_s: int = 3600
    disk_path: str = "./data/7946"
    disk_bytes_max: int = 1073741824
    disk_to_cloud_age_s: int = 86400
    sample_interval_s: float = 1.0
    log_payloads: bool = False
    sample: SystemSample = SAMPLE
    clock_ns: int = START_NS + 12_075_200_000_000

    def now_ns(self) -> int:
        return self.clock_ns

    def uptime_s(self) -> float:
        return (self.clock_ns - self.started_ns) / 1e9

    def system(self) -> SystemSample:
        return self.sample


@dataclass
class PlainRequest:
    method: str = "GET"
    path: str = "/"
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    http_version: str = "1.1"


class PlainConnection:
    """Keeps what is written; ``finished`` is None until ``finish`` says whether to close."""

    def __init__(self, peer: str = "127.0.0.1") -> None:
        self.peer = (peer, 40_000)
        self.written = bytearray()
        self.finished: bool | None = None
        self.is_closed = False
        self.is_aborted = False
        self.handler: UpgradeHandler | None = None
        self.may_write = asyncio.Event()
        self.may_write.set()

    @property
    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        assert self.finished is None, "nothing is written after finish"
        self.written += data

    def finish(self, close: bool) -> None:
        assert self.finished is None, "an answer ends once"
        self.finished = close

    async def drained(self) -> None:
        await self.may_write.wait()

    def take_over(self, handler: UpgradeHandler) -> None:
        self.handler = handler

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True


class PlainWatcher:
    """Keeps who watches; ``wake`` calls them as the compiled side does once per tick.

    ``sync`` says that a mark is on disk. Readers in ``cold`` want a page: ``give`` feeds them.
    """

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}
        self.unsynced: list[tuple[int, Callable[[], None]]] = []
        self.cold: set[object] = set()
        self.fetching: list[Callable[[bool], None]] = []
        self.reading: list[tuple[Want, Callable[[Page | None], None]]] = []

    def watch(self, reader: object, callback: Callable[[], None]) -> None:
        self.watched[id(reader)] = callback

    def unwatch(self, reader: object) -> None:
        self.watched.pop(id(reader), None)

    def fetch(self, reader: object, callback: Callable[[bool], None]) -> bool:
        if reader not in self.cold:
            return False
        self.fetching.append(callback)
        return True

    def give(self, is_fed: bool) -> None:
        callbacks, self.fetching = self.fetching, []
        self.cold.clear()
        for callback in callbacks:
            callback(is_fed)

    def when_synced(self, mark: int, callback: Callable[[], None]) -> None:
        self.unsynced.append((mark, callback))

    def sync(self, mark: int) -> None:
        ready = [callback for due, callback in self.unsynced if due <= mark]
        self.unsynced = [entry for entry in self.unsynced if entry[0] > mark]
        for callback in ready:
            callback()

    def read_page(self, want: Want, done: Callable[[Page | None], None]) -> None:
        self.reading.append((want, done))

    def wake(self) -> None:
        for callback in list(self.watched.values()):
            callback()


def spawn(name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine, name=name)
