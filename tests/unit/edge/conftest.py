"""The application of a node over the plain engine."""

from collections.abc import AsyncIterator

import httpx
import pytest

from sprawl.broker.disk_waits import DiskWaits
from sprawl.broker.subscribe import Delivery, Subscriptions
from sprawl.edge.app import build_app, openapi_bytes
from sprawl.edge.call import Context
from tests.models.plain_engine import PlainEngine
from tests.models.plain_node import PlainView, PlainWatcher


@pytest.fixture
def engine() -> PlainEngine:
    return PlainEngine()


@pytest.fixture
def view() -> PlainView:
    return PlainView()


@pytest.fixture
def watcher() -> PlainWatcher:
    return PlainWatcher()


@pytest.fixture
def deliveries() -> list[Delivery]:
    return []


@pytest.fixture
def subscriptions(
    engine: PlainEngine, view: PlainView, watcher: PlainWatcher, deliveries: list[Delivery]
) -> Subscriptions:
    numbers = iter(range(1, 1_000_000))
    return Subscriptions(
        engine,
        now_ns=view.now_ns,
        new_id=lambda: f"s{next(numbers)}",
        on_delivery=deliveries.append,
        wakeups=watcher,
    )


@pytest.fixture
def context(
    engine: PlainEngine, view: PlainView, subscriptions: Subscriptions, watcher: PlainWatcher
) -> Context:
    disk = DiskWaits()
    disk.attach(watcher)
    return Context(
        engine=engine,
        view=view,
        subscriptions=subscriptions,
        disk=disk,
        document=openapi_bytes("0.1.0"),
    )


@pytest.fixture
async def client(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(context), client=("127.0.0.1", 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
        yield http
