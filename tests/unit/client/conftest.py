"""Fixtures of the client's tests: a misbehaving node, and a client that does not wait long."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sprawl.client import Client
from tests.unit.client.flaky_server import FlakyServer


@pytest.fixture
async def node() -> AsyncIterator[FlakyServer]:
    async with FlakyServer().serve() as server:
        yield server


@pytest.fixture
async def client(node: FlakyServer) -> AsyncIterator[Client]:
    async with Client(node.url, timeout_s=10, answer_timeout_s=1, rng=random.Random(1)) as opened:
        opened._caller.retry = replace(opened._caller.retry, backoff_ms=1, backoff_ms_max=8)
        yield opened
