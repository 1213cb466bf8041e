"""The smallest node that keeps its word at ``disk``, and every way in which it might not.

In: the flags that ``NodeProcess`` gives, ``PLANTED_BUG`` in the environment. Out: publish and read
over HTTP, a file ``log``. Invariants, when nothing is planted: an answer leaves after the bytes and
the mark are synced; what is not durable is not visible; damage inside what the mark covers is named
by a gap; nothing is ever started over. It is what the fault tests are tried on: they must pass it
as it is and fail it with each bug of ``planted.MODEL_BUGS``.

    log:     mark (synced by its own descriptor): length u64 | boot u64 | CRC-32 u32, in 4,096 bytes
             then lines, each: CRC-32 in hexadecimal, blank, JSON
    node.json: {"boot", "clean", "length"}; ``length`` is that of a clean end
"""

import asyncio
import errno
import json
import os
import signal
import struct
import sys
import time
import zlib
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_MARK: Final = struct.Struct("<QQI")
_LINES_AT: Final = 4_096
_ID: Final = "aaaaaaaaaaaa"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
BUG: Final = os.environ.get("PLANTED_BUG", "")
_DISK_FULL: Final = 507
_LOST_TAIL: Final = 1 << 24

Line = dict[str, Any]


class Refused(Exception):
    """The directory cannot be used; the text says why."""


@dataclass(slots=True)
class Partition:
    """Records by offset, how many of them are visible, and what is known to be gone."""

    records: list[Line] = field(default_factory=list)
    end: int = 0
    visible: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Waiting:
    """A line that waits for its commit, and who waits for it."""

    data: bytes
    done: asyncio.Future[int]
    line: Line


class Store:
    """The file."""

    def __init__(self, directory: Path) -> None:
        self._identity = directory / "node.json"
        self._path = directory / "log"
        directory.mkdir(parents=True, exist_ok=True)
        is_new = not any(directory.iterdir())
        known = {"boot": 0, "clean": True, "length": _LINES_AT} if is_new else self._known()
        if BUG == "start-empty" and not is_new and not self._is_sound(known):
            self._path.unlink(missing_ok=True)
            is_new, known = True, {"boot": 0, "clean": True, "length": _LINES_AT}
        if not is_new and not self._is_sound(known):
            raise Refused(f"{self._path} is not the log that belongs to {self._identity}")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.handle = os.open(self._path, flags, 0o644)
        self._mark = os.open(self._path, flags | os.O_DSYNC)
        self.length = _LINES_AT if is_new else self._marked()[0]
        self.boot = known["boot"] + 1
        # The mark goes first: a log that is one start ahead is known, one that is behind is old.
        os.ftruncate(self.handle, self.length)
        self.put_mark()
        self.put_identity(is_clean=False)

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self._identity.read_bytes())
            crc = known.pop("crc")
            if crc != zlib.crc32(json.dumps(known).encode()):
                raise ValueError("its checksum is wrong")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            if BUG == "start-empty":
                self._path.unlink(missing_ok=True)
                return {"boot": 0, "clean": True, "length": -1}
            raise Refused(f"{self._identity} cannot be read: {error}") from error
        return dict(known)

    def _marked(self) -> tuple[int, int]:
        with self._path.open("rb") as stream:
            data = stream.read(_MARK.size)
        if len(data) < _MARK.size:
            return -1, -1
        length, boot, crc = _MARK.unpack(data)
        return (length, boot) if zlib.crc32(data[:16]) == crc else (-1, -1)

    def _is_sound(self, known: dict[str, Any]) -> bool:
        if not self._path.exists():
            return False
        length, boot = self._marked()
        if boot not in (known["boot"], known["boot"] + 1) or self._path.stat().st_size < length:
            return False
        return boot != known["boot"] or not known["clean"] or length == known["length"]

    def put_mark(self) -> None:
        data = struct.pack("<QQ", self.length, self.boot)
        os.pwrite(self._mark, data + struct.pack("<I", zlib.crc32(data)), 0)

    def put_identity(self, *, is_clean: bool) -> None:
        known = {"boot": self.boot, "clean": is_clean, "length": self.length}
        fresh = self._identity.with_suffix(".new")
        with fresh.open("w") as stream:
            json.dump(known | {"crc": zlib.crc32(json.dumps(known).encode())}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self._identity)
        folder = os.open(self._identity.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def append(self, data: bytes) -> None:
        """Durable on return; OSError when it is not, and then the length is the old one."""
        done = 0
        while done < len(data):
            done += os.pwrite(self.handle, data[done:], self.length + done)
        if BUG != "no-sync":
            try:
                os.fdatasync(self.handle)
            except OSError:
                if BUG != "sync-error-ignored":
                    raise
        self.length += len(data)
        self.put_mark()

    def lines(self) -> list[Line | None]:
        """What the mark covers; None for a damaged line."""
        data = os.pread(self.handle, self.length, _LINES_AT)[: self.length - _LINES_AT]
        found: list[Line | None] = []
        *rows, rest = data.split(b"\n")
        for row in [*rows, rest] if rest else rows:
            crc, _, body = row.partition(b" ")
            is_sound = b"%08x" % zlib.crc32(body) == crc
            try:
                found.append(json.loads(body) if is_sound or BUG == "checksum-unchecked" else None)
            except ValueError:
                found.append(None)
        return found


class Node:
    """Topics, their partitions, and the commits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._topics: dict[str, list[Partition]] = {}
        self._queue: list[Waiting] = []
        self._bell = asyncio.Event()
        self._moved = asyncio.Condition()
        self._commits = 0
        self._publishes = 0
        self._reads = 0
        self._was_full = False
        self._recover(store.lines())

    def _recover(self, lines: list[Line | None]) -> None:
        if BUG == "drop-tail" and len(lines) > 20:
            del lines[-3:]
        if BUG == "twice-at-recovery" and lines and lines[-1] and "o" in lines[-1]:
            lines.append(lines[-1] | {"o": lines[-1]["o"] + 1})
        if BUG == "swapped-at-recovery":
            mine = [x for x in lines if x and "o" in x and (x["t"], x["p"]) == ("faults-0", 0)]
            for one, two in [mine[3:5]] if len(mine) > 4 else []:
                one["i"], two["i"], one["b"], two["b"] = two["i"], one["i"], two["b"], one["b"]
        for line in lines:
            if line is not None and "o" not in line:
                self._make(line["t"], line["n"])
        is_damaged = None in lines
        sound = [line for line in lines if line is not None and "o" in line]
        if is_damaged:
            # Damage may have moved whole pages.
            sound.sort(key=lambda line: line["o"])
        for line in sound:
            self._take(line, is_damaged=is_damaged)
        for part in chain.from_iterable(self._topics.values()):
            if is_damaged and BUG != "damage-unnamed":
                # How much of its end is gone nobody knows: offsets go on far above it.
                part.gaps.append((part.end, part.end + _LOST_TAIL))
                part.end += _LOST_TAIL
            if BUG == "offset-again-after-restart" and part.end:
                part.end -= 1
                del part.records[-1:]
            part.visible = part.end

    def _make(self, name: str, count: int) -> None:
        partitions = self._topics.setdefault(name, [])
        partitions.extend(Partition() for _ in range(count - len(partitions)))

    def _take(self, line: Line, *, is_damaged: bool) -> None:
        # A damaged line may have been the one that made this topic.
        self._make(line["t"], line["p"] + 1)
        part = self._topics[line["t"]][line["p"]]
        if line["o"] > part.end and is_damaged and BUG != "damage-unnamed":
            part.gaps.append((part.end, line["o"]))
        part.records.append(line)
        part.end = line["o"] + 1

    async def make(self, name: str, count: int) -> int:
        if len(self._topics.get(name, ())) >= count:
            return 200
        status = await self._commit({"t": name, "n": count})
        if status == 201:
            self._make(name, count)
        return status

    async def publish(self, name: str, number: int, msg_id: str, body: bytes) -> tuple[int, int]:
        """Status and offset."""
        self._publishes += 1
        part = self._topics[name][number]
        if BUG == "refused-but-stored" and self._publishes % 50 == 0:
            asyncio.get_running_loop().create_task(
                self._store_one(part, name, number, msg_id, body)
            )
            return 503, -1
        return await self._store_one(part, name, number, msg_id, body)

    async def _store_one(
        self, part: Partition, name: str, number: int, msg_id: str, body: bytes
    ) -> tuple[int, int]:
        line: Line = {"t": name, "p": number, "o": part.end, "i": msg_id, "b": body.decode()}
        part.end += 1
        part.records.append(line)
        if BUG == "visible-before-durable":
            part.visible = part.end
        if BUG == "answer-before-sync":
            asyncio.get_running_loop().create_task(self._commit(line))
            return 201, line["o"]
        return await self._commit(line), line["o"]

    async def _commit(self, line: Line) -> int:
        body = json.dumps(line).encode()
        data = b"%08x %s\n" % (zlib.crc32(body), body)
        waiting = Waiting(data, asyncio.get_running_loop().create_future(), line)
        self._queue.append(waiting)
        self._bell.set()
        return await waiting.done

    async def run(self) -> None:
        """Commits what waits, for ever; OSError when the disk has failed."""
        loop = asyncio.get_running_loop()
        while True:
            await self._bell.wait()
            self._bell.clear()
            batch, self._queue = self._queue, []
            data = b"".join(waiting.data for waiting in batch)
            self._commits += 1
            status = 201
            try:
                if BUG == "stuck-after-full" and self._was_full:
                    raise OSError(errno.ENOSPC, "still")
                if not (BUG == "commit-skipped" and self._commits % 20 == 0):
                    await loop.run_in_executor(None, self._store.append, data)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self._was_full = True
                status = 201 if BUG == "full-acknowledged" else _DISK_FULL
            await self._settle(batch, status)

    async def _settle(self, batch: list[Waiting], status: int) -> None:
        for waiting in batch:
            line = waiting.line
            if "o" in line:
                part = self._topics[line["t"]][line["p"]]
                if status == 201:
                    part.visible = max(part.visible, line["o"] + 1)
                else:
                    part.records.remove(line)
            waiting.done.set_result(status)
        async with self._moved:
            self._moved.notify_all()

    async def read(
        self, name: str, number: int, first: int, limit: int, wait_s: float
    ) -> Line | None:
        """The answer's members; None for an unknown topic."""
        if name not in self._topics:
            return None
        part = self._topics[name][number]
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0 and part.visible <= first:
            try:
                async with asyncio.timeout(left), self._moved:
                    await self._moved.wait()
            except TimeoutError:
                break
        self._reads += 1
        shown = [line for line in part.records[-(limit * 8) :] if first <= line["o"] < part.visible]
        if (
            part.records
            and part.records[0]["o"]
            <= first
            < part.records[max(0, len(part.records) - limit * 8)]["o"]
        ):
            shown = [line for line in part.records if first <= line["o"] < part.visible]
        is_all = len(shown) <= limit
        shown = shown[:limit]
        if BUG == "read-skips" and self._reads % 10 == 0 and len(shown) > 2:
            del shown[1]
        messages = [
            {"id": _message_id(name, number, line["o"]), "offset": line["o"], "attempt": 1}
            | {"headers": {"id": line["i"]}, "payload": line["b"]}
            for line in shown
        ]
        gaps = [
            {"partition": number, "from": low, "to": high, "reason": "damaged"}
            for low, high in part.gaps
            if low >= first
        ]
        return {"messages": messages, "gaps": gaps if is_all else [], "up_to_date": is_all}


def _message_id(name: str, number: int, offset: int) -> str:
    return f"{_ID}{_LETTERS[zlib.crc32(name.encode()) % 32]}-{number}-{offset}"


async def _serve(node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *rest = head.decode().split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in rest)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = first.split(" ")
            status, answer = await _answer(node, method, target, headers, body)
            content = json.dumps(answer, separators=(",", ":")).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(content)))
            writer.write(content)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        # The client has gone.
        writer.close()


async def _answer(
    node: Node, method: str, target: str, headers: dict[str, str], body: bytes
) -> tuple[int, Line]:
    parts = urlsplit(target)
    names = parts.path.split("/")
    if parts.path == "/ready":
        return 200, {}
    if method == "PUT":
        return await node.make(names[3], json.loads(body)["partitions"]), {}
    if method == "POST":
        number = int(headers["sprawl-partition"])
        level = headers["sprawl-durability"]
        status, offset = await node.publish(names[3], number, headers["sprawl-header-id"], body)
        if status != 201:
            return status, {}
        reached = "memory" if BUG == "less-than-asked" else level
        return status, {
            "id": _message_id(names[3], number, offset),
            "offset": offset,
            "durability": {"asked": level, "reached": reached},
        }
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    first = int(query.get("from", "offset:0").removeprefix("offset:"))
    limit, wait_s = int(query.get("limit", 1_000)), float(query.get("wait", 0))
    found = await node.read(names[3], int(query["partition"]), first, limit, wait_s)
    return (404, {}) if found is None else (200, found)


async def _run(port: int, directory: Path) -> int:
    store = Store(directory)
    node = Node(store)
    commits = asyncio.ensure_future(node.run())
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await asyncio.start_server(partial(_serve, node), "127.0.0.1", port)
    await asyncio.wait([commits, asyncio.ensure_future(end.wait())], return_when="FIRST_COMPLETED")
    if commits.done():
        sys.stderr.write(f"the disk has failed: {commits.exception()}\n")
        sys.stderr.flush()
        # At once: who waits for an answer gets none.
        os._exit(1)
    store.put_identity(is_clean=True)
    return 0


def _main() -> int:
    flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
    try:
        status = asyncio.run(_run(int(flags["httpPort"]), Path(flags["diskStoragePath"])))
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(_main())
