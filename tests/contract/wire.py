"""HTTP/1.1 byte for byte, for what a client library would hide: framing, order, closing.

In: the port of a node and the bytes of requests. Out: answers as they came. Raises ``TimeoutError``
when the node is silent for ``TIMEOUT_S``.
"""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

TIMEOUT_S = 10


@dataclass(frozen=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of one request; ``_`` in a header's name stands for ``-``."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    if body and "Transfer_Encoding" not in headers and "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces: bytes) -> bytes:
    """A body in these chunks, ended."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Wire:
    """One connection to a node."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends all of ``data``."""
        self._socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer, also of an interim one."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:])
        return int(lines[0].split(" ")[1]), {n.lower(): v.strip() for n, _, v in fields}

    def answer(self, method: str = "GET") -> Answer:
        """The next whole answer; one to ``HEAD`` has no body."""
        status, headers = self.head()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") != "chunked":
            return Answer(status, headers, self._take(int(headers["content-length"])))
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._take(size)
            self._take(2)
        self._take(2)
        return Answer(status, headers, body)

    def exchange(self, data: bytes, method: str = "GET") -> Answer:
        """Sends one request and takes its answer."""
        self.send(data)
        return self.answer(method)

    def is_closed(self) -> bool:
        """Whether the node ended the connection and sent nothing more."""
        try:
            return self._held == b"" and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._receive()
        found, _, self._held = self._held.partition(mark)
        return found

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            self._receive()
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _receive(self) -> None:
        piece = self._socket.recv(65_536)
        if not piece:
            raise EOFError(f"the node closed after {self._held[:200]!r}")
        self._held += piece
