"""An echo on the node's own WebSocket class and compiled protocol, for a client that tries it.

Prints its URL on one line, then serves until it is terminated.
"""

import asyncio
import signal

import uvloop

from sprawl._hot.protocol import Listener
from sprawl._native import Engine
from sprawl.edge.caps import ConnectionCaps
from sprawl.edge.seam import ColdRequest, Connection
from sprawl.edge.websocket import WebSocket
from sprawl.limits import CHUNK_BYTES, MEMORY_BYTES_MIN


class Echo:
    """Sends back every message in its kind."""

    def opened(self, socket: WebSocket) -> None:
        self._socket = socket

    def text(self, message: bytes) -> None:
        self._socket.send_text(message)

    def binary(self, message: bytes) -> None:
        self._socket.send_binary(message)

    def writable(self) -> None:
        """Nothing is held back: the client is not read while it is behind."""

    def ended(self) -> None:
        """Nothing is kept."""


class EchoHost:
    """Takes over every WebSocket; answers nothing else."""

    def request(self, protocol: Connection, request: ColdRequest) -> None:
        protocol.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        protocol.finish(True)

    def upgrade(self, protocol: Connection, request: ColdRequest) -> None:
        socket = WebSocket(protocol, Echo())
        socket.open(socket.handshake(request))

    def disconnected(self, protocol: Connection) -> None:
        """Nothing runs for a client."""


async def serve() -> None:
    engine = Engine(
        memory_bytes_max=MEMORY_BYTES_MIN,
        chunk_bytes=CHUNK_BYTES,
        dedup_keys_max=1,
        topics_max=1,
        seed=1,
        node_id="echo",
    )
    loop = asyncio.get_running_loop()
    listener = Listener(engine, EchoHost(), loop, caps=ConnectionCaps(), is_hot=True)
    server = await loop.create_server(listener.factory, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"ws://127.0.0.1:{port}/v1/topics/echo/messages", flush=True)  # noqa: T201
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()
    listener.abort()


if __name__ == "__main__":
    uvloop.run(serve())
