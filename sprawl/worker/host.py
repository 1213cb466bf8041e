"""The node's side of the worker process: starts it, gives it work, survives it.

In: requests by name. Out: answers. Invariants: nothing here blocks the loop (starting and waiting
for the process happen on a thread, bodies are written in pieces while the socket takes them); what
waits is bounded by count and bytes; urgent requests are sent before others; a request is sent at
most once, so one that ends the worker is not tried on the next; the worker's end fails what it was
doing with WorkerLost and nothing else.
"""

import asyncio
import contextlib
import heapq
import logging
import os
import random
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from sprawl.clock import SECOND_NS, Clock
from sprawl.errors import (
    REGISTRY,
    BadAnswer,
    Closed,
    InternalError,
    SprawlError,
    Timeout,
    Unavailable,
    WorkerLost,
    error_for,
)
from sprawl.limits import (
    WORKER_PIECE_BYTES,
    WORKER_REQUEST_BYTES_MAX,
    WORKER_REQUESTS_MAX,
    WORKER_RESTART_S_MAX,
    WORKER_RESTART_S_MIN,
    WORKER_SOUND_S,
    WORKER_STOP_S,
    WORKER_STUCK_S,
)
from sprawl.worker.frames import Body, Frame, FrameReader, Kind, frame_start
from sprawl.worker.work import Answer

_log: Final = logging.getLogger("sprawl.worker")

URGENT: Final = 0
"""Cold reads: somebody waits for the answer, and some threads are kept for these."""
BACKGROUND: Final = 1
"""Moves, training, cleaning."""


@dataclass(order=True)
class _Request:
    urgency: int
    id: int
    name: str = field(compare=False)
    members: Mapping[str, object] = field(compare=False)
    body: Body = field(compare=False)
    body_bytes: int = field(compare=False)
    end_ns: int = field(compare=False)
    answer: "asyncio.Future[Answer]" = field(compare=False)
    stuck: asyncio.TimerHandle | None = field(compare=False, default=None)


class Worker:
    """The one worker of a node; made on the loop, started by its first request.

    ``modules`` name what it can do (``sprawl.worker.work``); they are imported there, not here.
    ``spawn`` starts a task by name, as ``node.tasks`` does.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        spawn: Callable[[str, Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.start_count = 0
        self._modules = tuple(modules)
        self._spawn = spawn
        self._clock = clock
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._life: asyncio.Task[None] | None = None
        self._is_needed = asyncio.Event()
        self._closing = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: _Link | None = None
        self._number = 0
        self._waiting: list[_Request] = []
        self._sent: dict[int, _Request] = {}
        self._open_count = 0
        self._open_bytes = 0

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process else None

    async def call(
        self,
        name: str,
        members: Mapping[str, object],
        body: Body = b"",
        *,
        timeout_s: float,
        urgency: int = BACKGROUND,
    ) -> Answer:
        """What the worker answers; its errors are raised here as they were raised there.

        Raises Unavailable (``busy``) when too much waits, Timeout when no answer came in time,
        WorkerLost when it ended meanwhile, TooLarge, Closed. ``body`` must not change until then.
        """
        if self._closing.is_set():
            raise Closed("the worker was stopped")
        body_bytes = len(body)
        is_full = self._open_bytes + body_bytes > WORKER_REQUEST_BYTES_MAX and self._open_count > 0
        if self._open_count >= WORKER_REQUESTS_MAX or is_full:
            raise Unavailable(
                f"{self._open_count} requests of {self._open_bytes} bytes wait for the worker, "
                f"worker_requests_max is {WORKER_REQUESTS_MAX} and worker_request_bytes_max "
                f"{WORKER_REQUEST_BYTES_MAX}",
                code="busy",
            )
        # Raises for what is too large before it is in the way of others.
        frame_start(Kind.REQUEST, members, body_bytes)
        self._number += 1
        request = _Request(
            urgency,
            self._number,
            name,
            members,
            body,
            body_bytes,
            self._clock.monotonic_ns() + int(timeout_s * SECOND_NS),
            self._loop.create_future(),
        )
        self._open_count += 1
        self._open_bytes += body_bytes
        heapq.heappush(self._waiting, request)
        self._is_needed.set()
        if self._life is None:
            self._life = self._spawn("worker.life", self._live())
        elif self._link:
            self._link.pump()
        try:
            async with asyncio.timeout(timeout_s):
                return await request.answer
        except TimeoutError:
            raise Timeout(f"the worker gave no answer to {name} within {timeout_s:g} s") from None
        finally:
            self._leave(request)

    async def stop(self) -> None:
        """Ends the process; what it was doing fails with Closed."""
        self._closing.set()
        self._is_needed.set()
        for request in (*self._waiting, *self._sent.values()):
            _fail(request, Closed("the worker was stopped"))
        if self._link:
            self._link.close()
        if self._life:
            await asyncio.wait({self._life})

    def take(self) -> _Request | None:
        """The next request to be sent, for the link."""
        while self._waiting:
            request = heapq.heappop(self._waiting)
            if request.answer.done():
                continue
            self._sent[request.id] = request
            left_s = self._left_s(request)
            request.stuck = self._loop.call_later(left_s + WORKER_STUCK_S, self._is_stuck, request)
            return request
        self._is_needed.clear()
        return None

    def request_start(self, request: _Request) -> bytes:
        """Everything of a request before its body."""
        head = {
            "id": request.id,
            "name": request.name,
            "urgency": request.urgency,
            "left_ms": int(self._left_s(request) * 1000),
            "members": request.members,
        }
        return frame_start(Kind.REQUEST, head, request.body_bytes)

    def took(self, frame: Frame) -> None:
        """A frame of the worker, from the link."""
        head = frame.head
        if frame.kind is Kind.LOG:
            _log_line(head)
        elif frame.kind in (Kind.ANSWER, Kind.ERROR):
            request = self._sent.pop(_integer(head, "id"))
            self._settled(request)
            if request.answer.done():
                return
            if frame.kind is Kind.ANSWER:
                members = head["members"]
                assert isinstance(members, dict)
                request.answer.set_result(Answer(members, frame.body))
            else:
                request.answer.set_exception(_error_of(head))

    def _left_s(self, request: _Request) -> float:
        return max(0, request.end_ns - self._clock.monotonic_ns()) / SECOND_NS

    def _leave(self, request: _Request) -> None:
        """Nobody waits for the request any more, whatever became of it."""
        if request.id in self._sent:
            # Its bytes are the worker's until it has answered.
            if self._link:
                self._link.cancel(request.id)
            return
        if request in self._waiting:
            self._waiting.remove(request)
            heapq.heapify(self._waiting)
            self._settled(request)
        elif not request.answer.done():
            request.answer.cancel()

    def _settled(self, request: _Request) -> None:
        self._open_count -= 1
        self._open_bytes -= request.body_bytes
        if request.stuck:
            request.stuck.cancel()

    def _is_stuck(self, request: _Request) -> None:
        if self._process and request.id in self._sent:
            _log.error("the worker hangs in %s and is killed", request.name)
            self._process.kill()

    async def _live(self) -> None:
        """Starts the process whenever it is needed, until the worker is stopped."""
        pause_s = WORKER_RESTART_S_MIN
        while True:
            await self._is_needed.wait()
            if self._closing.is_set():
                return
            began_ns = self._clock.monotonic_ns()
            try:
                await self._one_life()
            except OSError as error:
                _log.error("the worker cannot be started: %s", error)
            if self._closing.is_set():
                return
            if self._clock.monotonic_ns() - began_ns >= WORKER_SOUND_S * SECOND_NS:
                pause_s = WORKER_RESTART_S_MIN
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s * self._rng.uniform(0.5, 1))
            pause_s = min(2 * pause_s, WORKER_RESTART_S_MAX)

    async def _one_life(self) -> None:
        own_end, its_end = socket.socketpair()
        try:
            with its_end:
                command = [sys.executable, "-P", "-m", "sprawl.worker", str(its_end.fileno())]
                process = await asyncio.to_thread(_start, [*command, *self._modules], its_end)
        except BaseException:
            own_end.close()
            raise
        self._process = process
        self.start_count += 1
        try:
            own_end.setblocking(False)
            _, link = await self._loop.create_unix_connection(lambda: _Link(self), sock=own_end)
        except BaseException:
            own_end.close()
            await self._ended(process)
            raise
        self._link = link
        try:
            if not self._closing.is_set():
                link.pump()
                await link.ended
        finally:
            self._link = None
            link.close()
            await self._ended(process)

    async def _ended(self, process: "subprocess.Popen[bytes]") -> None:
        status = await asyncio.shield(asyncio.to_thread(_end, process))
        self._process = None
        self._fail_sent(process.pid, status)

    def _fail_sent(self, pid: int, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        if not self._closing.is_set():
            _log.warning("the worker process %d ended with %s", pid, how)
        for request in tuple(self._sent.values()):
            _fail(request, WorkerLost(f"the worker ended with {how} during {request.name}"))
            self._settled(request)
        self._sent.clear()


class _Link(asyncio.BufferedProtocol):
    """The socket to one process."""

    def __init__(self, worker: Worker) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._worker = worker
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._cancels: deque[int] = deque()
        self._rest = memoryview(b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WORKER_PIECE_BYTES)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # the process's end says more
        self._transport = None
        self._rest = memoryview(b"")
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.pump()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            frame = self._reader.received(nbytes)
            if frame is not None:
                self._worker.took(frame)
        except (BadAnswer, KeyError, AssertionError, orjson.JSONDecodeError) as error:
            _log.error("the worker does not speak our frames: %r", error)
            self.close()

    def pump(self) -> None:
        """Writes what waits while the socket takes it."""
        while self._transport and not self._is_paused:
            if self._rest:
                piece = self._rest[:WORKER_PIECE_BYTES]
                self._rest = self._rest[WORKER_PIECE_BYTES:]
                self._transport.write(piece)
            elif self._cancels:
                self._transport.write(frame_start(Kind.CANCEL, {"id": self._cancels.popleft()}))
            elif request := self._worker.take():
                self._transport.write(self._worker.request_start(request))
                self._rest = memoryview(request.body).cast("B")
                request.body = b""
            else:
                return

    def cancel(self, request_id: int) -> None:
        """Tells the worker, between two requests, that nobody waits for one."""
        self._cancels.append(request_id)
        self.pump()

    def close(self) -> None:
        """Ends the connection, which ends the process."""
        if self._transport:
            self._transport.abort()
            self._transport = None


def _start(command: list[str], its_end: socket.socket) -> "subprocess.Popen[bytes]":
    # The path of this process, however it came about: the worker finds what the node finds.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(  # noqa: S603 # our own interpreter and module
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(its_end.fileno(),),
        env=environment,
    )


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Waits for the process, kills it when it takes too long, and gives its status."""
    try:
        return process.wait(WORKER_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _fail(request: _Request, error: SprawlError) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)


def _error_of(head: Mapping[str, object]) -> SprawlError:
    code, detail, members = str(head["code"]), str(head["detail"]), head["members"]
    assert isinstance(members, dict)
    if code not in REGISTRY:
        return InternalError(f"the worker answered an unknown code {code}: {detail}")
    return error_for(code, detail, members=members)


def _log_line(head: Mapping[str, object]) -> None:
    logging.getLogger(str(head["name"])).log(_integer(head, "level"), "%s", head["text"])


def _integer(head: Mapping[str, object], name: str) -> int:
    value = head[name]
    assert isinstance(value, int)
    return value
