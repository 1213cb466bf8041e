"""The WebSocket protocol of one connection, against the client side of the websockets package."""

import zlib
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from sprawl.edge.websocket import WebSocket
from sprawl.limits import PAYLOAD_BYTES_MAX
from tests.models.plain_node import PlainConnection, PlainRequest


class Echo:
    """Sends back what it gets."""

    def __init__(self) -> None:
        self.socket: WebSocket | None = None
        self.ends = 0
        self.writables = 0

    def opened(self, socket: WebSocket) -> None:
        self.socket = socket

    def text(self, message: bytes) -> None:
        assert self.socket is not None
        self.socket.send_text(message)

    def binary(self, message: bytes) -> None:
        assert self.socket is not None
        self.socket.send_binary(message)

    def writable(self) -> None:
        self.writables += 1

    def ended(self) -> None:
        self.ends += 1


class Pair:
    """A client and our side of one connection, without a network."""

    def __init__(self, *, compress: bool = False) -> None:
        extensions = [ClientPerMessageDeflateFactory()] if compress else None
        self.client = ClientProtocol(parse_uri("ws://localhost/x"), extensions=extensions)
        self.connection = PlainConnection()
        self.echo = Echo()
        self.closed: list[WebSocket] = []
        self.socket = WebSocket(self.connection, self.echo, on_closed=self.closed.append)
        self.client.send_request(self.client.connect())
        (head,) = self.client.data_to_send()
        lines = head.decode().split("\r\n")[1:-2]
        headers = [
            (name.strip().lower().encode(), value.strip().encode())
            for name, value in (line.split(":", 1) for line in lines)
        ]
        response = self.socket.handshake(PlainRequest("GET", "/x", b"", headers))
        assert response.status_code == 101
        self.socket.open(response)
        self.answers()

    def answers(self) -> list[Frame]:
        """What we sent since the last call."""
        data = bytes(self.connection.written)
        self.connection.written.clear()
        if data:
            self.client.receive_data(data)
        return [event for event in self.client.events_received() if isinstance(event, Frame)]

    def say(self) -> list[Frame]:
        """Gives what the client has to send to our side in one read; what comes back."""
        self.socket.feed(b"".join(self.client.data_to_send()))
        return self.answers()

    def raw(self, data: bytes) -> list[Frame]:
        self.socket.feed(data)
        return self.answers()

    def close_code(self) -> int | None:
        return self.client.close_rcvd.code if self.client.close_rcvd else None


def masked(opcode: int, data: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    head = bytes([fin << 7 | rsv1 << 6 | opcode])
    size = len(data)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    return head + bytes(4) + data


def test_text_and_binary_come_back() -> None:
    pair = Pair()
    pair.client.send_text(b"h\xc3\xa9")
    pair.client.send_binary(b"\xff\x00")
    first, second = pair.say()
    assert (first.opcode, bytes(first.data)) == (Opcode.TEXT, b"h\xc3\xa9")
    assert (second.opcode, bytes(second.data)) == (Opcode.BINARY, b"\xff\x00")


def test_byte_by_byte_is_the_same() -> None:
    pair = Pair()
    got: list[Frame] = []
    for byte in masked(1, b"slow"):
        got += pair.raw(bytes([byte]))
    assert [bytes(frame.data) for frame in got] == [b"slow"]


def test_fragments_are_one_message_with_control_frames_between() -> None:
    pair = Pair()
    data = masked(1, b"a", fin=False) + masked(9, b"p") + masked(0, b"b")
    pong, text = pair.raw(data)
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"p")
    assert bytes(text.data) == b"ab"


def test_messages_before_a_close_in_one_read_are_answered_first() -> None:
    pair = Pair()
    frames = pair.raw(masked(1, b"one") + masked(1, b"two") + masked(8, b"\x03\xe8"))
    assert [bytes(f.data) for f in frames[:2]] == [b"one", b"two"]
    assert pair.close_code() == 1000
    assert pair.connection.is_closed
    assert pair.echo.ends == 1


def test_close_between_fragments_is_a_clean_close() -> None:
    pair = Pair()
    pair.raw(masked(1, b"a", fin=False) + masked(8, b"\x03\xe8") + masked(0, b"b"))
    assert pair.close_code() == 1000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(1, b"\xff"), 1007),
        (masked(1, b"\xce\xba\xe1", fin=False) + masked(0, b"\xff", fin=False), 1007),
        (masked(1, b"\xce"), 1007),
        (masked(0, b"x"), 1002),
        (masked(1, b"a", fin=False) + masked(1, b"b"), 1002),
        (masked(1, b"x", rsv1=True), 1002),
        (Frame(Opcode.TEXT, b"x").serialize(mask=False), 1002),
        (masked(8, b"\x03\xec"), 1002),
        (masked(8, b"\x03"), 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
    ],
    ids=[
        "bad UTF-8",
        "bad UTF-8 before the end",
        "cut UTF-8",
        "lone continuation",
        "new message inside another",
        "reserved bit",
        "not masked",
        "close code 1004",
        "close of one byte",
        "unknown opcode",
    ],
)
def test_violation_closes_with_its_code(data: bytes, code: int) -> None:
    pair = Pair()
    pair.raw(data)
    assert pair.close_code() == code
    assert pair.connection.is_closed
    assert pair.echo.ends == 1


def test_too_large_a_message_is_refused_by_its_header() -> None:
    pair = Pair()
    size = (PAYLOAD_BYTES_MAX + 1).to_bytes(8, "big")
    pair.raw(b"\x82\xff" + size)
    assert pair.close_code() == 1009


def test_too_large_a_message_in_fragments_is_refused() -> None:
    pair = Pair()
    piece = bytes(PAYLOAD_BYTES_MAX // 2)
    pair.raw(masked(2, piece, fin=False))
    pair.raw(masked(0, piece, fin=False))
    pair.raw(masked(0, b"x"))
    assert pair.close_code() == 1009


def deflated(data: bytes) -> bytes:
    core = zlib.compressobj(wbits=-15)
    return (core.compress(data) + core.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_large_answers_are_compressed_and_small_ones_are_not() -> None:
    pair = Pair(compress=True)
    extension: Any = pair.client.extensions[0]
    assert extension.remote_no_context_takeover
    assert extension.local_no_context_takeover
    for size, is_compressed in ((1023, False), (1024, True)):
        pair.socket.feed(masked(1, deflated(b"a" * size), rsv1=True))
        assert bool(pair.connection.written[0] & 0x40) is is_compressed
        (frame,) = pair.answers()
        assert bytes(frame.data) == b"a" * size


def test_message_that_inflates_too_far_is_refused() -> None:
    pair = Pair(compress=True)
    pair.raw(masked(2, deflated(bytes(PAYLOAD_BYTES_MAX + 1)), rsv1=True))
    assert pair.close_code() == 1009


def test_ratio_is_bounded_above_one_mebibyte() -> None:
    free, bomb = Pair(compress=True), Pair(compress=True)
    free.raw(masked(2, deflated(bytes(1 << 20)), rsv1=True))
    assert free.close_code() is None
    bomb.raw(masked(2, deflated(bytes((1 << 20) + 1)), rsv1=True))
    assert bomb.close_code() == 1009


def test_shared_frames_are_sent_as_they_are() -> None:
    pair = Pair(compress=True)
    shared = Frame(Opcode.TEXT, b"x" * 2000).serialize(mask=False)
    pair.socket.send_frames(shared)
    assert bytes(pair.connection.written) == shared


def test_nothing_is_sent_after_the_close() -> None:
    pair = Pair()
    pair.socket.close(1001, "é" * 200)
    frames = pair.answers()
    assert pair.close_code() == 1001
    assert len(frames[0].data) <= 125
    pair.socket.send_text(b"late")
    pair.socket.send_frames(b"late")
    pair.socket.keep_alive()
    assert pair.connection.written == b""


def test_client_that_answers_our_close_ends_the_connection() -> None:
    pair = Pair()
    pair.socket.close(1000)
    pair.answers()
    assert not pair.connection.is_closed
    pair.say()
    assert pair.connection.is_closed
    assert pair.echo.ends == 1


def test_silent_client_is_pinged_and_then_dropped() -> None:
    pair = Pair()
    pair.socket.keep_alive()
    pair.socket.keep_alive()
    (ping,) = pair.answers()
    assert ping.opcode is Opcode.PING
    pair.say()
    pair.socket.keep_alive()
    assert not pair.connection.is_aborted
    pair.socket.keep_alive()
    pair.socket.keep_alive()
    assert pair.connection.is_aborted


def test_client_that_does_not_answer_a_close_is_dropped() -> None:
    pair = Pair()
    pair.socket.close(1001)
    pair.socket.keep_alive()
    pair.socket.keep_alive()
    assert pair.connection.is_aborted


def test_lost_connection_ends_once() -> None:
    pair = Pair()
    pair.socket.closed()
    assert pair.echo.ends == 1
    assert pair.closed == [pair.socket]
    pair.socket.feed(masked(1, b"x"))
    assert pair.connection.written == b""


@pytest.mark.parametrize(
    "missing", [b"sec-websocket-key", b"sec-websocket-version", b"upgrade", b"connection"]
)
def test_handshake_without_a_part_of_it_is_refused(missing: bytes) -> None:
    headers = [
        (b"host", b"localhost"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    socket = WebSocket(PlainConnection(), Echo())
    kept = [header for header in headers if header[0] != missing]
    assert socket.handshake(PlainRequest(headers=kept)).status_code in (400, 426)
