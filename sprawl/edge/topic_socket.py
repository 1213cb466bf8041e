"""Reading and publishing on one topic over a WebSocket.

In: the client's messages ``{"credit":{"messages","bytes"}}`` and ``{"publish":{…}}``. Out: one
message per frame, as the engine's reader made it, and ``{"receipt":…}`` or ``{"problem":…}`` as text
frames, answers in the order of their commands. Invariants: a receipt at level disk leaves once its
message is synced, and what is answered after it waits behind it, up to a bound of bytes above which
the connection is closed; nothing is delivered before the first
credit; grants add up; a member that was never granted does not limit; at least one message goes out
while there is credit left, so the bytes of a large one may overdraw it; a client that is behind
costs its write budget and no more.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import orjson

from sprawl.broker.engine import Engine, Reader
from sprawl.edge.seam import Watcher
from sprawl.edge.strict import Integer, Object, parse
from sprawl.edge.websocket import WebSocket
from sprawl.errors import InvalidRequest, NotAvailable, SprawlError
from sprawl.limits import WRITE_BUFFER_BYTES_MAX

CREDIT_MAX: Final = (1 << 53) - 1
"""The most that can be outstanding; more is cut to this, which no client can tell apart."""

_PULL_BYTES_MAX: Final = 256 * 1024
_PULL_MESSAGES_MAX: Final = 1_000
_CREDIT: Final = Object({"messages": Integer(0, CREDIT_MAX), "bytes": Integer(0, CREDIT_MAX)})
_LATER: Final = frozenset({"ack", "nack", "extend", "term"})
_NORMAL_CLOSURE: Final = 1000
_INTERNAL_ERROR: Final = 1011
_TRY_AGAIN_LATER: Final = 1013


class TopicSocket:
    """One reader with credit, and a publisher, on one connection."""

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        topic: str,
        *,
        watcher: Watcher,
        call_soon: Callable[[Callable[[], None]], object],
        now_ns: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._topic = topic
        self._watcher = watcher
        self._call_soon = call_soon
        self._now_ns = now_ns
        # Nothing is granted yet; after the first grant a member never granted is without bound.
        self._messages_left = 0
        self._bytes_left = 0
        self._granted: set[str] = set()
        self._is_scheduled = False
        self._is_fetching = False
        # Answers that wait for the disk, each with its mark; marks ascend.
        self._owed: deque[tuple[int, bytes]] = deque()
        self._owed_bytes = 0
        self._socket: WebSocket | None = None

    @property
    def socket(self) -> WebSocket:
        """The connection this lives on."""
        assert self._socket is not None, "opened is called first"
        return self._socket

    def opened(self, socket: WebSocket) -> None:
        """Begins to watch; delivers nothing before the first credit."""
        self._socket = socket
        self._watcher.watch(self._reader, self._pump)

    def text(self, message: bytes) -> None:
        """One client message; a bad one is answered and does not end the connection."""
        try:
            self._act(message)
        except SprawlError as error:
            self._answer("problem", error.problem)

    def binary(self, message: bytes) -> None:
        """Nothing is taken in binary frames."""
        error = InvalidRequest(
            f"binary message of {len(message)} bytes; commands are JSON in text messages",
            code="unsupported_media_type",
        )
        self._answer("problem", error.problem)

    def writable(self) -> None:
        """Goes on where the client's slowness stopped it."""
        self._pump()

    def ended(self) -> None:
        """Stops reading; nobody takes the answers that still wait."""
        self._watcher.unwatch(self._reader)
        self._owed.clear()

    def _act(self, message: bytes) -> None:
        command = parse(message)
        if not isinstance(command, dict) or len(command) != 1:
            raise InvalidRequest(
                "a message must be an object with one member: credit or publish",
                code="invalid_member",
            )
        ((name, value),) = command.items()
        if name == "credit":
            self._grant(_CREDIT.read(value, "/credit"))
        elif name == "publish":
            self._publish(value)
        elif name in _LATER:
            raise NotAvailable(f"{name} needs subscriptions, not in this version")
        else:
            raise InvalidRequest(
                f"unknown member {name[:64]!r}; known are credit and publish",
                code="invalid_member",
                location="/" + name[:64].replace("~", "~0").replace("/", "~1"),
            )

    def _grant(self, credit: dict[str, object]) -> None:
        if not credit:
            raise InvalidRequest(
                "credit must have messages or bytes", code="missing_member", location="/credit"
            )
        self._messages_left = self._added("messages", self._messages_left, credit)
        self._bytes_left = self._added("bytes", self._bytes_left, credit)
        self._pump()

    def _added(self, name: str, left: int, credit: dict[str, object]) -> int:
        grant = credit.get(name)
        if grant is None:
            return left if name in self._granted else CREDIT_MAX
        assert isinstance(grant, int)
        before = left if name in self._granted else 0
        self._granted.add(name)
        return min(before + grant, CREDIT_MAX)

    def _publish(self, value: object) -> None:
        line = orjson.dumps(value)
        answer, mark = self._engine.publish_json(self._topic, line, self._now_ns())
        result = orjson.loads(answer)
        # A problem has a type (RFC 9457), a receipt has none.
        self._answer("problem" if "type" in result else "receipt", result, mark)

    def _answer(self, kind: str, members: object, mark: int = 0) -> None:
        """Sends an answer once ``mark`` (0: nothing) is on disk, behind those that wait already."""
        text = orjson.dumps({kind: members}, default=str)
        newest = self._owed[-1][0] if self._owed else 0
        due = max(mark, newest)
        if due == 0:
            self.socket.send_text(text)
            return
        self._owed_bytes += len(text)
        if self._owed_bytes > WRITE_BUFFER_BYTES_MAX:
            self.socket.close(_TRY_AGAIN_LATER, "the disk is behind")
            return
        self._owed.append((due, text))
        if due != newest:
            self._watcher.when_synced(due, partial(self._synced, due))

    def _synced(self, mark: int) -> None:
        while self._owed and self._owed[0][0] <= mark:
            _, text = self._owed.popleft()
            self._owed_bytes -= len(text)
            self.socket.send_text(text)

    def _pump(self) -> None:
        """Sends one bounded piece, then lets others have the loop before the next."""
        socket = self.socket
        if self._messages_left <= 0 or self._bytes_left <= 0:
            return
        if socket.is_paused or not socket.is_open or self._is_fetching:
            return
        reader = self._reader
        messages_max = min(_PULL_MESSAGES_MAX, self._messages_left)
        bytes_max = min(_PULL_BYTES_MAX, self._bytes_left)
        frames = reader.pull(bytes_max, messages_max, self._now_ns())
        if frames is not None:
            if "messages" in self._granted:
                self._messages_left -= reader.messages
            if "bytes" in self._granted:
                self._bytes_left -= len(frames)
            socket.send_frames(frames)
        if reader.ended:
            socket.close(_NORMAL_CLOSURE, "nothing will follow")
        elif frames is None and reader.more:
            # It passed over what it looked at, or what follows lies on disk.
            self._is_fetching = self._watcher.fetch(reader, self._fetched)
            if not self._is_fetching:
                self._schedule()
        elif reader.more:
            self._schedule()

    def _fetched(self, is_fed: bool) -> None:
        self._is_fetching = False
        if is_fed:
            self._pump()
        else:
            self.socket.close(_INTERNAL_ERROR, "the disk cannot be read now")

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_scheduled = False
        self._pump()
