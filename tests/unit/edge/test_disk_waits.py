"""What waits for the disk tier: topic changes, and messages that memory let go of."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from sprawl._native import Page
from sprawl.broker.subscribe import Delivery, Subscriptions
from tests.models.plain_engine import PlainEngine
from tests.models.plain_node import PlainWatcher


async def begun(
    request: Coroutine[Any, Any, httpx.Response], waits: Callable[[], object]
) -> asyncio.Task[httpx.Response]:
    """The request as a task that has come to its wait."""
    task = asyncio.create_task(request)
    async with asyncio.timeout(10):
        while not waits():
            assert not task.done(), "it waits for the disk"
            await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/topics/new", 201),
        ("PUT", "/v1/topics/t", 200),
        ("DELETE", "/v1/topics/t", 204),
        ("POST", "/v1/topics/gone:undelete", 200),
    ],
)
async def test_a_topic_change_is_answered_once_it_is_synced(
    client: httpx.AsyncClient,
    engine: PlainEngine,
    watcher: PlainWatcher,
    method: str,
    path: str,
    status: int,
) -> None:
    for name in ("t", "gone"):
        engine.topic_put(name, {})
    engine.topic_delete("gone", 0)
    engine.mark_now = 3
    task = await begun(client.request(method, path), lambda: watcher.unsynced)
    watcher.sync(2)
    assert not task.done()
    watcher.sync(3)
    assert (await task).status_code == status


async def test_a_refused_change_waits_for_nothing(
    client: httpx.AsyncClient, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    engine.mark_now = 3
    assert (await client.delete("/v1/topics/none")).status_code == 404
    assert watcher.unsynced == []


@pytest.mark.parametrize("path", ["/messages/mine", "/v1/messages/mine", "/messages/{}"])
async def test_a_message_that_memory_let_go_of_is_read_from_disk(
    client: httpx.AsyncClient, engine: PlainEngine, watcher: PlainWatcher, path: str
) -> None:
    message_id = engine.publish("t", b"old", key="mine")
    engine.cold.add((engine.topics["t"].topic_id, 0))
    task = await begun(client.get(path.format(message_id)), lambda: watcher.reading)
    ((want, done),) = watcher.reading
    assert want[1:] == (0, 0, 0, 1)
    done(Page(want, want[4], [], []))
    found = (await task).json()
    assert found["payload"] == "old"
    assert found.get("storage_tier", "disk") == "disk"


async def test_a_disk_that_cannot_be_read_is_503(
    client: httpx.AsyncClient, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    message_id = engine.publish("t", b"old")
    engine.cold.add((engine.topics["t"].topic_id, 0))
    task = await begun(client.get(f"/v1/messages/{message_id}"), lambda: watcher.reading)
    watcher.reading[0][1](None)
    answer = await task
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_client_that_left_is_not_answered(
    client: httpx.AsyncClient, engine: PlainEngine, watcher: PlainWatcher
) -> None:
    engine.mark_now = 3
    task = await begun(client.put("/v1/topics/t"), lambda: watcher.unsynced)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watcher.sync(3)
    assert "t" in engine.topics


def test_a_subscription_that_fell_behind_memory_goes_on_from_the_disk(
    engine: PlainEngine,
    subscriptions: Subscriptions,
    watcher: PlainWatcher,
    deliveries: list[Delivery],
) -> None:
    subscriptions.subscribe(["t"], "s")
    engine.publish("t", b"m")
    (reader,) = engine.readers
    reader.is_cold = True
    watcher.cold.add(reader)
    watcher.wake()
    watcher.wake()
    assert (len(watcher.fetching), deliveries) == (1, [])
    reader.is_cold = False
    watcher.give(True)
    assert [delivery.payload for delivery in deliveries] == ["m"]


def test_what_the_disk_cannot_give_a_subscription_is_skipped(
    engine: PlainEngine,
    subscriptions: Subscriptions,
    watcher: PlainWatcher,
    deliveries: list[Delivery],
) -> None:
    subscriptions.subscribe(["t"], "s")
    engine.publish("t", b"lost")
    engine.readers[0].is_cold = True
    watcher.cold.add(engine.readers[0])
    watcher.wake()
    watcher.give(False)
    engine.publish("t", b"m")
    watcher.wake()
    assert [delivery.payload for delivery in deliveries] == ["m"]
