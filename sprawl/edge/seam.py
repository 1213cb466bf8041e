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

from sprawl._native import Page
from sprawl.edge.caps import ConnectionCaps
from sprawl.log.reads import Want

Spawn = Callable[[str, Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts a named task under the node's supervision."""


class ColdRequest(Protocol):
    """A parsed, limited and de-chunked request; header names are lower case."""

    @property
    def method(self) -> str:
        """The method, as sent."""

    @property
    def path(self) -> str:
        """The raw target path, still percent-encoded."""

    @property
    def query(self) -> bytes:
        """What stands behind the question mark."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Names in lower case, values as sent."""

    @property
    def body(self) -> bytes:
        """The whole body."""

    @property
    def http_version(self) -> str:
        """``1.1`` or ``1.0``."""


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
    def peer(self) -> tuple[str, int]:
        """Address and port of the client."""

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""

    def write(self, data: bytes) -> None:
        """Queues bytes of the current answer; dropped when the connection is closing."""

    def finish(self, close: bool) -> None:
        """Ends the current answer; with ``close`` the connection ends after it."""

    async def drained(self) -> None:
        """Returns once the write buffer is below its budget or the connection is gone."""

    def take_over(self, handler: UpgradeHandler) -> None:
        """Gives all further bytes to ``handler``; the connection is no longer HTTP.

        While the write buffer is above its budget the client is not read, so that one that only
        sends cannot make its answers pile up.
        """

    def close(self) -> None:
        """Closes after what is queued was sent."""

    def abort(self) -> None:
        """Closes now; what is queued is dropped."""


class Host(Protocol):
    """Who answers what the compiled protocol does not."""

    def request(self, protocol: Connection, request: ColdRequest) -> None:
        """A complete cold request; answered by ``write`` and ``finish``, now or later."""

    def upgrade(self, protocol: Connection, request: ColdRequest) -> None:
        """A WebSocket handshake; answered by ``take_over``, or like a request."""

    def disconnected(self, protocol: Connection) -> None:
        """The client is gone; what runs for it is cancelled."""


class Watcher(Protocol):
    """Tells readers of the log that there is something new, and publishers that it is on disk."""

    def watch(self, reader: object, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once per tick in which the reader has new data, until unwatched."""

    def unwatch(self, reader: object) -> None:
        """Ends the calls; harmless when the reader is not watched."""

    def fetch(self, reader: object, callback: Callable[[bool], None]) -> bool:
        """Reads from disk what the reader wants, then calls back whether it was fed.

        False when it wants nothing from disk: then nothing is called.
        """

    def when_synced(self, mark: int, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once ``mark`` is on disk, in the order of the calls."""


class Listener(Watcher, Protocol):
    """The compiled side of one listening port."""

    @property
    def factory(self) -> Callable[[], asyncio.BaseProtocol]:
        """Makes the protocol of one connection."""

    def use_disk(
        self,
        wake_committer: Callable[[], None],
        read_disk: Callable[[Want, Callable[[Page | None], None]], None],
    ) -> None:
        """Connects the disk tier: who is woken when there is something to write, who reads."""

    def synced(self, end_lsn: int, mark: int) -> None:
        """Everything up to ``mark`` is on disk: what waited for it goes on."""

    def read_page(self, want: Want, done: Callable[[Page | None], None]) -> None:
        """Reads a page from disk and calls ``done`` with it, None when it cannot be read."""

    def histograms(self) -> dict[str, tuple[list[int], int]]:
        """Time spent per stage: name → (counts by powers of two, sum in nanoseconds)."""

    def tick(self) -> None:
        """Does what is due by time alone: heartbeats, waits, deadlines of slow requests."""

    def drain(self) -> None:
        """Closes idle connections now, others after their open answer.

        Long polls and streams end with what they have.
        """

    def abort(self) -> None:
        """Closes every connection now."""


class NewListener(Protocol):
    """Makes the compiled side of a port: ``sprawl._hot.protocol.Listener``.

    ``caps`` is asked in ``connection_made`` and told in ``connection_lost``. With ``is_hot`` false
    every request is cold (the health port).
    """

    def __call__(
        self,
        engine: object,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        *,
        caps: ConnectionCaps,
        is_hot: bool,
    ) -> Listener:
        """A listener that hands cold requests to ``host``."""
