"""Runs the Autobahn test suite's fuzzing client against the echo server and reads its verdicts.

In: groups of cases and a Python 2.7. Out: a verdict per case, for the message and for the closing
handshake. The suite is installed into ``build/autobahn`` on first use. Run as a program it writes the
table of all groups to ``perf/results/autobahn-<date>.json``.
"""

import datetime
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.contract.outside.autobahn.echo_server import PATH
from tests.needs import python27

ROOT = Path(__file__).parents[4]
SUITE = ROOT / "build" / "autobahn"
REQUIREMENT = "autobahntestsuite==25.10.1"
GATE_GROUPS = ("1", "2", "3", "4", "5", "6", "7", "10")
ALL_GROUPS = (*GATE_GROUPS, "9", "12", "13")
SOUND = ("OK", "NON-STRICT", "INFORMATIONAL")
"""Verdicts that are no failure: NON-STRICT is a close that came later than it might."""

OVER_LIMIT = {
    "9.1.6": "a text of 16 MiB: above 10 MiB the node closes with 1009",
    "9.2.6": "binary of 16 MiB: above 10 MiB the node closes with 1009",
}
"""The cases that cannot pass, and why: the bound on a message goes before them."""

_COMMAND = "from autobahntestsuite.wstest import run; run()"


def install(python: str) -> None:
    """Puts the suite into ``build/autobahn``; harmless when it is there."""
    if (SUITE / "installed").exists():
        return
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--target", str(SUITE), REQUIREMENT],
        check=True,
        capture_output=True,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    # zope.interface is found as a namespace package only with this file.
    (SUITE / "zope").mkdir(exist_ok=True)
    (SUITE / "zope" / "__init__.py").touch()
    (SUITE / "installed").touch()


def run(groups: Sequence[str], directory: Path, timeout_s: float) -> dict[str, dict[str, Any]]:
    """Case → its entry of the suite's index (``behavior``, ``behaviorClose``, ``duration`` in ms)."""
    python = python27()
    assert python is not None
    install(python)
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("echo_server.py")), "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().rsplit(" ", 1)[1])
        spec = {
            "outdir": str(directory / "reports"),
            "servers": [{"agent": "sprawl", "url": f"ws://127.0.0.1:{port}{PATH}"}],
            "cases": [f"{group}.*" for group in groups],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        spec_path = directory / "spec.json"
        spec_path.write_text(json.dumps(spec))
        subprocess.run(
            [python, "-c", _COMMAND, "-m", "fuzzingclient", "-s", str(spec_path)],
            check=True,
            capture_output=True,
            timeout=timeout_s,
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(SUITE), "PYTHONWARNINGS": "ignore"},
        )
        assert server.poll() is None, "the echo server ended"
    finally:
        server.kill()
        server.communicate()
    index = json.loads((directory / "reports" / "index.json").read_text())
    cases: dict[str, dict[str, Any]] = index["sprawl"]
    return cases


def failed(cases: dict[str, dict[str, Any]]) -> list[str]:
    """The cases that failed and could have passed, each with its verdicts."""
    return [
        f"{case}: {entry['behavior']}, close {entry['behaviorClose']}"
        for case, entry in cases.items()
        if case not in OVER_LIMIT
        and (entry["behavior"] not in SOUND or entry["behaviorClose"] not in SOUND)
    ]


def not_ok(cases: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Case → its two verdicts, where not both are OK."""
    verdicts = {case: [entry["behavior"], entry["behaviorClose"]] for case, entry in cases.items()}
    return {case: both for case, both in verdicts.items() if both != ["OK", "OK"]}


def table(cases: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Group → how many cases got which verdict."""
    counts: dict[str, Counter[str]] = {}
    for case, entry in cases.items():
        counts.setdefault(case.partition(".")[0], Counter())[entry["behavior"]] += 1
    return {group: dict(counts[group]) for group in sorted(counts, key=int)}


def main() -> None:
    """Runs all groups and writes the table."""
    groups = tuple(sys.argv[1:]) or ALL_GROUPS
    directory = ROOT / "build" / "autobahn-run"
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    cases = run(groups, directory, timeout_s=3600)
    path = ROOT / "perf" / "results" / f"autobahn-{now:%Y-%m-%d}.json"
    result = json.loads(path.read_text()) if path.exists() else {"suite": REQUIREMENT}
    # Groups that were not run now keep what they had: the long ones are run more seldom.
    for name, found in (("groups", table(cases)), ("not_ok", not_ok(cases))):
        kept = {k: v for k, v in result.get(name, {}).items() if k.partition(".")[0] not in groups}
        result[name] = dict(sorted((kept | found).items(), key=lambda item: _order(item[0])))
    run_now = {
        "at": now.isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "groups": list(groups),
        "cases": len(cases),
        "seconds": round(sum(entry["duration"] for entry in cases.values()) / 1000, 1),
    }
    result["runs"] = [*result.get("runs", []), run_now]
    result["over_payload_bytes_max"] = OVER_LIMIT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(json.dumps(result["groups"], indent=2) + f"\nfailed: {failed(cases)}\n")


def _order(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]


if __name__ == "__main__":
    main()
