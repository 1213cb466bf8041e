"""Requests that two servers could read differently, and floods of bytes that end in no request.

Each is sent to the real node followed by a whole publish, as an attacker would: the answer must be a
refusal, the connection must end with it, and nothing may be stored. Sources: RFC 9112 (framing),
RFC 9110 (fields), and the published lists of request smuggling.
"""

import json
import re
import select
import time

import pytest

from tests.contract.outside.running_node import RunningNode
from tests.contract.outside.wire import Wire

MIB = 1024 * 1024
REFUSED = {400, 408, 413, 431}

PUBLISH = (
    b"POST /v1/topics/smuggled/messages HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\n\r\nhello"
)


def post(fields: bytes, body: bytes = b"", line: bytes = b"") -> bytes:
    line = line or b"POST /v1/topics/smuggled/messages HTTP/1.1"
    return line + b"\r\nHost: node\r\n" + fields + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body)


ONE_CHUNK = b"5\r\nhello\r\n0\r\n\r\n"

SMUGGLING = {
    "length and chunked": post(b"Content-Length: 15\r\nTransfer-Encoding: chunked", ONE_CHUNK),
    "chunked and length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 15", ONE_CHUNK),
    "two equal lengths": post(b"Content-Length: 5\r\nContent-Length: 5", b"hello"),
    "two different lengths": post(b"Content-Length: 5\r\nContent-Length: 4", b"hello"),
    "a list of lengths": post(b"Content-Length: 5, 5", b"hello"),
    "length with plus": post(b"Content-Length: +5", b"hello"),
    "length with minus": post(b"Content-Length: -5", b"hello"),
    "length with inner blank": post(b"Content-Length: 5 5", b"hello"),
    "length with blank before": post(b"Content-Length:  5", b"hello"),
    "length with blank after": post(b"Content-Length: 5 ", b"hello"),
    "length with tab": post(b"Content-Length:\t5", b"hello"),
    "length in hex": post(b"Content-Length: 0x5", b"hello"),
    "length with underscore": post(b"Content-Length: 1_0", b"hellohello"),
    "length with leading zero": post(b"Content-Length: 05", b"hello"),
    "length empty": post(b"Content-Length: ", b"hello"),
    "length in other digits": post("Content-Length: ٥".encode(), b"hello"),
    "length beyond 64 bits": post(b"Content-Length: 18446744073709551621", b"hello"),
    "blank before the colon of the length": post(b"Content-Length : 5", b"hello"),
    "chunked with tab before": post(b"Transfer-Encoding:\tchunked", ONE_CHUNK),
    "chunked with tab after": post(b"Transfer-Encoding: chunked\t", ONE_CHUNK),
    "chunked in capitals": post(b"Transfer-Encoding: Chunked", ONE_CHUNK),
    "chunked twice in one field": post(b"Transfer-Encoding: chunked, chunked", ONE_CHUNK),
    "chunked in two fields": post(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ONE_CHUNK
    ),
    "chunked prefixed": post(b"Transfer-Encoding: xchunked", ONE_CHUNK),
    "chunked behind gzip": post(b"Transfer-Encoding: gzip, chunked", ONE_CHUNK),
    "chunked with a parameter": post(b"Transfer-Encoding: chunked;q=1", ONE_CHUNK),
    "chunked behind vertical tab": post(b"Transfer-Encoding: \x0bchunked", ONE_CHUNK),
    "identity": post(b"Transfer-Encoding: identity", b"hello"),
    "identity with length": post(b"Transfer-Encoding: identity\r\nContent-Length: 5", b"hello"),
    "transfer encoding empty": post(b"Transfer-Encoding: ", ONE_CHUNK),
    "transfer encoding with underscore": post(b"Transfer_Encoding: chunked", ONE_CHUNK),
    "transfer encoding in 1.0": post(
        b"Transfer-Encoding: chunked", ONE_CHUNK, b"POST /v1/topics/smuggled/messages HTTP/1.0"
    ),
    "chunk extension with newline": chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk extension quoted": chunked(b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
    "chunk extension of 1 KiB": chunked(b"5;" + b"a" * 1024 + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with plus": chunked(b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with minus": chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with blank after": chunked(b"5 \r\nhello\r\n0\r\n\r\n"),
    "chunk size with blank before": chunked(b" 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size empty": chunked(b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size of 2^63": chunked(b"8000000000000000\r\nhello\r\n0\r\n\r\n"),
    "chunk size of 2^64 + 5": chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size with many zeros": chunked(b"0" * 1000 + b"5\r\nhello\r\n0\r\n\r\n"),
    "chunk size ended by LF": chunked(b"5\nhello\r\n0\r\n\r\n"),
    "chunk size ended by CR": chunked(b"5\rXhello\r\n0\r\n\r\n"),
    "chunk longer than its size": chunked(b"4\r\nhello\r\n0\r\n\r\n"),
    "chunk without its last CRLF": chunked(b"5\r\nhello0\r\n\r\n"),
    "trailer that names a length": chunked(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"),
    "trailer that names an encoding": chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n"),
    "trailer that names a host": chunked(b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n"),
    "trailer that names a key": chunked(b"5\r\nhello\r\n0\r\nSprawl-Key: other\r\n\r\n"),
    "trailer without colon": chunked(b"5\r\nhello\r\n0\r\nnothing\r\n\r\n"),
    "trailer ended by LF": chunked(b"5\r\nhello\r\n0\r\nx: y\n\r\n"),
    "name with blank": post(b"X Y: 1\r\nContent-Length: 5", b"hello"),
    "name with blank behind": post(b"X : 1\r\nContent-Length: 5", b"hello"),
    "name with tab behind": post(b"X\t: 1\r\nContent-Length: 5", b"hello"),
    "name with underscore": post(b"X_Y: 1\r\nContent-Length: 5", b"hello"),
    "name with NUL": post(b"X\x00Y: 1\r\nContent-Length: 5", b"hello"),
    "name with a byte above 127": post(b"X\xffY: 1\r\nContent-Length: 5", b"hello"),
    "leading colon": post(b": 1\r\nContent-Length: 5", b"hello"),
    "no colon": post(b"nothing\r\nContent-Length: 5", b"hello"),
    "value with NUL": post(b"X: a\x00b\r\nContent-Length: 5", b"hello"),
    "value with CR": post(b"X: a\rb\r\nContent-Length: 5", b"hello"),
    "folded header with blank": post(b"X: a\r\n b\r\nContent-Length: 5", b"hello"),
    "folded header with tab": post(b"X: a\r\n\tb\r\nContent-Length: 5", b"hello"),
    "folded encoding": post(b"Transfer-Encoding:\r\n chunked", ONE_CHUNK),
    "first field folded": b"POST /publish HTTP/1.1\r\n Host: node\r\nContent-Length: 0\r\n\r\n",
    "absolute form against Host": post(
        b"Content-Length: 5", b"hello", b"POST http://other/v1/topics/smuggled/messages HTTP/1.1"
    ),
    "absolute form with user": post(
        b"Content-Length: 5", b"hello", b"POST http://a@node/v1/topics/smuggled/messages HTTP/1.1"
    ),
    "two Hosts": post(b"Host: node\r\nContent-Length: 5", b"hello"),
    "two Hosts that differ": post(b"Host: other\r\nContent-Length: 5", b"hello"),
    "Host with a path": b"GET /health HTTP/1.1\r\nHost: node/x\r\n\r\n",
    "Host with user": b"GET /health HTTP/1.1\r\nHost: a@node\r\n\r\n",
    "Host with two names": b"GET /health HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/1.2": b"GET /health HTTP/1.2\r\nHost: node\r\n\r\n",
    "HTTP/2.0": b"GET /health HTTP/2.0\r\nHost: node\r\n\r\n",
    "HTTP/1.10": b"GET /health HTTP/1.10\r\nHost: node\r\n\r\n",
    "http/1.1 in small letters": b"GET /health http/1.1\r\nHost: node\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET with a body": post(b"Content-Length: 5", b"hello", b"GET /health HTTP/1.1"),
    "GET with chunks": post(b"Transfer-Encoding: chunked", ONE_CHUNK, b"GET /health HTTP/1.1"),
    "HEAD with a body": post(b"Content-Length: 5", b"hello", b"HEAD /health HTTP/1.1"),
    "Expect of something else": post(b"Expect: 200-ok\r\nContent-Length: 5", b"hello"),
    "Expect twice": post(
        b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5", b"hello"
    ),
    "upgrade to h2c": post(
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        line=b"GET /health HTTP/1.1",
    ),
    "LF only": post(b"Content-Length: 5", b"hello").replace(b"\r\n", b"\n"),
    "one line with LF only": post(b"X: 1\nContent-Length: 5", b"hello"),
    "LF only at the end of the head": b"GET /health HTTP/1.1\r\nHost: node\r\n\n",
    "request line of more than 8 KiB": post(b"X: 1", line=b"GET /" + b"a" * 8192 + b" HTTP/1.1"),
    "request line without an end": b"GET /" + b"a" * 9000,
    "request line with two blanks": b"GET  /health HTTP/1.1\r\nHost: node\r\n\r\n",
    "request line with tab": b"GET\t/health HTTP/1.1\r\nHost: node\r\n\r\n",
    "request line with NUL": b"GET /hea\x00lth HTTP/1.1\r\nHost: node\r\n\r\n",
    "target with a byte above 127": b"GET /hea\xfflth HTTP/1.1\r\nHost: node\r\n\r\n",
    "target with a bad escape": b"GET /%zz HTTP/1.1\r\nHost: node\r\n\r\n",
    "target without slash": b"GET health HTTP/1.1\r\nHost: node\r\n\r\n",
    "CONNECT": b"CONNECT node:80 HTTP/1.1\r\nHost: node:80\r\n\r\n",
    "method with blank before": b" GET /health HTTP/1.1\r\nHost: node\r\n\r\n",
    "two empty lines before": b"\r\n\r\nGET /health HTTP/1.1\r\nHost: node\r\n\r\n",
    "NUL alone": b"\x00" * 16,
    "TLS hello": bytes.fromhex("1603010200010001fc0303") + b"\x5a" * 500,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_an_ambiguous_request_is_refused_and_the_connection_ends(
    node: RunningNode, name: str
) -> None:
    stored = node.stored()
    with Wire(node.port) as wire:
        wire.send(SMUGGLING[name] + PUBLISH)
        answer = wire.answer()
        assert answer is not None
        assert answer.status in REFUSED, answer
        assert answer.headers["connection"] == "close"
        assert json.loads(answer.body)["outcome"] == "none"
        assert wire.rest() == b""
    assert node.stored() == stored


def test_the_sound_form_of_these_requests_is_stored(node: RunningNode) -> None:
    """What the list must not refuse: else a parser that refuses everything would pass it."""
    sound = [
        PUBLISH,
        post(b"Content-Length:5", b"hello"),
        chunked(ONE_CHUNK),
        chunked(b"5;a=b;c\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n"),
        chunked(b"00000005\r\nhello\r\n0\r\n\r\n"),
        post(b"X: a\tb\xe9\r\nContent-Length: 5", b"hello"),
        post(
            b"Content-Length: 5",
            b"hello",
            b"POST http://node/v1/topics/smuggled/messages HTTP/1.1",
        ),
        b"\r\n" + PUBLISH,
    ]
    stored = node.stored()
    with Wire(node.port) as wire:
        wire.send(b"".join(sound))
        answers = [wire.answer() for _ in sound]
    assert [answer.status for answer in answers if answer] == [201] * len(sound)
    assert node.stored() == stored + len(sound)


def grows_at_most(node: RunningNode, before: int, bytes_max: int) -> None:
    grown = node.rss_bytes - before
    assert grown <= bytes_max, f"the node grew by {grown} bytes"


@pytest.mark.parametrize(
    ("piece", "count"),
    [
        pytest.param(b"X-%d: " + b"a" * 1000 + b"\r\n", 10 * 1024, id="10 MiB"),
        pytest.param(b"X-%d: a\r\n", 100_000, id="100,000"),
    ],
)
def test_a_flood_of_headers_is_431_and_takes_no_memory(
    node: RunningNode, piece: bytes, count: int
) -> None:
    before = node.rss_bytes
    with Wire(node.port) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: node\r\n")
        for first in range(0, count, 100):
            if not wire.send(b"".join(piece % n for n in range(first, first + 100))):
                break
        answer = wire.answer()
        assert answer is None or answer.status == 431
        wire.rest()
    with Wire(node.port) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: node\r\n" + b"X: a\r\n" * 101 + b"\r\n")
        answer = wire.answer()
        assert answer is not None and answer.status == 431
    grows_at_most(node, before, 2 * MIB)


def test_ten_thousand_pipelined_requests_are_answered_in_order(node: RunningNode) -> None:
    """Publishes, reads and requests of the application in turn: their answers keep their places."""
    kinds = (
        b"POST /v1/topics/piped/messages HTTP/1.1\r\nHost: node\r\nContent-Length: 1\r\n\r\nx",
        b"GET /v1/topics/piped/messages?limit=1 HTTP/1.1\r\nHost: node\r\n\r\n",
        b"GET /none-%d HTTP/1.1\r\nHost: node\r\n\r\n",
        b"POST /publish HTTP/1.1\r\nHost: node\r\nContent-Length: 29\r\n\r\n%b"
        % b'{"topic":"piped","payload":1}',
    )
    count = 10_000
    data = b"".join(
        kinds[n % 4] % n if b"%d" in kinds[n % 4] else kinds[n % 4] for n in range(count)
    )
    stored = node.stored()
    with Wire(node.port, timeout_s=30) as wire:
        wire.socket.setblocking(False)
        sent, received = 0, bytearray()
        deadline = time.monotonic() + 30
        while sent < len(data) or received.count(b"HTTP/1.1 ") < count:
            assert time.monotonic() < deadline, f"{sent} bytes sent, {len(received)} received"
            wants = [wire.socket] if sent < len(data) else []
            readable, writable, _ = select.select([wire.socket], wants, [], 1)
            if writable:
                sent += wire.socket.send(data[sent : sent + 65536])
            if readable:
                piece = wire.socket.recv(1 << 20)
                assert piece, "the node closed a connection of sound requests"
                received += piece
    statuses = [int(s) for s in re.findall(rb"HTTP/1.1 (\d+) ", received)]
    assert statuses == [(201, 200, 404, 400)[n % 4] for n in range(count)]
    offsets = [
        int(o) for o in re.findall(rb'"topic":"piped","partition":0,"offset":(\d+)', received)
    ]
    assert offsets == sorted(offsets)
    named = [int(n) for n in re.findall(rb"nothing is at '/none-(\d+)'", received)]
    assert named == list(range(2, count, 4))
    assert node.stored() == stored + count // 4


def test_a_client_that_ends_early_stores_nothing_and_leaves_nothing(node: RunningNode) -> None:
    stored = node.stored()
    for cut in range(1, len(PUBLISH), 7):
        with Wire(node.port) as wire:
            wire.send(PUBLISH[:cut])
            wire.end_of_sending()
            answer = wire.rest()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    body = chunked(b"5\r\nhello\r\n0\r\n")
    with Wire(node.port) as wire:
        wire.send(body)
        wire.end_of_sending()
        wire.rest()
    assert node.stored() == stored


@pytest.mark.parametrize("path", ["/health", "/v1/topics/smuggled/messages"])
def test_a_client_that_ends_its_side_gets_its_answers_and_then_the_end(
    node: RunningNode, path: str
) -> None:
    node.fill("smuggled", 1)
    with Wire(node.port) as wire:
        wire.send((f"GET {path} HTTP/1.1\r\nHost: node\r\n\r\n" * 3).encode())
        wire.end_of_sending()
        assert wire.rest().count(b"HTTP/1.1 200 OK\r\n") == 3


def test_requests_that_do_not_come_in_time_are_408_and_closed(node: RunningNode) -> None:
    """All at once, so that the deadline of 10 s is waited for once; a body may stand for 15 s."""
    head = b"POST /v1/topics/smuggled/messages HTTP/1.1\r\nHost: node\r\n"
    slow = {
        "one byte": b"G",
        "half a head": head,
        "half a head behind a whole request": b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n" + head,
        "half a head behind a publish": PUBLISH + head,
        "half a body": head + b"Content-Length: 5\r\n\r\nhel",
        "half a body behind a publish": PUBLISH + head + b"Content-Length: 5\r\n\r\nhel",
        "half a chunk": head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "chunks without their last CRLF": chunked(b"5\r\nhello\r\n0\r\n"),
        "Expect that is not gone on with": head
        + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "Expect of chunks": head + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    }
    healthy = []
    wires = {name: Wire(node.port, timeout_s=17) for name in slow}
    stored = node.stored()
    started = time.monotonic()
    trickle = Wire(node.port, timeout_s=17)
    late = {}
    try:
        for name, data in slow.items():
            wires[name].send(data)
        waiting = {wire.socket: name for name, wire in wires.items()}
        received = dict.fromkeys(slow, b"")
        trickled = 0
        trickle.send(b"GET /health HTTP/1.1\r\n")
        while waiting and time.monotonic() < started + 17:
            trickled += trickle.send(b"X-%d: slow\r\n" % trickled)
            before = time.monotonic()
            node.get("/health")
            healthy.append(time.monotonic() - before)
            readable, _, _ = select.select([*waiting], [], [], 0.5)
            for each in readable:
                piece = each.recv(65536)
                received[waiting[each]] += piece
                if not piece:
                    late[waiting.pop(each)] = time.monotonic() - started
        assert not waiting, f"still open after 17 s: {sorted(waiting.values())}"
        answer = trickle.answer()
    finally:
        for wire in [*wires.values(), trickle]:
            wire.close()
    for name, data in received.items():
        last = data[data.rfind(b"HTTP/1.1 ") :]
        assert last.startswith(b"HTTP/1.1 408 "), (name, data)
        assert b"Connection: close\r\n" in last
        assert late[name] <= 16.5, (name, late[name])
    assert answer is not None and answer.status == 408
    assert max(healthy) < 2
    assert node.stored() == stored + 2
