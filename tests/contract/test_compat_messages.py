"""``docs/reference`` and the original's routes of messages, row by row, on a real node.

Not reachable on a node that stands alone with free memory, so not here: 429 (no quotas yet), 500,
504 (a publish to memory never waits). 503 ``draining`` is in ``test_start``.
"""

import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sprawl.limits import PAYLOAD_BYTES_MAX
from tests.contract.conftest import RunningNode
from tests.contract.outside.running_node import RunningNode as NodeOfItsOwn
from tests.contract.wire import Wire, chunked, exchange, json_of, next_answer, request

ID = r"[a-z2-7]{13}-0-\d+"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
DURABILITY = r'\{"asked":"disk","reached":"disk","replicas":1,"fsynced":1\}'
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UNKNOWN_ID = "aaaaaaaaaaaaa-0-0"


@pytest.fixture
def topic() -> str:
    return f"m-{uuid.uuid4().hex}"


def receipt_pattern(topic: str, shown_id: str = ID, status: str = "published") -> str:
    return (
        rf'\{{"id":"{shown_id}","status":"{status}","topic":"{topic}","partition":0,"offset":0,'
        rf'"timestamp":"{TIME}","durability":{DURABILITY},"message_id":"{ID}"\}}\n'
    )


def assert_refused(answer: httpx.Response, status: int, error: str, code: str) -> None:
    """The original's shape of a refusal, to the letter."""
    assert answer.text == (
        f'{{"error":"{error}","code":"{code}","status":{status},'
        '"retryable":false,"outcome":"none"}\n'
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Returns once ``is_so``; at most 10 s later it fails."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# POST /publish, 200


def test_publish_answers_exactly_so(http: httpx.Client, topic: str) -> None:
    body = f'{{"topic":"{topic}","payload":"hello"}}'
    answer = http.post("/publish", content=body, headers=FORM)
    assert re.fullmatch(receipt_pattern(topic), answer.text)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["id"] == answer.json()["message_id"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "image/png", ""])
def test_the_content_type_of_a_publish_plays_no_part(
    http: httpx.Client, topic: str, content_type: str
) -> None:
    body = f'{{"topic":"{topic}","payload":"x"}}'
    answer = http.post("/publish", content=body, headers={"Content-Type": content_type})
    assert re.fullmatch(receipt_pattern(topic), answer.text)
    assert "content_type" not in http.get(f"/v1/topics/{topic}/messages").json()["messages"][0]


@pytest.mark.parametrize(
    ("members", "payload"),
    [
        ({"message": "m"}, "m"),
        ({"message": "m", "payload": "p"}, "p"),
        ({"payload": "p", "message": "m"}, "p"),
        ({"payload": "x", "ttl": 0, "unknown": [1], "headers": None, "id": None}, "x"),
        ({"payload": "zwölf \u0000 \U0001f600"}, "zwölf \u0000 \U0001f600"),
    ],
)
def test_payload_goes_before_message_and_the_rest_is_ignored(
    http: httpx.Client, topic: str, members: dict[str, object], payload: str
) -> None:
    published = http.post("/publish", json={"topic": topic} | members)
    assert published.status_code == 200
    assert http.get(f"/messages/{published.json()['id']}").json()["payload"] == payload


def test_a_payload_of_the_largest_size_is_taken(http: httpx.Client, topic: str) -> None:
    payload = "x" * PAYLOAD_BYTES_MAX
    assert http.post("/publish", json={"topic": topic, "payload": payload}).status_code == 200


def test_a_given_id_is_answered_and_ours_beside_it(http: httpx.Client, topic: str) -> None:
    given = f'id "{topic}"'
    answer = http.post("/publish", json={"topic": topic, "payload": "x", "id": given})
    assert re.fullmatch(receipt_pattern(topic, rf'id \\"{topic}\\"'), answer.text)


def test_the_same_id_and_body_again_answers_the_first_receipt(
    http: httpx.Client, topic: str
) -> None:
    body = {"topic": topic, "payload": "x", "id": topic}
    first = http.post("/publish", json=body)
    again = http.post("/publish", json=body)
    assert "sprawl-duplicate" not in first.headers
    assert (again.status_code, again.headers["sprawl-duplicate"]) == (200, "true")
    assert again.json() == first.json() | {"duplicate": True}
    assert http.get(f"/topics/{topic}").json()["message_count"] == 1


def test_key_headers_and_level_are_kept(http: httpx.Client, topic: str) -> None:
    members = {"key": "k", "headers": {"a": "b", "Ü": "ß"}, "durability": "memory"}
    assert http.post("/publish", json={"topic": topic, "payload": "x"} | members).is_success
    # Readers see it once it has reached the topic's level.
    (message,) = http.get(f"/v1/topics/{topic}/messages?wait=5").json()["messages"]
    assert (message["key"], message["headers"]) == ("k", {"a": "b", "Ü": "ß"})


@pytest.mark.parametrize("value", ["node-2", "", "a, b"])
def test_the_header_of_the_originals_hops_plays_no_part(
    http: httpx.Client, topic: str, value: str
) -> None:
    body = {"topic": topic, "payload": "x"}
    answer = http.post("/publish", json=body, headers={"X-Forwarded-By": value})
    assert re.fullmatch(receipt_pattern(topic), answer.text)


# POST /publish, framing


@pytest.mark.parametrize("path", ["/publish", "/publish/", "/publish?x=1"])
def test_publish_takes_a_trailing_slash_and_a_query(
    http: httpx.Client, topic: str, path: str
) -> None:
    assert http.post(path, json={"topic": topic, "payload": "x"}).status_code == 200


def test_publish_takes_a_chunked_body(node: RunningNode, topic: str) -> None:
    body = chunked(b'{"topic":"%s",' % topic.encode(), b'"payl', b'oad":"x"}')
    with Wire(node.port) as wire:
        answer = exchange(wire, request("POST", "/publish", body, Transfer_Encoding="chunked"))
        assert re.fullmatch(receipt_pattern(topic), answer.body.decode())
        again = exchange(wire, request("POST", "/publish", b'{"topic":"%s"}' % topic.encode()))
    assert (answer.status, again.status) == (200, 400)


def test_a_client_that_waits_for_100_is_told_to_go_on(node: RunningNode, topic: str) -> None:
    body = b'{"topic":"%s","payload":"x"}' % topic.encode()
    whole = request("POST", "/publish", body, Expect="100-continue")
    with Wire(node.port) as wire:
        wire.send(whole[: -len(body)])
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert next_answer(wire).status == 200
        # A body that is here already needs no word in between.
        assert exchange(wire, whole).status == 200


def test_several_publishes_of_one_piece_are_answered_in_order(
    node: RunningNode, topic: str
) -> None:
    body = b'{"topic":"%s","payload":"%d"}'
    sent = [request("POST", "/publish", body % (topic.encode(), n)) for n in range(20)]
    with Wire(node.port) as wire:
        wire.send(b"".join(sent))
        assert [json_of(next_answer(wire))["offset"] for _ in sent] == list(range(20))


# POST /publish, other statuses


def test_who_asks_not_to_wait_is_answered_202(http: httpx.Client, topic: str) -> None:
    body = {"topic": topic, "payload": "x"}
    answer = http.post("/publish", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    # What is true when it leaves: the message is on its way to the disk.
    promise = r'\{"asked":"disk","reached":"memory","replicas":1,"fsynced":0\}'
    pattern = receipt_pattern(topic, status="accepted").replace(DURABILITY, promise)
    assert re.fullmatch(pattern, answer.text)


MISSING = ("Missing required field: topic", "missing_field")
INVALID = ("Invalid request body", "bad_json")
MEMBER = ("Invalid request body", "invalid_member")
EMPTY = ("message payload cannot be empty", "invalid_member")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"{}", MISSING),
        (b'{"payload":"x"}', MISSING),
        (b'{"topic":"","payload":"x"}', MISSING),
        (b'{"topic":null,"payload":"x"}', MISSING),
        (b"", INVALID),
        (b"topic=t&payload=x", INVALID),
        (b'{"topic":"T","payload":"x"', INVALID),
        (b'{"topic":"T","payload":"x"} {}', INVALID),
        (b'{"topic":"T","payload":"\xff"}', INVALID),
        (b'{"topic":"T","payload":"\\ud800"}', INVALID),
        (b"[]", INVALID),
        (b'"x"', INVALID),
        (b'{"topic":"T","payload":1}', MEMBER),
        (b'{"topic":"T","payload":{"a":1}}', MEMBER),
        (b'{"topic":"T","message":["x"]}', MEMBER),
        (b'{"topic":["T"],"payload":"x"}', MEMBER),
        (b'{"topic":"T"}', EMPTY),
        (b'{"topic":"T","payload":""}', EMPTY),
        (b'{"topic":"T","payload":null}', EMPTY),
        (b'{"topic":"T","payload":"","message":""}', EMPTY),
    ],
)
def test_a_bad_body_is_refused_in_the_originals_words(
    http: httpx.Client, topic: str, body: bytes, refusal: tuple[str, str]
) -> None:
    answer = http.post("/publish", content=body.replace(b'"T"', b'"%s"' % topic.encode()))
    assert_refused(answer, 400, *refusal)
    assert http.get(f"/topics/{topic}").status_code == 404


@pytest.mark.parametrize(
    "name", ["a b", "a..b", ".a", "a.", "ä", "a/b", "*", "a.>", "$sys.x", "x" * 250, "a\n"]
)
def test_a_topic_outside_the_grammar_is_refused(http: httpx.Client, name: str) -> None:
    answer = http.post("/publish", json={"topic": name, "payload": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_topic")
    assert list(answer.json()) == ["error", "code", "status", "retryable", "outcome"]


@pytest.mark.parametrize("ttl", [-1, -9_000_000_000, 1.5, "3", 1e30, [], True])
def test_a_ttl_that_is_no_lifetime_is_refused(http: httpx.Client, topic: str, ttl: object) -> None:
    answer = http.post("/publish", json={"topic": topic, "payload": "x", "ttl": ttl})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_member")
    assert answer.json()["error"].startswith("ttl ")
    assert http.get(f"/topics/{topic}").status_code == 404


@pytest.mark.parametrize("given_id", [True, False])
def test_a_ttl_is_honoured_with_and_without_an_id(
    http: httpx.Client, topic: str, given_id: bool
) -> None:
    members = {"id": topic} if given_id else {}
    body = {"topic": topic, "payload": "x", "ttl": 1} | members
    published = http.post("/publish", json=body).json()["id"]
    assert http.get(f"/messages/{published}").json()["ttl"] == 1
    eventually(lambda: http.get(f"/messages/{published}").status_code == 410, "it never expires")
    assert_refused_as(http.get(f"/messages/{published}"), 410, "message_expired")
    assert http.get(f"/v1/topics/{topic}/messages").json()["messages"] == []


@pytest.mark.parametrize("members", [{"ttl": 0}, {}, {"ttl": None}, {"ttl": 3600}])
def test_without_a_ttl_the_topic_decides(
    http: httpx.Client, topic: str, members: dict[str, Any]
) -> None:
    published = http.post("/publish", json={"topic": topic, "payload": "x"} | members).json()
    shown = http.get(f"/messages/{published['id']}").json()["ttl"]
    assert shown == (members.get("ttl") or 0)


def assert_refused_as(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert list(answer.json()) == ["error", "code", "status", "retryable", "outcome"]
    assert answer.text.endswith("}\n")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_than_post_is_405_and_names_it(node: RunningNode, method: str) -> None:
    with Wire(node.port) as wire:
        answer = exchange(wire, request(method, "/publish"))
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        if method != "HEAD":
            assert json_of(answer)["code"] == "method_not_allowed"
            assert next(iter(json_of(answer))) == "error"
        assert exchange(wire, request("GET", "/status")).status == 200


@pytest.mark.parametrize("changed", ["payload", "topic"])
def test_the_same_id_with_another_body_is_409(http: httpx.Client, topic: str, changed: str) -> None:
    body = {"topic": topic, "payload": "x", "id": topic}
    assert http.post("/publish", json=body).status_code == 200
    answer = http.post("/publish", json=body | {changed: f"{topic}-other"})
    if changed == "topic":
        # An id is a topic's own: elsewhere it is another message.
        assert answer.status_code == 200
        return
    assert_refused_as(answer, 409, "idempotency_conflict")
    assert http.get(f"/topics/{topic}").json()["message_count"] == 1


def test_a_payload_above_its_bound_is_413(http: httpx.Client, topic: str) -> None:
    answer = http.post("/publish", json={"topic": topic, "payload": "x" * (PAYLOAD_BYTES_MAX + 1)})
    assert_refused_as(answer, 413, "too_large")
    assert str(PAYLOAD_BYTES_MAX) in answer.json()["error"]
    assert http.get(f"/topics/{topic}").status_code == 404


@pytest.mark.parametrize("path", ["/publish", "/publish/", "/subscribe"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_above_its_bound_is_413_before_it_is_taken(
    node: RunningNode, path: str, framing: str
) -> None:
    size = 17 * 1024 * 1024
    with Wire(node.port) as wire:
        if framing == "length":
            wire.send(request("POST", path, Content_Length=str(size)))
        else:
            wire.send(request("POST", path, b"%x\r\n" % size, Transfer_Encoding="chunked"))
        answer = next_answer(wire)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert answer.headers["content-type"] == "application/json"
        assert list(json_of(answer)) == ["error", "code", "status", "retryable", "outcome"]
        assert wire.rest() == b""


@pytest.mark.parametrize("level", ["cloud", "quorum", "quorum-disk"])
def test_a_level_that_this_node_lacks_is_422(http: httpx.Client, topic: str, level: str) -> None:
    body = {"topic": topic, "payload": "x", "durability": level}
    assert_refused_as(http.post("/publish", json=body), 422, "durability_unavailable")
    assert http.get(f"/topics/{topic}").status_code == 404


def test_a_full_topic_that_keeps_the_old_is_507(tmp_path: Path, topic: str) -> None:
    """In memory alone; with a disk tier the oldest go there."""
    node = NodeOfItsOwn(tmp_path, "-storageType=memory")
    body = {"topic": topic, "payload": "x" * PAYLOAD_BYTES_MAX}
    try:
        node.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{node.port}", timeout=10) as http:
            assert http.put(f"/v1/topics/{topic}", json={"discard": "new"}).status_code == 201
            # Such topics may hold half of the memory tier of 100 MiB.
            taken = [http.post("/publish", json=body).status_code for _ in range(4)]
            refused = http.post("/publish", json=body)
            assert http.get(f"/topics/{topic}").json()["message_count"] == 4
    finally:
        node.close()
    assert taken == [200] * 4
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    assert (refused.json()["outcome"], refused.json()["retryable"]) == ("none", True)


# --- the subscribe routes ---


def test_subscribe_answers_exactly_so(http: httpx.Client, node: RunningNode, topic: str) -> None:
    node_id = http.get("/status").json()["node_id"]
    body = f'{{"topics":["{topic}"],"group_id":"g","unknown":1}}'
    answer = http.post("/subscribe", content=body, headers=FORM)
    assert re.fullmatch(
        rf'\{{"id":"[^"]+","node_id":"{node_id}","status":"subscribed","topics":\["{topic}"\],'
        r'"durable":false\}\n',
        answer.text,
    )
    assert answer.status_code == 200
    held = http.get(f"/topics/{topic}")
    assert held.status_code == 404 or held.json()["subscriber_count"] == 1


def test_the_same_id_again_is_the_same_subscription(http: httpx.Client, topic: str) -> None:
    http.post("/publish", json={"topic": topic, "payload": "x"})
    body = {"topic": topic, "id": topic}
    first = http.post("/subscribe/", json=body)
    assert http.post("/subscribe", json=body).text == first.text
    shown = http.get(f"/topics/{topic}").json()
    assert (shown["subscriber_count"], shown["subscribers"], shown["has_subscribers"]) == (
        1,
        1,
        True,
    )


@pytest.mark.parametrize("path", ["/subscribe", "/unsubscribe"])
@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"\xff", b'{"id":1}', b'{"topics":"t"}'])
def test_a_subscription_from_a_bad_body_is_refused(
    http: httpx.Client, path: str, body: bytes
) -> None:
    answer = http.post(path, content=body)
    if path == "/unsubscribe" and body == b'{"topics":"t"}':
        assert_refused(answer, 400, "Missing required field: id", "missing_field")
    else:
        assert_refused(answer, 400, "Invalid request body", "bad_json")


@pytest.mark.parametrize("body", ["{}", '{"topics":[]}', '{"topic":""}', '{"topics":[""]}'])
def test_a_subscription_to_nothing_is_refused(http: httpx.Client, body: str) -> None:
    answer = http.post("/subscribe", content=body)
    assert_refused(answer, 400, "At least one topic is required", "missing_field")


def test_a_chunked_body_reaches_a_cold_route(node: RunningNode, topic: str) -> None:
    body = chunked(b'{"topi', b'c":"%s"}' % topic.encode())
    with Wire(node.port) as wire:
        answer = exchange(wire, request("POST", "/subscribe", body, Transfer_Encoding="chunked"))
        assert (answer.status, json_of(answer)["topics"]) == (200, [topic])
        whole = request("POST", "/subscribe", b'{"topic":"t"}', Expect="100-continue")
        wire.send(whole[:-13])
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(whole[-13:])
        assert next_answer(wire).status == 200


@pytest.mark.parametrize("way", ["body", "path"])
def test_a_subscription_ends_once(http: httpx.Client, topic: str, way: str) -> None:
    http.post("/subscribe", json={"topic": topic, "id": topic})

    def end() -> httpx.Response:
        if way == "path":
            return http.delete(f"/subscribe/{topic}")
        return http.post("/unsubscribe", json={"id": topic})

    assert end().text == f'{{"id":"{topic}","status":"unsubscribed"}}\n'
    assert_refused_as(end(), 404, "subscription_not_found")


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/subscribe", "POST"), ("/unsubscribe", "POST"), ("/subscribe/x", "DELETE")],
)
def test_get_of_a_subscription_route_is_405(http: httpx.Client, path: str, allow: str) -> None:
    answer = http.get(path)
    assert_refused_as(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


def test_a_delivery_is_one_line_of_the_log_without_the_payload(
    http: httpx.Client, node: RunningNode, topic: str
) -> None:
    http.post("/subscribe", json={"topic": topic})
    secret = uuid.uuid4().hex
    sent = http.post("/publish", json={"topic": topic, "payload": secret}).json()["id"]
    line = f"Received message on topic {topic}: id={sent} bytes={len(secret)}\n"
    eventually(lambda: line in _text(node.log), "no line of the delivery")
    assert secret not in _text(node.log)


def _text(file: Path) -> str:
    return file.read_text(errors="replace")


# --- one message ---


def test_a_message_is_exactly_so_by_both_ids(http: httpx.Client, topic: str) -> None:
    sent = {"topic": topic, "payload": "Test message", "id": f"given-{topic}"}
    ours = http.post("/publish", json=sent).json()["message_id"]
    for asked in (ours, f"given-{topic}"):
        assert re.fullmatch(
            rf'\{{"id":"{asked}","topic":"{topic}","payload":"Test message","timestamp":"{TIME}",'
            rf'"ttl":0,"partition":0,"offset":0,"storage_tier":"memory","message_id":"{ours}"\}}\n',
            http.get(f"/messages/{asked}").text,
        )
    assert http.get(f"/messages/{ours}/").status_code == 200


def test_bytes_that_are_not_text_come_as_base64(http: httpx.Client, topic: str) -> None:
    ours = http.post(f"/v1/topics/{topic}/messages", content=b"\xff\x00").json()["id"]
    shown = http.get(f"/messages/{ours}").json()
    assert list(shown)[:3] == ["id", "topic", "base64"]
    assert shown["base64"] == "/wA="


@pytest.mark.parametrize("unknown", [UNKNOWN_ID, "nobody", "a%20b", "%FF", "x" * 300])
def test_a_message_that_nobody_published_is_404(http: httpx.Client, unknown: str) -> None:
    assert_refused_as(http.get(f"/messages/{unknown}"), 404, "message_not_found")


def test_an_offset_that_is_not_written_yet_is_404(http: httpx.Client, topic: str) -> None:
    ours = http.post("/publish", json={"topic": topic, "payload": "x"}).json()["id"]
    later = ours.removesuffix("-0") + "-7"
    assert_refused_as(http.get(f"/messages/{later}"), 404, "message_not_found")


def test_a_message_that_retention_dropped_is_410(http: httpx.Client, topic: str) -> None:
    config = {"retention": {"count": 1}, "discard": "old"}
    assert http.put(f"/v1/topics/{topic}", json=config).status_code == 201
    body = {"topic": topic, "payload": "x"}
    first = http.post("/publish", json=body).json()["id"]
    http.post("/publish", json=body)
    eventually(lambda: http.get(f"/messages/{first}").status_code == 410, "it is never dropped")


# --- topics ---


def test_a_topic_is_exactly_so(http: httpx.Client, topic: str) -> None:
    node_id = http.get("/status").json()["node_id"]
    http.post("/publish", json={"topic": topic, "payload": "x"})
    answer = http.get(f"/topics/{topic}")
    pattern = (
        rf'\{{"name":"{topic}","message_count":1,"has_subscribers":false,"subscriber_count":0,'
        rf'"subscribers":0,"nodes":\["{node_id}"\],"storage_tier":"memory","partitions":1,'
        rf'"oldest_message":"{TIME}","newest_message":"{TIME}"\}}\n'
    )
    assert re.fullmatch(pattern, answer.text)
    assert http.get(f"/topics/{topic}/").text == answer.text
    assert_refused_as(http.get(f"/topics/{topic}-nobody"), 404, "topic_not_found")


def test_all_topics_are_listed_and_paged(http: httpx.Client, topic: str) -> None:
    for number in range(3):
        http.put(f"/v1/topics/{topic}.{number}", json={})
    whole = http.get("/topics").json()
    assert list(whole) == ["count", "topics"]
    names = [shown["name"] for shown in whole["topics"]]
    assert whole["count"] == len(names) == len(set(names))
    assert {f"{topic}.{number}" for number in range(3)} <= set(names)
    empty = next(shown for shown in whole["topics"] if shown["name"] == f"{topic}.0")
    assert (empty["message_count"], empty["oldest_message"], empty["newest_message"]) == (
        0,
        None,
        None,
    )

    paged: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = http.get("/topics", params=query).json()
        assert page["count"] == len(page["topics"]) <= 2
        paged += [shown["name"] for shown in page["topics"]]
        if "next_page_token" not in page:
            break
        query["page_token"] = page["next_page_token"]
    assert paged == names


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "limit=-1"])
def test_a_page_of_no_size_is_refused(http: httpx.Client, query: str) -> None:
    assert_refused_as(http.get(f"/topics?{query}"), 400, "invalid_parameter")


# Consumer groups and offsets are not in this version.


@pytest.mark.parametrize(
    ("method", "path", "members"),
    [
        ("POST", "/consumer-groups", {"group_id": "g", "topic": "t", "members": ["a"]}),
        ("GET", "/consumer-groups", None),
        ("PUT", "/consumer-groups/g", {"topic": "t", "members": ["a"]}),
        ("GET", "/consumer-groups/g", None),
        ("DELETE", "/consumer-groups/g", None),
        ("POST", "/offsets", {"topic": "t", "group_id": "g", "offset": 0}),
        ("GET", "/offsets/t/g", None),
        ("GET", "/offsets/t/g?partition=0", None),
        ("PUT", "/offsets/t/g", {"offset": 0}),
    ],
)
def test_groups_and_offsets_are_501(
    http: httpx.Client, method: str, path: str, members: dict[str, object] | None
) -> None:
    answer = http.request(method, path, json=members)
    assert_refused_as(answer, 501, "not_available")
    assert answer.json()["error"].startswith(f"{method} {path.split('?', 1)[0]} is not available")
