"""The marker ``needs``: a missing thing is skipped and named, or fails where it is required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
from tests.needs import FINDERS
FINDERS["unicorn"] = (lambda: None, "no unicorn on PATH")
FINDERS["python"] = (lambda: "/python", "no python")
from tests.conftest import *
"""


def _run(folder: Path, name: str, require: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(
        f"import pytest\n@pytest.mark.needs({name!r})\ndef test_it(): pass\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    command = [sys.executable, "-m", "pytest", "-c", str(folder / "pytest.ini"), str(folder)]
    command += ["-p", "no:cacheprovider"]
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SPRAWL_REQUIRE": require,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)


def test_missing_thing_is_skipped_and_named_in_the_closing_block(tmp_path: Path) -> None:
    answer = _run(tmp_path, "unicorn")
    assert answer.returncode == 0, answer.stdout
    assert "not run, because …" in answer.stdout
    assert "unicorn: no unicorn on PATH (1 test)" in answer.stdout


@pytest.mark.parametrize("require", ["all", "go,unicorn"])
def test_required_thing_that_is_missing_fails(tmp_path: Path, require: str) -> None:
    answer = _run(tmp_path, "unicorn", require)
    assert answer.returncode == 1, answer.stdout
    assert "SPRAWL_REQUIRE asks for unicorn: no unicorn on PATH" in answer.stdout


def test_thing_that_is_there_runs_without_a_block(tmp_path: Path) -> None:
    answer = _run(tmp_path, "python", "all")
    assert answer.returncode == 0, answer.stdout
    assert "1 passed" in answer.stdout
    assert "not run" not in answer.stdout


def test_name_that_nobody_can_find_ends_the_run(tmp_path: Path) -> None:
    answer = _run(tmp_path, "dragon", "all")
    assert answer.returncode == pytest.ExitCode.USAGE_ERROR, answer.stdout
    assert "dragon" in answer.stderr
