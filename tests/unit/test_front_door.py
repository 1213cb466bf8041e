"""The scripts behind ``make``: what they refuse and how, and that what they derive is up to date."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import image_by_hand

ROOT = Path(__file__).resolve().parents[2]


def _tools(folder: Path, **programs: str) -> str:
    """A PATH with a few ordinary tools and the given shell programs, and nothing else."""
    folder.mkdir()
    for name in ("bash", "sh", "sed", "dirname", "cat"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, body in programs.items():
        program = folder / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return str(folder)


def _lib(path: str, function: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": path, "HOME": "/nonexistent"}
    command = ["bash", "-c", f'set -euo pipefail; . scripts/lib.sh; {function} "$@"', "-"]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=ROOT)


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({}, "no working rustc and cargo on PATH"),
        ({"cargo": "exit 0", "rustc": "echo 'rustc 1.63.0 (4b91a6ea7 2022-08-08)'"}, "1.63.0"),
        ({"cargo": "exit 1", "rustc": "echo 'rustc 1.95.0 (f 2026-03-21)'"}, "no working rustc"),
    ],
)
def test_missing_or_old_rust_is_one_line_per_distribution(
    tmp_path: Path, programs: dict[str, str], said: str
) -> None:
    answer = _lib(_tools(tmp_path / "bin", **programs), "require_rust")
    assert answer.returncode == 1
    first, *others = answer.stderr.splitlines()
    assert said in first
    assert [line.split(":")[0].strip() for line in others][:2] == [
        "Debian 12",
        "Debian 13, Ubuntu 25.04 and up",
    ]


def test_rust_at_the_floor_is_taken(tmp_path: Path) -> None:
    path = _tools(tmp_path / "bin", cargo="exit 0", rustc="echo 'rustc 1.85.0 (4d91de4e4 2025)'")
    assert _lib(path, "require_rust").returncode == 0


def test_python_that_only_a_name_on_path_has_is_passed_over(tmp_path: Path) -> None:
    path = _tools(tmp_path / "bin", python3_13="exit 127", python3=f'exec {sys.executable} "$@"')
    answer = _lib(path, "find_python")
    assert (answer.returncode, answer.stdout) == (0, "python3\n")


def test_no_python_is_one_line_per_distribution(tmp_path: Path) -> None:
    answer = _lib(_tools(tmp_path / "bin", python3="exit 127"), "find_python")
    assert answer.returncode == 1
    assert "Debian, Ubuntu:  sudo apt install python3 python3-venv" in answer.stderr


def _stamp(folder: Path) -> str:
    command = [sys.executable, "-I", "-S", str(ROOT / "scripts/stamp.py"), "native"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return answer.stdout


def test_stamp_follows_contents_and_names_but_not_times_or_build_output(tmp_path: Path) -> None:
    source = tmp_path / "native/src/lib.rs"
    source.parent.mkdir(parents=True)
    source.write_text("pub fn one() {}")
    first = _stamp(tmp_path)
    os.utime(source, (0, 0))
    (tmp_path / "native/target").mkdir()
    (tmp_path / "native/target/out.rs").write_text("built")
    assert _stamp(tmp_path) == first
    source.write_text("pub fn two() {}")
    second = _stamp(tmp_path)
    assert second != first
    source.rename(source.with_name("other.rs"))
    assert _stamp(tmp_path) not in {first, second}


def test_reference_pages_are_up_to_date() -> None:
    command = [sys.executable, "scripts/reference.py", "--check"]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr


def test_what_the_dockerfile_copies_is_in_its_context() -> None:
    steps = image_by_hand.instructions((ROOT / "Dockerfile").read_text())
    sources = [
        word
        for name, rest in steps
        if name == "COPY" and "--from=" not in rest
        for word in rest.split()[:-1]
    ]
    assert {"native", "sprawl", "requirements"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not image_by_hand.is_ignored(ROOT / source), source


def test_build_output_is_not_in_the_image_context() -> None:
    for path in ("native/target/debug/x", "sprawl/_native.cpython-311-x86_64-linux-gnu.so", ".git"):
        assert image_by_hand.is_ignored(ROOT / path), path


def test_image_ends_as_a_user_that_is_not_root() -> None:
    steps = image_by_hand.instructions((ROOT / "Dockerfile").read_text())
    users = [rest for name, rest in steps if name == "USER"]
    assert users
    assert users[-1] not in {"0", "root", "0:0"}
