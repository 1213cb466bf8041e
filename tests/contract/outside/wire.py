"""A client of nothing but a socket: sends what no HTTP library would, reads answers by the letter."""

import errno
import socket
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection; everything on it has the deadline ``timeout_s``."""

    def __init__(self, port: int, timeout_s: float = 10, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self._held = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes; what was not read makes the kernel reset the connection."""
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Sends all; False when the node closed before it took everything."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end_of_sending(self) -> None:
        """Tells the node that nothing more will come."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            return False
        self._held += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        """Reads up to and with ``mark``; what came, when the connection ends before."""
        while mark not in self._held and self._more():
            pass
        at = self._held.find(mark)
        return self._take(len(self._held) if at < 0 else at + len(mark))

    def rest(self) -> bytes:
        """Everything until the node closes; TimeoutError when it does not."""
        while self._more():
            pass
        return self._take(len(self._held))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def answer(self, *, has_body: bool = True) -> Answer | None:
        """The next answer; None when the connection ended before one began."""
        head = self.until(b"\r\n\r\n")
        if not head:
            return None
        assert head.endswith(b"\r\n\r\n"), f"cut head {head[:200]!r}"
        line, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        headers = {}
        for each in lines:
            name, value = each.split(": ", 1)
            headers[name.lower()] = value
        body = b""
        if has_body and int(status) >= 200 and int(status) not in (204, 304):
            body = self._body(headers)
        return Answer(int(status), headers, body)

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.exactly(int(headers["content-length"]))
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.exactly(2) == b"\r\n"
        return body

    def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        while len(self._held) < count:
            assert self._more(), f"cut body: {len(self._held)} of {count} bytes"
        return self._take(count)
