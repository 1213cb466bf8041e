"""The rooms a node is built of, as the root sees them.

In: settings and the view of the node. Out: ``Rooms``, constructed and not started. Invariant: this
is the only place that constructs a service, so a test can hand the node other rooms.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sprawl.broker.engine import Stats
from sprawl.node.view import LiveView
from sprawl.settings import Settings


class Engine(Protocol):
    """The log and its topics, as far as the root needs them."""

    def stats(self) -> Stats:
        """Counters, gauges and histograms."""


class Server(Protocol):
    """What answers on listening sockets."""

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serves on sockets that listen already; returns when the first answer can be given."""

    async def drain(self, timeout_s: float) -> None:
        """Takes nothing new, ends what is in flight, and returns at the latest after the time."""

    def close(self) -> None:
        """Drops what is left."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """In the order in which they depend on each other; ``health`` serves the health port."""

    engine: Engine
    edge: Server
    health: Server


Build = Callable[[Settings, LiveView], Rooms]


def build_rooms(settings: Settings, view: LiveView) -> Rooms:
    """The real rooms; the compiled modules are loaded here and nowhere before."""
    from sprawl.broker.engine import open_engine
    from sprawl.edge.health import HealthServer
    from sprawl.edge.server import EdgeServer

    engine = open_engine(settings, view.node_id)
    edge = EdgeServer(engine, settings, view)
    return Rooms(engine, edge, HealthServer(engine, settings, view))
