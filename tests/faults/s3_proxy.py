"""A proxy before an S3 server that breaks chosen requests in chosen ways.

In: rules. Out: what the server answers, or what the rule makes of it. Each request takes one
connection (``Connection: close`` both ways), so that a fault hurts no other. It runs on a thread
with a loop of its own, as the client under test blocks.

    with S3Proxy("127.0.0.1", port) as proxy:
        rule = proxy.add(Rule(status(503), method="PUT", count=2))
"""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

_HEAD_BYTES_MAX = 64 * 1024


@dataclass
class Exchange:
    """One request; ``forward`` asks the server and gives its whole answer: head and body."""

    method: str
    path: str
    writer: asyncio.StreamWriter
    forward: Callable[[], Awaitable[tuple[bytes, bytes]]]


Fault = Callable[[Exchange], Awaitable[None]]


@dataclass
class Rule:
    """Breaks the first ``count`` requests that match (None: all), after leaving out ``skip``."""

    fault: Fault
    method: str = ".*"
    path: str = ".*"
    count: int | None = 1
    skip: int = 0
    hits: int = field(default=0, init=False)

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is broken; counts it."""
        if not re.fullmatch(self.method, method) or not re.fullmatch(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        self.hits += 1
        return True


def status(code: int, s3_code: str = "", headers: str = "") -> Fault:
    """Answers an error that the server never saw; with a document when it has an S3 code."""

    async def answer(exchange: Exchange) -> None:
        document = f"<Error><Code>{s3_code}</Code><Message>m</Message></Error>" if s3_code else ""
        kind = "Content-Type: application/xml\r\n" if s3_code else ""
        exchange.writer.write(
            f"HTTP/1.1 {code} Broken\r\n{kind}{headers}Content-Length: {len(document)}\r\n"
            f"Connection: close\r\n\r\n{document}".encode()
        )

    return answer


def stall(seconds: float = 3600) -> Fault:
    """Takes the request and answers late, or never within a test."""

    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        exchange.writer.write(b"".join(await exchange.forward()))

    return answer


async def hang_after_head(exchange: Exchange) -> None:
    """Sends the true head and nothing after it."""
    head, _ = await exchange.forward()
    exchange.writer.write(head)
    await exchange.writer.drain()
    await asyncio.sleep(3600)


async def half_body(exchange: Exchange) -> None:
    """Closes the connection in an orderly way in the middle of the body."""
    head, body = await exchange.forward()
    exchange.writer.write(head + body[: len(body) // 2])


def reset_at(byte_count: int) -> Fault:
    """RST after so many bytes of the answer; 0: before the request reached the server."""

    async def answer(exchange: Exchange) -> None:
        if byte_count:
            whole = b"".join(await exchange.forward())
            exchange.writer.write(whole[:byte_count])
            await exchange.writer.drain()
        raw = exchange.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()

    return answer


def answer_lost() -> Fault:
    """The server does it; its answer never arrives."""

    async def answer(exchange: Exchange) -> None:
        await exchange.forward()
        exchange.writer.transport.abort()

    return answer


async def wrong_etag(exchange: Exchange) -> None:
    """The server's answer with another ETag."""
    head, body = await exchange.forward()
    other = re.sub(rb'(?im)^(etag:\s*)"[^"]*"', rb'\1"00000000000000000000000000000000"', head)
    exchange.writer.write(other + body)


async def flipped_byte(exchange: Exchange) -> None:
    """The answer with the first byte of its body changed."""
    head, body = await exchange.forward()
    exchange.writer.write(head + bytes([body[0] ^ 1]) + body[1:])


async def swallowed(exchange: Exchange) -> None:
    """200 for a put that the server never saw: a get of it finds nothing."""
    exchange.writer.write(
        b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
    )


class StaleAnswers:
    """Remembers the first answer and gives it for every later request: a list that is behind."""

    def __init__(self) -> None:
        self._first: bytes | None = None

    async def __call__(self, exchange: Exchange) -> None:
        """The fault."""
        if self._first is None:
            self._first = b"".join(await exchange.forward())
        exchange.writer.write(self._first)


class S3Proxy:
    """Listens on a free loopback port while it is entered; ``endpoint`` is its address."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._rules: list[Rule] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="s3-proxy")
        self.endpoint = ""
        self.requests: list[tuple[str, str]] = []

    def add(self, rule: Rule) -> Rule:
        """The rule is asked before those that were added later."""
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Breaks nothing from now on."""
        self._rules.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_BYTES_MAX)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A side that resets its connection: the other sees it closed.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._exchange(reader, writer)
                await writer.drain()
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.requests.append((method, path))

        async def forward() -> tuple[bytes, bytes]:
            there, out = await asyncio.open_connection(*self._target, limit=_HEAD_BYTES_MAX)
            sent = re.sub(rb"(?im)^connection:[^\r]*\r\n", b"", head)
            try:
                out.write(sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) + body)
                whole = await there.read()
            finally:
                out.close()
            answer, _, rest = whole.partition(b"\r\n\r\n")
            return answer + b"\r\n\r\n", rest

        exchange = Exchange(method, path, writer, forward)
        for rule in self._rules:
            if rule.takes(method, path):
                await rule.fault(exchange)
                return
        writer.write(b"".join(await forward()))
