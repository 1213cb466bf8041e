"""Rooms that need no compiled code: an engine that counts, servers that answer `/status`."""

import asyncio
import json
import socket
from collections.abc import Sequence

from sprawl.broker.engine import Stats
from sprawl.node.directory import Directory
from sprawl.node.rooms import Rooms
from sprawl.node.tasks import Tasks
from sprawl.node.view import LiveView
from sprawl.settings import Settings


class TwinEngine:
    """Has received nothing."""

    def stats(self) -> Stats:
        return {"counters": {"messages_received": 0}, "gauges": {}, "histograms": {}}


class TwinServer:
    """Answers every request with the node's status and closes."""

    def __init__(self, view: LiveView, events: list[str]) -> None:
        self._view = view
        self._events = events
        self._servers: list[asyncio.Server] = []
        self.drain_s = 0.0

    async def start(
        self, http_sockets: Sequence[socket.socket], health_sockets: Sequence[socket.socket] = ()
    ) -> None:
        self._events.append("edge start")
        for listening in (*http_sockets, *health_sockets):
            self._servers.append(await asyncio.start_server(self._answer, sock=listening))

    async def stop(self, timeout_s: float) -> None:
        self._events.append(f"edge stop {timeout_s:g}")
        for server in self._servers:
            server.close()
        await asyncio.sleep(self.drain_s)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        view = self._view
        members = {
            "address": view.address,
            "http_port": view.http_port,
            "node_id": view.node_id,
            "bind_port": view.bind_port,
            "health_port": view.health_port,
            "state": view.state,
        }
        body = json.dumps(members).encode() + b"\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


def twin_rooms(_settings: Settings, view: LiveView, _tasks: Tasks, _directory: Directory) -> Rooms:
    """Rooms that nobody watches."""
    return Rooms(TwinEngine(), TwinServer(view, []))
