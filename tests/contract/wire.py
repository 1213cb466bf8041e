"""Requests and answers byte for byte, for what a client library would hide: framing, order, closing.

In: a ``Wire`` and the bytes of requests. Out: whole answers.
"""

import json
from typing import Any

from tests.contract.outside.wire import Answer, Wire

__all__ = ["Answer", "Wire", "chunked", "exchange", "json_of", "next_answer", "request"]


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of one request; ``_`` in a header's name stands for ``-``."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    if body and not {"Transfer_Encoding", "Content_Length"} & set(headers):
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces: bytes) -> bytes:
    """A body in these chunks, ended."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def json_of(answer: Answer) -> Any:
    """The body of an answer as JSON."""
    return json.loads(answer.body)


def next_answer(wire: Wire, *, has_body: bool = True) -> Answer:
    """The next answer; an AssertionError when the node closed instead."""
    answer = wire.answer(has_body=has_body)
    assert answer is not None, "the node closed without an answer"
    return answer


def exchange(wire: Wire, data: bytes) -> Answer:
    """Sends one request and takes its answer."""
    assert wire.send(data), "the node closed before it took the request"
    return next_answer(wire, has_body=not data.startswith(b"HEAD "))
