"""One sample: start a fresh server, put one load on it, read the counters, stop it.

In: a row, a system. Out: a flat mapping of figures; ``value`` is the one of the row. A load that lost,
doubled or altered messages, or was refused, raises ``Invalid``: such a sample is no figure.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peers.process import CpuTime, Launch, NotReady, Server, free_port, on_core
from bench.peers.rows import NODE, Row
from bench.peers.systems import ROOT, SYSTEMS, VENV, System

SERVER_CORE, LOAD_CORE = 0, 1
LOAD_TARGET = ROOT / "build" / "cargo-load"
LOAD = LOAD_TARGET / "release" / "sprawl-load"
LOAD_S_MAX = 300
#: Ring of the node in the row of the stalled reader: full before the reader comes.
SMALL_RING_BYTES = 64 << 20

Sample = dict[str, Any]


class Invalid(Exception):
    """The load ran and its outcome must not be counted."""


class Missing(Exception):
    """The system is not on this machine; the text says how to install it."""


def build_load() -> None:
    """Builds the generator (nothing to do when it is fresh)."""
    command = ["cargo", "build", "--release", "--quiet", "--locked"]
    command += ["--manifest-path", str(ROOT / "bench" / "load" / "Cargo.toml")]
    env = {**os.environ, "CARGO_TARGET_DIR": str(LOAD_TARGET)}
    subprocess.run(command, check=True, env=env)


def binary_of(system: System) -> str:
    """The program of a system, or ``Missing``."""
    found = system.find()
    if found is None:
        raise Missing(f"{system.name}: not here; {system.install}")
    return found


@contextmanager
def running(
    system: System, change: Callable[[Launch], Launch] = lambda launch: launch
) -> Iterator[tuple[Server, str]]:
    """A fresh server of ``system`` in an empty directory, and its ``host:port``."""
    binary = binary_of(system)
    assert system.launch is not None
    with tempfile.TemporaryDirectory(prefix=f"bench-{system.name}-") as folder:
        workdir = Path(folder)
        port = free_port()
        launch = change(system.launch(binary, workdir, port))
        with Server(launch, workdir, SERVER_CORE) as server:
            yield server, f"127.0.0.1:{port}"


def load_command(arguments: Sequence[str], addr: str, seconds: float | None) -> list[str]:
    """The generator's command line; timed when ``seconds`` is given."""
    timed = [] if seconds is None else ["--duration", str(seconds), "--warmup", "0.5"]
    return [str(LOAD), *arguments, "--addr", addr, *timed, "--json"]


def run_load(command: Sequence[str]) -> Sample:
    """Runs a load on its core and returns its one JSON line."""
    with on_core(LOAD_CORE):
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            out, errors = process.communicate(timeout=LOAD_S_MAX)
        except subprocess.TimeoutExpired as late:
            process.kill()
            raise Invalid(f"the load did not end within {LOAD_S_MAX} s") from late
    if process.returncode != 0:
        raise Invalid(errors.strip()[-600:] or f"the load ended with {process.returncode}")
    report: Sample = json.loads(out.splitlines()[-1])
    return report


def check(report: Sample) -> None:
    """Raises ``Invalid`` unless everything sent arrived once and was answered well."""
    for name in ("errors", "lost", "duplicates", "reordered", "unanswered"):
        if report.get(name, 0):
            detail = report.get("first_error", "")
            raise Invalid(f"{name}={report[name]} of {report.get('sent')} {detail}".strip())
    if report.get("stalled"):
        raise Invalid(f"stalled after {report['total']} deliveries")
    if not report.get("total"):
        raise Invalid("nothing was answered")


FIGURES = ("p50_us", "p90_us", "p99_us", "p999_us", "max_us", "sent", "total", "generator_cpu_s")


def with_cpu(sample: Sample, used: CpuTime, wall_s: float) -> Sample:
    """Adds processor time per operation (messages or deliveries, warm-up included)."""
    operations = max(sample["total"], 1)
    sample["cpu_user_us"] = used.user_s * 1e6 / operations
    sample["cpu_system_us"] = used.system_s * 1e6 / operations
    sample["cpu_us"] = sample["cpu_user_us"] + sample["cpu_system_us"]
    sample["server_cpu_share"] = (used.user_s + used.system_s) / wall_s
    return sample


def under_load(system: System, arguments: Sequence[str], seconds: float | None) -> Sample:
    """Value: the load's rate."""
    with running(system) as (server, addr):
        before, began = server.cpu(), os.times().elapsed
        report = run_load(load_command(arguments, addr, seconds))
        used, wall_s = server.cpu().since(before), os.times().elapsed - began
    check(report)
    sample = {
        "value": report["rate"],
        "server": server.line,
        **{k: report[k] for k in FIGURES if k in report},
    }
    return with_cpu(sample, used, wall_s)


def arrived(system: System, arguments: Sequence[str]) -> Sample:
    """Value: deliveries that arrived; a stall is a figure here, not a failure of the peer."""
    with running(system) as (server, addr):
        report = run_load(load_command(arguments, addr, None))
    if system.name == NODE:
        check(report)
    stalled = {"stalled_after": report["total"]} if report["stalled"] else {}
    return {
        "value": report["total"],
        "server": server.line,
        "lost": report["lost"],
        "rate": report["rate"],
        **stalled,
    }


def producer(system: System, seconds: float) -> Sample:
    """Value: messages per second of a Python producer; the program is ``producer.py``."""
    program = [str(Path(__file__).with_name("producer.py")), "--seconds", str(seconds)]
    folder = VENV / "bin" if system.name == "nats" else Path(binary_of(system)).parent
    python = folder / "python"
    if not python.exists():
        raise Missing(f"{system.name}: no {python}; {system.install}")
    if system.launch is None:
        report = run_load([str(python), *program, "--system", system.name])
    else:
        with running(system) as (_, addr):
            report = run_load([str(python), *program, "--system", system.name, "--addr", addr])
    check(report)
    return {"value": report["rate"], "total": report["total"]}


def started(system: System) -> Sample:
    """Value: milliseconds from the start of the process to the first yes of its readiness check."""
    with running(system) as (server, _):
        return {"value": server.ready_s * 1e3, "server": server.line}


def idle(system: System) -> Sample:
    """Value: RSS of the server's first process right after start; PSS of its tree beside it."""
    with running(system) as (server, _):
        return {"value": server.rss_bytes(), "server": server.line, "pss_bytes": server.pss_bytes()}


def retained(system: System, arguments: Sequence[str], payload_bytes: int) -> Sample:
    """Value: growth of PSS per message sent, less ``payload_bytes``."""
    with running(system) as (server, addr):
        before = server.pss_bytes()
        report = run_load(load_command(arguments, addr, None))
        after = server.pss_bytes()
    check(report)
    value = (after - before) / report["total"] - payload_bytes
    return {
        "value": value,
        "server": server.line,
        "pss_before": before,
        "pss_after": after,
        "total": report["total"],
    }


@contextmanager
def held(command: Sequence[str]) -> Iterator[int]:
    """A generator that holds its connections open; yields how many."""
    with on_core(LOAD_CORE):
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise Invalid(process.stderr.read().strip()[-600:])
        try:
            yield json.loads(line)["readers"]
        finally:
            process.stdin.close()
            process.wait(30)


def per_reader(system: System, arguments: Sequence[str]) -> Sample:
    """Value: growth of PSS per held reader."""
    with running(system) as (server, addr):
        before = server.pss_bytes()
        with held(load_command(arguments, addr, None)) as readers:
            after = server.pss_bytes()
    return {
        "value": (after - before) / readers,
        "server": server.line,
        "pss_before": before,
        "pss_after": after,
    }


def stalled(system: System, arguments: Sequence[str], seconds: float) -> Sample:
    """Value: PSS that a reader who never reads adds under load, in a node whose ring is full before."""

    def small(launch: Launch) -> Launch:
        ring = {"SPRAWL_STORAGE_MEMORY_MAX_SIZE": str(SMALL_RING_BYTES)}
        return replace(launch, env={**launch.env, **ring})

    fill = [
        "http-post",
        "--topic",
        "s",
        "--form",
        "binary",
        "--batch",
        "100",
        "--messages",
        "1500000",
    ]
    with running(system, small) as (server, addr):
        run_load(load_command(fill, addr, None))
        run_load(load_command(arguments, addr, seconds))
        before = server.pss_bytes()
        with held(load_command(["stall", "--kind", "sprawl-sse", "--topic", "s"], addr, None)):
            report = run_load(load_command(arguments, addr, seconds))
            after = server.pss_bytes()
    check(report)
    return {
        "value": after - before,
        "server": server.line,
        "pss_before": before,
        "pss_after": after,
    }


def raw_append(seconds: float) -> Sample:
    """One writer that appends 4 KiB and syncs, again and again, on the disk that the servers use."""
    block = b"x" * 4096
    took_us = []
    with tempfile.TemporaryDirectory() as folder:
        handle = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            os.write(handle, block)
            os.fdatasync(handle)
            took_us.append((time.perf_counter() - began) * 1e6)
        os.close(handle)
    took_us.sort()
    at = lambda share: took_us[int(share * (len(took_us) - 1))]  # noqa: E731 - two uses, one line
    return {"value": len(took_us) / seconds, "p50_us": at(0.5), "p99_us": at(0.99)}


def take(row: Row, name: str, seconds: float) -> Sample:
    """One sample of ``row`` for the system ``name``; raises ``Missing``, ``Invalid`` or ``NotReady``."""
    system, arguments = SYSTEMS[row.runs.get(name, name)], row.loads[name]
    if name == "raw-append":
        return raw_append(seconds)
    match row.how:
        case "rate":
            return under_load(system, arguments, seconds)
        case "arrive":
            return arrived(system, arguments)
        case "count":
            return under_load(system, arguments, None)
        case "python":
            return producer(system, seconds)
        case "start":
            return started(system)
        case "idle":
            return idle(system)
        case "retain":
            return retained(system, arguments, row.payload_bytes)
        case "hold":
            return per_reader(system, arguments)
        case "stall":
            return stalled(system, arguments, seconds)
        case other:
            raise AssertionError(other)


__all__ = ["Invalid", "Missing", "NotReady", "Sample", "build_load", "load_command", "take"]
