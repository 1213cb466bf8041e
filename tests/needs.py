"""What some tests need and a machine may lack: how to find it, and what to say when it is not there.

A test says ``@pytest.mark.needs("chromium")`` and calls the finder of that name for the path. ``tests/conftest.py``
skips it where the finder gives nothing, and names it in the closing block of the run.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def _working(*candidates: str | Path) -> str | None:
    """The first candidate that answers ``--version``; version managers put names on PATH that do not."""
    for candidate in candidates:
        path = shutil.which(candidate)
        if path is None:
            continue
        asked = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False)
        if asked.returncode == 0:
            return path
    return None


def chromium() -> str | None:
    """Path of a Chromium or Chrome that can run headless."""
    return _working("chromium", "chromium-browser", "google-chrome")


def curl() -> str | None:
    """Path of curl, which the commands of the README call."""
    return _working("curl")


def chromedriver() -> str | None:
    """Path of the driver that goes with Debian's Chromium."""
    return _working("chromedriver")


def _importable(name: str) -> str | None:
    found = importlib.util.find_spec(name)
    return found.origin if found is not None else None


def selenium() -> str | None:
    """Where selenium is installed, which drives a browser."""
    return _importable("selenium")


def schemathesis() -> str | None:
    """Where schemathesis is installed, which makes requests from an OpenAPI document."""
    return _importable("schemathesis")


def duckdb() -> str | None:
    """Where DuckDB is installed with what it imports (extra ``sql``), which queries the cold tier."""
    found = [_importable(name) for name in ("duckdb", "fsspec", "pytz")]
    return found[0] if all(found) else None


def polars() -> str | None:
    """Where Polars is installed, a second reader of the cold tier."""
    return _importable("polars")


def spark() -> str | None:
    """Where Spark is installed for Python, and a Java for it to run on."""
    return _importable("pyspark") if _working_java() else None


def _working_java() -> bool:
    path = shutil.which("java")
    if path is None:
        return False
    return (
        subprocess.run([path, "-version"], capture_output=True, timeout=30, check=False).returncode
        == 0
    )


def pyarrow() -> str | None:
    """Where pyarrow is installed, a third reader of the cold tier."""
    return _importable("pyarrow")


def python27() -> str | None:
    """Path of a Python 2.7, which the Autobahn test suite for WebSocket servers runs on."""
    named = os.environ.get("SPRAWL_PYTHON27", "python2.7")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob("versions/2.7*/bin/python2.7"))
    return _working(named, *kept)


def go() -> str | None:
    """Path of the Go command."""
    path = shutil.which("go")
    if path is None:
        return None
    asked = subprocess.run([path, "version"], capture_output=True, timeout=30, check=False)
    return path if asked.returncode == 0 else None


def minio() -> str | None:
    """Path of a MinIO server: named, on PATH, or in the cache; nothing is built for it here."""
    command = [str(_ROOT / "scripts/minio.sh"), "find"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return asked.stdout.strip() or None


def s3s_fs() -> str | None:
    """Path of s3s-fs, a second S3 server."""
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    return _working("s3s-fs", cargo / "bin/s3s-fs")


def valgrind() -> str | None:
    """Path of valgrind, whose callgrind counts instructions."""
    return _working("valgrind")


def small_mount() -> str | None:
    """Path of mount, where this user may mount a small file system."""
    path = shutil.which("mount")
    if path is None or shutil.which("unshare") is None:
        return None
    command = ["unshare", "--mount", path, "-t", "tmpfs", "tmpfs", "/mnt"]
    asked = subprocess.run(command, capture_output=True, check=False)
    return path if asked.returncode == 0 else None


def debootstrap() -> str | None:
    """Path of debootstrap, when this user may make a bare Debian root with it."""
    return shutil.which("debootstrap") if os.geteuid() == 0 else None


def make_setup() -> str | None:
    """Path of the Python of ``make``, when ``make run`` has nothing to install or build."""
    python = _ROOT / ".venv/bin/python"
    done = [python.parents[1] / name for name in ("installed.stamp", "built.stamp")]
    if not all(path.exists() for path in (python, *done)):
        return None
    profile = os.environ.get("SPRAWL_BUILD_PROFILE", "release")
    installed = _stamp("requirements/run.lock", "requirements/build.lock")
    built = f"{profile} {_stamp('setup.py', 'pyproject.toml', 'native', 'sprawl/_hot')}"
    is_done = done[0].read_text().startswith(installed) and done[1].read_text().strip() == built
    return str(python) if is_done else None


def _stamp(*paths: str) -> str:
    command = [sys.executable, "-I", "-S", "scripts/stamp.py", *paths]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)
    return asked.stdout.strip()


def strace() -> str | None:
    """Path of strace, when it may hold processes of this user and put errors into their calls."""
    path = _working("strace")
    if path is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        inject = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1"]
        program = "import os; os.fsync(os.open('.', os.O_RDONLY))"
        command = [path, "-o", f"{folder}/trace", *inject, sys.executable, "-c", program]
        asked = subprocess.run(command, capture_output=True, timeout=30, check=False, cwd=folder)
    return path if b"Input/output error" in asked.stderr else None


def _volume(filesystem: str) -> str | None:
    """The device of a volume that was made, mounted, cut off its power and given back."""
    from tests.faults.volume import BYTES_MIN, Volume

    with tempfile.TemporaryDirectory() as folder:
        try:
            with Volume(Path(folder) / "volume", BYTES_MIN[filesystem], filesystem) as volume:
                volume.cut_power()
                return volume.device
        except OSError:
            return None


def power_cut() -> str | None:
    """A loop device, when this user may mount an ext4 image and shut it down."""
    return _volume("ext4")


def xfs() -> str | None:
    """A loop device, when this user may mount an XFS image and shut it down."""
    return _volume("xfs")


FINDERS: dict[str, tuple[Callable[[], str | None], str]] = {
    "chromium": (chromium, "no working chromium on PATH (Debian: apt install chromium)"),
    "curl": (curl, "no curl on PATH (Debian: apt install curl)"),
    "chromedriver": (chromedriver, "no chromedriver on PATH (Debian: apt install chromium-driver)"),
    "selenium": (selenium, "no selenium (pip install -e '.[e2e]')"),
    "schemathesis": (schemathesis, "no schemathesis (pip install -e '.[fuzz]')"),
    "duckdb": (duckdb, "no duckdb with fsspec and pytz (pip install -e '.[sql]')"),
    "polars": (polars, "no polars (pip install polars)"),
    "spark": (
        spark,
        "no pyspark with Java (pip install -e '.[scale]', apt install default-jre-headless)",
    ),
    "pyarrow": (pyarrow, "no pyarrow (pip install pyarrow)"),
    "python2.7": (
        python27,
        "no Python 2.7 for Autobahn (pyenv install 2.7.18, or SPRAWL_PYTHON27=path)",
    ),
    "go": (go, "no go on PATH (https://go.dev/dl, Debian: apt install golang)"),
    "minio": (
        minio,
        "no MinIO server (scripts/minio.sh build, which needs Go; or MINIO_BIN=path); not proven: M1, M2",
    ),
    "s3s-fs": (
        s3s_fs,
        "no second S3 server (cargo install s3s-fs --version 0.14.1 --locked --features binary)",
    ),
    "make-setup": (
        make_setup,
        "make run would install or build first (run the tests by make test)",
    ),
    "valgrind": (valgrind, "no valgrind on PATH (Debian: apt install valgrind)"),
    "small-mount": (small_mount, "no right to mount a small file system (run as root)"),
    "strace": (
        strace,
        "no strace that may inject (apt install strace, allow ptrace); not proven: K3, P5, P6",
    ),
    "power-cut": (
        power_cut,
        "no ext4 on a loop device (root, /dev/loop-control, mkfs.ext4); not proven: P1 and D1",
    ),
    "xfs": (
        xfs,
        "no XFS on a loop device (needs root, apt install xfsprogs); not proven: P1 on XFS",
    ),
    "debootstrap-root": (
        debootstrap,
        "debootstrap needs root and its package (apt install debootstrap)",
    ),
}
