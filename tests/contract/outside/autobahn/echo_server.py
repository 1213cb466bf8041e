"""The node's WebSocket on the node's protocol, with an application that sends back what it gets.

In: a port. Out: a server for conformance suites, which need an echo; everything below the
application is the node's own. Run: ``python echo_server.py PORT``; it prints one line when it listens.
"""

import asyncio
import sys

import uvloop

from sprawl import limits
from sprawl._hot.protocol import Listener, NodeTime
from sprawl._native import Engine
from sprawl.edge.caps import ConnectionCaps
from sprawl.edge.seam import ColdRequest, Connection
from sprawl.edge.websocket import WebSocket

PATH = "/v1/topics/echo/messages"
"""What the node upgrades on."""


class Echo:
    """Sends every message back as it came."""

    def opened(self, socket: WebSocket) -> None:
        """Takes the connection."""
        self.socket = socket

    def text(self, message: bytes) -> None:
        """Text as text."""
        self.socket.send_text(message)

    def binary(self, message: bytes) -> None:
        """Binary as binary."""
        self.socket.send_binary(message)

    def writable(self) -> None:
        """Nothing waits: the protocol does not read a client that does not read."""

    def ended(self) -> None:
        """Nothing is held."""


class EchoHost:
    """Answers handshakes; there is nothing else here."""

    def request(self, protocol: Connection, request: ColdRequest) -> None:
        """Ends the connection."""
        protocol.finish(True)

    def upgrade(self, protocol: Connection, request: ColdRequest) -> None:
        """Opens an echo."""
        socket = WebSocket(protocol, Echo())
        response = socket.handshake(request)
        if response.status_code == 101:
            socket.open(response)
        else:
            protocol.finish(True)

    def disconnected(self, protocol: Connection) -> None:
        """Nothing runs for a client."""


async def serve(port: int) -> None:
    """Serves until the process is ended."""
    loop = asyncio.get_running_loop()
    engine = Engine(
        memory_bytes_max=limits.MEMORY_BYTES_MIN,
        chunk_bytes=limits.CHUNK_BYTES,
        dedup_keys_max=1,
        topics_max=1,
        seed=1,
        node_id="echo",
        auto_create=True,
    )
    listener = Listener(
        engine, EchoHost(), loop, caps=ConnectionCaps(), is_hot=True, time=NodeTime()
    )
    server = await loop.create_server(listener.factory, "127.0.0.1", port)
    sys.stdout.write(f"listening on {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
