"""One store per kind and test, each in a bucket of its own; servers live as long as the run."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sprawl.clock import SystemClock
from sprawl.log.cloud.folder import FolderStore
from sprawl.log.cloud.objects import Deadline, Store
from sprawl.log.cloud.place import StorePlace, parse_place
from tests.unit.log.cloud import servers

KINDS = [
    pytest.param("folder"),
    pytest.param("moto"),
    pytest.param("minio", marks=pytest.mark.needs("minio")),
    pytest.param("s3s", marks=pytest.mark.needs("s3s-fs")),
]


@pytest.fixture(scope="session")
def minio_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorePlace]:
    with servers.minio(tmp_path_factory.mktemp("minio")) as place:
        yield place


@pytest.fixture(scope="session")
def s3s_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorePlace]:
    with servers.s3s(tmp_path_factory.mktemp("s3s") / "server") as place:
        yield place


@pytest.fixture(scope="session")
def moto_place() -> Iterator[StorePlace]:
    with servers.moto() as place:
        yield place


def new_store(place: StorePlace) -> Store:
    """A store at a place, with the real clock."""
    if place.folder:
        return FolderStore(place)
    from sprawl.log.cloud.s3 import S3Store

    return S3Store(place, clock=SystemClock(), rng=random.Random(7))


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    if kind == "folder":
        endpoint = f"file://{tmp_path}/objects"
        return parse_place(endpoint, bucket=servers.new_bucket(), region="us-east-1")
    found: StorePlace = request.getfixturevalue(f"{kind}_place")
    return replace(found, bucket=servers.new_bucket())


@pytest.fixture
def store(place: StorePlace) -> Iterator[Store]:
    found = new_store(place)
    found.prepare(soon())
    yield found
    found.close()


def soon(timeout_s: float = 20) -> Deadline:
    """A deadline for a call."""
    return Deadline(SystemClock(), timeout_s)
