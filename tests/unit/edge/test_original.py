"""The original's routes: fields, order, words."""

import logging

import httpx
import pytest

from sprawl.broker.subscribe import Delivery
from sprawl.edge.original.subscriptions import log_delivery
from tests.models.plain_engine import PlainEngine
from tests.models.plain_node import PlainView, PlainWatcher

NOW = "2026-01-01T03:21:15.200Z"
T0 = "2026-01-01T00:00:00.000Z"


async def test_health_is_exactly_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.text == (
        '{"cluster_size":1,"nodeId":"N1","node_id":"N1","status":"ok",'
        f'"timestamp":"{NOW}","uptime":"3h21m15.2s","uptime_seconds":12075.2,'
        '"version":"0.1.0"}\n'
    )
    assert answer.headers["content-type"] == "application/json"
    assert (await client.get("/healthz")).text == answer.text


async def test_detailed_health_adds_three_parts(client: httpx.AsyncClient) -> None:
    body = (await client.get("/health?detailed=true")).json()
    assert set(body["system_health"]) == {
        "cpu_usage",
        "memory_usage",
        "disk_usage",
        "message_rate",
    }
    assert body["cluster_state"]["healthy_ratio"] == 1.0
    assert set(body["features"]) == {"metrics", "failure_detection", "health_monitoring"}


async def test_ready_is_503_unless_the_node_is_ready(
    client: httpx.AsyncClient, view: PlainView
) -> None:
    assert (await client.get("/ready")).status_code == 200
    view.state = "draining"
    answer = await client.get("/ready")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "draining"
    assert answer.json()["retry_after"] == "1"
    assert (await client.get("/health")).status_code == 200


async def test_status_is_exactly_so(client: httpx.AsyncClient) -> None:
    assert (await client.get("/status")).text == (
        '{"address":"127.0.0.1","cluster_members":["N1"],"http_port":8080,"is_leader":true,'
        '"leader":"N1","node_id":"N1","bind_port":7946,"health_port":8081}\n'
    )


async def test_message_is_exactly_so(client: httpx.AsyncClient, engine: PlainEngine) -> None:
    message_id = engine.publish("my-topic", b"Test message")
    assert (await client.get(f"/messages/{message_id}")).text == (
        f'{{"id":"{message_id}","topic":"my-topic","payload":"Test message",'
        f'"timestamp":"{T0}","ttl":0,"partition":0,"offset":0,"storage_tier":"memory",'
        f'"message_id":"{message_id}"}}\n'
    )


async def test_message_by_a_given_id_keeps_that_id(
    client: httpx.AsyncClient, engine: PlainEngine
) -> None:
    message_id = engine.publish("t", b"x", key="mine")
    body = (await client.get("/messages/mine")).json()
    assert (body["id"], body["message_id"]) == ("mine", message_id)


async def test_topics_are_exactly_so(client: httpx.AsyncClient, engine: PlainEngine) -> None:
    engine.publish("test-topic", b"x")
    engine.topic_put("empty", {})
    await client.post("/subscribe", json={"topic": "test-topic"})
    one = (
        '{"name":"test-topic","message_count":1,"has_subscribers":true,"subscriber_count":1,'
        '"subscribers":1,"nodes":["N1"],"storage_tier":"memory","partitions":1,'
        f'"oldest_message":"{T0}","newest_message":"{T0}"}}'
    )
    empty = (
        '{"name":"empty","message_count":0,"has_subscribers":false,"subscriber_count":0,'
        '"subscribers":0,"nodes":["N1"],"storage_tier":"memory","partitions":1,'
        '"oldest_message":null,"newest_message":null}'
    )
    assert (await client.get("/topics")).text == f'{{"count":2,"topics":[{one},{empty}]}}\n'
    assert (await client.get("/topics/test-topic")).text == one + "\n"
    assert (await client.get("/topics/nobody")).status_code == 404


async def test_topics_pages_when_asked(client: httpx.AsyncClient, engine: PlainEngine) -> None:
    for number in range(3):
        engine.topic_put(f"t{number}", {})
    first = (await client.get("/topics?limit=2")).json()
    rest = (await client.get("/topics", params={"page_token": first["next_page_token"]})).json()
    assert [t["name"] for t in first["topics"] + rest["topics"]] == ["t0", "t1", "t2"]
    assert "next_page_token" not in rest


async def test_store_shows_tiers_that_are_off(
    client: httpx.AsyncClient, engine: PlainEngine
) -> None:
    engine.publish("topic1", b"four")
    answer = await client.get("/store")
    body = answer.json()
    assert answer.text.startswith('{"storage_type":"memory","memory":{"enabled":true,')
    memory = body["memory"]
    assert (memory["messages"], memory["message_count"]) == (1, 1)
    assert (memory["bytes_used"], memory["used_bytes"]) == (4, 4)
    assert (memory["topics"], memory["oldest_message"]) == (["topic1"], T0)
    for tier in ("disk", "cloud"):
        assert body[tier]["enabled"] is False
        assert body[tier]["messages"] == body[tier]["stored_bytes"] == 0
    assert body["disk"]["path"] == "./data/7946"


async def test_store_tiers_is_exactly_so(client: httpx.AsyncClient) -> None:
    members = (
        '"memory_to_disk_threshold_bytes":104857600,"memory_to_disk_age_seconds":3600,'
        '"disk_to_cloud_age_seconds":86400,"disk_to_cloud_threshold_bytes":1073741824'
    )
    assert (await client.get("/store/tiers")).text == (
        f'{{"tiers":["memory"],"policies":{{{members}}},"disk_enabled":false,'
        f'"cloud_enabled":false,{members},"disk_path":"./data/7946"}}\n'
    )


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"tier": "memory"}, 400, "Topic is required"),
        ({"topic": "t"}, 400, "Tier is required"),
        ({"topic": "t", "tier": "tape"}, 400, "Failed to set storage tier: "),
        ({"topic": "t", "tier": "disk"}, 501, "Failed to set storage tier: "),
        ({"topic": "nobody", "tier": "memory"}, 404, "topic 'nobody' does not exist"),
        ("x", 400, "Invalid request body"),
    ],
)
async def test_set_tier_refuses_in_the_originals_words(
    client: httpx.AsyncClient, engine: PlainEngine, body: object, status: int, error: str
) -> None:
    engine.topic_put("t", {})
    answer = await client.post("/store/tiers", json=body)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)


async def test_set_tier_to_memory_is_done_already(
    client: httpx.AsyncClient, engine: PlainEngine
) -> None:
    engine.topic_put("my-topic", {})
    answer = await client.post("/store/tiers", json={"topic": "my-topic", "tier": "memory"})
    assert answer.text == '{"status":"success","tier":"memory","topic":"my-topic"}\n'


async def test_dht_is_a_cluster_of_one(client: httpx.AsyncClient, engine: PlainEngine) -> None:
    engine.topic_put("test-topic", {})
    body = (await client.get("/dht?detailed=true")).json()
    (key,) = body["topic_map"]
    assert len(key) == 64
    assert list(body) == [
        "node_id",
        "node_count",
        "topic_count",
        "topics",
        "topic_map",
        "finger_table",
        "slots",
        "epoch",
        "nodes",
    ]
    assert (body["node_count"], body["topic_count"], body["slots"]) == (1, 1, 4096)
    assert body["topics"] == {"test-topic": ["N1"]}
    assert body["nodes"][0]["Topics"] == [key]


async def test_predictor_is_off(client: httpx.AsyncClient) -> None:
    status = (await client.get("/ai/status")).json()
    assert status["enabled"] is False
    assert set(status["models"].values()) == {False}
    overview = (await client.get("/ai")).json()
    assert overview["status"] == status
    assert overview["current_metrics"]["cpu"] == 12.5
    assert overview["current_metrics"]["memory"] == pytest.approx(28.0)
    assert (await client.get("/ai/anomalies")).json()["anomalies"] == []
    assert (await client.get("/ai/recommendations")).json()["recommendations"] == []


async def test_predictions_refuse_with_success_false(client: httpx.AsyncClient) -> None:
    body = (await client.get("/ai/predictions?resource=cpu")).json()
    assert list(body)[:2] == ["error", "success"]
    compact = (await client.post("/store/compact")).json()
    assert list(compact)[:2] == ["success", "error"]


async def test_subscribe_answers_an_id_and_again_the_same(client: httpx.AsyncClient) -> None:
    answer = await client.post("/subscribe", content=b'{"topics":["test-topic"],"other":1}')
    assert answer.text == (
        '{"id":"s1","node_id":"N1","status":"subscribed","topics":["test-topic"],"durable":false}\n'
    )
    again = await client.post("/subscribe", json={"topic": "test-topic", "id": "s1"})
    assert again.text == answer.text
    assert (await client.get("/topics/test-topic")).json()["subscriber_count"] == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{}", "At least one topic is required"),
        (b'{"topics":[]}', "At least one topic is required"),
        (b"nonsense", "Invalid request body"),
        (b"", "Invalid request body"),
        (b"[]", "Invalid request body"),
        (b'{"topics":[1]}', "Invalid request body"),
        (b'{"topic":7}', "Invalid request body"),
        (b'{"topic":"a b"}', "topic name 'a b' must be"),
    ],
)
async def test_subscribe_refuses_in_the_originals_words(
    client: httpx.AsyncClient, content: bytes, error: str
) -> None:
    answer = await client.post("/subscribe", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)


@pytest.mark.parametrize("way", ["body", "path"])
async def test_unsubscribe_ends_it_once(
    client: httpx.AsyncClient, watcher: PlainWatcher, way: str
) -> None:
    await client.post("/subscribe", json={"topic": "t", "id": "mine"})

    async def end() -> httpx.Response:
        if way == "path":
            return await client.delete("/subscribe/mine")
        return await client.post("/unsubscribe", json={"id": "mine"})

    assert (await end()).text == '{"id":"mine","status":"unsubscribed"}\n'
    assert watcher.watched == {}
    assert ((answer := await end()).status_code, answer.json()["code"]) == (
        404,
        "subscription_not_found",
    )


async def test_delivery_is_told_per_subscription_within_its_rate(
    client: httpx.AsyncClient,
    engine: PlainEngine,
    view: PlainView,
    watcher: PlainWatcher,
    deliveries: list[Delivery],
) -> None:
    engine.publish("t", b"before")
    for name in ("a", "b"):
        await client.post("/subscribe", json={"topic": "t", "id": name})
    first = engine.publish("t", "wörld".encode())
    watcher.wake()
    assert [(d.subscription_id, d.message_id) for d in deliveries] == [("a", first), ("b", first)]
    assert deliveries[0].payload_bytes == 6
    for number in range(100):
        engine.publish("t", b"%d" % number)
    watcher.wake()
    assert len(deliveries) == 2 * 20
    view.clock_ns += 1_000_000_000
    last = engine.publish("t", b"next second")
    watcher.wake()
    assert deliveries[-1].message_id == last


async def test_idle_subscription_ends_after_an_hour(
    client: httpx.AsyncClient, view: PlainView
) -> None:
    await client.post("/subscribe", json={"topic": "old", "id": "a"})
    view.clock_ns += 3_601_000_000_000
    await client.post("/subscribe", json={"topic": "new", "id": "b"})
    assert (await client.delete("/subscribe/a")).status_code == 404
    assert (await client.delete("/subscribe/b")).status_code == 200


@pytest.mark.parametrize(
    ("shows", "line"),
    [
        (False, "Received message on topic t: id=x-0-1 bytes=9"),
        (True, r"Received message on topic t: a\nb\x1b[31m"),
    ],
)
def test_log_line_is_the_originals(
    caplog: pytest.LogCaptureFixture, shows: bool, line: str
) -> None:
    with caplog.at_level(logging.INFO):
        log_delivery(Delivery("s", "t", "x-0-1", "a\nb\x1b[31m", 9), shows)
    assert caplog.messages == [line]


async def test_openapi_is_valid_and_names_every_endpoint(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert "post" in document["paths"]["/v1/topics/{topic}/messages"]
    assert document["paths"]["/v1/slots"]["get"]["x-available"] is False
