"""The border between the compiled protocol and the cold half of the edge, as Protocols.

In: nothing. Out: the types both sides hold to. ``sprawl/_hot/protocol.pyx`` parses every request;
what it does not answer itself it hands to a ``Host`` and goes on with the next pipelined request
only after ``finish``. Invariants: one cold request of a connection is open at a time; after
``take_over`` the connection belongs to its handler; nothing is written after ``finish`` or
``close``.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

Spawn = Callable[[str, Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts a named task under the node's supervision."""


class ColdRequest(Protocol):
    """A parsed, limited and de-chunked request; header names are lower case."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> bytes: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def http_version(self) -> str: ...


class UpgradeHandler(Protocol):
    """Who gets a connection's bytes after ``take_over``."""

    def feed(self, data: bytes) -> None:
        """Bytes from the client, in order."""

    def closed(self) -> None:
        """The connection is gone; called once."""

    def write_paused(self) -> None:
        """The write buffer is above its budget: stop producing."""

    def write_resumed(self) -> None:
        """The write buffer is below its budget again."""


class Connection(Protocol):
    """One client connection, as its cold requests see it."""

    @property
    def peer(self) -> tuple[str, int]: ...
    @property
    def is_closing(self) -> bool: ...

    def write(self, data: bytes) -> None:
        """Queues bytes of the current answer; dropped when the connection is closing."""

    def finish(self, close: bool) -> None:
        """Ends the current answer; with ``close`` the connection ends after it."""

    async def drained(self) -> None:
        """Returns once the write buffer is below its budget or the connection is gone."""

    def take_over(self, handler: UpgradeHandler) -> None:
        """Gives all further bytes to ``handler``; the connection is no longer HTTP."""

    def close(self) -> None:
        """Closes after what is queued was sent."""


class Host(Protocol):
    """Who answers what the compiled protocol does not."""

    def request(self, protocol: Connection, request: ColdRequest) -> None:
        """A complete cold request; answered by ``write`` and ``finish``, now or later."""

    def upgrade(self, protocol: Connection, request: ColdRequest) -> None:
        """A WebSocket handshake; answered by ``take_over``, or like a request."""

    def disconnected(self, protocol: Connection) -> None:
        """The client is gone; what runs for it is cancelled."""


class Watcher(Protocol):
    """Tells readers of the log that there is something new."""

    def watch(self, reader: object, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once per tick in which the reader has new data, until unwatched."""

    def unwatch(self, reader: object) -> None:
        """Ends the calls; harmless when the reader is not watched."""


class Listener(Watcher, Protocol):
    """The compiled side of one listening port."""

    @property
    def factory(self) -> Callable[[], asyncio.BaseProtocol]: ...

    def tick(self) -> None:
        """Does what is due by time alone: heartbeats, waits, deadlines of slow requests."""
