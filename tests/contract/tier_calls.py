"""Calls of tests that watch messages move through the tiers of a real node."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tests.faults.node import NodeProcess

START = {"SPRAWL_STORAGE_MEMORY_MAX_SIZE": "16777216", "SPRAWL_STORAGE_MEMORY_TO_DISK_AGE": "3600"}
WAIT_S = 20
Start = Callable[..., NodeProcess]


def ask(node: NodeProcess, path: str) -> Any:
    answer = httpx.get(f"{node.url}{path}", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(node: NodeProcess, path: str, body: Mapping[str, object]) -> httpx.Response:
    return httpx.post(f"{node.url}{path}", json=body, timeout=40)


def publish(node: NodeProcess, topic: str, count: int, size: int = 10) -> None:
    lines = "".join(f'{{"payload":"{"x" * size}"}}\n' for _ in range(count))
    kind = {"Content-Type": "application/x-ndjson"}
    url = f"{node.url}/v1/topics/{topic}/messages"
    answer = httpx.post(url, content=lines, headers=kind, timeout=30)
    assert answer.status_code == 200, answer.text


def put(node: NodeProcess, topic: str, **config: object) -> None:
    answer = httpx.put(f"{node.url}/v1/topics/{topic}", json=config)
    assert answer.status_code in (200, 201), answer.text


def to_disk(node: NodeProcess, topic: str) -> None:
    answer = post(node, "/store/tiers", {"topic": topic, "tier": "disk"})
    assert answer.json() == {"status": "success", "tier": "disk", "topic": topic}


def read(node: NodeProcess, topic: str, start: str = "earliest") -> httpx.Response:
    return httpx.get(f"{node.url}/v1/topics/{topic}/messages?from={start}&limit=10000", timeout=30)


def offsets(node: NodeProcess, topic: str) -> list[int]:
    answer = read(node, topic)
    assert answer.status_code == 200, answer.text
    return [message["offset"] for message in answer.json()["messages"]]


def partition(node: NodeProcess, topic: str) -> dict[str, Any]:
    (found,) = ask(node, f"/v1/topics/{topic}")["partitions"]
    assert isinstance(found, dict)
    return found


def until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.05)


def metric(node: NodeProcess, name: str) -> float:
    text = httpx.get(f"{node.url}/metrics", headers={"Accept": "text/plain"}).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def tiers(node: NodeProcess) -> dict[str, Any]:
    return {tier["tier"]: tier for tier in ask(node, "/v1/tiers")["tiers"]}
