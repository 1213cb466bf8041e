"""``docs/api.md`` on a real node, where it is not hot: topics, messages, refusals, WebSocket."""

import json
import socket
import uuid

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sprawl.edge.endpoints import ENDPOINTS
from sprawl.metrics.registry import COUNTERS
from tests.contract.conftest import RunningNode


@pytest.fixture
def topic() -> str:
    return f"t-{uuid.uuid4().hex}"


def test_topic_is_made_shown_listed_deleted_and_brought_back(
    http: httpx.Client, topic: str
) -> None:
    made = http.put(f"/v1/topics/{topic}", json={"partitions": 2, "retention": {"age_s": 60}})
    assert made.status_code == 201
    assert made.json()["config"]["retention"]["age_s"] == 60
    again = http.put(f"/v1/topics/{topic}", json={"partitions": 2, "retention": {"age_s": 60}})
    assert (again.status_code, again.json()) == (200, made.json())
    assert http.put(f"/v1/topics/{topic}", json={"partitions": 1}).status_code == 409
    listed = http.get("/v1/topics", params={"prefix": topic}).json()["topics"]
    assert [found["name"] for found in listed] == [topic]
    assert http.delete(f"/v1/topics/{topic}").status_code == 204
    assert http.get(f"/v1/topics/{topic}").json()["code"] == "topic_not_found"
    assert http.post(f"/v1/topics/{topic}:undelete").json()["topic_id"] == made.json()["topic_id"]


def test_message_is_found_by_both_ids(http: httpx.Client, topic: str) -> None:
    headers = {"Idempotency-Key": f"key-{topic}", "Sprawl-Key": "k", "Sprawl-Header-a": "b"}
    receipt = http.post(f"/v1/topics/{topic}/messages", content=b"hi", headers=headers).json()
    found = http.get(f"/v1/messages/{receipt['id']}").json()
    assert (found["payload"], found["key"], found["headers"]) == ("hi", "k", {"a": "b"})
    assert found["timestamp"] == receipt["timestamp"]
    assert http.get(f"/v1/messages/key-{topic}").json() == found


def test_hot_and_cold_answers_keep_their_order_on_one_connection(node: RunningNode) -> None:
    requests = [b"GET /v1/node HTTP/1.1", b"GET /nothing HTTP/1.1", b"GET /status HTTP/1.1"]
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as client:
        last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        sent = b"".join(line + b"\r\nHost: localhost\r\n\r\n" for line in requests)
        publish = b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 29\r\n\r\n"
        client.sendall(sent + publish + b'{"topic":"p","payload":"one"}' + last)
        received = b""
        while piece := client.recv(65_536):
            received += piece
    heads = [part[:12] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [head[:3] for head in heads] == [b"200", b"404", b"200", b"200", b"200"]
    wanted = [b'"uptime_s"', b'"not_found"', b'"is_leader"', b'"published"', b'"uptime"']
    assert [received.index(word) for word in wanted] == sorted(map(received.index, wanted))


@pytest.mark.parametrize(
    "endpoint",
    [e for e in ENDPOINTS if e.answered == "later"],
    ids=lambda e: f"{e.method} {e.path}",
)
def test_what_is_not_in_this_version_is_501(http: httpx.Client, endpoint: object) -> None:
    path = str(getattr(endpoint, "path", ""))
    filled = path.replace("{", "").replace("}", "")
    answer = http.request(str(getattr(endpoint, "method", "")), filled)
    assert (answer.status_code, answer.json()["code"]) == (501, "not_available")


def test_foreign_page_may_not_change_anything(http: httpx.Client, topic: str) -> None:
    headers = {"Origin": "http://evil.example"}
    for path in (f"/v1/topics/{topic}/messages", "/publish", "/subscribe"):
        body = {"topic": topic, "payload": "x"}
        assert http.post(path, json=body, headers=headers).status_code == 403
    assert http.get(f"/v1/topics/{topic}").status_code == 404


def test_openapi_names_every_endpoint(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for endpoint in ENDPOINTS:
        assert endpoint.method.lower() in document["paths"][endpoint.path]


def test_metrics_are_in_the_form_that_is_asked_for(
    http: httpx.Client, node: RunningNode, topic: str
) -> None:
    http.post("/publish", json={"topic": topic, "payload": "x"})
    assert "router" in http.get("/metrics").json()
    accept = {"Accept": "application/openmetrics-text"}
    read = {f.name: f for f in parse_open(http.get("/metrics", headers=accept).text)}
    # Those of a tier that is off are not there.
    here = {name for name in COUNTERS if not name.startswith("cloud_")}
    assert {f"sprawl_{name}" for name in here} <= set(read)
    assert read["sprawl_messages_received"].samples[0].value >= 1
    assert read["sprawl_receive_seconds"].type == "histogram"
    text = httpx.get(f"{node.health_url}/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert httpx.get(f"{node.health_url}/v1/node").status_code == 404


def ws_url(node: RunningNode, topic: str, query: str = "") -> str:
    return f"ws://127.0.0.1:{node.port}/v1/topics/{topic}/messages{query}"


def test_websocket_delivers_by_credit_and_publishes(
    http: httpx.Client, node: RunningNode, topic: str
) -> None:
    for number in range(3):
        http.post(f"/v1/topics/{topic}/messages", content=b"%d" % number)
    with connect(ws_url(node, topic), open_timeout=10) as socket_:
        socket_.send('{"credit":{"messages":2}}')
        first = [json.loads(socket_.recv(10))["payload"] for _ in range(2)]
        socket_.send('{"publish":{"payload":"mine"}}')
        receipt = json.loads(socket_.recv(10))["receipt"]
        assert (first, receipt["topic"], receipt["offset"]) == (["0", "1"], topic, 3)
        socket_.send('{"credit":{"messages":9}}')
        assert [json.loads(socket_.recv(10))["payload"] for _ in range(2)] == ["2", "mine"]
        http.post(f"/v1/topics/{topic}/messages", content=b"later")
        assert json.loads(socket_.recv(10))["payload"] == "later"
        socket_.send('{"ack":["x"]}')
        assert json.loads(socket_.recv(10))["problem"]["code"] == "not_available"


def test_websocket_in_binary_form_and_with_a_limit(
    http: httpx.Client, node: RunningNode, topic: str
) -> None:
    http.post(f"/v1/topics/{topic}/messages", content=b"\xff\x00")
    url = ws_url(node, topic, "?limit=1")
    with connect(url, subprotocols=["sprawl.binary"]) as socket_:  # type: ignore[list-item]
        assert socket_.subprotocol == "sprawl.binary"
        socket_.send('{"credit":{"messages":5}}')
        assert isinstance(socket_.recv(10), bytes)
        with pytest.raises(ConnectionClosed) as closed:
            socket_.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize(
    ("name", "query", "origin", "status"),
    [
        ("a b", "", None, 400),
        ("x", "?from=nonsense", None, 400),
        ("x", "", "http://evil.example", 403),
    ],
)
def test_websocket_that_cannot_be_opened_says_why(
    node: RunningNode, name: str, query: str, origin: str | None, status: int
) -> None:
    url = ws_url(node, name.replace(" ", "%20"), query)
    with pytest.raises(InvalidStatus) as refused:
        connect(url, origin=origin)  # type: ignore[arg-type]
    assert refused.value.response.status_code == status
    assert b'"code"' in bytes(refused.value.response.body or b"")
