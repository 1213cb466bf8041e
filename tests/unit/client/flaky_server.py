"""A small node that misbehaves on command: the other end of the client's tests.

It speaks HTTP/1.1 over asyncio streams, keeps topics in lists, knows producers' sequences and
idempotency keys, and follows a script: the next answers can be replaced by a status, by a broken
connection before or after storing, or by silence. It decodes batches with the real codec.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sprawl._native import cursor_decode, cursor_encode, decode_batches, encode_batch

TOPIC_ID = 7
TOPIC_ID_TEXT = "aaaaaaaaaaaao"
NOW = "2026-01-01T00:00:00Z"
BATCH = "application/x-sprawl-batch"


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Answer:
    """One answer; ``after`` is what happens instead of sending it."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, code: str, **members: object) -> Answer:
    """A problem answer as a node writes it."""
    body = {"status": status, "code": code, "detail": f"told to answer {code}", **members}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/problem+json"})


class FlakyServer:
    """Topics, producers and the script.

    ``script`` holds, for the next publishes and reads: an ``Answer`` to send instead of working;
    ``"drop"`` (close before working); ``"drop-after"`` (work, then close without the answer);
    ``"hang"`` (work never, answer never); ``None`` (behave).
    """

    def __init__(self) -> None:
        self.partitions: dict[str, int] = {}
        self.logs: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = {}
        self.asked: list[Asked] = []
        self.script: deque[Answer | str | None] = deque()
        self.low = 0
        # What every page says is lost: partition, first offset, offset after, reason.
        self.gaps: list[tuple[int, int, int, str]] = []
        self.connections_count = 0
        self.url = ""
        self._next: dict[int, int] = {}
        self._placed: dict[tuple[int, int], tuple[int, int]] = {}
        self._keys: dict[str, tuple[int, int]] = {}
        self._more = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FlakyServer"]:
        """Listens on a port of the system's choice until the block ends."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await server.wait_closed()

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        """What is stored."""
        return [value for _, value in self.logs.get((topic, partition), [])]

    def append(self, topic: str, *values: bytes, partition: int = 0) -> None:
        """Stores values as if somebody had published them."""
        self.logs.setdefault((topic, partition), []).extend((None, value) for value in values)
        self._more.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_count += 1
        number = self.connections_count
        self._writers.add(writer)
        try:
            while await self._one(reader, writer, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as it may
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        asked = Asked(method, unquote(parts.path), query, headers, body, number)
        self.asked.append(asked)
        is_told = parts.path.endswith(("messages", "/publish"))
        told = self.script.popleft() if self.script and is_told else None
        if told == "drop":
            writer.transport.abort()
            return False
        if told == "hang":
            await reader.read()
            return False
        answer = told if isinstance(told, Answer) else await self._work(asked)
        if told == "drop-after":
            writer.transport.abort()
            return False
        lines = [f"HTTP/1.1 {answer.status} Told", f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
        await writer.drain()
        return True

    async def _work(self, asked: Asked) -> Answer:
        if asked.path == "/publish":
            return self._store_alias(json.loads(asked.body))
        _, _, _, topic, *rest = [*asked.path.split("/"), ""]
        if asked.path.startswith("/v1/topics/") and rest[:1] == ["messages"]:
            return await (self._read(asked, topic) if asked.method == "GET" else self._store(asked))
        if topic in self.partitions:
            return Answer(body=_json(_details(topic, self.partitions[topic])))
        return problem(404, "topic_not_found")

    async def _store(self, asked: Asked) -> Answer:
        topic = asked.path.split("/")[3]
        partition = int(asked.query.get("partition", asked.headers.get("sprawl-partition", "0")))
        log = self.logs.setdefault((topic, partition), [])
        if asked.headers.get("content-type") == BATCH:
            return self._store_batch(asked, log, partition)
        key = asked.headers.get("idempotency-key", "")
        duplicate = key in self._keys
        if not duplicate:
            self._keys[key] = (partition, len(log))
            log.append((asked.headers.get("sprawl-key", "").encode() or None, asked.body))
        partition, offset = self._keys[key]
        self._more.set()
        body = {"id": f"{TOPIC_ID_TEXT}-{partition}-{offset}", "topic": topic} | _tail(partition)
        return Answer(
            201, _json(body | {"offset": offset}), {"Sprawl-Duplicate": "true"} if duplicate else {}
        )

    def _store_alias(self, body: dict[str, Any]) -> Answer:
        """``POST /publish``, as the original's contract has it."""
        if body["id"] not in self._keys:
            log = self.logs.setdefault((body["topic"], 0), [])
            self._keys[body["id"]] = (0, len(log))
            log.append((None, body["payload"].encode()))
        return Answer(body=_json({"id": body["id"], "status": "published"}))

    def _store_batch(
        self, asked: Asked, log: list[tuple[bytes | None, bytes]], partition: int
    ) -> Answer:
        records = decode_batches(asked.body)
        producer = int.from_bytes(asked.body[43:51], "big", signed=True)
        sequence = int.from_bytes(asked.body[53:57], "big", signed=True)
        expected = self._next.get(producer, sequence)
        base, duplicate = len(log), False
        if producer >= 0 and sequence != expected:
            if (producer, sequence) not in self._placed:
                code = "sequence_gap" if sequence > expected else "sequence_too_old"
                return problem(409, code, retryable=False)
            base, duplicate = self._placed[producer, sequence][0], True
        else:
            self._next[producer] = sequence + len(records)
            self._placed[producer, sequence] = (base, len(records))
            log.extend((record[2], record[3] or b"") for record in records)
            self._more.set()
        result = _tail(partition) | {"base_offset": base, "count": len(records)}
        result["id"] = f"{TOPIC_ID_TEXT}-{partition}-{base}"
        return Answer(body=_json({"results": [result | {"duplicate": duplicate}]}))

    async def _read(self, asked: Asked, topic: str) -> Answer:
        if topic not in self.partitions:
            return problem(404, "topic_not_found")
        wanted = asked.query.get("partition")
        numbers = range(self.partitions[topic]) if wanted is None else [int(wanted)]
        logs = {n: self.logs.setdefault((topic, n), []) for n in numbers}
        starts = self._starts(asked.query["from"], logs)
        if min(starts.values()) < self.low:
            cursor = _cursor({n: max(start, self.low) for n, start in starts.items()})
            return problem(410, "offset_expired", cursor=cursor)
        deadline = float(asked.query.get("wait", "0"))
        while deadline and all(starts[n] >= len(log) for n, log in logs.items()):
            self._more.clear()
            await self._more.wait()
        left = int(asked.query["limit"])
        if asked.headers["accept"] == BATCH:
            return _batches(logs, starts, left, self.gaps)
        return _messages(logs, starts, left, self.gaps)

    def _starts(self, from_: str, logs: dict[int, list[Any]]) -> dict[int, int]:
        if from_.startswith("cursor:"):
            return {entry[1]: entry[3] for entry in cursor_decode(from_[7:])}
        if from_.startswith("offset:"):
            return dict.fromkeys(logs, int(from_[7:]))
        if from_ == "latest":
            return {n: len(log) for n, log in logs.items()}
        return dict.fromkeys(logs, self.low)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tail(partition: int) -> dict[str, Any]:
    durability = {"asked": "disk", "reached": "disk", "replicas": 1, "fsynced": 1}
    return {"partition": partition, "timestamp": NOW, "durability": durability}


def _details(topic: str, count: int) -> dict[str, Any]:
    partitions = [
        {"partition": n, "leader": "n1", "low_offset": 0, "high_offset": 0} for n in range(count)
    ]
    return {"name": topic, "topic_id": TOPIC_ID_TEXT, "config": {}, "partitions": partitions}


def _cursor(nexts: dict[int, int]) -> str:
    return cursor_encode([(TOPIC_ID, n, 0, next_) for n, next_ in nexts.items()])


def _batches(
    logs: dict[int, list[tuple[bytes | None, bytes]]],
    starts: dict[int, int],
    left: int,
    gaps: list[tuple[int, int, int, str]],
) -> Answer:
    """Batches of two records, whole ones only, as a log would hold them."""
    ((number, log),) = logs.items()
    at = starts[number] // 2 * 2 if starts[number] < len(log) else len(log)
    end = min(len(log), starts[number] + left)
    body = b""
    while at < end:
        records = [(key, value, None, 1000) for key, value in log[at : at + 2]]
        batch = bytearray(encode_batch(records))
        batch[0:8] = at.to_bytes(8, "big")  # the base offset lies outside the checksum
        body += batch
        at += len(records)
    reached = max(at, starts[number])
    headers = {
        "Sprawl-Cursor": _cursor({number: reached}),
        "Sprawl-Up-To-Date": "true" if reached >= len(log) else "false",
    }
    if gaps:
        headers["Sprawl-Gap"] = ", ".join(f"{n};{first}-{end};{why}" for n, first, end, why in gaps)
    return Answer(body=body, headers=headers)


def _messages(
    logs: dict[int, list[tuple[bytes | None, bytes]]],
    starts: dict[int, int],
    left: int,
    gaps: list[tuple[int, int, int, str]],
) -> Answer:
    found = []
    for number, log in logs.items():
        while starts[number] < len(log) and len(found) < left:
            offset = starts[number]
            found.append(
                {
                    "id": f"{TOPIC_ID_TEXT}-{number}-{offset}",
                    "partition": number,
                    "offset": offset,
                    "timestamp": NOW,
                    "payload": log[offset][1].decode(),
                    "attempt": 1,
                }
            )
            starts[number] += 1
    is_up_to_date = all(starts[n] >= len(log) for n, log in logs.items())
    body: dict[str, Any] = {"messages": found, "cursor": _cursor(starts)}
    body["up_to_date"] = is_up_to_date
    if gaps:
        body["gaps"] = [
            dict(zip(("partition", "from", "to", "reason"), g, strict=True)) for g in gaps
        ]
    return Answer(body=_json(body))
