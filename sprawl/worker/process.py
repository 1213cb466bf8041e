"""The worker's side: reads requests, does them on threads, urgent ones first.

In: frames from the node's socket. Out: answers, errors and log lines. Invariants: background work
never holds all threads; a request whose deadline has passed is not begun; when the socket ends, so
does the process, whatever its threads do; nothing is written but frames.
"""

import functools
import heapq
import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sprawl.clock import SECOND_NS, Clock, SystemClock
from sprawl.errors import InternalError, NotFound, SprawlError, Timeout
from sprawl.limits import (
    WORKER_BACKGROUND_MAX,
    WORKER_HEAD_BYTES_MAX,
    WORKER_NICENESS,
    WORKER_THREADS_COUNT,
)
from sprawl.worker.frames import Body, Frame, FrameReader, Kind, frame_start
from sprawl.worker.work import Answer, Call, Handler

_log: Final = logging.getLogger("sprawl.worker")
_MS_NS: Final = 1_000_000


def main(arguments: list[str]) -> None:
    """Serves until the node closes its end; then ends the process at once."""
    # Stopping is the node's to decide: an interrupt of the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(WORKER_NICENESS)
    connection = socket.socket(fileno=int(arguments[0]))
    sender = Sender(connection)
    _forward_logs(sender)
    handlers: dict[str, Handler] = {}
    for name in arguments[1:]:
        handlers.update(importlib.import_module(name).handlers())
    queue = Queue(handlers, sender, SystemClock())
    for number in range(WORKER_THREADS_COUNT):
        threading.Thread(target=queue.work, name=f"worker-{number}", daemon=True).start()
    try:
        serve(connection, queue)
    finally:
        # Threads may be in the middle of anything; whoever asked is gone.
        os._exit(0)


def serve(connection: socket.socket, queue: "Queue") -> None:
    """Puts what comes into the queue; returns when the other end is closed."""
    reader = FrameReader()
    while True:
        try:
            count = connection.recv_into(reader.buffer())
        except ConnectionError:
            return
        if count == 0:
            return
        frame = reader.received(count)
        if frame is None:
            continue
        if frame.kind is Kind.REQUEST:
            queue.put(frame)
        elif frame.kind is Kind.CANCEL:
            queue.cancel(_integer(frame.head, "id"))


class Sender:
    """Writes frames, one at a time, from any thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, kind: Kind, head: Mapping[str, object], body: Body = b"") -> None:
        """Blocks until the node took it; nothing happens when the node is gone."""
        start = frame_start(kind, head, len(body))
        with self._lock:
            try:
                self._connection.sendall(start)
                if body:
                    self._connection.sendall(body)
            except ConnectionError:
                # The reading thread meets the same end and closes the process.
                return


@dataclass(order=True)
class _Job:
    urgency: int
    number: int
    id: int = field(compare=False)
    name: str = field(compare=False)
    call: Call = field(compare=False)


class Queue:
    """Requests by urgency (0 first), then in order; ``work`` runs on each thread."""

    def __init__(self, handlers: Mapping[str, Handler], sender: Sender, clock: Clock) -> None:
        self._handlers = handlers
        self._sender = sender
        self._clock = clock
        self._gate = threading.Condition()
        self._waiting: list[_Job] = []
        self._open: dict[int, Call] = {}
        self._background_count = 0
        self._number = 0

    def put(self, frame: Frame) -> None:
        """Takes a request; the node bounds how many there are."""
        end_ns = self._clock.monotonic_ns() + _integer(frame.head, "left_ms") * _MS_NS

        def left_s() -> float:
            return max(0, end_ns - self._clock.monotonic_ns()) / SECOND_NS

        members = frame.head["members"]
        assert isinstance(members, dict)
        call = Call(members, frame.body, left_s)
        request_id = _integer(frame.head, "id")
        with self._gate:
            self._number += 1
            self._open[request_id] = call
            urgency = _integer(frame.head, "urgency")
            job = _Job(urgency, self._number, request_id, str(frame.head["name"]), call)
            heapq.heappush(self._waiting, job)
            self._gate.notify()

    def cancel(self, request_id: int) -> None:
        """Nobody waits for it any more."""
        with self._gate:
            if call := self._open.get(request_id):
                call.is_cancelled = True

    def work(self) -> None:
        """Does one request after the other, for ever."""
        while True:
            job = self._take()
            try:
                self._do(job)
            finally:
                with self._gate:
                    del self._open[job.id]
                    if job.urgency:
                        self._background_count -= 1
                        self._gate.notify()
                # The body may be large, and the next request may be long in coming.
                del job

    def _take(self) -> _Job:
        with self._gate:
            while not self._may_begin():
                self._gate.wait()
            job = heapq.heappop(self._waiting)
            if job.urgency:
                self._background_count += 1
            return job

    def _may_begin(self) -> bool:
        if not self._waiting:
            return False
        return self._waiting[0].urgency == 0 or self._background_count < WORKER_BACKGROUND_MAX

    def _do(self, job: _Job) -> None:
        try:
            answer = self._answer(job)
            self._sender.send(Kind.ANSWER, {"id": job.id, "members": answer.members}, answer.body)
        except SprawlError as error:
            self._refuse(job.id, error)
        except Exception as error:  # noqa: BLE001 # a defect in one request is answered, and seen
            _log.exception("request %s of the worker failed", job.name)
            self._refuse(job.id, InternalError(f"{job.name}: {type(error).__name__}"))

    def _answer(self, job: _Job) -> Answer:
        if job.call.left_s == 0:
            raise Timeout(f"the worker had no time left for {job.name}")
        handler = self._handlers.get(job.name)
        if handler is None:
            raise NotFound(f"the worker does nothing that is called {job.name}")
        return handler(job.call)

    def _refuse(self, request_id: int, error: SprawlError) -> None:
        head = {
            "id": request_id,
            "code": error.code,
            "detail": error.detail,
            "members": dict(error.members),
        }
        self._sender.send(Kind.ERROR, head)


class _Forwarder(logging.Handler):
    """Log lines to the node, which writes them where its own go."""

    def __init__(self, send: Callable[[Mapping[str, object]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)[: WORKER_HEAD_BYTES_MAX // 8]
        self._send({"level": record.levelno, "name": record.name, "text": text})


def _forward_logs(sender: Sender) -> None:
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(_Forwarder(functools.partial(sender.send, Kind.LOG)))


def _integer(head: Mapping[str, object], name: str) -> int:
    value = head[name]
    assert isinstance(value, int)
    return value
