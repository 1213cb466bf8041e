"""The store through the worker process: the same answers, the same errors, over its ends."""

import asyncio
import os
import random
from collections.abc import AsyncIterator

import psutil
import pytest

from sprawl.clock import SystemClock
from sprawl.errors import ObjectExists, ObjectNotFound, StoreRefused
from sprawl.log.cloud.objects import Upload
from sprawl.log.cloud.place import StorePlace, parse_place
from sprawl.log.cloud.remote import WORK_MODULE, RemoteStore
from sprawl.worker.host import Worker
from tests.unit.log.cloud import servers

KINDS = ["folder", pytest.param("minio", marks=pytest.mark.needs("minio"))]


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    found = Worker(
        [WORK_MODULE],
        spawn=lambda name, work: asyncio.get_running_loop().create_task(work, name=name),
        clock=SystemClock(),
        rng=random.Random(7),
    )
    yield found
    await found.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_every_call_reaches_the_store(worker: Worker, place: StorePlace) -> None:
    store = RemoteStore(worker, place, timeout_s=30)
    await store.prepare()
    data = os.urandom(1_000_000)
    info = await store.put("a/b", data)
    assert (info.key, info.size_bytes) == ("a/b", len(data))
    assert bytes(await store.get("a/b")) == data
    assert bytes(await store.get("a/b", start=10, length=5, is_urgent=False)) == data[10:15]
    assert (await store.head("a/b")).etag == info.etag
    with pytest.raises(ObjectExists):
        await store.put("a/b", b"x", create_only=True)
    await store.put("a/c", b"x", create_only=True)
    assert [found.key for found in await store.page("a/")] == ["a/b", "a/c"]
    assert [found.key for found in await store.page("a/", after="a/b", limit=1)] == ["a/c"]
    await store.delete("a/b")
    with pytest.raises(ObjectNotFound):
        await store.get("a/b")
    assert await store.uploads("") == []
    await store.abort(Upload("a/b", "0123456789abcdef", 0))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_started_anew_opens_the_store_again(
    worker: Worker, place: StorePlace
) -> None:
    store = RemoteStore(worker, place, timeout_s=30)
    await store.put("a", b"x")
    process = psutil.Process(worker.pid)
    process.kill()
    while worker.pid == process.pid:
        await asyncio.sleep(0.01)
    assert bytes(await store.get("a")) == b"x"
    assert worker.start_count == 2


@pytest.mark.needs("minio")
async def test_wrong_keys_are_told_and_in_no_line_of_the_worker(
    worker: Worker, minio_place: StorePlace, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = parse_place(
        minio_place.shown,
        bucket=servers.new_bucket(),
        region="us-east-1",
        access_key="nobody-knows",
        secret_key="not-the-secret",
    )
    with pytest.raises(StoreRefused, match="does not accept the keys") as caught:
        await RemoteStore(worker, wrong, timeout_s=30).prepare()
    shown = [caplog.text, repr(caught.value), *psutil.Process(worker.pid).cmdline()]
    assert not any("not-the-secret" in text or "nobody-knows" in text for text in shown)
