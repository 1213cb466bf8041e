"""``python -m bench.disk [figure …]``: what the disk tier does by itself, without a peer.

Figures: ``read-sequential``, ``read-interleaved``, ``find-offset``, ``restart-1g``, ``restart-topics``,
``written-one``, ``written-topics``, ``ceiling-1``, ``ceiling-32``, ``ceiling-128``. Each writes ``perf/results/<date>-<figure>.json`` in the shape of
the peers' rows, so that ``perf/compare.py`` holds it against its budget. Server on core 0, client on
core 1. ``written-*`` need root: they count the bytes of a loop device of their own.
"""

import argparse
import datetime as dt
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from bench.ceiling.commits import ceiling
from bench.peers.machine import describe
from bench.peers.measure import build_load, load_command, run_load
from bench.peers.process import Launch, Server, free_port, on_core
from bench.peers.systems import ROOT, sprawl_binary, sprawl_disk

RESULTS = ROOT / "perf" / "results"
MIB = 1 << 20
PAYLOAD = b"m" * 128


def launch_at(folder: Path, port: int, memory_bytes: int) -> Launch:
    """The node with its disk tier on ``folder``."""
    binary = sprawl_binary()
    if binary is None:
        raise SystemExit("bench: no sprawl; make build first")
    launch = sprawl_disk(binary, folder, port)
    ring = {"SPRAWL_STORAGE_MEMORY_MAX_SIZE": str(memory_bytes)}
    # A directory belongs to one cluster port.
    kept = folder / "cluster-port"
    if not kept.exists():
        kept.write_text(str(free_port()))
    command = [
        f"-bindPort={kept.read_text()}" if word.startswith("-bindPort=") else word
        for word in launch.command
    ]
    return replace(launch, command=command, env={**launch.env, **ring})


@contextmanager
def node(folder: Path, memory_bytes: int = 64 * MIB) -> Iterator[tuple[Server, int]]:
    """A running node and its port."""
    port = free_port()
    with Server(launch_at(folder, port, memory_bytes), folder, 0) as server:
        yield server, port


def publish(port: int, *words: str) -> None:
    """Sends a load of the generator and waits until all of it is answered."""
    report = run_load(load_command(["http-post", *words], f"127.0.0.1:{port}", None))
    assert not report["errors"], report


def batches(port: int, messages: int, topic: str = "t") -> None:
    """Binary batches of 100 messages of 128 bytes."""
    path = f"/v1/topics/{topic}/messages"
    words = ["--connections", "4", "--form", "binary", "--batch", "100", "--pipeline", "4"]
    publish(port, *words, "--path", path, "--messages", str(messages))


def read_all(port: int, topic: str, wanted: int) -> float:
    """Seconds to read ``wanted`` messages of a topic from its beginning as stored batches."""
    connection = socket.create_connection(("127.0.0.1", port))
    request = f"GET /v1/topics/{topic}/messages?follow=true HTTP/1.0\r\nHost: b\r\nAccept: application/x-sprawl-batch\r\n\r\n"
    began = time.perf_counter()
    connection.sendall(request.encode())
    held = bytearray()
    while b"\r\n\r\n" not in held:
        held += connection.recv(1 << 16)
    del held[: held.index(b"\r\n\r\n") + 4]
    count = 0
    while True:
        at = 0
        while len(held) - at >= 61:
            (length,) = struct.unpack_from(">i", held, at + 8)
            if len(held) - at < 12 + length:
                break
            count += struct.unpack_from(">i", held, at + 57)[0]
            at += 12 + length
        del held[:at]
        if count >= wanted:
            break
        piece = connection.recv(1 << 20)
        if not piece:
            raise AssertionError(f"ended after {count} of {wanted} messages")
        held += piece
    took = time.perf_counter() - began
    connection.close()
    return took


def read_sequential(folder: Path) -> dict[str, float]:
    """Messages/s of one topic that lies on disk only."""
    messages = 2_000_000
    with node(folder) as (_, port):
        batches(port, messages)
    with node(folder) as (_, port):
        took = read_all(port, "t", messages)
    return {"value": messages / took, "messages": messages}


def read_interleaved(folder: Path) -> dict[str, float]:
    """Messages/s of topics whose messages lie scattered among those of 100,000 others."""
    rounds, ours, each = 20, 5, 4
    with node(folder) as (_, port):
        interleave(port, topics=100_000, rounds=rounds, ours=ours, each=each)
    wanted = rounds * each * 100
    with node(folder) as (_, port):
        took = sum(read_all(port, f"ours-{number}", wanted) for number in range(ours))
    return {"value": ours * wanted / took, "messages": ours * wanted}


def interleave(port: int, *, topics: int, rounds: int, ours: int, each: int) -> None:
    """``rounds`` passes over all topics, one message each; a few topics get ``each`` every 1 % of it."""
    connection = socket.create_connection(("127.0.0.1", port))
    reader = connection.makefile("rb")

    def post(name: str) -> bytes:
        head = f"POST /v1/topics/{name}/messages?durability=memory HTTP/1.1\r\nHost: b\r\nContent-Length: {len(PAYLOAD)}\r\n\r\n"
        return head.encode() + PAYLOAD

    def answered(count: int) -> None:
        for _ in range(count):
            status = reader.readline()
            assert b" 201 " in status, status
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)

    for _ in range(rounds):
        for begin in range(0, topics, topics // 100):
            names = [f"t{number}" for number in range(begin, begin + topics // 100)]
            for number in range(ours):
                step = len(names) // each
                for place in range(each):
                    names.insert(place * step, f"ours-{number}")
            for at in range(0, len(names), 64):
                piece = names[at : at + 64]
                connection.sendall(b"".join(map(post, piece)))
                answered(len(piece))
    connection.close()


def find_offset(folder: Path) -> dict[str, float]:
    """p99 in ms of finding the batch of a random offset among 1,000 windows."""
    from sprawl.clock import SystemClock
    from sprawl.log.recovery import find_log
    from sprawl.log.starts import Starts
    from sprawl.log.store import LogStore
    from sprawl.log.windows import Windows

    windows_count, each = 1_000, 100
    messages = windows_count * each
    lines = b"".join(b'{"payload":"%s"}\n' % PAYLOAD for _ in range(each))
    with node(folder) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(windows_count):
            kind = {"Content-Type": "application/x-ndjson"}
            connection.request("POST", "/v1/topics/t/messages", lines, kind)
            assert connection.getresponse().read()
            # A window each: what is on disk is sealed when memory has to let go of it.
            body = json.dumps({"topic": "t", "tier": "disk"})
            connection.request("POST", "/store/tiers", body)
            assert b"success" in connection.getresponse().read()
        connection.request("GET", "/v1/topics/t")
        topic_id = json.loads(connection.getresponse().read())["topic_id"]
    (directory,) = [path.parent for path in folder.rglob("node.json")]
    number = int.from_bytes(_base32(topic_id))
    clock = SystemClock()
    with LogStore(directory, disk_bytes_max=0, is_new=False, clock=clock) as store:
        found = find_log(store, Starts(number=2, with_log=1, was_clean=True))
        windows = Windows(store)
        for window in found.windows:
            windows.append(window)
        took = []
        chance = random.Random(1)
        for _ in range(2_000):
            offset = chance.randrange(messages)
            began = time.perf_counter()
            batch = next(windows.batches(number, 0, offset))
            took.append((time.perf_counter() - began) * 1e3)
            assert batch.base <= offset < batch.end
    took.sort()
    return {
        "value": took[int(len(took) * 0.99)],
        "p50_ms": median(took),
        "windows": len(found.windows),
    }


def _base32(text: str) -> bytes:
    import base64

    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))[:8]


def restart(folder: Path, fill: Callable[[int], None]) -> dict[str, float]:
    """Milliseconds from the start of the process to ready, after kill -9."""
    with node(folder, 128 * MIB) as (server, port):
        fill(port)
        server.process.kill()
        server.process.wait()
    size = sum(path.stat().st_size for path in folder.rglob("data.mdb"))
    with node(folder, 128 * MIB) as (server, _):
        return {"value": server.ready_s * 1e3, "file_bytes": size}


def restart_1g(folder: Path) -> dict[str, float]:
    return restart(folder, lambda port: batches(port, 8_000_000))


def restart_topics(folder: Path) -> dict[str, float]:
    def fill(port: int) -> None:
        path = "/v1/topics/t{n}/messages?durability=memory"
        publish(
            port, "--connections", "4", "--pipeline", "64", "--path", path, "--messages", "1000000"
        )

    return restart(folder, fill)


@contextmanager
def loop_volume(folder: Path) -> Iterator[tuple[Path, str]]:
    """An ext4 volume on a loop device of its own: where it is mounted, and the device's name."""
    image, mount = folder / "image", folder / "volume"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(6 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    device = subprocess.check_output(["losetup", "--find", "--show", str(image)], text=True).strip()
    try:
        subprocess.run(["mount", device, str(mount)], check=True)
        try:
            yield mount, device.rsplit("/", 1)[1]
        finally:
            subprocess.run(["umount", str(mount)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


MANY = ("--connections", "256")
NDJSON = ("--connections", "16", "--form", "ndjson", "--batch", "100")


def written(folder: Path, path: str, *words: str, messages: int = 400_000) -> dict[str, float]:
    """Bytes written to the block device per byte of message, 1 KiB messages at disk."""
    with loop_volume(folder) as (mount, device):
        stat = Path(f"/sys/block/{device}/stat")
        with node(mount, 128 * MIB) as (_, port):
            before = int(stat.read_text().split()[6]) * 512
            publish(port, *words, "--size", "1024", "--path", path, "--messages", str(messages))
        os.sync()
        after = int(stat.read_text().split()[6]) * 512
    return {"value": (after - before) / (messages * 1024), "device_bytes": after - before}


Figure = tuple[str, str, Callable[[Path], dict[str, float]]]
"""Title, unit, and what takes one sample in an empty folder; ``value`` is the figure."""

FIGURES: dict[str, Figure] = {
    "read-sequential": (
        "binary read of one topic that lies on disk",
        "messages/s",
        read_sequential,
    ),
    "read-interleaved": ("reads of topics among 100,000 on disk", "messages/s", read_interleaved),
    "find-offset": ("finding an offset among windows, p99", "ms", find_offset),
    "restart-1g": ("ready after kill -9 with 1 GiB on disk", "ms", restart_1g),
    "restart-topics": ("ready after kill -9 with 1 M topics", "ms", restart_topics),
    "written-one": (
        "device bytes per message byte, one topic",
        "× message bytes",
        lambda folder: written(folder, "/v1/topics/t/messages", *MANY),
    ),
    **{
        f"ceiling-{messages}": (
            f"commits of {messages} messages, the node's writer per appended and synced file",
            "×",
            partial(ceiling, messages=messages),
        )
        for messages in (1, 32, 128)
    },
    "written-topics": (
        "device bytes per message byte, a topic per message",
        "× message bytes",
        lambda folder: written(folder, "/v1/topics/t{n}/messages", *MANY),
    ),
    "written-one-ndjson": (
        "the same, one topic, NDJSON batches of 100",
        "× message bytes",
        lambda folder: written(folder, "/v1/topics/t/messages", *NDJSON),
    ),
    "written-topics-ndjson": (
        "the same, a topic per batch, NDJSON batches of 100",
        "× message bytes",
        lambda folder: written(folder, "/v1/topics/t{n}/messages", *NDJSON),
    ),
    "written-lone": (
        "the same, one connection: a commit per message",
        "× message bytes",
        lambda folder: written(
            folder, "/v1/topics/t/messages", "--connections", "1", messages=10_000
        ),
    ),
}


def take_figures(program: str, description: str, figures: dict[str, Figure]) -> int:
    """Takes the figures named on the command line, or all; prints and keeps them."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("figures", nargs="*", metavar="figure")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    build_load()
    for name in options.figures or figures:
        title, unit, take = figures[name]
        samples = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="sprawl-bench-") as folder, on_core(1):
                samples.append(take(Path(folder)))
        now = dt.datetime.now(dt.UTC)
        values = [sample["value"] for sample in samples]
        middle = {key: median(sample[key] for sample in samples) for key in samples[0]}
        document = {
            "row": name,
            "title": title,
            "unit": unit,
            "systems": {"sprawl": {"median": middle, "samples": samples}},
            "date": now.isoformat(timespec="seconds"),
            "rounds": options.rounds,
            "reproduce": f"python -m {program} {name} --rounds {options.rounds}",
            "machine": describe(["sprawl"]),
        }
        options.results.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False).replace(str(ROOT), ".")
        (options.results / f"{now:%Y-%m-%d}-{name}.json").write_text(text + "\n")
        print(f"{name}: {title}: {median(values):,.2f} {unit}  {middle}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(take_figures("bench.disk", __doc__ or "", FIGURES))
