"""The Autobahn test suite's fuzzing client against the node's WebSocket.

Groups 1 to 7 and 10 must have no failed case; 9, 12 and 13 (size, compression) run when
``SPRAWL_AUTOBAHN=all``. The suite needs Python 2.7 and is installed once per machine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import python27

SUITE = "autobahntestsuite==25.10.1"
ALWAYS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LONG = ["9.*", "12.*", "13.*"]
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}

pytestmark = [pytest.mark.needs("python2.7"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.autobahn.echo"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.fixture(scope="session")
def suite() -> Path:
    """The folder of the installed suite; kept between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "sprawl-tests" / SUITE.replace("==", "-")
    python = python27()
    assert python is not None
    done = folder / "zope" / "__init__.py"
    if not done.exists():
        command = [python, "-m", "pip", "install", "--quiet", "--target", str(folder), SUITE]
        subprocess.run(command, check=True, timeout=600)
        # Without this file Python 2.7 does not find zope.interface in a target folder.
        done.touch()
    return folder


def test_no_case_fails(url: str, suite: Path, tmp_path: Path) -> None:
    is_long = os.environ.get("SPRAWL_AUTOBAHN") == "all"
    spec = {
        "outdir": str(tmp_path / "reports"),
        "servers": [{"agent": "sprawl", "url": url}],
        "cases": ALWAYS + (LONG if is_long else []),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    python = python27()
    assert python is not None
    run = "from autobahntestsuite.wstest import run; run()"
    subprocess.run(
        [python, "-c", run, "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")],
        check=True,
        env={**os.environ, "PYTHONPATH": str(suite)},
        cwd=tmp_path,
        timeout=1700,
        capture_output=True,
    )
    cases = json.loads((tmp_path / "reports" / "index.json").read_text())["sprawl"]
    assert len(cases) > 200
    bad = {
        name: (case["behavior"], case["behaviorClose"])
        for name, case in cases.items()
        if case["behavior"] not in GOOD or case["behaviorClose"] not in GOOD
    }
    assert bad == {}
