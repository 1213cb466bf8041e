"""The ceiling of any Python edge: a bare uvloop protocol that answers every request with the same bytes.

It parses nothing, keeps nothing and allocates nothing per request, so what a node loses against it is
the node's own work. A request is taken to end its head within one read, which holds for the small
requests of the load. Usage: ``python bare_uvloop.py PORT``; listens on 127.0.0.1 until SIGTERM.
"""

import asyncio
import signal
import sys
from typing import cast

import uvloop

BODY = (
    b'{"id":"k3v7q2m4xw5ta-0-41","topic":"t","partition":0,"offset":41,'
    b'"timestamp":"2026-01-01T00:00:00.000000Z",'
    b'"durability":{"asked":"memory","reached":"memory","replicas":1,"fsynced":0}}\n'
)
ANSWER = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)


class Constant(asyncio.Protocol):
    """Answers each request head it sees with ``ANSWER``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.write = cast(asyncio.WriteTransport, transport).write

    def data_received(self, data: bytes) -> None:
        count = data.count(b"\r\n\r\n")
        self.write(ANSWER if count == 1 else ANSWER * count)


async def serve(port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(Constant, "127.0.0.1", port, backlog=4096)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
