"""The rooms a node is built of, as the root sees them.

In: settings, the view of the node, its tasks. Out: ``Rooms``, constructed and not started.
Invariant: this is the only place that constructs a service, so a test can hand the node others.
"""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sprawl import limits
from sprawl.broker.engine import Stats
from sprawl.node.tasks import Tasks
from sprawl.node.view import LiveView
from sprawl.settings import Settings


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


@dataclass(frozen=True, slots=True)
class Rooms:
    """In the order in which they depend on each other."""

    engine: Counting
    edge: Serving


Build = Callable[[Settings, LiveView, Tasks], Rooms]


def build_rooms(settings: Settings, view: LiveView, tasks: Tasks) -> Rooms:
    """The real rooms; the compiled modules are loaded here and nowhere before."""
    from sprawl._hot.protocol import Listener, NodeTime
    from sprawl._native import Engine
    from sprawl.edge.caps import ConnectionCaps
    from sprawl.edge.server import EdgeServer

    engine = Engine(
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
    new_listener = partial(Listener, time=time)
    edge = EdgeServer(engine, view, spawn=tasks.start, new_listener=new_listener, caps=caps)
    return Rooms(engine, edge)
