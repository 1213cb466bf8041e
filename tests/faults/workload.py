"""Clients that publish and read while a node is broken under them, and write down what they saw.

In: a port, a history, a level. Out: a history that the checker can judge. Every client is a thread
with one raw connection: a producer has one request in flight, of one message or of ``batch_count`` that
are answered one by one, and takes no answer for an answer but one that is whole; a reader polls one partition by offsets. Both go on through deaths of the node
until they are told to stop; nothing is ever published twice under one id.
"""

import json
import random
import re
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.contract.outside.wire import Answer, Wire
from tests.faults.history import Event, History, content_hash, now, outcome_of

ANSWER_S: Final = 20
_READ_COUNT: Final = 1_000
# A client that finds nobody asks again after this time; no outcome depends on it.
_RETRY_S: Final = 0.02
ID_HEADER: Final = "id"
_EARLIEST: Final = re.compile(r"the earliest is (\d+)")


@dataclass(frozen=True, slots=True)
class Plan:
    """Who does what: ``topics`` with ``partitions`` each, ``producers``, a reader a partition."""

    level: str = "disk"
    topics: int = 2
    partitions: int = 2
    producers: int = 8
    readers: int = 4
    body_bytes: int = 128
    batch_count: int = 1
    ttl_share: float = 0.0
    ttl_s: int = 3_600
    pace_s: float = 0.0
    # A client that has no answer for so long connects anew; what it asked for is unknown.
    answer_s: float = ANSWER_S

    def all_partitions(self) -> list[tuple[str, int]]:
        """Every (topic, partition)."""
        return [(f"faults-{t}", p) for t in range(self.topics) for p in range(self.partitions)]


class Workload:
    """The clients; use it as a context manager, or ``start``, ``stop`` and ``final_read``."""

    def __init__(self, port: int, history: History, plan: Plan, seed: int = 0) -> None:
        self._port = port
        self._history = history
        self.plan = plan
        self._seed = seed
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        self._acked = [0] * plan.producers
        self._statuses: dict[int | None, int] = {}

    @property
    def acked_count(self) -> int:
        """How many publishes were acknowledged until now."""
        return sum(self._acked)

    @property
    def statuses(self) -> dict[int | None, int]:
        """How many answers had which status; None is no answer."""
        return dict(self._statuses)

    def make_topics(self) -> None:
        """Creates the topics, with the level as theirs."""
        for number in range(self.plan.topics):
            body = {"partitions": self.plan.partitions, "durability": self.plan.level}
            answer = httpx.put(
                f"http://127.0.0.1:{self._port}/v1/topics/faults-{number}", json=body, timeout=10
            )
            assert answer.status_code in (200, 201), answer.text

    def start(self) -> None:
        """Starts all clients."""
        for number in range(self.plan.producers):
            self._spawn(self._produce, number)
        for number in range(self.plan.readers):
            self._spawn(self._read, number)

    def stop(self) -> None:
        """Ends all clients; raises what one of them died of."""
        self._stop.set()
        for thread in self._threads:
            thread.join(ANSWER_S + 5)
            assert not thread.is_alive(), f"{thread.name} has not ended"
        self._threads.clear()
        if self._failures:
            raise self._failures[0]

    def abandon(self) -> None:
        """Tells all clients to end and waits for none; a test has failed."""
        self._stop.set()

    def wait_for(self, count: int, timeout_s: float = 30) -> None:
        """Returns when ``count`` publishes more have been acknowledged."""
        goal = self.acked_count + count
        self.wait_until(lambda: self.acked_count >= goal, timeout_s)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30) -> None:
        """Returns when the condition holds; an AssertionError at the deadline."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert not self._failures, self._failures[0]
            assert time.monotonic() < deadline, f"not in {timeout_s} s; answers {self._statuses}"
            time.sleep(0.005)

    def final_read(self) -> None:
        """Reads every partition from its beginning to its end."""
        for topic, partition in self.plan.all_partitions():
            position, is_at_end = 0, False
            with _Client(self._port) as client:
                while not is_at_end:
                    event, position = _poll(client, "final", topic, partition, position)
                    is_at_end = event["up_to_date"]
                    self._history.write(event | {"final": True})

    def _spawn(self, run: Callable[[int], None], number: int) -> None:
        def guarded() -> None:
            try:
                run(number)
            except BaseException as error:  # noqa: BLE001
                # Raised again by stop, in the test's own thread.
                self._failures.append(error)

        thread = threading.Thread(target=guarded, name=f"{run.__name__}-{number}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _produce(self, number: int) -> None:
        plan = self.plan
        draw = random.Random(f"{self._seed}-{number}")
        partitions = plan.all_partitions()
        proc = f"producer-{self._seed}-{number}"
        seq = 0
        client = _Client(self._port, plan.answer_s)
        while not self._stop.is_set():
            topic, partition = draw.choice(partitions)
            msg_ids = [f"m{self._seed}-{number}-{seq + at}" for at in range(plan.batch_count)]
            bodies = [_body(msg_id, plan.body_bytes, draw) for msg_id in msg_ids]
            ttl_s = plan.ttl_s if draw.random() < plan.ttl_share else 0
            if plan.batch_count == 1:
                request = publish_request(
                    topic, partition, msg_ids[0], bodies[0], plan.level, ttl_s
                )
            else:
                request = batch_request(topic, partition, msg_ids, bodies, plan.level, ttl_s)
            if not client.connect():
                # Nobody listens, so nothing was attempted.
                self._stop.wait(_RETRY_S)
                continue
            asked: Event = {
                "proc": proc,
                "op": "pub",
                "topic": topic,
                "partition": partition,
                "producer": proc,
                "level": plan.level,
                "node": "node",
                "t_inv": now(),
            }
            if ttl_s:
                asked["ttl_s"] = ttl_s
            answer = client.exchange(request)
            asked["t_ret"] = now()
            receipts = _receipts(answer, plan.batch_count)
            messages = zip(msg_ids, bodies, receipts, strict=True)
            self._history.write_all(
                asked | {"seq": seq + at, "msg_id": msg_id, "hash": content_hash(body)} | receipt
                for at, (msg_id, body, receipt) in enumerate(messages)
            )
            for receipt in receipts:
                status = receipt["status"]
                self._statuses[status] = self._statuses.get(status, 0) + 1
                self._acked[number] += receipt["outcome"] == "ok"
            seq += plan.batch_count
            if receipts[0]["outcome"] == "fail" or plan.pace_s:
                self._stop.wait(plan.pace_s or _RETRY_S)
        client.close()

    def _read(self, number: int) -> None:
        partitions = self.plan.all_partitions()
        topic, partition = partitions[number % len(partitions)]
        proc = f"reader-{self._seed}-{number}"
        position, assignment = 0, 0
        client = _Client(self._port)
        while not self._stop.is_set():
            if not client.connect():
                self._stop.wait(_RETRY_S)
                continue
            try:
                event, position = _poll(client, proc, topic, partition, position, 0.2)
            except ConnectionError:
                continue
            self._history.write(event | {"assignment": assignment})
            if position < 0:
                position, assignment = 0, assignment + 1
        client.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Client:
    """One connection that is made again after it broke."""

    def __init__(self, port: int, answer_s: float = ANSWER_S) -> None:
        self._port = port
        self._answer_s = answer_s
        self._wire: Wire | None = None

    def connect(self) -> bool:
        """True when there is a connection."""
        if self._wire is None:
            try:
                self._wire = Wire(self._port, self._answer_s)
            except OSError:
                return False
        return True

    def exchange(self, request: bytes) -> Answer | None:
        """The answer; None when the connection broke or was silent before it was whole."""
        if not self.connect():
            return None
        assert self._wire is not None
        try:
            answer = self._wire.answer() if self._wire.send(request) else None
        except (OSError, AssertionError, ValueError):
            answer = None
        if answer is None or answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Closes the connection; twice does nothing."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def publish_request(
    topic: str, partition: int, msg_id: str, body: bytes, level: str, ttl_s: int = 0
) -> bytes:
    """The bytes of one publish; the id travels in a header of the record."""
    lines = [
        f"POST /v1/topics/{topic}/messages HTTP/1.1",
        "Host: localhost",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
        f"Sprawl-Partition: {partition}",
        f"Sprawl-Durability: {level}",
        f"Sprawl-Header-{ID_HEADER}: {msg_id}",
    ]
    if ttl_s:
        lines.append(f"Sprawl-TTL: {ttl_s}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def batch_request(
    topic: str, partition: int, msg_ids: list[str], bodies: list[bytes], level: str, ttl_s: int = 0
) -> bytes:
    """The bytes of one publish of several messages."""
    messages = [
        {"payload": body.decode(), "headers": {ID_HEADER: msg_id}}
        | ({"ttl_s": ttl_s} if ttl_s else {})
        for msg_id, body in zip(msg_ids, bodies, strict=True)
    ]
    content = json.dumps({"messages": messages}).encode()
    lines = [
        f"POST /v1/topics/{topic}/messages HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/vnd.sprawl.messages+json",
        f"Content-Length: {len(content)}",
        f"Sprawl-Partition: {partition}",
        f"Sprawl-Durability: {level}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _body(msg_id: str, size: int, draw: random.Random) -> bytes:
    """Text that begins with the id and is unlike every other."""
    return f"{msg_id} {draw.getrandbits(4 * size):0{size}x}".encode()[:size]


def _receipts(answer: Answer | None, count: int) -> list[Event]:
    """What an answer to a publish says of each of its messages."""
    if answer is None:
        return [{"outcome": outcome_of(None), "status": None}] * count
    outcome = outcome_of(answer.status)
    if outcome != "ok":
        return [{"outcome": outcome, "status": answer.status}] * count
    found = json.loads(answer.body)
    return [_receipt(answer.status, one) for one in found.get("results", [found])]


def _receipt(status: int, found: dict[str, Any]) -> Event:
    """A receipt, or the problem that stands in its place."""
    if "offset" not in found:
        return {"outcome": outcome_of(found["status"]), "status": found["status"]}
    reached = found["durability"]["reached"]
    event: Event = {"outcome": "ok", "status": status, "message": found["id"]}
    return event | {"offset": found["offset"], "reached": reached}


def _poll(
    client: _Client, proc: str, topic: str, partition: int, position: int, wait_s: float = 0
) -> tuple[Event, int]:
    """One read from an offset; the event, and the offset to go on from, -1 when there is none.

    Raises ConnectionError.
    """
    target = f"/v1/topics/{topic}/messages?partition={partition}&from=offset:{position}"
    target += f"&limit={_READ_COUNT}&wait={wait_s}"
    begin = now()
    answer = client.exchange(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    if answer is None:
        raise ConnectionError(f"no answer to a read of {topic}/{partition}")
    event: Event = {
        "t_inv": begin,
        "t_ret": now(),
        "proc": proc,
        "op": "poll",
        "topic": topic,
        "partition": partition,
        "from": position,
        "status": answer.status,
        "seen": [],
        "up_to_date": False,
    }
    if answer.status == 404:
        # A topic that was never made has no messages; the checker says whether that is a loss.
        return event | {"up_to_date": True}, position
    if answer.status == 416:
        # What was seen is gone: begin anew, and let the checker say whether it might be.
        return event, -1
    if answer.status == 410:
        earliest = int(_EARLIEST.search(json.loads(answer.body)["detail"])[1])  # type: ignore[index]
        return event | {"gaps": [[position, earliest, "retention"]]}, earliest
    assert answer.status == 200, f"{target}: {answer.status} {answer.body[:500]!r}"
    found = json.loads(answer.body)
    event["seen"] = [_entry(message) for message in found["messages"]]
    event["gaps"] = [_gap(gap) for gap in found.get("gaps", ())]
    event["up_to_date"] = found["up_to_date"]
    ends = [entry[0] + 1 for entry in event["seen"]] + [gap[1] for gap in event["gaps"]]
    return event, max(ends, default=position)


def _entry(message: dict[str, Any]) -> list[Any]:
    value = message.get("payload")
    content = value.encode() if value is not None else b64decode(message["base64"])
    msg_id = message.get("headers", {}).get(ID_HEADER, "")
    return [message["offset"], msg_id, content_hash(content), message.get("attempt", 1)]


def _gap(gap: dict[str, Any]) -> list[Any]:
    return [gap["from"], gap["to"], gap["reason"]]
