"""The application on a connection: framing, keep-alive, failure, disconnect."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from sprawl.edge.asgi import Application, AsgiHost
from tests.models.plain_node import START_NS, PlainConnection, PlainRequest, spawn

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
DATE = b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"


def host_of(application: Application) -> AsgiHost:
    return AsgiHost(application, spawn=spawn, now_ns=lambda: START_NS, host="h", port=1)


def answering(*pieces: bytes, status: int = 200) -> Application:
    async def application(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for number, piece in enumerate(pieces, 1):
            is_more = number < len(pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": is_more})

    return application


async def run(
    application: Application, request: PlainRequest | None = None
) -> tuple[bytes, bool | None]:
    connection = PlainConnection()
    host = host_of(application)
    host.request(connection, request or PlainRequest())
    while host.open_count:
        await asyncio.sleep(0)
    return bytes(connection.written), connection.finished


async def test_whole_body_has_its_length() -> None:
    written, close = await run(answering(b"hello"))
    assert written == b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 5\r\n\r\nhello"
    assert close is False


async def test_streamed_body_is_chunked() -> None:
    written, close = await run(answering(b"he", b"", b"llo"))
    assert written.endswith(b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
    assert close is False


async def test_streamed_body_to_http_1_0_ends_with_the_connection() -> None:
    headers = [(b"connection", b"keep-alive")]
    written, close = await run(
        answering(b"he", b"llo"), PlainRequest(http_version="1.0", headers=headers)
    )
    assert written.endswith(b"Connection: close\r\n\r\nhello")
    assert close is True


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [
        ("1.1", b"", False),
        ("1.1", b"Close", True),
        ("1.1", b"te, close", True),
        ("1.0", b"", True),
        ("1.0", b"keep-alive", False),
    ],
)
async def test_connection_is_kept_as_the_client_asks(
    version: str, connection: bytes, closes: bool
) -> None:
    headers = [(b"connection", connection)] if connection else []
    written, close = await run(answering(b"x"), PlainRequest(http_version=version, headers=headers))
    assert close is closes
    assert (b"Connection: close" in written) is closes


async def test_head_has_no_body() -> None:
    written, _ = await run(answering(b"hello"), PlainRequest(method="HEAD"))
    assert written.endswith(b"Content-Length: 5\r\n\r\n")


async def test_204_has_neither_length_nor_body() -> None:
    written, _ = await run(answering(b"", status=204))
    assert written == b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"


async def test_exception_before_the_head_is_a_500_and_close() -> None:
    async def application(scope: Any, receive: Any, send: Send) -> None:
        raise RuntimeError("defect")

    written, close = await run(application)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert close is True


async def test_exception_after_the_head_cuts_the_connection() -> None:
    async def application(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        raise RuntimeError("defect")

    connection = PlainConnection()
    host = host_of(application)
    host.request(connection, PlainRequest())
    while host.open_count:
        await asyncio.sleep(0)
    assert connection.is_closed
    assert connection.finished is None
    assert not connection.written.endswith(b"0\r\n\r\n")


async def test_answer_without_an_end_is_a_500() -> None:
    async def application(scope: Any, receive: Any, send: Send) -> None:
        return

    written, close = await run(application)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert close is True


async def test_streaming_waits_for_a_slow_client_and_ends_when_it_goes() -> None:
    connection = PlainConnection()
    connection.may_write.clear()
    host = host_of(answering(b"he", b"llo"))
    host.request(connection, PlainRequest())
    await asyncio.sleep(0)
    assert connection.written.endswith(b"he\r\n")
    connection.is_closed = True
    host.disconnected(connection)
    while host.open_count:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert connection.finished is None
    assert connection.written.endswith(b"he\r\n")


async def test_scope_is_asgi() -> None:
    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Send) -> None:
        seen.update(scope)
        seen["body"] = (await receive())["body"]
        await answering(b"")(scope, receive, send)

    request = PlainRequest("POST", "/a%20b/%C3%A4", b"x=%20", [(b"host", b"h")], b"data")
    await run(application, request)
    assert (seen["path"], seen["raw_path"]) == ("/a b/ä", b"/a%20b/%C3%A4")
    assert (seen["query_string"], seen["body"]) == (b"x=%20", b"data")
    assert seen["client"] == ("127.0.0.1", 40_000)
