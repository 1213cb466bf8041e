"""The cloud tier as a client sees it: messages move, stay readable, count once, and outlive crashes.

Real nodes over a directory and over MinIO; each test has a node and a bucket of its own.
"""

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sprawl.log.cloud.place import StorePlace
from tests.contract.tier_calls import (
    START,
    Start,
    ask,
    metric,
    offsets,
    partition,
    post,
    publish,
    put,
    read,
    tiers,
    to_disk,
    until,
)
from tests.faults.node import NodeProcess, StartFailed
from tests.faults.s3_proxy import Rule, S3Proxy, status
from tests.unit.log.cloud import servers

KINDS = ["folder", pytest.param("minio", marks=pytest.mark.needs("minio"))]


@pytest.fixture(scope="module")
def minio_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorePlace]:
    with servers.minio(tmp_path_factory.mktemp("minio")) as place:
        yield place


@pytest.fixture
def cloud(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of a cloud tier with a bucket of its own."""
    bucket = servers.new_bucket()
    if kind == "folder":
        return settings_of(f"file://{tmp_path}/objects", bucket)
    place: StorePlace = request.getfixturevalue("minio_place")
    return settings_of(place.shown, bucket, place.access_key, place.secret_key)


def settings_of(endpoint: str, bucket: str, access: str = "", secret: str = "") -> dict[str, str]:
    keys = {"MINIO_ACCESS_KEY": access, "MINIO_SECRET_KEY": secret} if access else {}
    return {
        "SPRAWL_STORAGE_CLOUD_ENABLED": "true",
        "MINIO_ENDPOINT": endpoint,
        "SPRAWL_STORAGE_CLOUD_BUCKET": bucket,
        **keys,
    }


def to_cloud(node: NodeProcess, topic: str) -> None:
    """Moves all that the topic holds to the cloud, and waits until it counts there."""
    answer = post(node, "/store/tiers", {"topic": topic, "tier": "cloud"})
    assert answer.json() == {"status": "success", "tier": "cloud", "topic": topic}

    def is_there() -> bool:
        held = [p["tiers"] for p in ask(node, f"/v1/topics/{topic}")["partitions"]]
        return not any(h["memory"]["messages"] or h["disk"]["messages"] for h in held)

    until(f"{topic} lies in the cloud", is_there)


def everything(node: NodeProcess, topic: str) -> list[dict[str, Any]]:
    """All messages of a topic, page after page."""
    found: list[dict[str, Any]] = []
    url = f"{node.url}/v1/topics/{topic}/messages?from=earliest&limit=1000"
    while True:
        page = httpx.get(url, timeout=30)
        assert page.status_code == 200, page.text
        found += page.json()["messages"]
        if page.json()["up_to_date"]:
            return found
        cursor = page.json()["cursor"]
        url = f"{node.url}/v1/topics/{topic}/messages?from=cursor:{cursor}&limit=1000"


def counts(node: NodeProcess) -> tuple[int, int, int]:
    shown = ask(node, "/store")
    return tuple(shown[tier]["messages"] for tier in ("memory", "disk", "cloud"))


@pytest.mark.parametrize("kind", KINDS)
def test_messages_move_and_stay_what_and_where_they_were(
    start: Start, cloud: dict[str, str]
) -> None:
    node = start(**cloud)
    put(node, "a", partitions=3)
    sent = {"topic": "a", "payload": "häß", "key": "k", "id": "mine", "ttl": 3600}
    first = post(node, "/publish", sent).json()
    publish(node, "a", 2000, size=100)
    publish(node, "b", 10)
    before = everything(node, "a")
    one = ask(node, f"/v1/messages/{first['message_id']}")
    to_cloud(node, "a")
    until("b went with it", lambda: counts(node) == (0, 0, 2011))
    assert everything(node, "a") == before
    assert ask(node, f"/v1/messages/{first['message_id']}") == one
    found = ask(node, f"/messages/{first['message_id']}")
    assert (found["payload"], found["storage_tier"]) == ("häß", "cloud")
    publish(node, "a", 5)
    assert counts(node) == (5, 0, 2011)
    shown = ask(node, "/store")["cloud"]
    assert shown["enabled"] and not shown["degraded"]
    assert shown["endpoint"] == cloud["MINIO_ENDPOINT"]
    assert shown["bucket"] == cloud["SPRAWL_STORAGE_CLOUD_BUCKET"]
    assert (shown["topics"], shown["stored_messages"]) == (["a", "b"], 2011)
    assert shown["stored_bytes"] > 0
    assert ask(node, "/topics/b")["storage_tier"] == "cloud"
    assert ask(node, "/store/tiers")["tiers"] == ["memory", "disk", "cloud"]
    figures = tiers(node)["cloud"]
    assert (figures["state"], figures["last_error"], figures["messages"]) == ("ok", None, 2011)
    for stop in (node.stop, node.kill):
        stop()
        node.start()
        assert counts(node) == (0, 5, 2011)
        assert len(everything(node, "a")) == 2006
        assert offsets(node, "b") == list(range(10))
        assert ask(node, "/topics/a")["oldest_message"] is not None
    low_high = [
        (p["low_offset"], p["high_offset"]) for p in ask(node, "/v1/topics/a")["partitions"]
    ]
    assert sum(high - low for low, high in low_high) == 2006


def test_ages_alone_move_a_message_through_all_tiers(start: Start, tmp_path: Path) -> None:
    node = start(
        **settings_of(f"file://{tmp_path}/objects", "sprawl-ages"),
        SPRAWL_STORAGE_MEMORY_TO_DISK_AGE="1",
        SPRAWL_STORAGE_DISK_TO_CLOUD_AGE="2",
    )
    publish(node, "a", 7)
    assert counts(node)[0] == 7
    until("it lies in the cloud", lambda: counts(node) == (0, 0, 7))
    assert offsets(node, "a") == list(range(7))
    # A node at rest comes to rest: what it wrote down of the move goes nowhere itself.
    segments = tiers(node)["cloud"]["segments"]
    until("the windows are gone", lambda: tiers(node)["disk"]["windows"] == 0)
    assert tiers(node)["cloud"]["segments"] == segments


def test_a_full_disk_tier_sends_its_oldest_ahead_of_their_age(start: Start, tmp_path: Path) -> None:
    node = start(
        **settings_of(f"file://{tmp_path}/objects", "sprawl-size"),
        SPRAWL_STORAGE_DISK_MAX_SIZE=str(4 * 1024 * 1024),
    )
    for _ in range(24):
        answer = post(node, "/publish", {"topic": "a", "payload": "x" * 262_144})
        assert answer.status_code == 200, answer.text
        to_disk(node, "a")
    until("the oldest went", lambda: counts(node)[2] > 0)
    assert sum(counts(node)) == 24 == len(everything(node, "a"))


def test_streams_and_times_reach_into_the_cloud(start: Start, tmp_path: Path) -> None:
    node = start(**settings_of(f"file://{tmp_path}/objects", "sprawl-times"))
    publish(node, "a", 100)
    to_cloud(node, "a")
    time.sleep(0.01)
    between = time.time_ns()
    publish(node, "a", 50)
    to_cloud(node, "a")
    publish(node, "a", 1)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between / 1e9))
    since = f"time:{stamp}.{between % 10**9:09}Z"
    found = [m["offset"] for m in read(node, "a", since).json()["messages"]]
    assert found == list(range(100, 151))
    assert read(node, "a", "offset:120").json()["messages"][0]["offset"] == 120
    url = f"{node.url}/v1/topics/a/messages?from=earliest&limit=151"
    with httpx.stream("GET", url, headers={"Accept": "text/event-stream"}, timeout=20) as stream:
        ids = []
        for line in stream.iter_lines():
            if line.startswith("data:"):
                ids.append(json.loads(line[5:])["offset"])
            if len(ids) == 151:
                break
    assert ids == list(range(151))


def test_retention_and_time_to_live_reach_into_the_cloud(start: Start, tmp_path: Path) -> None:
    node = start(**settings_of(f"file://{tmp_path}/objects", "sprawl-retention"))
    for _ in range(4):
        publish(node, "a", 5)
        to_cloud(node, "a")
    publish(node, "a", 3)
    put(node, "a", retention={"count": 11})
    until("the oldest are gone", lambda: offsets(node, "a") == list(range(12, 23)))
    assert read(node, "a", "offset:11").status_code == 410
    assert counts(node) == (3, 0, 8)
    until("the low offset is written", lambda: metric(node, "sprawl_unsynced_bytes") == 0)
    node.kill()
    node.start()
    assert offsets(node, "a") == list(range(12, 23))
    assert partition(node, "a")["low_offset"] == 12
    put(node, "b", ttl_s=1)
    publish(node, "b", 9)
    to_cloud(node, "b")
    until("they are over", lambda: offsets(node, "b") == [])
    until("and count nowhere", lambda: sum(counts(node)) == 11)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_time_of_a_move_loses_nothing(start: Start, cloud: dict[str, str]) -> None:
    node = start(**cloud)
    total = 0
    for round_ in range(6):
        publish(node, "a", 500, size=200)
        total += 500
        post(node, "/store/tiers", {"topic": "a", "tier": "cloud"})
        time.sleep(0.05 * round_)
        node.kill()
        node.start()
        assert offsets(node, "a") == list(range(total))
        assert sum(counts(node)) == total
    to_cloud(node, "a")
    assert offsets(node, "a") == list(range(total))


def test_a_worker_that_is_killed_is_replaced(start: Start, tmp_path: Path) -> None:
    node = start(**settings_of(f"file://{tmp_path}/objects", "sprawl-worker"))
    publish(node, "a", 1000)
    to_cloud(node, "a")
    (worker,) = psutil.Process(node.pid).children()
    worker.kill()
    assert len(offsets(node, "a")) == 1000
    publish(node, "a", 10)
    to_cloud(node, "a")
    assert len(offsets(node, "a")) == 1010


def test_a_store_that_is_away_degrades_the_tier_and_stops_nothing(start: Start) -> None:
    node = start(**settings_of("http://127.0.0.1:9", "sprawl-away", "access", "secret-of-the-test"))
    publish(node, "a", 10)
    post(node, "/store/tiers", {"topic": "a", "tier": "cloud"})
    shown = ask(node, "/store")["cloud"]
    assert (shown["enabled"], shown["degraded"], shown["messages"]) == (True, True, 0)
    assert shown["last_error"]
    assert counts(node) == (0, 10, 0)
    assert offsets(node, "a") == list(range(10))
    assert metric(node, "sprawl_cloud_degraded") == 1
    assert node.stop() == 0
    assert "secret-of-the-test" not in node.log.read_text()


@pytest.mark.needs("minio")
def test_a_store_that_is_away_for_a_while_is_taken_up_again(
    start: Start, minio_place: StorePlace
) -> None:
    host, port = minio_place.host.split(":")
    with S3Proxy(host, int(port)) as proxy:
        place = servers.through(minio_place, proxy.endpoint)
        settings = settings_of(
            place.shown, servers.new_bucket(), place.access_key, place.secret_key
        )
        node = start(**settings)
        publish(node, "a", 300)
        to_cloud(node, "a")
        proxy.add(Rule(status(503, "ServiceUnavailable"), count=None))
        publish(node, "a", 20)
        post(node, "/store/tiers", {"topic": "a", "tier": "cloud"})
        until("it is degraded", lambda: ask(node, "/store")["cloud"]["degraded"])
        assert read(node, "a", "offset:300").status_code == 200
        proxy.clear()
        until("it works again", lambda: counts(node) == (0, 0, 320))
        assert offsets(node, "a") == list(range(320))


@pytest.mark.needs("minio")
def test_wrong_keys_are_one_line_at_the_start(start: Start, minio_place: StorePlace) -> None:
    settings = settings_of(
        minio_place.shown, servers.new_bucket(), minio_place.access_key, "not-the-secret"
    )
    with pytest.raises(StartFailed) as failed:
        start(**settings)
    assert failed.value.status == 1
    assert "not-the-secret" not in failed.value.text
    last = failed.value.text.splitlines()[-1]
    assert "does not accept the keys" in last and "MINIO_SECRET_KEY" in last


def test_objects_of_another_log_are_left_alone(start: Start, tmp_path: Path) -> None:
    settings = settings_of(f"file://{tmp_path}/objects", "sprawl-foreign")
    node = start(**settings)
    publish(node, "a", 10)
    to_cloud(node, "a")
    assert node.stop() == 0
    (history,) = (tmp_path / "objects").rglob("history")
    said = json.loads(history.read_text())
    history.write_text(json.dumps(said | {"history": "0" * 32}))
    kept = sorted(path.name for path in (tmp_path / "objects").rglob("*"))
    with pytest.raises(StartFailed, match="holds objects of another log under sprawl/") as failed:
        node.start()
    assert failed.value.status == 1
    assert sorted(path.name for path in (tmp_path / "objects").rglob("*")) == kept


def test_a_segment_that_is_gone_or_changed_is_a_gap_with_a_reason(
    start: Start, tmp_path: Path
) -> None:
    node = start(**settings_of(f"file://{tmp_path}/objects", "sprawl-damage"))
    publish(node, "a", 10)
    to_cloud(node, "a")
    publish(node, "a", 10)
    to_cloud(node, "a")
    publish(node, "a", 1)
    first, second = sorted((tmp_path / "objects").rglob("*.parquet"), key=os.path.getmtime)
    first.unlink()
    data = bytearray(second.read_bytes())
    data[len(data) // 3] ^= 4
    second.write_bytes(data)
    answer = read(node, "a")
    assert answer.status_code == 200
    assert [m["offset"] for m in answer.json()["messages"]] == [20]
    assert "damaged" in answer.text
    assert "damaged segment" in node.log.read_text()


def test_the_tier_cannot_be_turned_off_while_messages_lie_there(
    start: Start, tmp_path: Path
) -> None:
    settings = settings_of(f"file://{tmp_path}/objects", "sprawl-off")
    node = start(**settings)
    publish(node, "a", 1)
    to_cloud(node, "a")
    assert node.stop() == 0
    node.settings["SPRAWL_STORAGE_CLOUD_ENABLED"] = "false"
    with pytest.raises(StartFailed, match="has messages in the cloud tier, which is off") as failed:
        node.start()
    assert failed.value.status == 1


def test_a_cold_read_of_one_partition_takes_few_requests(start: Start, tmp_path: Path) -> None:
    node = start(**settings_of(f"file://{tmp_path}/objects", "sprawl-requests"))
    for topic in range(20):
        publish(node, f"t{topic}", 1000, size=100)
    to_cloud(node, "t7")
    before = metric(node, "sprawl_cloud_requests_total")
    url = f"{node.url}/v1/topics/t7/messages?from=earliest&limit=1000"
    assert len(httpx.get(url, timeout=30).json()["messages"]) == 1000
    assert metric(node, "sprawl_cloud_requests_total") - before <= 3


def test_binary_values_and_headers_come_back(start: Start, tmp_path: Path) -> None:
    node = start(**settings_of(f"file://{tmp_path}/objects", "sprawl-bytes"))
    value = bytes(range(256)) * 40
    url = f"{node.url}/v1/topics/a/messages"
    headers = {"Sprawl-Key": "k", "Sprawl-Header-Trace": "t-1", "Content-Type": "image/png"}
    assert httpx.post(url, content=value, headers=headers).status_code == 201
    kept = read(node, "a").json()["messages"][0]
    to_cloud(node, "a")
    (found,) = read(node, "a").json()["messages"]
    assert found == kept
    assert base64.b64decode(found["base64"]) == value


def test_segments_that_nobody_can_read_any_more_are_removed(tmp_path: Path) -> None:
    settings = START | settings_of(f"file://{tmp_path}/objects", "sprawl-dead")
    with NodeProcess(tmp_path / "data", tmp_path / "log", settings, "brisk") as node:
        node.start()
        put(node, "short", ttl_s=2)
        for topic in ("a", "short", "b"):
            publish(node, topic, 10)
            to_cloud(node, topic)
        put(node, "a", retention={"count": 1})
        publish(node, "a", 2)

        def is_removed() -> bool:
            return tiers(node)["cloud"]["segments"] == 1

        until("the segments of a and short are gone", is_removed)
        kept = list((tmp_path / "objects").rglob("*.parquet"))
        assert len(kept) == 1
        assert offsets(node, "a") == [11]
        assert offsets(node, "b") == list(range(10))
        until("it is written", lambda: metric(node, "sprawl_unsynced_bytes") == 0)
        node.kill()
        node.start()
        assert tiers(node)["cloud"]["segments"] == 1
        assert offsets(node, "b") == list(range(10))
        assert read(node, "short", "offset:3").status_code == 410
        assert sum(counts(node)) == 11


def test_records_without_their_states_are_found_at_the_next_start(tmp_path: Path) -> None:
    settings = START | settings_of(f"file://{tmp_path}/objects", "sprawl-half")
    with NodeProcess(tmp_path / "data", tmp_path / "log", settings, "half-recorded") as node:
        node.start()
        put(node, "a", partitions=5)
        publish(node, "a", 100)
        publish(node, "b", 10)
        post(node, "/store/tiers", {"topic": "a", "tier": "cloud"})
        assert node.wait(20) == -9
        node.program = "sprawl"
        node.start()
        until("it is known to be there", lambda: counts(node) == (0, 0, 110))
        # Nothing was put again: what the log says of the bucket is believed.
        assert metric(node, "sprawl_cloud_uploaded_bytes_total") == 0
        assert tiers(node)["cloud"]["segments"] == 1
        assert len(everything(node, "a")) == 100
        assert offsets(node, "b") == list(range(10))
        node.kill()
        node.start()
        assert counts(node) == (0, 0, 110)
        assert len(everything(node, "a")) == 100
