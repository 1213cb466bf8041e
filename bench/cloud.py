"""``python -m bench.cloud [figure …]``: what the cloud tier does, against a MinIO on this machine.

Figures: ``cloud-move`` (MB/s of messages from disk to the bucket), ``cloud-move-p99``,
``cloud-first-p99`` and ``cloud-read-p99`` (p99 of publishes at disk meanwhile, against the same node
at rest in the same run), ``cloud-requests`` (object requests of one cold read of 1,000 messages).
Each writes ``perf/results/<date>-<figure>.json`` as ``bench.disk`` does. MinIO and the load run on
core 1; the node and its worker process on core 0 while they move, on both while latency is taken, as
on a machine of a user's.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.disk import Figure, batches, launch_at, take_figures
from bench.peers.measure import load_command, run_load
from bench.peers.process import Server, free_port, on_core
from bench.peers.systems import ROOT

MIB = 1 << 20
MESSAGE_BYTES = 128
MOVED_MESSAGES = 2_000_000
RATE = 1_000
LATENCY_S = 8.0
DEADLINE_S = 300


@contextmanager
def minio(folder: Path) -> Iterator[dict[str, str]]:
    """Settings of a cloud tier on a MinIO of its own, on core 1."""
    script = str(ROOT / "scripts" / "minio.sh")
    with on_core(1):
        # Another machine in earnest: it must not take the core from the load that measures.
        command = ["nice", "-n", "15", script, "start", str(folder)]
        started = subprocess.check_output(command, text=True)
    said = dict(line.split("=", 1) for line in started.split())
    try:
        yield {
            "SPRAWL_STORAGE_CLOUD_ENABLED": "true",
            "SPRAWL_STORAGE_CLOUD_UPLOAD_RATE": "0",
            **{
                name: said[name]
                for name in said
                if name.startswith("MINIO_") and name != "MINIO_PID"
            },
        }
    finally:
        subprocess.run([script, "stop", str(folder)], check=True)


@contextmanager
def node(folder: Path, settings: dict[str, str], cores: set[int]) -> Iterator[int]:
    """A running node with all three tiers, and its port."""
    port = free_port()
    launch = launch_at(folder, port, 64 * MIB)
    launch = replace(launch, env={**launch.env, **settings})
    with Server(launch, folder, 0) as server:
        os.sched_setaffinity(server.process.pid, cores)
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)
        yield port


def ask(port: int, method: str, path: str, body: object = None) -> dict[str, object]:
    """A JSON answer of the node."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"bench: {method} {path}: {answer.status} {data[:300]!r}")
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


def counts(port: int) -> dict[str, int]:
    """Messages of each tier."""
    shown = ask(port, "GET", "/store")
    return {tier: shown[tier]["messages"] for tier in ("memory", "disk", "cloud")}  # type: ignore[index]


def to_cloud(port: int, messages: int) -> float:
    """Asks for the move of all there is; seconds until ``messages`` count in the cloud."""
    began = time.perf_counter()
    ask(port, "POST", "/store/tiers", {"topic": "t", "tier": "cloud"})
    while counts(port)["cloud"] < messages:
        if time.perf_counter() - began > DEADLINE_S:
            raise SystemExit(f"bench: {counts(port)} after {DEADLINE_S} s")
        time.sleep(0.02)
    return time.perf_counter() - began


def p99(port: int, seconds: float = LATENCY_S) -> float:
    """p99 in ms of publishes at disk, ``RATE`` a second on 16 connections, by schedule."""
    words = ["http-post", "--connections", "16", "--rate", str(RATE), "--path"]
    command = load_command([*words, "/v1/topics/lat/messages"], f"127.0.0.1:{port}", seconds)
    report = run_load(command)
    assert not report["errors"], report
    return float(report["p99_us"]) / 1e3


def move(folder: Path) -> dict[str, float]:
    """MB/s of message values, windows of 64 MiB, one core for node and worker."""
    with minio(folder / "minio") as settings, node(folder, settings, {0}) as port:
        batches(port, MOVED_MESSAGES)
        ask(port, "POST", "/store/tiers", {"topic": "t", "tier": "disk"})
        while counts(port)["disk"] < MOVED_MESSAGES:
            time.sleep(0.05)
        took = to_cloud(port, MOVED_MESSAGES)
        stored = ask(port, "GET", "/store")["cloud"]["stored_bytes"]  # type: ignore[index]
    size = MOVED_MESSAGES * MESSAGE_BYTES
    return {
        "value": size / took / 1e6,
        "message_bytes": size,
        "stored_bytes": stored,
        "took_s": took,
    }


def compared(
    port: int, busy: Callable[[threading.Event], None], seconds: float = LATENCY_S
) -> dict[str, float]:
    """p99 while ``busy`` runs against p99 at rest, before and after; the ratio to their median.

    ``busy`` goes on until the event is set.
    """
    p99(port, 2.0)
    before = p99(port, seconds)
    done = threading.Event()

    def behind() -> None:
        # Linux has a niceness for each thread: this one is another client's machine.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
        busy(done)

    thread = threading.Thread(target=behind)
    thread.start()
    meanwhile = p99(port, seconds)
    done.set()
    thread.join()
    after = p99(port, seconds)
    rest = median([before, after])
    return {"value": meanwhile / rest, "busy_ms": meanwhile, "before_ms": before, "after_ms": after}


def move_p99(folder: Path) -> dict[str, float]:
    """Moves go on all the time that the p99 is taken."""
    with minio(folder / "minio") as settings, node(folder, settings, {0, 1}) as port:
        batches(port, 4 * MOVED_MESSAGES)
        ask(port, "POST", "/store/tiers", {"topic": "t", "tier": "disk"})

        def busy(done: threading.Event) -> None:
            ask(port, "POST", "/store/tiers", {"topic": "t", "tier": "cloud"})
            done.wait()

        found = compared(port, busy)
        moved = counts(port)["cloud"]
    return {**found, "moved_messages": moved}


def first_p99(folder: Path) -> dict[str, float]:
    """The first upload after a start: the worker process begins, and imports what it needs."""
    with minio(folder / "minio") as settings:
        with node(folder, settings, {0, 1}) as port:
            batches(port, 100_000)
        with node(folder, settings, {0, 1}) as port:
            found = compared(port, lambda _: float_to_none(to_cloud(port, 100_000)))
    return found


def float_to_none(_: float) -> None:
    """A call whose answer nobody needs."""


def read_p99(folder: Path) -> dict[str, float]:
    """Cold reads one after another, from all over what lies in the cloud, all the time."""
    with minio(folder / "minio") as settings, node(folder, settings, {0, 1}) as port:
        batches(port, MOVED_MESSAGES)
        to_cloud(port, MOVED_MESSAGES)

        def busy(done: threading.Event) -> None:
            offset = 0
            while not done.is_set():
                offset = (offset + 777_777) % (MOVED_MESSAGES - 2_000)
                path = f"/v1/topics/t/messages?from=offset:{offset}&limit=1000"
                assert len(ask(port, "GET", path)["messages"]) == 1000  # type: ignore[arg-type]

        pairs = [compared(port, busy, 4.0) for _ in range(5)]
        return {name: median(pair[name] for pair in pairs) for name in pairs[0]}


def requests(folder: Path) -> dict[str, float]:
    """Object requests for one read of 1,000 messages among those of 20 topics, nothing kept."""
    with minio(folder / "minio") as settings, node(folder, settings, {0, 1}) as port:
        for number in range(20):
            batches(port, 50_000, f"t{number}" if number else "t")
        to_cloud(port, 20 * 50_000)
        began = time.perf_counter()
        read = ask(port, "GET", "/v1/topics/t7/messages?from=offset:20000&limit=1000")
        took = time.perf_counter() - began
        assert len(read["messages"]) == 1000  # type: ignore[arg-type]
        (cloud,) = [
            tier
            for tier in ask(port, "GET", "/v1/tiers")["tiers"]  # type: ignore[attr-defined]
            if tier["tier"] == "cloud"
        ]
    return {"value": cloud["requests"], "took_ms": took * 1e3}


FIGURES: dict[str, Figure] = {
    "cloud-move": ("messages moved from disk to the cloud", "MB/s", move),
    "cloud-move-p99": ("publish p99 during a move", "× p99 at rest", move_p99),
    "cloud-first-p99": ("publish p99 during the first upload", "× p99 at rest", first_p99),
    "cloud-read-p99": ("publish p99 during cold reads", "× p99 at rest", read_p99),
    "cloud-requests": ("requests for a cold read of 1,000 messages", "requests", requests),
}


if __name__ == "__main__":
    sys.exit(take_figures("bench.cloud", __doc__ or "", FIGURES))
