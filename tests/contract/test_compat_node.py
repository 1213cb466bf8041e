"""The original's routes of the node and its storage, row by row, on a real node.

Not reachable on a node that stands alone and keeps messages in memory, so not here: 503 of
``/health`` (half of the members lost, disk failed), 409 and 200 of ``POST /store/compact``.
"""

import re
import time
import uuid
from hashlib import sha256

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.contract.conftest import RunningNode
from tests.contract.wire import Wire, chunked, exchange, json_of, request

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"

GET_ROUTES = """
/health /healthz /ready /status /metrics /store /store/tiers /dht /topics
/ai /ai/status /ai/anomalies /ai/recommendations
"""


@pytest.fixture
def topic() -> str:
    return f"n-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def node_id(node: RunningNode) -> str:
    found: str = httpx.get(f"{node.url}/status").json()["node_id"]
    return found


# General rules


@pytest.mark.parametrize("path", GET_ROUTES.split())
def test_get_routes_take_head_and_a_trailing_slash(node: RunningNode, path: str) -> None:
    with Wire(node.port) as wire:
        shown = exchange(wire, request("GET", path))
        assert (shown.status, shown.headers["content-type"]) == (200, "application/json")
        assert shown.body.endswith(b"}\n")
        assert shown.body.count(b"\n") == 1
        assert b'": ' not in shown.body
        assert b', "' not in shown.body
        assert exchange(wire, request("GET", f"{path}/")).status == 200
        head = exchange(wire, request("HEAD", path))
        assert (head.status, head.headers["content-type"]) == (200, "application/json")
        assert int(head.headers["content-length"]) > 0
        # The next answer is read at its place: HEAD sent no body.
        refused = exchange(wire, request("DELETE", path))
        assert refused.status == 405
        assert {"GET", "HEAD"} <= set(refused.headers["allow"].split(", "))
        assert list(json_of(refused)) == ["error", "code", "status", "retryable", "outcome"]


def test_an_unknown_path_is_404_in_the_same_shape(http: httpx.Client) -> None:
    answer = http.get("/raft/vote")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert list(answer.json()) == ["error", "code", "status", "retryable", "outcome"]


# GET /health, /healthz, /ready


@pytest.mark.parametrize("port", ["http", "health"])
@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_exactly_so_on_both_ports(
    node: RunningNode, node_id: str, port: str, path: str
) -> None:
    answer = httpx.get((node.url if port == "http" else node.health_url) + path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(
        rf'\{{"cluster_size":1,"nodeId":"{node_id}","node_id":"{node_id}","status":"(ok|warning)",'
        rf'"timestamp":"{TIME}","uptime":"(\d+h)?(\d+m)?[\d.]+(s|ms)","uptime_seconds":{NUMBER},'
        r'"version":"\d+\.\d+\.\d+"\}\n',
        answer.text,
    )


@pytest.mark.parametrize("query", ["detailed=true", "detailed=1"])
def test_detailed_health_adds_three_parts(node: RunningNode, query: str) -> None:
    for url in (node.url, node.health_url):
        body = httpx.get(f"{url}/health?{query}").json()
        assert list(body)[-3:] == ["system_health", "cluster_state", "features"]
        assert list(body["system_health"]) == [
            "cpu_usage",
            "memory_usage",
            "disk_usage",
            "message_rate",
        ]
        assert list(body["cluster_state"]) == [
            "member_count",
            "total_nodes",
            "healthy_nodes",
            "suspect_nodes",
            "failed_nodes",
            "healthy_ratio",
            "timestamp",
            "node_state",
            "is_leader",
        ]
        assert list(body["features"]) == ["metrics", "failure_detection", "health_monitoring"]


def test_without_detailed_there_are_no_details(http: httpx.Client) -> None:
    assert http.get("/health?detailed=false").json().keys() == http.get("/health").json().keys()


def test_the_uptime_grows_and_both_forms_are_the_same(http: httpx.Client) -> None:
    first = http.get("/health").json()
    # Below a second Go writes milliseconds, so a young node is waited for.
    older_s = max(first["uptime_seconds"], 1)
    deadline = time.monotonic() + 10
    while (second := http.get("/health").json())["uptime_seconds"] <= older_s:
        assert time.monotonic() < deadline
    hours, minutes, seconds = re.fullmatch(
        r"(?:(\d+)h)?(?:(\d+)m)?([\d.]+)s", second["uptime"]
    ).groups(default="0")  # type: ignore[union-attr]
    spoken = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    assert spoken == pytest.approx(second["uptime_seconds"], abs=0.01)


def test_ready_is_200_on_both_ports(node: RunningNode) -> None:
    assert httpx.get(f"{node.url}/ready").json()["status"] == "ready"
    assert httpx.get(f"{node.health_url}/ready/").json()["status"] == "ready"


def test_the_health_port_has_nothing_else(node: RunningNode) -> None:
    for path in ("/publish", "/status", "/store", "/v1/topics/t/messages"):
        assert httpx.get(node.health_url + path).status_code == 404
    published = httpx.post(f"{node.health_url}/publish", json={"topic": "t", "payload": "x"})
    assert published.status_code == 404


# GET /status


def test_status_is_exactly_so(http: httpx.Client, node: RunningNode, node_id: str) -> None:
    health_port = httpx.URL(node.health_url).port
    assert re.fullmatch(
        rf'\{{"address":"127\.0\.0\.1","cluster_members":\["{node_id}"\],"http_port":{node.port},'
        rf'"is_leader":true,"leader":"{node_id}","node_id":"{node_id}","bind_port":\d+,'
        rf'"health_port":{health_port}\}}\n',
        http.get("/status").text,
    )


# GET /metrics

METRICS = {
    "router": """
        avg_latency_ms avg_message_size cache_capacity cache_hit_count cache_hit_rate
        cache_miss_count cache_shard_count cache_size load_balancer_open_circuits
        load_balancer_tracked_nodes max_latency_ms messages_received messages_routed messages_sent
        messages_stored optimizer_avg_path_latency_ms optimizer_performance_node_count
        optimizer_topology_node_count p99_latency_ms route_cache_hits route_errors
    """,
    "storage": """
        bytes_stored last_write_time messages_received messages_stored storage_type topics
    """,
    "store": "messages_received messages_stored",
    "system": """
        avg_latency_ms cpu_trend cpu_usage dht_lookups gc_cpu_fraction goroutines heap_objects
        memory_trend memory_usage message_rate messages_received messages_sent topic_count
        total_allocated_bytes
    """,
}
PROMISED = (
    "sprawl_threshold_adjustments_total",
    "sprawl_threshold_values",
    "sprawl_scaling_recommendations_total",
    "sprawl_scaling_oscillations_total",
)


def test_metrics_have_every_member_in_its_place(http: httpx.Client, topic: str) -> None:
    http.post("/publish", json={"topic": topic, "payload": "x"})
    shown = http.get("/metrics").json()
    assert list(shown) == ["cluster", "node_id", *METRICS]
    for part, names in METRICS.items():
        members = [name for name in shown[part] if name != "topics_truncated"]
        assert members == names.split()


def test_the_figures_of_metrics_are_live(http: httpx.Client, topic: str) -> None:
    http.post("/publish", json={"topic": f"{topic}.first", "payload": "x"})
    before = http.get("/metrics").json()
    for number in range(5):
        http.post("/publish", json={"topic": topic, "payload": "four", "id": str(number)})
    http.post("/publish", json={"topic": topic, "payload": "four", "id": "0"})
    http.get(f"/v1/topics/{topic}/messages")
    after = http.get("/metrics").json()

    def grown(part: str, name: str) -> float:
        difference: float = after[part][name] - before[part][name]
        return difference

    for part in ("router", "storage", "store"):
        assert (grown(part, "messages_stored"), grown(part, "messages_received")) == (5, 6)
    assert grown("router", "messages_sent") == grown("system", "messages_sent") == 5
    assert grown("storage", "bytes_stored") == 5 * len("four")
    assert grown("system", "topic_count") == 1
    assert grown("system", "dht_lookups") >= 6
    assert 0 < after["router"]["avg_latency_ms"] <= after["router"]["max_latency_ms"]
    assert after["router"]["p99_latency_ms"] > 0
    assert 0 <= after["system"]["cpu_usage"] <= 100
    assert 0 < after["system"]["memory_usage"] < 1
    assert after["system"]["cpu_trend"] in (-1, 0, 1)
    assert after["system"]["memory_trend"] in (-1, 0, 1)
    assert after["system"]["goroutines"] >= 1


JSON, TEXT, OPEN = "application/json", "text/plain", "application/openmetrics-text"


@pytest.mark.parametrize("port", ["http", "health"])
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, None),
        ("*/*", None),
        (JSON, JSON),
        (TEXT, TEXT),
        (OPEN, OPEN),
        (f"{TEXT};q=0.5,{JSON}", JSON),
        (f"{OPEN};version=1.0.0;q=0.8,{TEXT};version=0.0.4;q=0.5,*/*;q=0.1", OPEN),
        (f"{JSON};q=0,{TEXT}", TEXT),
    ],
)
def test_accept_decides_the_form_of_metrics_on_both_ports(
    node: RunningNode, port: str, accept: str | None, form: str | None
) -> None:
    url = node.url if port == "http" else node.health_url
    wanted = form or (JSON if port == "http" else TEXT)
    headers = {"Accept": accept} if accept is not None else {}
    with httpx.Client(headers=headers, verify=False) as client:
        if accept is None:
            del client.headers["accept"]
        answer = client.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == wanted
    if wanted == JSON:
        assert "router" in answer.json()
        return
    parse = parse_text if wanted == TEXT else parse_open
    families = list(parse(answer.text))
    assert all(family.name.startswith("sprawl_") for family in families)
    for name in PROMISED:
        # Declared; without a predictor there is nothing to count, and no figure is made up.
        shown = name if wanted == TEXT else name.removesuffix("_total")
        assert f"# TYPE {shown} " in answer.text


# GET /store, GET /store/tiers

HELD = "messages message_count bytes_used used_bytes capacity_bytes topics oldest_message newest_message"


def test_store_has_every_member_in_its_place(http: httpx.Client, topic: str) -> None:
    http.post("/publish", json={"topic": topic, "payload": "x"})
    shown = http.get("/store").json()
    assert list(shown)[:4] == ["storage_type", "memory", "disk", "cloud"]
    assert (shown["storage_type"], shown["storage_type_effective"]) == ("memory", "disk")
    stored = ["stored_messages", "stored_bytes"]
    held = HELD.split()
    memory = [name for name in shown["memory"] if name != "topics_truncated"]
    assert memory == ["enabled", *held, *stored]
    assert list(shown["disk"]) == ["enabled", "path", *held, *stored]
    cloud = [name for name in shown["cloud"] if name != "capacity_bytes"]
    without_bound = [name for name in held if name != "capacity_bytes"]
    assert cloud == ["enabled", "endpoint", "bucket", "degraded", *without_bound, *stored]


def test_store_counts_what_is_held_and_shows_tiers_that_are_off(
    http: httpx.Client, node: RunningNode, topic: str
) -> None:
    before = http.get("/store").json()["memory"]
    for number in range(3):
        http.post("/publish", json={"topic": topic, "payload": f"payload {number}"})
    shown = http.get("/store").json()
    memory = shown["memory"]
    assert memory["messages"] - before["messages"] == 3
    assert memory["messages"] == memory["message_count"] == memory["stored_messages"]
    assert memory["bytes_used"] == memory["used_bytes"] == memory["stored_bytes"]
    assert memory["bytes_used"] - before["bytes_used"] >= 3 * len("payload 0")
    assert memory["enabled"] is True
    assert memory["capacity_bytes"] == 104857600
    assert topic in memory["topics"] or memory["topics_truncated"]
    assert memory["oldest_message"] <= memory["newest_message"]
    disk, cloud = shown["disk"], shown["cloud"]
    # A message at level disk lies there at once, and counts in memory while that serves it.
    assert disk["enabled"] is True and topic not in disk["topics"]
    assert disk["stored_messages"] == memory["messages"] + disk["messages"]
    assert disk["capacity_bytes"] == 1073741824
    assert (cloud["enabled"], cloud["topics"], cloud["oldest_message"]) == (False, [], None)
    assert {cloud[name] for name in HELD.split()[:4]} == {0}
    assert (node.log.parent / shown["disk"]["path"] / "node.json").is_file()


def test_a_text_search_for_an_enabled_tier_is_not_misled(http: httpx.Client) -> None:
    text = http.get("/store").text
    assert re.search(r'"disk".*"enabled":true', text)
    assert re.search(r'"cloud".*"enabled":true', text) is None


def test_store_tiers_is_exactly_so(http: httpx.Client) -> None:
    path = re.escape(http.get("/store").json()["disk"]["path"])
    members = (
        '"memory_to_disk_threshold_bytes":104857600,"memory_to_disk_age_seconds":3600,'
        '"disk_to_cloud_age_seconds":86400,"disk_to_cloud_threshold_bytes":1073741824'
    )
    assert re.fullmatch(
        rf'\{{"tiers":\["memory","disk"\],"policies":\{{{members}\}},"disk_enabled":true,'
        rf'"cloud_enabled":false,{members},"disk_path":"{path}"\}}\n',
        http.get("/store/tiers").text,
    )


# POST /store/tiers, POST /store/compact


@pytest.mark.parametrize(
    ("body", "status", "code", "error"),
    [
        ('{"tier":"disk"}', 400, "missing_field", "Topic is required"),
        ('{"topic":"","tier":"disk"}', 400, "missing_field", "Topic is required"),
        ('{"topic":"T"}', 400, "missing_field", "Tier is required"),
        ('{"topic":"T","tier":""}', 400, "missing_field", "Tier is required"),
        ('{"topic":"T","tier":"tape"}', 400, "invalid_member", "Failed to set storage tier: "),
        ('{"topic":"T","tier":"cloud"}', 501, "not_available", "Failed to set storage tier: "),
        ('{"topic":"T-nobody","tier":"memory"}', 404, "topic_not_found", "topic "),
        ("nonsense", 400, "bad_json", "Invalid request body"),
        ("", 400, "bad_json", "Invalid request body"),
        ('{"topic":1,"tier":"disk"}', 400, "bad_json", "Invalid request body"),
    ],
)
def test_a_move_to_a_tier_is_refused_in_the_originals_words(
    http: httpx.Client, topic: str, body: str, status: int, code: str, error: str
) -> None:
    http.post("/publish", json={"topic": topic, "payload": "x"})
    answer = http.post("/store/tiers", content=body.replace("T", topic, 1))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    said = answer.json()["error"]
    assert said == error if not error.endswith(" ") else said.startswith(error)
    assert list(answer.json()) == ["error", "code", "status", "retryable", "outcome"]


@pytest.mark.parametrize("tier", ["memory", "disk"])
def test_a_move_answers_what_was_asked_for(http: httpx.Client, topic: str, tier: str) -> None:
    http.post("/publish", json={"topic": topic, "payload": "x"})
    content = f'{{"topic":"{topic}","tier":"{tier}","other":1}}'
    answer = http.post("/store/tiers/", content=content, headers={"Content-Type": "text/html"})
    assert answer.text == f'{{"status":"success","tier":"{tier}","topic":"{topic}"}}\n'


def test_compaction_is_exactly_so(http: httpx.Client) -> None:
    answer = http.post("/store/compact", timeout=40)
    assert answer.status_code == 200
    assert re.fullmatch(
        r'\{"success":true,"message":"Storage compaction completed successfully",'
        r'"status":"compaction_completed","tiers":\["disk"\],"estimated_completion":"[^"]+Z"\}\n',
        answer.text,
    )
    refused = http.get("/store/compact")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_a_cold_route_takes_a_chunked_body(node: RunningNode, topic: str) -> None:
    body = chunked(b'{"tier":"tape"', b',"topic":"%s"}' % topic.encode())
    with Wire(node.port) as wire:
        answer = exchange(wire, request("POST", "/store/tiers", body, Transfer_Encoding="chunked"))
    assert (answer.status, json_of(answer)["code"]) == (400, "invalid_member")


# GET /dht


def test_dht_shows_a_cluster_of_one(http: httpx.Client, node: RunningNode, node_id: str) -> None:
    topic = f"a-{uuid.uuid4().hex}"
    http.post("/publish", json={"topic": topic, "payload": "x"})
    shown = http.get("/dht").json()
    members = ["node_id", "node_count", "topic_count", "topics", "topic_map", "finger_table"]
    members += ["slots", "epoch"]
    assert [name for name in shown if name != "topics_truncated"] == members
    assert (shown["node_id"], shown["node_count"], shown["slots"]) == (node_id, 1, 4096)
    assert shown["topic_count"] == http.get("/topics").json()["count"]
    assert shown["finger_table"] == {"0": [node_id]}
    assert set(shown["topic_map"]) == {sha256(n.encode()).hexdigest() for n in shown["topics"]}
    assert {tuple(nodes) for nodes in shown["topics"].values()} == {(node_id,)}
    assert topic in shown["topics"] or shown["topics_truncated"]

    detailed = http.get("/dht?detailed=true").json()
    (self,) = detailed["nodes"]
    assert list(self) == ["ID", "Address", "Port", "HTTPPort", "Topics"]
    status = http.get("/status").json()
    assert (self["ID"], self["Address"]) == (node_id, status["address"])
    assert (self["Port"], self["HTTPPort"]) == (status["bind_port"], node.port)
    assert set(self["Topics"]) == set(detailed["topic_map"])
