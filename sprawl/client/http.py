"""One HTTP/1.1 connection: requests in, answers in the same order out.

In: ``Request``. Out: ``Response``. Requests may be pipelined; what is
sent in one turn of the loop is one write. Invariants: answers are matched to requests by order
alone; when the connection ends, every unanswered request fails with ``connection_lost`` and none is
sent again from here (``caller`` decides that).
Source: RFC 9112, parsed by llhttp (httptools).
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from sprawl.client import bounds
from sprawl.client.address import Address
from sprawl.errors import BadAnswer, ConnectionFailed, InvalidRequest


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``target`` is path and query, encoded; header values are without line breaks."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def encode(self, address: Address) -> bytes:
        """The bytes on the wire, the body included. Raises InvalidRequest."""
        lines = [f"{self.method} {address.prefix}{self.target} HTTP/1.1"]
        lines.append(f"Host: {address.authority}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in {"POST", "PUT"}:
            lines.append(f"Content-Length: {len(self.body)}")
        if any("\r" in line or "\n" in line for line in lines):
            raise InvalidRequest("a header of the request has a line break", code="invalid_header")
        try:
            head = "\r\n".join(lines).encode("latin-1")
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"a header of the request is not latin-1: {error}", code="invalid_header"
            ) from error
        return head + b"\r\n\r\n" + self.body


@dataclass(slots=True)
class Response:
    """A whole answer; header names are in lower case, a repeated one keeps its last value."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Exchange:
    future: "asyncio.Future[Response]"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    bytes_count: int = 0


class Connection(asyncio.Protocol):
    """A connection to ``address``."""

    def __init__(self, address: Address) -> None:
        self.address: Final = address
        self.idle_since_s: float = 0.0
        self.is_open = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchanges: deque[_Exchange] = deque()
        self._unsent: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_flush_due = False
        self._is_reusable = True

    @property
    def pending_count(self) -> int:
        """Requests without an answer."""
        return len(self._exchanges)

    async def writable(self) -> None:
        """Waits until what was written is sent, or the connection is lost."""
        await self._writable.wait()

    def send(self, request: Request) -> "asyncio.Future[Response]":
        """Sends ``request`` with this turn's write; the future has the whole answer."""
        future: asyncio.Future[Response] = self._loop.create_future()
        if not self.is_open:
            future.set_exception(self._lost("closed before the request"))
            return future
        encoded = request.encode(self.address)
        self._exchanges.append(_Exchange(future))
        self._unsent.append(encoded)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._transport is not None and self.is_open and self._unsent:
            self._transport.writelines(self._unsent)
        self._unsent.clear()

    def close(self) -> None:
        """Ends the connection now; unanswered requests fail with ``connection_lost``."""
        if self._transport is not None:
            self._transport.abort()
        self._end(self._lost("closed"))

    def _lost(self, why: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"connection to {self.address.url} lost: {why}", code="connection_lost"
        )

    def _end(self, error: Exception) -> None:
        self.is_open = False
        exchanges, self._exchanges = self._exchanges, deque()
        for exchange in exchanges:
            if not exchange.future.done():
                exchange.future.set_exception(error)
        self._writable.set()

    # --- asyncio calls these ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails what has no answer."""
        self._end(self._lost(str(exc) if exc else "the node closed it"))

    def pause_writing(self) -> None:
        """Makes ``writable`` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Lets ``writable`` go on."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Parses answers; bytes that are no answer end the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            known = cause if isinstance(cause, BadAnswer) else None
            refusal = known or BadAnswer(f"{self.address.url} answered no HTTP: {error}")
            if self._transport is not None:
                self._transport.abort()
            self._end(refusal)

    # --- httptools calls these ---

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps one header of the answer at the head of the line."""
        if not self._exchanges:
            raise BadAnswer(f"{self.address.url} answered without a question")
        self._exchanges[0].headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Notes whether the connection lives on after this answer."""
        if not self._exchanges:
            raise BadAnswer(f"{self.address.url} answered without a question")
        status = self._parser.get_status_code()
        if status >= 200 and not self._parser.should_keep_alive():
            self._is_reusable = False

    def on_body(self, body: bytes) -> None:
        """Keeps or passes on a piece of the body."""
        if not self._exchanges:
            return  # closed inside this very read
        exchange = self._exchanges[0]
        exchange.bytes_count += len(body)
        if exchange.bytes_count > bounds.ANSWER_BYTES_MAX:
            raise BadAnswer(
                f"answer of more than {bounds.ANSWER_BYTES_MAX} bytes from {self.address.url}"
            )
        exchange.pieces.append(body)

    def on_message_complete(self) -> None:
        """Answers the request at the head of the line."""
        if not self._exchanges:
            return
        status = self._parser.get_status_code()
        exchange = self._exchanges[0]
        if status < 200:  # an interim answer, the real one follows
            exchange.headers.clear()
            return
        self._exchanges.popleft()
        if not exchange.future.done():
            body = exchange.pieces[0] if len(exchange.pieces) == 1 else b"".join(exchange.pieces)
            exchange.future.set_result(Response(status, exchange.headers, body))
        if not self._is_reusable:
            self.close()
            return
        self.idle_since_s = self._loop.time()


async def connect(address: Address) -> Connection:
    """An open connection. Raises ConnectionFailed (``connection_failed``): nothing was sent."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(bounds.CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: Connection(address), address.host, address.port, ssl=address.tls
            )
    except TimeoutError as error:
        raise ConnectionFailed(
            f"no connection to {address.url} within {bounds.CONNECT_TIMEOUT_S:g} s"
        ) from error
    except OSError as error:
        raise ConnectionFailed(f"no connection to {address.url}: {error}") from error
    return connection
