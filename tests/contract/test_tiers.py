"""The disk tier as a client sees it: true figures, retention, cleaning, the bound.

Real nodes with small ages and sizes; each test has a node of its own.
"""

import os
import subprocess
from pathlib import Path

import httpx
import lmdb
import pytest

from tests.contract.tier_calls import (
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
from tests.faults.node import NodeProcess


def test_a_message_counts_in_one_tier_and_figures_outlive_restarts(start: Start) -> None:
    node = start()
    publish(node, "a", 5)
    before = ask(node, "/store")
    assert (before["memory"]["messages"], before["disk"]["messages"]) == (5, 0)
    assert before["disk"]["enabled"] and before["disk"]["stored_messages"] == 5
    assert ask(node, "/topics")["topics"][0]["storage_tier"] == "memory"
    to_disk(node, "a")
    publish(node, "a", 3)
    publish(node, "b", 2)
    shown = ask(node, "/store")
    assert (shown["memory"]["messages"], shown["disk"]["messages"]) == (5, 5)
    assert (shown["memory"]["stored_messages"], shown["disk"]["stored_messages"]) == (5, 10)
    assert (shown["memory"]["topics"], shown["disk"]["topics"]) == (["a", "b"], ["a"])
    assert shown["disk"]["oldest_message"] == before["memory"]["oldest_message"]
    assert shown["disk"]["newest_message"] <= shown["memory"]["oldest_message"]
    assert shown["disk"]["used_bytes"] == before["memory"]["used_bytes"]
    held = partition(node, "a")["tiers"]
    assert (held["memory"]["messages"], held["disk"]["messages"]) == (3, 5)
    assert node.stop() == 0
    for _ in range(2):
        node.start()
        again = ask(node, "/store")
        assert (again["memory"]["messages"], again["disk"]["messages"]) == (0, 10)
        assert again["disk"]["oldest_message"] == before["memory"]["oldest_message"]
        assert again["disk"]["newest_message"] == shown["memory"]["newest_message"]
        assert again["disk"]["stored_bytes"] > 0 and again["disk"]["topics"] == ["a", "b"]
        topic = ask(node, "/topics/a")
        assert (topic["message_count"], topic["storage_tier"]) == (8, "disk")
        assert topic["oldest_message"] == before["memory"]["oldest_message"]
        node.kill()


def test_a_message_is_found_by_its_id_in_both_tiers(start: Start) -> None:
    node = start()
    body = {"topic": "a", "payload": "first", "id": "mine"}
    first = post(node, "/publish", body).json()
    to_disk(node, "a")
    second = post(node, "/publish", {"topic": "a", "payload": "second"}).json()
    for asked, payload, tier in (
        (first["message_id"], "first", "disk"),
        ("mine", "first", "disk"),
        (second["id"], "second", "memory"),
    ):
        found = ask(node, f"/messages/{asked}")
        assert (found["payload"], found["storage_tier"]) == (payload, tier)
    assert ask(node, f"/v1/messages/{first['message_id']}")["payload"] == "first"
    missing = httpx.get(f"{node.url}/messages/{first['message_id'][:-1]}7")
    assert missing.status_code == 404


def test_moves_to_tiers_that_are_off_are_refused(start: Start) -> None:
    node = start()
    publish(node, "a", 1)
    answer = post(node, "/store/tiers", {"topic": "a", "tier": "cloud"})
    assert (answer.status_code, answer.json()["code"]) == (501, "not_available")
    assert answer.json()["error"].startswith("Failed to set storage tier: ")
    answer = post(node, "/store/tiers", {"topic": "a", "tier": "tape"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_member")
    answer = post(node, "/store/tiers", {"topic": "nobody", "tier": "disk"})
    assert (answer.status_code, answer.json()["code"]) == (404, "topic_not_found")


def test_without_a_disk_tier_it_shows_as_off_and_what_needs_it_is_refused(start: Start) -> None:
    node = start(SPRAWL_STORAGE_DISK_ENABLED="false")
    publish(node, "a", 2)
    shown = ask(node, "/store")
    off = {name: value for name, value in shown["disk"].items() if name != "path"}
    assert set(map(str, off.values())) == {"False", "0", "[]", "None"}
    assert shown["memory"]["messages"] == 2 == ask(node, "/topics/a")["message_count"]
    text = httpx.get(f"{node.url}/store").text
    assert '"enabled":true' not in text[text.index('"disk"') :]
    assert list(tiers(node)) == ["memory"] == ask(node, "/store/tiers")["tiers"]
    moved = post(node, "/store/tiers", {"topic": "a", "tier": "disk"})
    assert (moved.status_code, moved.json()["code"]) == (501, "not_available")
    refused = post(node, "/store/compact", {})
    assert refused.status_code == 501
    assert list(refused.json())[:2] == ["success", "error"]


@pytest.mark.parametrize(
    ("retention", "left"),
    [({"count": 7}, list(range(13, 20))), ({"bytes": 1}, list(range(15, 20)))],
)
def test_retention_reaches_what_lies_on_disk_and_outlives_a_crash(
    start: Start, retention: dict[str, int], left: list[int]
) -> None:
    node = start()
    for _ in range(4):
        publish(node, "a", 5)
        to_disk(node, "a")
    put(node, "a", retention=retention)
    until("the oldest are gone", lambda: offsets(node, "a") == left)
    held = partition(node, "a")
    assert (held["low_offset"], held["high_offset"]) == (left[0], 20)
    assert held["tiers"]["disk"]["messages"] == len(left) == ask(node, "/store")["disk"]["messages"]
    gone = read(node, "a", "offset:2")
    assert gone.status_code == 410
    assert gone.json()["code"] == "offset_expired" and gone.json()["cursor"]
    # What was given up does not come back with a laxer configuration.
    put(node, "a", retention={"count": 0, "bytes": 0})
    until("the low offset is written", lambda: metric(node, "sprawl_unsynced_bytes") == 0)
    assert node.stop() == 0
    node.start()
    assert offsets(node, "a") == left and read(node, "a", "offset:2").status_code == 410
    node.kill()
    node.start()
    assert offsets(node, "a") == left
    assert partition(node, "a")["low_offset"] == left[0]
    publish(node, "a", 1)
    assert offsets(node, "a") == [*left, 20]


def test_retention_by_age_empties_the_disk_and_windows_go(start: Start) -> None:
    node = start()
    put(node, "a", retention={"age_s": 1})
    publish(node, "a", 50)
    to_disk(node, "a")
    publish(node, "keeps", 1)
    to_disk(node, "keeps")

    def is_empty() -> bool:
        answer = read(node, "a")
        # 410: retention took them while the read waited for the disk.
        assert answer.status_code in (200, 410), answer.text
        return answer.status_code == 200 and answer.json()["messages"] == []

    until("nothing is left", is_empty)
    until("its window went", lambda: metric(node, "sprawl_disk_windows_dropped_total") >= 1)
    assert ask(node, "/store")["disk"]["messages"] == 1
    publish(node, "a", 1)
    for _ in range(2):
        node.kill()
        node.start()
        # Ends and configurations live on although their window does not.
        held = partition(node, "a")
        assert held["high_offset"] == 51
        assert ask(node, "/v1/topics/a")["config"]["retention"]["age_s"] == 1
        assert offsets(node, "keeps") == [0]
    publish(node, "a", 1)
    assert partition(node, "a")["high_offset"] == 52


def test_windows_of_messages_that_are_over_go(start: Start) -> None:
    node = start()
    put(node, "a", ttl_s=1)
    publish(node, "a", 20)
    to_disk(node, "a")
    assert ask(node, "/store")["disk"]["messages"] == 20
    until("they are over", lambda: ask(node, "/store")["disk"]["messages"] == 0)
    until("their window went", lambda: metric(node, "sprawl_disk_windows_dropped_total") >= 1)
    node.kill()
    node.start()
    assert offsets(node, "a") == []
    publish(node, "a", 1)
    assert partition(node, "a")["high_offset"] == 21
    # Their window is gone, so their offsets are.
    assert read(node, "a", "offset:3").status_code == 410


def test_a_deleted_topic_gives_its_windows_back(start: Start) -> None:
    node = start()
    put(node, "a", retention={"age_s": 1})
    publish(node, "a", 5)
    to_disk(node, "a")
    assert httpx.delete(f"{node.url}/v1/topics/a").status_code == 204
    publish(node, "b", 1)
    assert ask(node, "/store")["disk"]["messages"] == 0
    node.kill()
    node.start()
    assert [t["name"] for t in ask(node, "/topics")["topics"]] == ["b"]
    assert ask(node, "/store")["disk"]["messages"] == 1


def test_compaction_does_what_is_due_and_says_so(start: Start) -> None:
    node = start()
    publish(node, "a", 10)
    to_disk(node, "a")
    put(node, "a", retention={"count": 3})
    answer = post(node, "/store/compact", {})
    assert answer.status_code == 200
    shown = answer.json()
    shown.pop("estimated_completion")
    assert shown == {
        "success": True,
        "message": "Storage compaction completed successfully",
        "status": "compaction_completed",
        "tiers": ["disk"],
    }
    assert offsets(node, "a") == [7, 8, 9]


BOUND = str(8 * 1024 * 1024)


def fill(node: NodeProcess, topic: str, count: int) -> int | None:
    """Publishes 256 KiB messages until one is refused; its status, None when none was."""
    for _ in range(count):
        answer = post(node, "/publish", {"topic": topic, "payload": "x" * 262_144})
        if answer.status_code != 200:
            return answer.status_code
    return None


def test_at_the_bound_a_topic_refuses_and_goes_on_when_there_is_room(start: Start) -> None:
    node = start(SPRAWL_STORAGE_DISK_MAX_SIZE=BOUND)
    put(node, "a", retention={"count": 0})
    until("it refuses", lambda: fill(node, "a", 4) == 507)
    assert tiers(node)["disk"]["state"] == "refusing"
    assert read(node, "a").status_code == 200
    assert metric(node, "sprawl_disk_refuses") == 1
    put(node, "a", retention={"count": 1})
    to_disk(node, "a")
    until("there is room again", lambda: fill(node, "a", 1) is None)
    assert tiers(node)["disk"]["state"] == "ok"
    assert "the disk tier has room again" in node.log.read_text()


def test_at_the_bound_a_topic_may_drop_its_oldest(start: Start) -> None:
    node = start(SPRAWL_STORAGE_DISK_MAX_SIZE=BOUND)
    put(node, "a", discard="old")

    def dropped() -> bool:
        assert fill(node, "a", 8) in (None, 507)
        return metric(node, "sprawl_disk_windows_dropped_total") > 0

    until("the oldest are dropped", dropped)
    assert metric(node, "sprawl_evicted_messages_total") > 0
    low = partition(node, "a")["low_offset"]
    assert low > 0 and read(node, "a", "offset:0").status_code == 410
    assert offsets(node, "a")[0] == low
    held = partition(node, "a")
    assert ask(node, "/topics/a")["message_count"] == held["high_offset"] - low


SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "verify-tiering.sh"


@pytest.mark.parametrize("age_s", ["2", "3600"])
def test_the_script_sees_messages_move_to_disk(start: Start, age_s: str) -> None:
    node = start(SPRAWL_STORAGE_MEMORY_TO_DISK_AGE=age_s)
    environment = {**os.environ, "SPRAWL_URL": node.url}
    ran = subprocess.run(
        ["bash", str(SCRIPT)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "readable byte for byte in the disk tier" in ran.stdout
    assert ("asking for the move" in ran.stdout) == (age_s == "3600")


def test_a_read_that_meets_a_damaged_index_builds_it_again_and_goes_on(start: Start) -> None:
    node = start()
    publish(node, "a", 200)
    to_disk(node, "a")
    flip_in_indexes(node, section=1)
    answer = read(node, "a")
    assert [message["offset"] for message in answer.json()["messages"]] == list(range(200))
    assert not answer.json().get("gaps"), "the messages are whole, only the way to them was not"
    assert metric(node, "sprawl_disk_indexes_rebuilt_total") >= 1
    assert node.stop() == 0
    node.start()
    assert offsets(node, "a") == list(range(200))


def flip_in_indexes(node: NodeProcess, section: int) -> None:
    """Flips the last bit of every index piece of a section, under the running node."""
    path = str(node.directory / "log")
    with lmdb.open(path, max_dbs=3, map_size=64 << 30, create=False) as environment:
        index = environment.open_db(b"index", create=False)
        with environment.begin(write=True) as txn:
            pieces = [(k, v) for k, v in txn.cursor(index) if k[8] == section]
            for key, value in pieces:
                txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=index)
    assert pieces
