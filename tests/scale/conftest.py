"""One bucket of real segments, as a folder and in MinIO, and the blocks of docs/scale-out.md."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sprawl.clock import SystemClock
from sprawl.log.cloud.objects import Deadline
from sprawl.log.cloud.place import StorePlace
from sprawl.log.cloud.work import open_store
from tests.models.bucket import CLUSTER, FolderBucket, filled
from tests.unit.log.cloud import servers

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scale-out.md"
BUCKET = "sprawl-messages"


def block(heading: str, kind: str) -> str:
    """The one block of a kind below a heading of docs/scale-out.md."""
    (section,) = re.findall(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text())
    (found,) = re.findall(rf"(?ms)^```{kind}\n(.*?)^```", section)
    return str(found)


def run(program: list[str], variables: Mapping[str, str] | None = None) -> str:
    """What a program prints; it must end well."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MINIO_", "SPRAWL_", "AWS_"))}
    done = subprocess.run(
        program,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **(variables or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(code: str, names: Mapping[str, str]) -> str:
    """What a block of Python prints with names of the document replaced."""
    for name, value in names.items():
        assert name in code, f"the block does not name {name}"
        code = code.replace(name, value)
    return run([sys.executable, "-c", code])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> FolderBucket:
    """A bucket in a folder: two moves, 36 messages, two topics, three days."""
    return filled(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="session")
def minio(folder: FolderBucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorePlace]:
    """The same objects in a MinIO server."""
    with servers.minio(tmp_path_factory.mktemp("minio")) as any_place:
        place = replace(any_place, bucket=BUCKET)
        store, clock = open_store(place), SystemClock()
        store.prepare(Deadline(clock, 20))
        for path in folder.top.rglob("*"):
            if path.is_file():
                key = f"sprawl/{CLUSTER}/{path.relative_to(folder.top).as_posix()}"
                store.put(key, path.read_bytes(), Deadline(clock, 20))
        store.close()
        yield place
