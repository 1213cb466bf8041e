"""The edge of a node: its ports, what answers on them, and how they stop.

In: an engine, settings, a view of the node, sockets that are bound already. Out: a node that
answers. Invariants: connections are capped over each port; stopping first stops accepting, then
lets open answers end within the time it is given, then closes what is left; nothing here writes to
the log but through the engine.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from socket import socket
from typing import Any, Final

from sprawl.broker.engine import Engine
from sprawl.broker.subscribe import Delivery, Subscriptions
from sprawl.edge.app import build_app, openapi_bytes
from sprawl.edge.asgi import AsgiHost
from sprawl.edge.call import Context, ListenerStats
from sprawl.edge.caps import ConnectionCaps
from sprawl.edge.host import ColdHost
from sprawl.edge.node_view import NodeView
from sprawl.edge.original.subscriptions import log_delivery
from sprawl.edge.seam import Listener, NewListener
from sprawl.limits import HEARTBEAT_S, LISTEN_BACKLOG_MAX
from sprawl.settings import Settings

TICK_S: Final = 0.1
"""Seconds between two looks at what is due by time: the precision of waits and heartbeats."""

HEALTH_CONNECTIONS_MAX: Final = 256
"""Connections of the health port, apart from the clients' so that probes always get in."""

_log: Final = logging.getLogger("sprawl.edge")


class EdgeServer:
    """The HTTP port of one node; ``health`` is the server of its health port."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        view: NodeView,
        *,
        new_listener: NewListener | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._subscriptions = Subscriptions(
            engine, now_ns=view.now_ns, new_id=new_id, on_delivery=self._on_delivery
        )
        self._view = view
        make = partial(
            PortServer,
            engine,
            view,
            subscriptions=self._subscriptions,
            new_listener=new_listener or _compiled_listener(),
            stats=self.stats,
        )
        caps = ConnectionCaps(settings.connections_max, settings.connections_per_address_max)
        self._main = make(caps=caps, is_health_port=False)
        probes = ConnectionCaps(HEALTH_CONNECTIONS_MAX, HEALTH_CONNECTIONS_MAX)
        self.health: Final = make(caps=probes, is_health_port=True)

    @property
    def connections_count(self) -> int:
        """Open client connections of the HTTP port."""
        return self._main.connections_count

    def stats(self) -> ListenerStats:
        """What the HTTP port measured."""
        return ListenerStats(self._main.listener.histograms(), self._main.connections_count)

    async def start(self, sockets: Sequence[socket]) -> None:
        """Begins to accept on bound sockets; after return a client is answered."""
        self._subscriptions.attach(self._main.listener)
        await self._main.start(sockets)

    async def drain(self, timeout_s: float) -> None:
        """Takes nothing new, ends what is open, and returns at the latest after the time."""
        await self._main.drain(timeout_s)

    def close(self) -> None:
        """Drops what is left."""
        self._main.close()

    def _on_delivery(self, delivery: Delivery) -> None:
        log_delivery(delivery, self._view.log_payloads)


class PortServer:
    """One port: its listener, its host, its listening sockets and its timer."""

    def __init__(
        self,
        engine: Engine,
        view: NodeView,
        *,
        subscriptions: Subscriptions,
        new_listener: NewListener,
        stats: Callable[[], ListenerStats],
        caps: ConnectionCaps,
        is_health_port: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._caps = caps
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive_at = self._loop.time() + HEARTBEAT_S
        context = Context(
            engine=engine,
            view=view,
            subscriptions=subscriptions,
            document=openapi_bytes(view.version),
            listener_stats=stats,
            is_health_port=is_health_port,
        )
        asgi = AsgiHost(
            build_app(context),
            spawn=self._spawn,
            now_ns=view.now_ns,
            host=view.address,
            port=(view.health_port if is_health_port else view.http_port) or 0,
        )
        self._host = ColdHost(
            asgi, engine, node_id=view.node_id, now_ns=view.now_ns, loop=self._loop
        )
        self.listener: Final[Listener] = new_listener(
            engine, self._host, self._loop, caps=caps, is_hot=not is_health_port
        )
        self._host.attach(self.listener)

    @property
    def connections_count(self) -> int:
        """Open connections."""
        return self._caps.count

    async def start(self, sockets: Sequence[socket]) -> None:
        """Begins to accept on bound sockets; after return a client is answered."""
        create = partial(
            self._loop.create_server, self.listener.factory, backlog=LISTEN_BACKLOG_MAX
        )
        for bound in sockets:
            self._servers.append(await create(sock=bound))
        self._tick()

    async def drain(self, timeout_s: float) -> None:
        """Takes nothing new, ends what is open, and returns at the latest after the time."""
        for server in self._servers:
            server.close()
        self._host.drain()
        self.listener.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self._caps.until_empty()
        except TimeoutError:
            _log.warning("%d connections did not end in time", self._caps.count)

    def close(self) -> None:
        """Drops what is left: connections, answers being made, the timer."""
        for server in self._servers:
            server.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.listener.abort()
        for task in self._tasks:
            task.cancel()

    def _tick(self) -> None:
        # Set again before the work: a defect in one tick is reported by the loop and does not end
        # the ticks.
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.listener.tick()
        if self._loop.time() >= self._keep_alive_at:
            self._keep_alive_at = self._loop.time() + HEARTBEAT_S
            self._host.keep_alive()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that lives at most as long as its connection; its work reports its own errors."""
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _compiled_listener() -> NewListener:
    from sprawl._hot.protocol import Listener as Compiled

    new_listener: NewListener = Compiled
    return new_listener
