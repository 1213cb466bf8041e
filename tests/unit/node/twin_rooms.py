"""Rooms that need no compiled code: an engine that counts, servers that answer `/status`."""

import asyncio
import json
import socket
from collections.abc import Sequence

from sprawl.broker.engine import Stats
from sprawl.node.rooms import Rooms
from sprawl.node.view import LiveView
from sprawl.settings import Settings


class TwinEngine:
    """Has received nothing."""

    def stats(self) -> Stats:
        return {"counters": {"messages_received": 0}, "gauges": {}, "histograms": {}}


class TwinServer:
    """Answers every request with the node's status and closes."""

    def __init__(self, name: str, view: LiveView, events: list[str]) -> None:
        self._name = name
        self._view = view
        self._events = events
        self._servers: list[asyncio.Server] = []
        self.drain_s = 0.0

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        self._events.append(f"{self._name} start")
        for listening in sockets:
            self._servers.append(await asyncio.start_server(self._answer, sock=listening))

    async def drain(self, timeout_s: float) -> None:
        self._events.append(f"{self._name} drain")
        await asyncio.sleep(self.drain_s)

    def close(self) -> None:
        self._events.append(f"{self._name} close")
        for server in self._servers:
            server.close()

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


def twin_rooms(settings: Settings, view: LiveView) -> Rooms:
    """Rooms whose calls are recorded in `events` of the edge."""
    events: list[str] = []
    return Rooms(TwinEngine(), TwinServer("edge", view, events), TwinServer("health", view, events))
