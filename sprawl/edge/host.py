"""Who answers what the compiled protocol does not: the application, and WebSocket handshakes.

In: cold requests and upgrades of one port. Out: answers, and connections taken over. Invariants: a
handshake that a foreign page caused, or whose read would be refused, is answered as an ordinary
request with the problem; every WebSocket is known until its connection is gone.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

from starlette.responses import Response

from sprawl.broker.engine import Engine
from sprawl.edge.app import request_ids
from sprawl.edge.asgi import AsgiHost
from sprawl.edge.heads import DateCache, head
from sprawl.edge.origin import check_origin
from sprawl.edge.problems import refusal
from sprawl.edge.seam import ColdRequest, Connection, Watcher
from sprawl.edge.topic_socket import TopicSocket
from sprawl.edge.websocket import WebSocket
from sprawl.errors import InvalidRequest, SprawlError, Unavailable

SUBPROTOCOLS: Final = ("sprawl.json", "sprawl.binary")
"""How a client that cannot set ``Accept`` chooses the form of messages; JSON when it does not."""

_STREAM: Final = re.compile(r"/v1/topics/([^/]+)/messages")
_BINARY_TYPE: Final = "application/x-sprawl-batch"
_GOING_AWAY: Final = 1001


class ColdHost:
    """Answers cold requests by the application and takes over WebSocket connections."""

    def __init__(
        self,
        asgi: AsgiHost,
        engine: Engine,
        *,
        node_id: str,
        now_ns: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._asgi = asgi
        self._engine = engine
        self._now_ns = now_ns
        self._loop = loop
        self._dates = DateCache()
        self._ids = request_ids(node_id)
        self._watcher: Watcher | None = None
        self._sockets: set[WebSocket] = set()
        self._is_draining = False

    @property
    def sockets_count(self) -> int:
        """Open WebSocket connections."""
        return len(self._sockets)

    def attach(self, watcher: Watcher) -> None:
        """Names the listener that wakes the readers of this host's WebSockets."""
        self._watcher = watcher

    def request(self, protocol: Connection, request: ColdRequest) -> None:
        """Runs the application."""
        self._asgi.request(protocol, request)

    def disconnected(self, protocol: Connection) -> None:
        """Cancels what the application does for this client."""
        self._asgi.disconnected(protocol)

    def upgrade(self, protocol: Connection, request: ColdRequest) -> None:
        """Opens a WebSocket on a topic, or says why not."""
        found = _STREAM.fullmatch(request.path.partition("?")[0])
        if found is None:
            self._asgi.request(protocol, request)
            return
        try:
            self._open(protocol, request, unquote(found[1]))
        except SprawlError as error:
            self._refuse(protocol, request, error)

    def keep_alive(self) -> None:
        """Pings silent WebSocket clients and drops dead ones."""
        for socket in list(self._sockets):
            socket.keep_alive()

    def drain(self) -> None:
        """Asks WebSocket clients to go; new ones are refused."""
        self._is_draining = True
        for socket in list(self._sockets):
            socket.close(_GOING_AWAY, "the node is stopping")

    def _open(self, protocol: Connection, request: ColdRequest, topic: str) -> None:
        assert self._watcher is not None, "attach is called before the port opens"
        if self._is_draining:
            raise Unavailable("the node is stopping", code="draining", retry_after_s=1)
        headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in request.headers}
        check_origin(headers)
        is_binary = _wants_binary(headers)
        reader = self._engine.reader(
            topic,
            request.query,
            "ws-binary" if is_binary else "ws-json",
            headers.get("last-event-id"),
            self._now_ns(),
        )
        application = TopicSocket(
            self._engine,
            reader,
            topic,
            watcher=self._watcher,
            call_soon=self._loop.call_soon,
            now_ns=self._now_ns,
        )
        socket = WebSocket(
            protocol, application, subprotocols=SUBPROTOCOLS, on_closed=self._sockets.discard
        )
        response = socket.handshake(request)
        if response.status_code != 101:
            detail = bytes(response.body or b"").decode("utf-8", "replace").strip()
            raise InvalidRequest(detail, members={"sec_websocket_version": "13"})
        self._sockets.add(socket)
        socket.open(response)

    def _refuse(self, protocol: Connection, request: ColdRequest, error: SprawlError) -> None:
        path = request.path[:1024]
        response = refusal(error, "problem", instance=path, request_id=next(self._ids))
        headers = [*_titled(response), (b"Connection", b"close")]
        if "sec_websocket_version" in error.members:
            headers.append((b"Sec-WebSocket-Version", b"13"))
        date = self._dates.at(self._now_ns())
        protocol.write(head(response.status_code, headers, date) + bytes(response.body))
        protocol.finish(True)


def _wants_binary(headers: dict[str, str]) -> bool:
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    chosen = next((name for name in offered if name in SUBPROTOCOLS), None)
    if chosen is not None:
        return chosen == "sprawl.binary"
    return _BINARY_TYPE in headers.get("accept", "")


def _titled(response: Response) -> Iterator[tuple[bytes, bytes]]:
    return ((name.title(), value) for name, value in response.raw_headers)
