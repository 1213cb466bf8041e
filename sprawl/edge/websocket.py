"""One WebSocket connection over a connection of the compiled protocol.

In: bytes from the client. Out: whole messages to an application, frames to the client. Invariants:
a message is at most ``PAYLOAD_BYTES_MAX`` bytes, refused by its header before memory is taken; text
is valid UTF-8, checked as it arrives; a compressed message inflates to that bound at most, and to
100:1 above 1 MiB; nothing is written after the closing handshake; ``ended`` is called once.
Compression is negotiated without context takeover on both sides and used for own messages from
1 KiB; frames that readers share are sent as they are, uncompressed. Source: RFC 6455, RFC 7692; the
sans-IO core of the websockets package.
"""

import codecs
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter, Subprotocol

from sprawl.edge.seam import ColdRequest, Connection
from sprawl.limits import INFLATED_RATIO_MAX, KIB, MIB, PAYLOAD_BYTES_MAX

COMPRESSED_BYTES_MIN: Final = KIB
"""Own messages below this are sent as they are: compression would cost more than it saves."""

_RATIO_FREE_BYTES: Final = MIB
_HANDSHAKE_HEADERS: Final = frozenset(
    {
        b"host",
        b"upgrade",
        b"connection",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    }
)
_log: Final = logging.getLogger("sprawl.edge.websocket")
# The core tells of every connection at INFO; clients decide how many those are.
_log.setLevel(logging.WARNING)


class WebSocketApplication(Protocol):
    """What lives on a WebSocket connection."""

    def opened(self, socket: "WebSocket") -> None:
        """The handshake is done; ``socket`` takes messages from now on."""

    def text(self, message: bytes) -> None:
        """A whole text message: valid UTF-8."""

    def binary(self, message: bytes) -> None:
        """A whole binary message."""

    def writable(self) -> None:
        """The write buffer is below its budget again."""

    def ended(self) -> None:
        """The connection is gone or closing; nothing can be sent any more. Called once."""


class WebSocket:
    """The protocol of one connection; ``feed`` and ``closed`` are called by the compiled side."""

    def __init__(
        self,
        connection: Connection,
        application: WebSocketApplication,
        *,
        subprotocols: Sequence[str] = (),
        on_closed: Callable[["WebSocket"], None] | None = None,
    ) -> None:
        self._connection = connection
        self._application = application
        self._on_closed = on_closed
        self._core = _Core(self._receive, subprotocols)
        self._message = bytearray()
        self._is_text = False
        self._validator: codecs.IncrementalDecoder | None = None
        self._is_feeding = False
        self._has_ended = False
        self._is_gone = False
        self._is_paused = False
        self._was_heard = True
        self._has_pinged = False

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._core.state is State.OPEN and not self._has_ended

    @property
    def is_paused(self) -> bool:
        """Whether the client is behind: what is written now would only be buffered."""
        return self._is_paused

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on, known after ``handshake``."""
        return self._core.subprotocol

    def handshake(self, request: ColdRequest) -> Response:
        """The answer to the handshake, not sent yet: 101, or a refusal with its reason."""
        headers = Headers()
        for name, value in request.headers:
            if name in _HANDSHAKE_HEADERS:
                headers[name.decode("latin-1")] = value.decode("latin-1")
        # Only what the handshake reads is given on: the head was checked by the HTTP parser.
        self._core.receive_data(Request("/", headers).serialize())
        (parsed,) = self._core.events_received()
        assert isinstance(parsed, Request)
        return self._core.accept(parsed)

    def open(self, response: Response) -> None:
        """Takes the connection over and sends the 101 of ``handshake``."""
        assert response.status_code == 101, response.status_code
        self._connection.take_over(self)
        self._core.send_response(response)
        self._flush()
        self._application.opened(self)

    def feed(self, data: bytes) -> None:
        """Bytes from the client; what they cause to be sent leaves in one write."""
        if self._is_gone:
            return
        # Also while closing: the client's answer to our close ends the connection.
        self._was_heard = True
        self._is_feeding = True
        self._core.receive_data(data)
        self._core.events_received()
        self._is_feeding = False
        self._flush()

    def closed(self) -> None:
        """The connection is gone."""
        self._is_gone = True
        self._end()
        if self._on_closed is not None:
            self._on_closed(self)

    def write_paused(self) -> None:
        """The write buffer is above its budget."""
        self._is_paused = True

    def write_resumed(self) -> None:
        """The write buffer is below its budget again."""
        self._is_paused = False
        if self.is_open:
            self._application.writable()

    def send_text(self, message: bytes) -> None:
        """Sends a text message, which must be UTF-8; dropped when the connection is closing."""
        self._send(Frame(Opcode.TEXT, message))

    def send_binary(self, message: bytes) -> None:
        """Sends a binary message; dropped when the connection is closing."""
        self._send(Frame(Opcode.BINARY, message))

    def send_frames(self, frames: bytes) -> None:
        """Sends ready-made unmasked frames, shared with other connections."""
        if not self.is_open:
            return
        if self._is_feeding or self._core.writes:
            # Behind what the core has written and not given out yet.
            self._core.writes.append(frames)
            self._flush()
        else:
            self._connection.write(frames)

    def keep_alive(self) -> None:
        """To be called at intervals: asks a silent client for a sign of life, drops a dead one.

        A client that was silent for a whole interval after a ping, or does not answer a close, is
        taken for dead.
        """
        if not self._was_heard and (self._has_pinged or not self.is_open):
            self._connection.abort()
            return
        self._has_pinged = not self._was_heard
        self._was_heard = False
        if self._has_pinged:
            self._core.send_ping(b"")
            self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Starts the closing handshake; ``reason`` is cut to what a close frame holds."""
        if self.is_open:
            cut = reason.encode()[:120].decode("utf-8", "ignore")
            self._core.send_close(code, cut)
            self._flush()

    def _send(self, frame: Frame) -> None:
        if self.is_open:
            is_large = len(frame.data) >= COMPRESSED_BYTES_MIN
            extensions = self._core.extensions if is_large else []
            self._core.writes.append(frame.serialize(mask=False, extensions=extensions))
            self._flush()

    def _receive(self, frame: Frame) -> None:
        """One data frame, in order and checked; UnicodeDecodeError closes with 1007."""
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            self._message.clear()
            self._validator = codecs.getincrementaldecoder("utf-8")() if self._is_text else None
        if self._validator is not None:
            self._validator.decode(bytes(frame.data), frame.fin)
        self._message += frame.data
        if frame.fin:
            message = bytes(self._message)
            self._message = bytearray()
            if self.is_open:
                deliver = self._application.text if self._is_text else self._application.binary
                deliver(message)

    def _flush(self) -> None:
        if self._is_feeding:
            return
        pending = self._core.data_to_send()
        if data := b"".join(pending):
            self._connection.write(data)
        if b"" in pending:
            self._is_gone = True
            self._connection.close()
        if self._core.state in (State.CLOSING, State.CLOSED):
            self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._application.ended()


class _Core(ServerProtocol):
    """The sans-IO core, giving out each data frame before it reads the next.

    A close between the fragments of a message is a close, not an error: RFC 6455 §5.5.1 lets a
    close frame come at any time, §5.4 lets control frames come between fragments; the message that
    was begun is dropped.
    """

    def __init__(self, deliver: Callable[[Frame], None], subprotocols: Sequence[str]) -> None:
        offered = [Subprotocol(name) for name in subprotocols]

        def select(_: ServerProtocol, wanted: Sequence[Subprotocol]) -> Subprotocol | None:
            return next((name for name in wanted if name in offered), None)

        super().__init__(
            extensions=[_BoundedDeflateFactory()],
            select_subprotocol=select,
            max_size=PAYLOAD_BYTES_MAX,
            logger=_log,
        )
        self._deliver = deliver

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._deliver(frame)


class _BoundedDeflate(PerMessageDeflate):
    """Bounds what a frame may inflate to by its own size, too."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        by_ratio = max(_RATIO_FREE_BYTES, INFLATED_RATIO_MAX * len(frame.data))
        bound = by_ratio if max_size is None else min(max_size, by_ratio)
        return super().decode(frame, max_size=bound)


class _BoundedDeflateFactory(ServerPerMessageDeflateFactory):
    """Negotiates compression without a context that would outlive a message."""

    def __init__(self) -> None:
        super().__init__(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            compress_settings={"memLevel": 5, "level": 1},
        )

    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Extension],
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        response, agreed = super().process_request_params(params, accepted_extensions)
        bounded = _BoundedDeflate(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            self.compress_settings,
        )
        return response, bounded
