"""What bounds single publishes at disk: the same bytes made durable again and again, by one thread, with nothing else.

In: a folder, how many messages of 128 bytes share a commit. Out: messages/s and the median of one commit in µs
of each way. Ways: ``append`` (write and fdatasync of a file that grows, as Redis does), ``written`` (the same into
blocks that were written before), ``lmdb`` (one transaction of LMDB, two flushes), ``ahead`` (the node's own
writer: journal, and LMDB behind it). They take turns, a slice of a tenth of a second each, so that a disk's mood meets all of them.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from sprawl._native import encode_batch, encode_envelope
from sprawl.clock import SystemClock
from sprawl.log.ahead import WriteAhead, open_journal
from sprawl.log.starts import Starts
from sprawl.log.store import LogStore
from tests.models.disk import piece

SLICE_S = 0.1
ROUNDS = 20
WRITTEN_BYTES = 64 << 20
PAYLOAD = b"m" * 128

Commit = Callable[[], None]


def ceiling(folder: Path, messages: int) -> dict[str, float]:
    """Figures of commits of so many messages; ``value`` is what the node's own writer does of ``written``."""
    envelope = encode_envelope(
        encode_batch([(None, PAYLOAD, None, 1_000)]),
        slot=3,
        epoch=1,
        partition=0,
        sequence=0,
        topic_id=77,
        append_ns=1_000,
        records_count=1,
    )
    ways = {"append": append, "written": written, "lmdb": lmdb_commits, "ahead": ahead}
    with ExitStack() as stack:
        commits = {}
        for name, way in ways.items():
            place = folder / name
            place.mkdir()
            commits[name] = stack.enter_context(way(place, [envelope] * messages))
        took_us: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, commit in commits.items():
                run(commit, took_us[name])
    figures: dict[str, float] = {"commit_bytes": len(envelope) * messages}
    for name, took in took_us.items():
        figures[f"{name}_rate"] = messages * len(took) / sum(took) * 1e6
        figures[f"{name}_p50_us"] = median(took)
        figures[f"{name}_p99_us"] = sorted(took)[int(len(took) * 0.99)]
    return {"value": figures["ahead_rate"] / figures["append_rate"], **figures}


def run(commit: Commit, took_us: list[float]) -> None:
    """Commits for a slice of time."""
    end = time.monotonic() + SLICE_S
    while time.monotonic() < end:
        began = time.perf_counter()
        commit()
        took_us.append((time.perf_counter() - began) * 1e6)


@contextmanager
def append(folder: Path, parts: list[bytes]) -> Iterator[Commit]:
    """A file that grows."""
    handle = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def commit() -> None:
        os.writev(handle, parts)
        os.fdatasync(handle)

    yield commit
    os.close(handle)


@contextmanager
def written(folder: Path, parts: list[bytes]) -> Iterator[Commit]:
    """A file whose blocks are there and written."""
    size = sum(map(len, parts))
    pages = -(-size // 4_096) * 4_096
    handle = os.open(folder / "log", os.O_RDWR | os.O_CREAT)
    for at in range(0, WRITTEN_BYTES, 1 << 20):
        os.pwrite(handle, bytes(1 << 20), at)
    os.fsync(handle)
    at = 0

    def commit() -> None:
        nonlocal at
        os.pwritev(handle, parts, at)
        os.fdatasync(handle)
        at = at + pages if at + 2 * pages <= WRITTEN_BYTES else 0

    yield commit
    os.close(handle)


@contextmanager
def lmdb_commits(folder: Path, parts: list[bytes]) -> Iterator[Commit]:
    """A transaction of LMDB for each."""
    data = b"".join(parts)
    lsn = 0

    def commit() -> None:
        nonlocal lsn
        store.put_commit([piece(lsn, data)])
        lsn += len(data)

    with LogStore(folder, disk_bytes_max=0, is_new=True, clock=SystemClock()) as store:
        yield commit


@contextmanager
def ahead(folder: Path, parts: list[bytes]) -> Iterator[Commit]:
    """As the node does it."""
    size = sum(map(len, parts))
    lsn = 0

    def commit() -> None:
        nonlocal lsn
        writer.put(lsn, parts)
        lsn += size

    with LogStore(folder, disk_bytes_max=0, is_new=True, clock=SystemClock()) as store:
        journal = open_journal(store, Starts(1, 0, was_clean=False))
        journal.begin(1)
        writer = WriteAhead(store, journal)
        yield commit
