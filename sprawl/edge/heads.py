"""Heads of HTTP/1.1 answers.

In: status, headers, framing. Out: bytes of the head, and of chunks. Invariants: exactly one of
Content-Length, chunked or close delimits a body; header values never contain CR or LF. Source:
RFC 9110, RFC 9112.
"""

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def head(status: int, headers: Iterable[tuple[bytes, bytes]], date: bytes) -> bytes:
    """The bytes of an answer's head, up to and with the empty line."""
    reason = _REASONS.get(status, "")
    lines = [f"HTTP/1.1 {status} {reason}".encode("ascii"), b"Date: " + date]
    for name, value in headers:
        assert not {13, 10} & set(value), name
        lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; nothing for no data, because an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class DateCache:
    """The value of ``Date``, formatted once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._value = b""

    def at(self, now_ns: int) -> bytes:
        """The IMF-fixdate of ``now_ns``."""
        second = now_ns // 1_000_000_000
        if second != self._second:
            self._second, self._value = second, formatdate(second, usegmt=True).encode("ascii")
        return self._value
