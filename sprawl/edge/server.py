"""The edge of a node: its ports, what answers on them, and how they stop.

In: an engine, a view of the node, sockets that are bound already. Out: a node that answers.
Invariants: client connections are capped; those of the health port apart, so that a full or stopping
node still says how it is; stopping first stops accepting clients, then lets open answers end within
the time it is given, then closes what is left, and the health port last.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from socket import socket
from typing import Final

from sprawl.broker.disk_waits import DiskWaits
from sprawl.broker.engine import Engine
from sprawl.broker.subscribe import Delivery, Subscriptions
from sprawl.broker.tiers import Cloud, Disk
from sprawl.edge.app import build_app, openapi_bytes
from sprawl.edge.asgi import AsgiHost
from sprawl.edge.call import Context, ListenerStats
from sprawl.edge.caps import ConnectionCaps
from sprawl.edge.host import ColdHost
from sprawl.edge.node_view import NodeView
from sprawl.edge.original.subscriptions import log_delivery
from sprawl.edge.seam import Listener, NewListener, Spawn
from sprawl.limits import HEALTH_CONNECTIONS_MAX, HEARTBEAT_S, LISTEN_BACKLOG_MAX

TICK_S: Final = 0.1
"""Seconds between two looks at what is due by time: the precision of waits and heartbeats."""

_log: Final = logging.getLogger("sprawl.edge")


class EdgeServer:
    """All ports of one node."""

    def __init__(
        self,
        engine: Engine,
        view: NodeView,
        *,
        spawn: Spawn,
        new_listener: NewListener,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        caps: ConnectionCaps | None = None,
        connected: Callable[[Listener], None] = lambda _: None,
        tier: Disk | None = None,
        cloud: Cloud | None = None,
    ) -> None:
        self._engine = engine
        self._view = view
        self._spawn = spawn
        self._new_listener = new_listener
        self._loop = asyncio.get_running_loop()
        self._caps = caps or ConnectionCaps()
        self._connected = connected
        self._tier = tier
        self._cloud = cloud
        self._health_caps = ConnectionCaps(HEALTH_CONNECTIONS_MAX, HEALTH_CONNECTIONS_MAX)
        self._ports: list[_Port] = []
        self._timers: list[asyncio.Task[None]] = []
        self._disk = DiskWaits()
        self._subscriptions = Subscriptions(
            engine, now_ns=view.now_ns, new_id=new_id, on_delivery=self._on_delivery
        )

    @property
    def connections_count(self) -> int:
        """Open client connections of all ports."""
        return self._caps.count + self._health_caps.count

    def stats(self) -> ListenerStats:
        """What the ports measured, all of them together."""
        stages: dict[str, tuple[list[int], int]] = {}
        for port in self._ports:
            for name, (counts, total) in port.listener.histograms().items():
                held, so_far = stages.get(name, ([0] * len(counts), 0))
                summed = [a + b for a, b in zip(held, counts, strict=True)]
                stages[name] = (summed, so_far + total)
        return ListenerStats(stages, self.connections_count)

    async def start(
        self, http_sockets: Sequence[socket], health_sockets: Sequence[socket] = ()
    ) -> None:
        """Begins to accept on bound sockets; after return a client is answered."""
        main = self._port(is_health_port=False)
        self._subscriptions.attach(main.listener)
        self._disk.attach(main.listener)
        self._connected(main.listener)
        await main.listen(self._loop, http_sockets)
        if health_sockets:
            health = self._port(is_health_port=True)
            await health.listen(self._loop, health_sockets)
        self._timers = [
            self._spawn("edge.tick", self._every(TICK_S, self._tick)),
            self._spawn("edge.keep-alive", self._every(HEARTBEAT_S, self._keep_alive)),
        ]

    async def stop(self, timeout_s: float) -> None:
        """Stops accepting, waits for open answers at most ``timeout_s``, closes the rest."""
        if not self._ports:
            return
        main, *health = self._ports
        main.stop_accepting()
        try:
            async with asyncio.timeout(timeout_s):
                await self._caps.until_empty()
        except TimeoutError:
            _log.warning("closing %d connections that did not end", self._caps.count)
            main.listener.abort()
        for port in health:
            # Its answers never wait: what is still open is a client that does not read.
            port.stop_accepting()
            port.listener.abort()
        for timer in self._timers:
            timer.cancel()
        for port in self._ports:
            await port.wait_closed()

    def _port(self, *, is_health_port: bool) -> "_Port":
        context = Context(
            engine=self._engine,
            view=self._view,
            subscriptions=self._subscriptions,
            disk=self._disk,
            document=openapi_bytes(self._view.version),
            listener_stats=self.stats,
            is_health_port=is_health_port,
            tier=self._tier,
            cloud=self._cloud,
        )
        number = self._view.health_port if is_health_port else self._view.http_port
        asgi = AsgiHost(
            build_app(context),
            spawn=self._spawn,
            now_ns=self._view.now_ns,
            host=self._view.address,
            port=number or 0,
        )
        host = ColdHost(
            asgi,
            self._engine,
            node_id=self._view.node_id,
            now_ns=self._view.now_ns,
            loop=self._loop,
        )
        caps = self._health_caps if is_health_port else self._caps
        listener = self._new_listener(
            self._engine, host, self._loop, caps=caps, is_hot=not is_health_port
        )
        host.attach(listener)
        port = _Port(listener, host)
        self._ports.append(port)
        return port

    async def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            act()

    def _tick(self) -> None:
        for port in self._ports:
            port.listener.tick()

    def _keep_alive(self) -> None:
        for port in self._ports:
            port.host.keep_alive()

    def _on_delivery(self, delivery: Delivery) -> None:
        log_delivery(delivery, self._view.log_payloads)


class _Port:
    """One listener with its host and its sockets."""

    def __init__(self, listener: Listener, host: ColdHost) -> None:
        self.listener = listener
        self.host = host
        self._servers: list[asyncio.Server] = []

    async def listen(self, loop: asyncio.AbstractEventLoop, sockets: Sequence[socket]) -> None:
        """Accepts on every socket."""
        create = partial(loop.create_server, self.listener.factory, backlog=LISTEN_BACKLOG_MAX)
        for bound in sockets:
            self._servers.append(await create(sock=bound))

    def stop_accepting(self) -> None:
        """Accepts no more and asks open connections to end."""
        for server in self._servers:
            server.close()
        self.host.drain()
        self.listener.drain()

    async def wait_closed(self) -> None:
        """Returns once the listening sockets are closed."""
        for server in self._servers:
            await server.wait_closed()
