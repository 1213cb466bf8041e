"""``scripts/minio.sh``: one line where there is no server, one server per folder where there is."""

import os
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/minio.sh"


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        # A narrow terminal must not hide whose process it is.
        env=os.environ | {"COLUMNS": "20"} | variables,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verb", ["find", "start", "build"])
def test_a_named_program_that_is_none_ends_with_77_and_one_line(tmp_path: Path, verb: str) -> None:
    folder = [str(tmp_path)] if verb == "start" else []
    answer = _run(verb, *folder, MINIO_BIN="/no/such/program")
    assert answer.returncode == 77
    assert answer.stdout == ""
    assert answer.stderr == "no MinIO server: MINIO_BIN=/no/such/program is no program\n"


def test_without_go_nothing_is_built(tmp_path: Path) -> None:
    bare = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "MINIO_BIN": ""}
    if _run("find", **bare).returncode == 0 or Path("/usr/bin/go").exists():
        pytest.skip("the system has MinIO or Go where every program is")
    answer = _run("build", **bare)
    assert answer.returncode == 77
    assert answer.stderr.count("\n") == 1
    assert "install Go" in answer.stderr


def test_a_program_in_the_cache_is_found_after_the_path(tmp_path: Path) -> None:
    pin = SCRIPT.read_text().partition("PIN=")[2].split()[0]
    cached = tmp_path / "sprawl" / f"minio-{pin}"
    cached.parent.mkdir()
    cached.touch(0o755)
    bare = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "MINIO_BIN": ""}
    assert _run("find", **bare).stdout == f"{cached}\n"
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "minio").touch(0o755)
    bare["PATH"] = f"{folder}:{bare['PATH']}"
    assert _run("find", **bare).stdout == f"{folder}/minio\n"


@pytest.mark.needs("minio")
def test_a_server_is_started_once_and_stopped(tmp_path: Path) -> None:
    folder = str(tmp_path / "a folder")
    assert _run("status", folder).returncode == 3
    first = _run("start", folder)
    try:
        assert first.returncode == 0, first.stderr
        assert _run("start", folder).stdout == first.stdout == _run("status", folder).stdout
        said = dict(line.split("=", 1) for line in first.stdout.splitlines())
        with urllib.request.urlopen(f"{said['MINIO_ENDPOINT']}/minio/health/ready") as answer:
            assert answer.status == 200
        process = psutil.Process(int(said["MINIO_PID"]))
        assert said["MINIO_SECRET_KEY"] not in " ".join(process.cmdline())
        assert (Path(folder) / "access").stat().st_mode & 0o077 == 0
    finally:
        assert _run("stop", folder).returncode == 0
    assert not process.is_running()
    assert _run("status", folder).returncode == 3
    assert _run("stop", folder).returncode == 0
