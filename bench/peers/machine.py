"""What a figure was measured on: processor, kernel, interpreter, peers' versions, commit."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.peers.systems import ROOT, SYSTEMS

VERSION_FLAGS = {
    "sprawl": "--version",
    "nats": "--version",
    "jetstream": "--version",
    "redis": "--version",
    "nchan": "-v",
    "mosquitto": "-h",
    "uvicorn": "--version",
}


def output(command: Sequence[str]) -> str:
    """Standard output and error of a command, stripped; empty when it cannot be run."""
    try:
        done = subprocess.run(
            list(command), check=False, capture_output=True, text=True, timeout=10, cwd=ROOT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def cpu_model() -> str:
    """The model name of the first processor."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


def memory_gib() -> float:
    """Physical memory."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def version(name: str) -> str:
    """First line of what a system says about itself; empty when it is missing or says nothing."""
    binary = SYSTEMS[name].find()
    flag = VERSION_FLAGS.get(name)
    lines = output([binary, flag]).splitlines() if binary and flag else []
    return lines[0] if lines else ""


def describe(systems: Iterable[str]) -> dict[str, object]:
    """The machine and the versions of ``systems``."""
    changed = output(["git", "status", "--porcelain", "--untracked-files=no"])
    return {
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "memory_gib": memory_gib(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rustc": output(["rustc", "--version"]),
        "commit": output(["git", "rev-parse", "--short=12", "HEAD"])
        + ("+changes" if changed else ""),
        "load_before": os.getloadavg()[0],
        "versions": {name: text for name in systems if (text := version(name))},
    }
