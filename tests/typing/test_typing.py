"""The public names have the types that users rely on."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(
    find_spec("mypy") is None, reason="mypy is not installed: pip install -e '.[lint]'"
)
@pytest.mark.timeout(300)
def test_the_client_is_typed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "",
         str(HERE / "client.py")],
        capture_output=True, text=True, check=False, cwd=HERE.parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
