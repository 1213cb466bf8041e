"""A node is lost, its bucket is not: ``sprawlctl tier restore`` and a start serve what had been moved."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_cloud_tier import KINDS, cloud, minio_place, to_cloud
from tests.contract.tier_calls import Start, ask, partition, post, publish, put, read
from tests.faults.node import NodeProcess

__all__ = ["cloud", "minio_place"]  # fixtures

LOST_OFFSETS = 1 << 24
pytestmark = pytest.mark.parametrize("kind", KINDS)


def tier(cloud: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPRAWL_", "MINIO_"))}
    return subprocess.run(
        [sys.executable, "-m", "sprawl.cli.ctl", "tier", *arguments, "-o", "json"],
        capture_output=True, text=True, check=False, timeout=60, env=kept | cloud,
    )  # fmt: skip


def restored(cloud: dict[str, str], path: Path, port: int) -> dict[str, Any]:
    done = tier(cloud, "restore", "--path", str(path), "--bindPort", str(port))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def another(node: NodeProcess, path: Path) -> NodeProcess:
    """A node with the same settings and another directory."""
    return NodeProcess(path, path.with_suffix(".log"), node.settings)


def messages(node: NodeProcess, topic: str) -> list[dict[str, Any]]:
    found = read(node, topic).json()["messages"]
    assert isinstance(found, list)
    return found


def test_what_was_moved_is_served_and_the_rest_is_a_gap(
    start: Start, cloud: dict[str, str], tmp_path: Path
) -> None:
    node = start(**cloud)
    put(node, "a", partitions=2, ttl_s=86_400)
    for number in range(40):
        post(node, "/publish", {"topic": "a", "payload": f"{number}", "key": f"k{number % 7}"})
    publish(node, "b", 3)
    to_cloud(node, "a")
    to_cloud(node, "b")
    kept, config = messages(node, "a"), ask(node, "/v1/topics/a")["config"]
    publish(node, "b", 2)  # acknowledged at disk, and never moved
    node.kill()
    assert tier(cloud, "verify").returncode == 0

    with another(node, tmp_path / "again") as new:
        said = restored(cloud, new.directory, new._bind_port)
        assert (said["records"], said["topics"], said["unfinished_builds"]) == (43, 2, 0)
        assert said["recovery_point"] >= max(message["timestamp"] for message in kept)[:19]
        new.start()
        assert messages(new, "a") == kept
        assert ask(new, "/v1/topics/a")["config"] == config
        shown = ask(new, "/store")
        assert (shown["memory"]["messages"], shown["disk"]["messages"]) == (0, 0)
        assert shown["cloud"]["messages"] == 43
        assert not shown["cloud"]["degraded"]
        one = ask(new, f"/v1/messages/{kept[0]['id']}")
        assert one["payload"] == kept[0]["payload"]

        publish(new, "b", 1)
        page = read(new, "b").json()
        assert [m["offset"] for m in page["messages"]] == [0, 1, 2, 3 + LOST_OFFSETS]
        assert [(gap["from"], gap["to"]) for gap in page["gaps"]] == [(3, 3 + LOST_OFFSETS)]


def test_a_restored_node_moves_on_and_can_be_restored_again(
    start: Start, cloud: dict[str, str], tmp_path: Path
) -> None:
    node = start(**cloud)
    publish(node, "a", 10)
    to_cloud(node, "a")
    node.kill()
    for life in range(1, 3):
        node = another(node, tmp_path / f"life-{life}")
        with node:
            said = restored(cloud, node.directory, node._bind_port)
            assert said["records"] == 10 * life
            node.start()
            assert len(messages(node, "a")) == 10 * life
            publish(node, "a", 10)
            end = partition(node, "a")["high_offset"]
            assert end == 10 + life * (10 + LOST_OFFSETS)
            to_cloud(node, "a")
            assert len(messages(node, "a")) == 10 * (life + 1)
            node.kill()
            node.start()
            assert len(messages(node, "a")) == 10 * (life + 1)
            assert partition(node, "a")["high_offset"] == end
            assert node.stop() == 0
            node.start()
            assert partition(node, "a")["high_offset"] == end
            publish(node, "a", 1)
            assert partition(node, "a")["high_offset"] == end + 1
            node.kill()
        done = tier(cloud, "verify")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["records"] == 10 * (life + 1)
