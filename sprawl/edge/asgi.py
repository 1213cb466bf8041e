"""Runs an ASGI application for the cold requests of the compiled protocol.

In: ``ColdRequest`` on a ``Connection``. Out: one answer each, written to that connection, then
``finish``. Invariants: an exception of the application becomes a 500 if its head was not sent yet,
else the connection closes, so that a cut answer is never taken for a whole one; a client that goes
away cancels its task; a HEAD answer has no body. Source: ASGI 3.0, RFC 9110, RFC 9112.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from sprawl.edge.heads import LAST_CHUNK, DateCache, chunk, head
from sprawl.edge.seam import ColdRequest, Connection, Spawn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Application = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
Clock = Callable[[], int]

_log: Final = logging.getLogger("sprawl.edge")


class AsgiHost:
    """Answers cold requests with one application; each request is a task of its own."""

    def __init__(
        self, application: Application, *, spawn: Spawn, now_ns: Clock, port: int, host: str
    ) -> None:
        self._application = application
        self._spawn = spawn
        self._now_ns = now_ns
        self._server = (host, port)
        self._dates = DateCache()
        self._running: dict[Connection, asyncio.Task[None]] = {}

    @property
    def open_count(self) -> int:
        """Cold requests that are not answered yet."""
        return len(self._running)

    def request(self, protocol: Connection, request: ColdRequest) -> None:
        """Starts the answer to ``request``; returns at once."""
        exchange = _Exchange(protocol, request, self._dates.at(self._now_ns()))
        task = self._spawn("edge.request", self._answer(exchange))
        if not task.done():
            self._running[protocol] = task
            task.add_done_callback(lambda done: self._forget(protocol, done))

    def disconnected(self, protocol: Connection) -> None:
        """Cancels what runs for a client that is gone."""
        task = self._running.pop(protocol, None)
        if task is not None:
            task.cancel()

    def _forget(self, protocol: Connection, task: asyncio.Task[None]) -> None:
        if self._running.get(protocol) is task:
            del self._running[protocol]

    async def _answer(self, exchange: "_Exchange") -> None:
        try:
            await self._application(exchange.scope(self._server), exchange.receive, exchange.send)
        except asyncio.CancelledError:
            exchange.abort()
            # A client that goes away ends this task and nothing else; the node's own stop cancels
            # from outside and must see the cancellation.
            if not exchange.is_disconnected:
                raise
        except Exception:  # noqa: BLE001 - the border: a defect becomes a 500, logged
            _log.exception("request failed", extra={"path": exchange.path})
            exchange.fail()
        else:
            exchange.close_if_unfinished()


class _Exchange:
    """One request and the answer to it, in ASGI's messages."""

    def __init__(self, connection: Connection, request: ColdRequest, date: bytes) -> None:
        self._connection = connection
        self._request = request
        self._date = date
        self._asks_to_close = _asks_to_close(request)
        self._was_read = False
        self._is_head_sent = False
        self._is_finished = False
        self._start: Message | None = None
        self._is_chunked = False
        self._has_body = request.method != "HEAD"

    @property
    def path(self) -> str:
        return self._request.path

    @property
    def is_disconnected(self) -> bool:
        return self._connection.is_closing

    def scope(self, server: tuple[str, int]) -> Scope:
        request = self._request
        raw_path = request.path.encode("latin-1", "replace").partition(b"?")[0]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": request.http_version,
            "method": request.method,
            "scheme": "http",
            "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": self._connection.peer,
            "server": server,
        }

    async def receive(self) -> Message:
        if not self._was_read:
            self._was_read = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert self._start is None, "an answer starts once"
            self._start = message
            return
        assert message["type"] == "http.response.body", message["type"]
        assert self._start is not None
        assert not self._is_finished
        body, is_last = bytes(message.get("body", b"")), not message.get("more_body", False)
        if not self._is_head_sent:
            self._write_first(body, is_last)
        elif self._has_body:
            self._connection.write(chunk(body) if self._is_chunked else body)
        if is_last:
            self._finish()
        else:
            await self._connection.drained()

    def abort(self) -> None:
        """The task was cancelled: nobody gets the rest of this answer."""
        if not self._is_finished:
            self._is_finished = True
            self._connection.close()

    def fail(self) -> None:
        """The application raised: a bare 500 if nothing was sent yet, else a cut connection."""
        if self._is_finished:
            return
        if self._is_head_sent:
            self.abort()
            return
        self._is_finished = True
        close = (b"Connection", b"close")
        self._connection.write(head(500, [(b"Content-Length", b"0"), close], self._date))
        self._connection.finish(True)

    def close_if_unfinished(self) -> None:
        """An application that returns without a whole answer is a defect, answered as one."""
        if not self._is_finished:
            _log.error("answer without an end", extra={"path": self.path})
            self.fail()

    def _write_first(self, body: bytes, is_last: bool) -> None:
        assert self._start is not None
        status: int = self._start["status"]
        headers = [(bytes(name).title(), bytes(value)) for name, value in self._start["headers"]]
        names = {name.lower() for name, _ in headers}
        may_have_body = status >= 200 and status not in (204, 304)
        self._has_body = self._has_body and may_have_body
        if may_have_body and b"content-length" not in names:
            if is_last:
                headers.append((b"Content-Length", b"%d" % len(body)))
            elif self._request.http_version == "1.0":
                self._asks_to_close = True
            else:
                self._is_chunked = True
                headers.append((b"Transfer-Encoding", b"chunked"))
        if self._asks_to_close:
            headers.append((b"Connection", b"close"))
        elif self._request.http_version == "1.0":
            headers.append((b"Connection", b"keep-alive"))
        self._is_head_sent = True
        first = head(status, headers, self._date)
        if self._has_body:
            first += chunk(body) if self._is_chunked else body
        self._connection.write(first)

    def _finish(self) -> None:
        if self._is_chunked and self._has_body:
            self._connection.write(LAST_CHUNK)
        self._is_finished = True
        self._connection.finish(self._asks_to_close)


def _asks_to_close(request: ColdRequest) -> bool:
    tokens = {
        token.strip().lower()
        for name, value in request.headers
        if name == b"connection"
        for token in value.split(b",")
    }
    if request.http_version == "1.0":
        return b"keep-alive" not in tokens
    return b"close" in tokens
