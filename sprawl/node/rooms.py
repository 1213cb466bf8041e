"""The rooms a node is built of, as the root sees them.

In: settings, the view of the node, its tasks. Out: ``Rooms``, constructed and not started.
Invariant: this is the only place that constructs a service, so a test can hand the node others.
"""

import os
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sprawl import limits
from sprawl.broker.engine import Stats
from sprawl.node.directory import Directory
from sprawl.node.object_store import object_store
from sprawl.node.tasks import Tasks
from sprawl.node.view import LiveView
from sprawl.settings import Settings

if TYPE_CHECKING:
    from sprawl._native import Engine
    from sprawl.log.cloud.host import CloudTier
    from sprawl.log.tier import DiskTier


class Counting(Protocol):
    """The log and its topics, as far as the root needs them."""

    def stats(self) -> Stats:
        """Counters, gauges and histograms."""


class Serving(Protocol):
    """What answers on the ports."""

    async def start(
        self, http_sockets: Sequence[socket.socket], health_sockets: Sequence[socket.socket] = ()
    ) -> None:
        """Serves on bound sockets; after return a client is answered."""

    async def stop(self, timeout_s: float) -> None:
        """Takes nothing new, waits for what is open at most ``timeout_s``, closes the rest."""


class Durable(Protocol):
    """The disk tier, as far as the root needs it."""

    async def tick(self) -> None:
        """What is due once a second."""

    async def keep(self) -> None:
        """Retention and cleaning, once a second."""

    async def scrub(self) -> None:
        """Verifies what lies on disk until it is cancelled."""

    async def stop(self) -> bool:
        """Commits what is there and gives the files back; False when something was left."""


class Moving(Protocol):
    """The cloud tier, as far as the root needs it."""

    async def open(self) -> None:
        """First contact; raises for what nobody but a person can change."""

    async def run(self) -> None:
        """Moves windows until it is cancelled."""

    async def stop(self) -> None:
        """Ends the reads that are under way and the worker process."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """In the order in which they depend on each other; a tier that is off is None."""

    engine: Counting
    edge: Serving
    disk: Durable | None = None
    cloud: Moving | None = None


Build = Callable[[Settings, LiveView, Tasks, Directory], Rooms]


def build_rooms(settings: Settings, view: LiveView, tasks: Tasks, directory: Directory) -> Rooms:
    """The real rooms; the compiled modules are loaded here and nowhere before.

    With a disk tier the log is read and taken up here. Raises StartError and LogDamaged.
    """
    from sprawl._hot.protocol import Listener, NodeTime
    from sprawl._native import Engine
    from sprawl.edge.caps import ConnectionCaps
    from sprawl.edge.server import EdgeServer

    new_engine = partial(
        Engine,
        memory_bytes_max=settings.memory_max_size,
        chunk_bytes=limits.CHUNK_BYTES,
        dedup_keys_max=limits.DEDUP_KEYS_MAX,
        topics_max=limits.TOPICS_MAX,
        seed=int.from_bytes(os.urandom(8)),
        node_id=view.node_id,
        auto_create=settings.auto_create_topics,
    )
    caps = ConnectionCaps(settings.connections_max, settings.connections_per_address_max)
    time = NodeTime()
    view.follow(time.now_ns)
    new_edge = partial(
        EdgeServer,
        view=view,
        spawn=tasks.start,
        new_listener=partial(Listener, time=time),
        caps=caps,
    )
    if not settings.has_disk:
        engine = new_engine()
        return Rooms(engine, new_edge(engine))

    from sprawl.log.starts import Starts
    from sprawl.log.tier import open_tier

    identity = directory.identity
    engine, disk = open_tier(
        directory.path,
        lambda end_lsn: new_engine(disk_lsn=end_lsn),
        Starts(
            identity.boot_counter,
            identity.log_start,
            directory.was_clean and identity.log_start == identity.boot_counter - 1,
        ),
        disk_bytes_max=settings.disk_bytes_bound,
        memory_bytes_max=settings.memory_max_size,
        memory_age_s=settings.memory_to_disk_age,
        cloud_age_s=settings.disk_to_cloud_age if settings.has_cloud else None,
        clock=view.clock,
        now_ns=time.now_ns,
        failed=tasks.fail,
    )
    cloud = None
    if settings.has_cloud:
        cloud = _cloud_tier(settings, view, tasks, identity.cluster_id, engine, disk)
    return Rooms(
        engine, new_edge(engine, connected=disk.start, tier=disk, cloud=cloud), disk, cloud
    )


def _cloud_tier(
    settings: Settings,
    view: LiveView,
    tasks: Tasks,
    cluster_id: str,
    engine: "Engine",
    disk: "DiskTier",
) -> "CloudTier":
    from sprawl.log.cloud.host import CloudTier
    from sprawl.log.cloud.remote import WORK_MODULE, RemoteStore
    from sprawl.worker.host import Worker

    worker = Worker(
        [WORK_MODULE],
        spawn=tasks.start,
        clock=view.clock,
        rng=random.Random(os.urandom(8)),  # noqa: S311 # jitter
    )
    assert disk.catalogue is not None, "the disk tier knows of the cloud"
    cloud = CloudTier(
        worker=worker,
        remote=RemoteStore(
            worker,
            object_store(settings),
            timeout_s=limits.COLD_TIMEOUT_S,
            upload_bytes_per_s=settings.cloud_upload_rate,
        ),
        cluster_id=cluster_id,
        engine=engine,
        disk=disk,
        store=disk.store,
        windows=disk.windows,
        catalogue=disk.catalogue,
        age_s=settings.disk_to_cloud_age,
        local_bytes_max=settings.disk_max_size,
        now_ns=view.now_ns,
        run=disk.run_in_pool,
        look=disk.look,
    )
    disk.use_cloud(cloud.reads.read)
    return cloud
