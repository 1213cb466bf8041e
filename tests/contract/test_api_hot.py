"""The API of ``/v1`` where it is hot: every form, header and parameter of publish and read, on a real node.

Topics, single messages and WebSocket are in ``test_api_cold``; malformed HTTP in ``outside``. 408,
431 and the budgets of memory are there, too.
"""

import json
import re
import socket
import time
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sprawl._native import decode_batches, encode_batch
from sprawl.limits import PAYLOAD_BYTES_MAX
from tests.contract.conftest import RunningNode
from tests.contract.wire import Wire, exchange, json_of, next_answer, request
from tests.models.batch import CHECKED_FROM, Record, crc32c, encode

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
ID = r"[a-z2-7]{13}-0-0"
MESSAGES_JSON = "application/vnd.sprawl.messages+json"
NDJSON = "application/x-ndjson"
BATCH = "application/x-sprawl-batch"
SSE = "text/event-stream"
PROBLEM = "application/problem+json"
NOW_MS = 1_700_000_000_000


@pytest.fixture
def topic() -> str:
    return f"h-{uuid.uuid4().hex}"


@pytest.fixture
def wire(node: RunningNode) -> Iterator[Wire]:
    with Wire(node.port) as wire:
        yield wire


def stream_of(topic: str) -> str:
    return f"/v1/topics/{topic}/messages"


def publish(http: httpx.Client, topic: str, content: bytes = b"x", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post(stream_of(topic), content=content, headers=named)


def publish_all(http: httpx.Client, topic: str, *messages: dict[str, Any], query: str = "") -> Any:
    body = json.dumps({"messages": messages}).encode()
    headers = {"Content-Type": MESSAGES_JSON}
    return http.post(stream_of(topic) + query, content=body, headers=headers)


def read(http: httpx.Client, topic: str, query: str = "") -> list[dict[str, Any]]:
    answer = http.get(stream_of(topic) + query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["messages"]
    return found


def payloads(http: httpx.Client, topic: str, query: str = "") -> list[str]:
    return [message["payload"] for message in read(http, topic, query)]


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """RFC 9457, and every member of ours."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    problem: dict[str, Any] = answer.json()
    members = ["type", "title", "status", "detail", "instance", "code", "retryable", "outcome"]
    assert [name for name in problem if name in members] == members
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["outcome"] == "none"
    assert problem["type"] == f"urn:sprawl:problem:{code}"
    assert problem["instance"] == answer.request.url.raw_path.partition(b"?")[0].decode()
    assert problem["request_id"]
    return problem


# --- publish (raw) ---


def test_a_raw_publish_answers_exactly_so(http: httpx.Client, topic: str) -> None:
    answer = publish(http, topic, b"hello")
    assert (answer.status_code, answer.headers["sprawl-durability"]) == (201, "disk")
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(
        rf'\{{"id":"{ID}","topic":"{topic}","partition":0,"offset":0,"timestamp":"{TIME}",'
        r'"durability":\{"asked":"disk","reached":"disk","replicas":1,"fsynced":1\}\}',
        answer.text,
    )


def test_a_publish_at_level_memory_says_so(http: httpx.Client, topic: str) -> None:
    answer = publish(http, topic, b"hello", Sprawl_Durability="memory")
    assert (answer.status_code, answer.headers["sprawl-durability"]) == (201, "memory")
    promise = {"asked": "memory", "reached": "memory", "replicas": 1, "fsynced": 0}
    assert answer.json()["durability"] == promise


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "image/svg+xml; a=b", "a/b", ""]
)
def test_the_content_type_of_a_raw_publish_is_kept(
    http: httpx.Client, topic: str, content_type: str
) -> None:
    publish(http, topic, b"{}", **({"Content_Type": content_type} if content_type else {}))
    (message,) = read(http, topic)
    assert message.get("content_type", "") == content_type
    assert message["payload"] == "{}"


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff\xfe", "Grüße".encode(), b"a\r\nb\n"])
def test_any_bytes_are_a_message(http: httpx.Client, topic: str, body: bytes) -> None:
    assert publish(http, topic, body).status_code == 201
    (message,) = read(http, topic)
    shown = message["payload"].encode() if "payload" in message else b64decode(message["base64"])
    assert shown == body


def test_every_header_of_a_record_is_kept(http: httpx.Client, topic: str) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = {
        "Sprawl-Key": "the key",
        "Sprawl-Header-Colour": "blue",
        "traceparent": trace,
        "tracestate": "a=b",
        "ce-id": "1",
        "CE-Source": "/s",
        "X-Other": "not kept",
    }
    http.post(stream_of(topic), content=b"x", headers=sent)
    (message,) = read(http, topic)
    assert message["key"] == "the key"
    kept = {name.lower(): value for name, value in message["headers"].items()}
    assert kept == {
        "colour": "blue",
        "traceparent": trace,
        "tracestate": "a=b",
        "ce-id": "1",
        "ce-source": "/s",
    }


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("Sprawl-TTL", "-1", 400, "invalid_header"),
        ("Sprawl-TTL", "1.5", 400, "invalid_header"),
        ("Sprawl-TTL", "99999999999", 400, "invalid_header"),
        ("Sprawl-Partition", "1", 400, "invalid_parameter"),
        ("Sprawl-Partition", "x", 400, "invalid_header"),
        ("Sprawl-Partition", "1024", 400, "invalid_header"),
        ("Sprawl-Durability", "cloud", 422, "durability_unavailable"),
        ("Sprawl-Durability", "quorum", 422, "durability_unavailable"),
        ("Sprawl-Durability", "quorum-disk", 422, "durability_unavailable"),
        ("Sprawl-Durability", "paper", 400, "invalid_header"),
        ("Sprawl-Delay", "5", 501, "not_available"),
        ("Sprawl-At", "2030-01-01T00:00:00Z", 501, "not_available"),
        ("If-Match", '"x"', 400, "invalid_header"),
        ("If-Match", "-1", 400, "invalid_header"),
        ("If-None-Match", '"1"', 400, "invalid_header"),
        ("Idempotency-Key", "x" * 256, 400, "invalid_header"),
        ("Idempotency-Key", "", 400, "invalid_header"),
        ("Sprawl-Key", "x" * 4_097, 400, "invalid_header"),
        ("Content-Encoding", "gzip", 415, "unsupported_media_type"),
        ("Producer-Id", "1", 400, "invalid_header"),
        ("Content-Type", "a/" + "b" * 254, 400, "invalid_header"),
    ],
)
def test_a_header_outside_its_bounds_is_refused(
    http: httpx.Client, topic: str, name: str, value: str, status: int, code: str
) -> None:
    assert publish(http, topic, b"before").status_code == 201
    problem = assert_problem(
        http.post(stream_of(topic), content=b"x", headers={name: value}), status, code
    )
    assert name.partition("-")[2].lower() in problem["detail"].lower()
    assert payloads(http, topic) == ["before"]


def test_headers_of_a_record_are_bounded(http: httpx.Client, topic: str) -> None:
    many = {f"Sprawl-Header-{number}": "x" for number in range(65)}
    assert http.post(stream_of(topic), content=b"x", headers=many).status_code == 400
    large = {f"Sprawl-Header-{number}": "x" * 5_600 for number in range(3)}
    assert http.post(stream_of(topic), content=b"x", headers=large).status_code == 400
    fits = {f"Sprawl-Header-{number}": "x" for number in range(64)}
    assert http.post(stream_of(topic), content=b"x", headers=fits).status_code == 201
    assert len(read(http, topic)) == 1


def test_a_lifetime_ends(http: httpx.Client, topic: str) -> None:
    publish(http, topic, b"short", Sprawl_TTL="1")
    publish(http, topic, b"long", Sprawl_TTL="3600")
    assert payloads(http, topic) == ["short", "long"]
    http.put(f"/v1/topics/{topic}.all", json={"ttl_s": 1})
    publish(http, f"{topic}.all")
    assert payloads(http, f"{topic}.all") == ["x"]
    deadline = time.monotonic() + 10
    while payloads(http, topic) != ["long"] or payloads(http, f"{topic}.all"):
        assert time.monotonic() < deadline, "it never expires"
        time.sleep(0.05)


def test_an_idempotency_key_answers_the_first_receipt(http: httpx.Client, topic: str) -> None:
    first = publish(http, topic, b"x", Idempotency_Key="k")
    again = publish(http, topic, b"x", Idempotency_Key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["sprawl-duplicate"] == "true"
    assert again.json() == first.json() | {"duplicate": True}
    other = publish(http, topic, b"y", Idempotency_Key="k")
    assert_problem(other, 409, "idempotency_conflict")
    assert publish(http, topic, b"x", Idempotency_Key="K").status_code == 201
    assert payloads(http, topic) == ["x", "x"]


def test_the_sequence_of_a_producer_is_kept(http: httpx.Client, topic: str) -> None:
    def send(epoch: int, sequence: int) -> httpx.Response:
        numbers = {"Producer-Id": "7", "Producer-Epoch": str(epoch), "Producer-Seq": str(sequence)}
        return http.post(stream_of(topic), content=b"%d" % sequence, headers=numbers)

    assert [send(0, n).status_code for n in range(8)] == [201] * 8
    repeated = send(0, 7)
    assert (repeated.status_code, repeated.headers["sprawl-duplicate"]) == (200, "true")
    assert repeated.json()["offset"] == 7
    assert_problem(send(0, 9), 409, "sequence_gap")
    assert_problem(send(0, 0), 409, "sequence_too_old")
    assert send(1, 0).status_code == 201
    assert_problem(send(0, 8), 409, "producer_fenced")
    assert len(read(http, topic)) == 9


def test_if_match_appends_only_behind_this_offset(http: httpx.Client, topic: str) -> None:
    assert publish(http, topic, b"0", If_None_Match="*").status_code == 201
    refused = publish(http, topic, b"1", If_None_Match="*")
    assert_problem(refused, 412, "expectation_failed")
    assert publish(http, topic, b"1", If_Match='"0"').status_code == 201
    problem = assert_problem(publish(http, topic, b"2", If_Match='"0"'), 412, "expectation_failed")
    assert "1" in problem["detail"]
    assert payloads(http, topic) == ["0", "1"]


def test_the_level_the_partition_and_not_to_wait(http: httpx.Client, topic: str) -> None:
    http.put(f"/v1/topics/{topic}", json={"partitions": 3})
    for level in ("memory", "default"):
        assert publish(http, topic, Sprawl_Durability=level).status_code == 201
    assert publish(http, topic, Sprawl_Partition="2").json()["partition"] == 2
    assert publish(http, topic, Prefer="respond-async").status_code == 202
    keyed = {publish(http, topic, Sprawl_Key="k").json()["partition"] for _ in range(5)}
    assert len(keyed) == 1


# --- publish (JSON) ---


def test_every_member_of_a_json_message_is_kept(http: httpx.Client, topic: str) -> None:
    answer = publish_all(
        http,
        topic,
        {"payload": "t", "key": "k", "headers": {"a": "b"}, "ttl_s": 60, "idempotency_key": "i"},
        {"json": {"a": [1, None]}},
        {"base64": "/wA="},
    )
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["offset"] for result in results] == [0, 1, 2]
    assert list(results[0]) == ["id", "topic", "partition", "offset", "timestamp", "durability"]
    first, second, third = read(http, topic)
    assert (first["payload"], first["key"], first["headers"]) == ("t", "k", {"a": "b"})
    assert (second["payload"], second["content_type"]) == ('{"a": [1, null]}', "application/json")
    assert third["base64"] == "/wA="
    assert read(http, topic, "?value=json")[1]["json"] == {"a": [1, None]}
    again = publish_all(http, topic, {"payload": "t", "key": "k", "idempotency_key": "i"})
    assert again.json()["results"][0]["code"] == "idempotency_conflict"


@pytest.mark.parametrize(
    ("message", "code", "location"),
    [
        ({}, "missing_member", "/messages/1"),
        ({"payload": 1}, "invalid_member", "/messages/1/payload"),
        ({"payload": "x", "json": 1}, "invalid_member", "/messages/1"),
        ({"base64": "?"}, "invalid_member", "/messages/1/base64"),
        ({"payload": "x", "unknown": 1}, "invalid_member", "/messages/1/unknown"),
        ({"payload": "x", "ttl_s": -1}, "invalid_member", "/messages/1/ttl_s"),
        ({"payload": "x", "headers": []}, "invalid_member", "/messages/1/headers"),
        ({"payload": "x", "headers": {"a/b": 1}}, "invalid_member", "/messages/1/headers/a~1b"),
        ({"payload": "x", "key": "k" * 4_097}, "invalid_member", "/messages/1/key"),
        ({"payload": "x", "idempotency_key": ""}, "invalid_member", "/messages/1/idempotency_key"),
        ({"payload": "x", "delay_s": 5}, "not_available", None),
        ({"payload": "x", "at": "2030-01-01T00:00:00Z"}, "not_available", None),
    ],
)
@pytest.mark.parametrize("is_atomic", [False, True])
def test_one_bad_message_of_a_json_batch(
    http: httpx.Client,
    topic: str,
    message: dict[str, Any],
    code: str,
    location: str | None,
    is_atomic: bool,
) -> None:
    query = "?atomic=true" if is_atomic else ""
    answer = publish_all(http, topic, {"payload": "a"}, message, {"payload": "c"}, query=query)
    if is_atomic:
        problem = assert_problem(answer, 501 if code == "not_available" else 400, code)
        assert read(http, topic) == [] if http.get(f"/v1/topics/{topic}").is_success else True
    else:
        problem = answer.json()["results"][1]
        assert (answer.status_code, problem["code"], problem["outcome"]) == (200, code, "none")
        assert payloads(http, topic) == ["a", "c"]
    if location is not None:
        assert problem.get("location", "") == location


def test_an_atomic_batch_lies_together(http: httpx.Client, topic: str) -> None:
    http.put(f"/v1/topics/{topic}", json={"partitions": 4})
    messages = [{"payload": str(n)} for n in range(10)]
    results = publish_all(http, topic, *messages, query="?atomic=true").json()["results"]
    assert len({result["partition"] for result in results}) == 1
    assert [result["offset"] for result in results] == list(range(10))


@pytest.mark.parametrize(
    "query", ["?atomic=maybe", "?unknown=1", "?partition=x", "?durability=quorum"]
)
def test_an_unknown_parameter_of_a_publish_is_refused(
    http: httpx.Client, topic: str, query: str
) -> None:
    answer = publish_all(http, topic, {"payload": "x"}, query=query)
    assert answer.status_code == (422 if "durability" in query else 400)
    assert answer.headers["content-type"] == PROBLEM
    assert http.get(f"/v1/topics/{topic}").status_code == 404


# --- publish (NDJSON) ---


def test_lines_are_answered_as_they_come(wire: Wire, http: httpx.Client, topic: str) -> None:
    head = request("POST", stream_of(topic), Content_Type=NDJSON, Transfer_Encoding="chunked")
    wire.send(head)
    started = wire.until(b"\r\n\r\n")
    assert started.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/x-ndjson\r\n" in started
    for number in range(3):
        line = b'{"payload":"%d"}\n' % number
        wire.send(b"%x\r\n%s\r\n" % (len(line), line))
        size = int(wire.until(b"\r\n"), 16)
        assert json.loads(wire.exactly(size + 2))["offset"] == number
        # It is stored while the request goes on.
        assert len(read(http, topic)) == number + 1
    wire.send(b"0\r\n\r\n")
    assert wire.until(b"\r\n\r\n") == b"0\r\n\r\n"
    assert exchange(wire, request("GET", "/v1/node")).status == 200


def test_a_bad_line_concerns_itself_alone(http: httpx.Client, topic: str) -> None:
    lines = [
        b'{"payload":"a"}',
        b"",
        b"nonsense",
        b'{"payload":"\xff"}',
        b'{"payload":1}',
        b"  ",
        b'{"json":[1]}\r',
        b'{"payload":"last"}',
    ]
    headers = {"Content-Type": f"{NDJSON}; charset=utf-8"}
    answer = http.post(stream_of(topic), content=b"\n".join(lines), headers=headers)
    assert answer.headers["content-type"] == NDJSON
    results = [json.loads(line) for line in answer.text.splitlines()]
    codes = [result.get("code") for result in results]
    assert codes == [None, "bad_json", "bad_json", "invalid_member", None, None]
    assert payloads(http, topic) == ["a", "[1]", "last"]


def test_a_stream_whose_framing_is_lost_says_why_and_ends(
    wire: Wire, http: httpx.Client, topic: str
) -> None:
    wire.send(request("POST", stream_of(topic), Content_Type=NDJSON, Transfer_Encoding="chunked"))
    wire.until(b"\r\n\r\n")
    line = b'{"payload":"a"}\n'
    wire.send(b"%x\r\n%s\r\n" % (len(line), line))
    assert json.loads(wire.exactly(int(wire.until(b"\r\n"), 16) + 2))["offset"] == 0
    wire.send(b"nonsense\r\n")
    assert json.loads(wire.exactly(int(wire.until(b"\r\n"), 16) + 2))["code"] == "bad_request"
    assert wire.rest() == b"0\r\n\r\n"
    assert payloads(http, topic) == ["a"]


# --- publish (RecordBatch) ---


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_batches_of_every_codec_are_stored(http: httpx.Client, topic: str, codec: int) -> None:
    records = [(b"k", b"value %d" % n * 20, [(b"h", b"v")], NOW_MS + n) for n in range(50)]
    batch = encode_batch(records, codec)
    assert len(batch) < len(encode_batch(records)) or codec == 0
    answer = publish(http, topic, batch * 2, Content_Type=BATCH)
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [(r["partition"], r["base_offset"], r["count"]) for r in results] == [
        (0, 0, 50),
        (0, 50, 50),
    ]
    found = read(http, topic)
    assert [message["offset"] for message in found] == list(range(100))
    assert (found[7]["payload"], found[7]["key"]) == ("value 7" * 20, "k")
    assert found[57]["headers"] == {"h": "v"}
    accepted = publish(http, topic, batch, Content_Type=BATCH, Prefer="respond-async")
    assert accepted.status_code == 202


def test_the_numbers_of_a_batchs_producer_are_kept(http: httpx.Client, topic: str) -> None:
    def send(sequence: int) -> httpx.Response:
        records = [(None, b"x", None, NOW_MS)] * 3
        batch = encode_batch(records, 0, (9, 0, sequence))
        answer: httpx.Response = publish(http, topic, batch, Content_Type=BATCH)
        return answer

    assert send(0).json()["results"][0]["base_offset"] == 0
    again = send(0).json()["results"][0]
    assert (again["base_offset"], again["duplicate"]) == (0, True)
    assert_problem(send(4), 409, "sequence_gap")
    assert send(3).json()["results"][0]["base_offset"] == 3
    assert len(read(http, topic)) == 6


# --- publish (bad input. Nothing is stored; the connection stays unless framing is lost.) ---


def sealed(batch: bytes) -> bytes:
    """The batch with the checksum that belongs to its bytes."""
    return batch[:17] + crc32c(batch[CHECKED_FROM:]).to_bytes(4, "big") + batch[CHECKED_FROM:]


def patched(at: int, replacement: bytes) -> bytes:
    """A sound batch of one record with other bytes at one place, and the checksum of those."""
    sound = encode([Record(NOW_MS, b"key", b"value")])
    return sealed(sound[:at] + replacement + sound[at + len(replacement) :])


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=True)


SOUND = encode([Record(NOW_MS, b"key", b"value")])
RECORD_AT = 61
BOMB = encode([Record(NOW_MS, None, bytes(1024 * 1024))], codec=1)
NESTED = b'{"messages":[{"json":' + b"[" * 70 + b"]" * 70 + b"}]}"

BAD_BATCHES = {
    "empty": (b"", 400, "invalid_batch"),
    "no batch": (bytes(100), 400, "invalid_batch"),
    "cut": (SOUND[:-1], 400, "invalid_batch"),
    "head alone": (SOUND[:RECORD_AT], 400, "invalid_batch"),
    "bytes behind": (SOUND + b"x", 400, "invalid_batch"),
    "wrong checksum": (SOUND[:17] + b"\0\0\0\0" + SOUND[21:], 400, "bad_checksum"),
    "changed payload": (SOUND[:-3] + b"X" + SOUND[-2:], 400, "bad_checksum"),
    "magic 1": (patched(16, b"\1"), 400, "invalid_batch"),
    "unknown codec": (patched(21, number(5, 2)), 415, "unsupported_media_type"),
    "codec that it is not": (patched(21, number(4, 2)), 400, "invalid_batch"),
    "a control batch": (patched(21, number(32, 2)), 400, "invalid_batch"),
    "a count of two": (patched(57, number(2, 4)), 400, "invalid_batch"),
    "a count of none": (patched(57, number(0, 4)), 400, "invalid_batch"),
    "a negative count": (patched(57, number(-1, 4)), 400, "invalid_batch"),
    "a wrong last offset": (patched(23, number(1, 4)), 400, "invalid_batch"),
    "a negative length": (patched(8, number(-1, 4)), 400, "invalid_batch"),
    "a length above the bound": (patched(8, number(2**31 - 1, 4)), 413, "too_large"),
    "a record's negative length": (patched(RECORD_AT, b"\x01"), 400, "invalid_batch"),
    "a record's wrong length": (patched(RECORD_AT, b"\x02"), 400, "invalid_batch"),
    "a key's negative length": (patched(RECORD_AT + 4, b"\x03"), 400, "invalid_batch"),
    "a value's negative length": (patched(RECORD_AT + 8, b"\x03"), 400, "invalid_batch"),
    "a negative count of headers": (patched(len(SOUND) - 1, b"\x01"), 400, "invalid_batch"),
    "a reserved header": (
        encode([Record(NOW_MS, None, b"x", [(b"\x05", b"")])]),
        400,
        "invalid_batch",
    ),
    "more inflated than 100 to 1": (BOMB, 413, "too_large"),
    "a sound one and a bad one": (SOUND + SOUND[:-1], 400, "invalid_batch"),
}
BAD_DOCUMENTS = {
    "empty": (b"", 400, "bad_json"),
    "cut": (b'{"messages":[', 400, "bad_json"),
    "not UTF-8": (b'{"messages":[{"payload":"a"},{"payload":"\xff"}]}', 400, "bad_json"),
    "bytes behind": (b'{"messages":[{"payload":"a"}]}x', 400, "bad_json"),
    "an array": (b'[{"payload":"a"}]', 400, "bad_json"),
    "no messages": (b"{}", 400, "missing_member"),
    "messages of another kind": (b'{"messages":{}}', 400, "invalid_member"),
    "an unknown member": (b'{"messages":[{"payload":"a"}],"x":1}', 400, "invalid_member"),
    "too many": (
        b'{"messages":[' + b",".join([b'{"payload":""}'] * 10_001) + b"]}",
        413,
        "too_large",
    ),
}
BAD_INPUT = [
    *[pytest.param(BATCH, *case, id=f"batch: {name}") for name, case in BAD_BATCHES.items()],
    *[pytest.param(MESSAGES_JSON, *case, id=f"JSON: {n}") for n, case in BAD_DOCUMENTS.items()],
    pytest.param("a/b", b"x" * (PAYLOAD_BYTES_MAX + 1), 413, "too_large", id="raw: too large"),
]


@pytest.mark.parametrize(("content_type", "body", "status", "code"), BAD_INPUT)
def test_bad_input_is_refused_whole_and_the_connection_goes_on(
    wire: Wire, topic: str, content_type: str, body: bytes, status: int, code: str
) -> None:
    before = exchange(wire, request("POST", stream_of(topic), b"before"))
    assert before.status == 201
    stored = messages_stored(wire)
    bad = request("POST", stream_of(topic), body, Content_Type=content_type)
    if not body:
        bad = request("POST", stream_of(topic), Content_Type=content_type, Content_Length="0")
    answer = exchange(wire, bad)
    problem = json_of(answer)
    assert (answer.status, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == PROBLEM
    assert (problem["outcome"], problem["detail"] != "") == ("none", True)
    assert "connection" not in answer.headers
    assert messages_stored(wire) == stored
    assert read_on(wire, topic) == ["before"]


def messages_stored(wire: Wire) -> int:
    stored: int = json_of(exchange(wire, request("GET", "/metrics")))["store"]["messages_stored"]
    return stored


def read_on(wire: Wire, topic: str) -> list[str]:
    answer = exchange(wire, request("GET", stream_of(topic)))
    return [message["payload"] for message in json_of(answer)["messages"]]


@pytest.mark.parametrize("body", [NESTED, b'{"messages":[{"payload":"\\ud800"}]}'])
def test_one_value_that_is_none_is_that_messages_problem(
    http: httpx.Client, topic: str, body: bytes
) -> None:
    headers = {"Content-Type": MESSAGES_JSON}
    answer = http.post(stream_of(topic), content=body, headers=headers)
    (result,) = answer.json()["results"]
    assert (answer.status_code, result["outcome"]) == (200, "none")
    assert result["code"] in ("invalid_member", "bad_json")
    # Nothing was stored, so nothing was made.
    assert http.get(stream_of(topic)).status_code == 404


@pytest.mark.parametrize("content_type", ["a/b", MESSAGES_JSON, BATCH])
def test_a_body_above_every_bound_is_refused_before_it_comes(
    wire: Wire, topic: str, content_type: str
) -> None:
    size = str(17 * 1024 * 1024)
    head = request("POST", stream_of(topic), Content_Length=size, Content_Type=content_type)
    answer = exchange(wire, head)
    assert (answer.status, json_of(answer)["code"]) == (413, "too_large")
    assert (answer.headers["content-type"], answer.headers["connection"]) == (PROBLEM, "close")
    assert wire.rest() == b""


@pytest.mark.parametrize("bad", [b"x\r\n", b"-1\r\n", b"\r\n", b"ffffffffffffffffff\r\n"])
def test_lost_framing_is_told_and_ends_the_connection(wire: Wire, topic: str, bad: bytes) -> None:
    wire.send(request("POST", stream_of(topic), b"1\r\na\r\n" + bad, Transfer_Encoding="chunked"))
    answer = next_answer(wire)
    assert answer.status in (400, 413)
    assert (answer.headers["content-type"], answer.headers["connection"]) == (PROBLEM, "close")
    assert wire.rest() == b""


@pytest.mark.parametrize("content_type", ["a/b", MESSAGES_JSON, NDJSON, BATCH])
@pytest.mark.parametrize("name", ["a%20b", "a..b", ".a", "%24sys.x", "*", "x" * 250, "%C3%A4"])
def test_a_name_outside_the_grammar_is_refused_in_every_form(
    http: httpx.Client, content_type: str, name: str
) -> None:
    bodies = {MESSAGES_JSON: b'{"messages":[{"payload":"x"}]}', BATCH: SOUND}
    body = bodies.get(content_type, b'{"payload":"x"}')
    headers = {"Content-Type": content_type}
    answer = http.post(f"/v1/topics/{name}/messages", content=body, headers=headers)
    assert_problem(answer, 400, "invalid_topic")


@pytest.mark.parametrize("name", ["a%20b", "a..b", "a.", "x" * 250, "a.>.b", "a*"])
def test_a_read_of_a_name_outside_the_grammar_is_refused(http: httpx.Client, name: str) -> None:
    assert_problem(http.get(f"/v1/topics/{name}/messages"), 400, "invalid_topic")


def test_another_method_is_405_and_names_those_there_are(http: httpx.Client, topic: str) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = http.request(method, stream_of(topic))
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, POST"


# --- read (where it begins) ---


@pytest.fixture(scope="module")
def ten(node: RunningNode) -> str:
    """A topic of ten messages ``0`` to ``9``."""
    topic = f"ten-{uuid.uuid4().hex}"
    with httpx.Client(base_url=node.url, verify=False) as http:
        for n in range(10):
            headers = {
                "Sprawl-Key": "even" if n % 2 == 0 else "odd",
                "Sprawl-Header-third": str(n % 3),
            }
            http.post(stream_of(topic), content=b"%d" % n, headers=headers)
    return topic


ALL = [str(n) for n in range(10)]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ALL),
        ("?from=earliest", ALL),
        ("?from=latest&wait=0", []),
        ("?from=offset:7", ALL[7:]),
        ("?from=offset:10", []),
        ("?from=time:2020-01-01T00:00:00Z", ALL),
        ("?from=time:2020-01-01T00:00:00%2B02:00", ALL),
        ("?from=time:2100-01-01T00:00:00Z&wait=0", []),
        ("?from=-10m", ALL),
        ("?from=-1h30m", ALL),
        ("?limit=3", ALL[:3]),
        ("?limit=3&from=offset:5", ALL[5:8]),
        ("?partition=0", ALL),
        ("?key=even", ALL[::2]),
        ("?key=nobody", []),
        ("?header.third=0", ["0", "3", "6", "9"]),
        ("?header.third=0&key=even", ["0", "6"]),
        ("?read=follower", ALL),
        ("?read=leader", ALL),
        ("?max_bytes=1", ["0"]),
        ("?value=json", None),
    ],
)
def test_a_read_gives_what_was_asked_for(
    http: httpx.Client, ten: str, query: str, wanted: list[str] | None
) -> None:
    if wanted is None:
        assert [message["json"] for message in read(http, ten, query)] == list(range(10))
    else:
        assert payloads(http, ten, query) == wanted


def test_a_message_has_every_member_in_its_place(http: httpx.Client, ten: str) -> None:
    answer = http.get(f"{stream_of(ten)}?limit=1")
    assert re.fullmatch(
        rf'\{{"messages":\[\{{"id":"{ID}","partition":0,"offset":0,"timestamp":"{TIME}",'
        r'"key":"even","headers":\{"third":"0"\},"payload":"0","attempt":1\}\],'
        r'"cursor":"[\w-]{36}","up_to_date":false\}',
        answer.text,
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["sprawl-cursor"] == answer.json()["cursor"]
    assert answer.headers["sprawl-up-to-date"] == "false"


def test_a_cursor_goes_on_where_it_stopped(http: httpx.Client, ten: str) -> None:
    seen: list[str] = []
    query = "?limit=4"
    while True:
        page = http.get(stream_of(ten) + query).json()
        seen += [message["payload"] for message in page["messages"]]
        if page["up_to_date"]:
            break
        query = f"?limit=4&from=cursor:{page['cursor']}"
    assert seen == ALL
    rest = http.get(f"{stream_of(ten)}?from=cursor:{page['cursor']}").json()
    assert rest == {"messages": [], "cursor": page["cursor"], "up_to_date": True}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?from=yesterday", 400, "invalid_parameter"),
        ("?from=offset:x", 400, "invalid_parameter"),
        ("?from=offset:-1", 400, "invalid_parameter"),
        ("?from=time:noon", 400, "invalid_parameter"),
        ("?from=-10", 400, "invalid_parameter"),
        ("?from=cursor:x", 400, "invalid_cursor"),
        ("?from=cursor:", 400, "invalid_cursor"),
        (f"?from=cursor:{'A' * 36}", 400, "invalid_cursor"),
        (f"?last_event_id={'A' * 36}", 400, "invalid_cursor"),
        ("?from=offset:11", 416, "offset_out_of_range"),
        ("?partition=1", 400, "invalid_parameter"),
        ("?partition=x", 400, "invalid_parameter"),
        ("?limit=-1", 400, "invalid_parameter"),
        ("?limit=10001", 400, "invalid_parameter"),
        ("?max_bytes=x", 400, "invalid_parameter"),
        ("?wait=301", 400, "invalid_parameter"),
        ("?wait=-1", 400, "invalid_parameter"),
        ("?wait=NaN", 400, "invalid_parameter"),
        ("?value=xml", 400, "invalid_parameter"),
        ("?read=anybody", 400, "invalid_parameter"),
        ("?unknown=1", 400, "invalid_parameter"),
        ("?header.=1", 400, "invalid_parameter"),
        ("?from=%FF", 400, "invalid_parameter"),
    ],
)
def test_a_parameter_outside_its_bounds_is_refused(
    http: httpx.Client, ten: str, query: str, status: int, code: str
) -> None:
    assert_problem(http.get(stream_of(ten) + query), status, code)


def test_the_cursor_of_another_topic_is_refused(http: httpx.Client, ten: str, topic: str) -> None:
    publish(http, topic)
    cursor = http.get(stream_of(topic)).json()["cursor"]
    for query in (f"?from=cursor:{cursor}", f"?last_event_id={cursor}"):
        problem = assert_problem(http.get(stream_of(ten) + query), 400, "invalid_cursor")
        assert ten in problem["detail"]
    spoilt = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    answer = http.get(f"{stream_of(topic)}?from=cursor:{spoilt}")
    assert_problem(answer, 400, "invalid_cursor")


def test_a_topic_that_nobody_made_is_404(http: httpx.Client, topic: str) -> None:
    problem = assert_problem(http.get(stream_of(topic)), 404, "topic_not_found")
    assert topic in problem["detail"]


def test_below_retention_is_410_with_a_cursor_that_goes_on(http: httpx.Client, topic: str) -> None:
    http.put(f"/v1/topics/{topic}", json={"retention": {"count": 2}})
    for n in range(5):
        publish(http, topic, b"%d" % n)
    problem = assert_problem(http.get(f"{stream_of(topic)}?from=offset:0"), 410, "offset_expired")
    (cursor,) = re.findall(r"cursor:([\w-]{36})", problem["detail"])
    assert payloads(http, topic, f"?from=cursor:{cursor}") == ["3", "4"]
    with http.stream(
        "GET", f"{stream_of(topic)}?from=earliest&limit=2", headers={"Accept": SSE}
    ) as s:
        assert [event["data"]["payload"] for event in events_of(s)] == ["3", "4"]


def test_a_read_waits_for_the_first_message(http: httpx.Client, wire: Wire, topic: str) -> None:
    publish(http, topic, b"old")
    end = http.get(stream_of(topic)).json()["cursor"]
    for query in (f"?from=cursor:{end}&wait=10", "?from=latest", "?from=latest&wait=10"):
        wire.send(request("GET", stream_of(topic) + query))
        wire.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1, socket.MSG_PEEK)
        wire.socket.settimeout(10)
        publish(http, topic, query.encode())
        answer = json_of(next_answer(wire))
        assert answer["messages"][-1]["payload"] == query


def test_a_filtered_read_waits_for_its_match(http: httpx.Client, wire: Wire, topic: str) -> None:
    publish(http, topic, b"before", Sprawl_Key="other")
    wire.send(request("GET", stream_of(topic) + "?key=k&wait=20"))
    for number in range(3):
        publish(http, topic, b"%d" % number, Sprawl_Key="other")
    wire.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        wire.socket.recv(1)
    wire.socket.settimeout(10)
    publish(http, topic, b"wanted", Sprawl_Key="k")
    answer = json_of(next_answer(wire))
    assert [message["payload"] for message in answer["messages"]] == ["wanted"]
    assert answer["up_to_date"] is True


def test_a_filtered_wait_that_ends_moves_its_cursor(http: httpx.Client, topic: str) -> None:
    publish(http, topic, b"other", Sprawl_Key="other")
    answer = http.get(stream_of(topic) + "?key=k&wait=0.2").json()
    assert (answer["messages"], answer["up_to_date"]) == ([], True)
    publish(http, topic, b"behind", Sprawl_Key="other")
    behind = http.get(stream_of(topic) + f"?from=cursor:{answer['cursor']}").json()
    assert [message["payload"] for message in behind["messages"]] == ["behind"]


def test_a_match_behind_much_else_is_found_in_every_form(http: httpx.Client, topic: str) -> None:
    other = {"payload": "x" * 1000, "key": "other"}
    for _ in range(5):
        assert publish_all(http, topic, *[other] * 1000).status_code == 200
    publish(http, topic, b"wanted", Sprawl_Key="k")
    answer = http.get(stream_of(topic) + "?key=k").json()
    assert [message["payload"] for message in answer["messages"]] == ["wanted"]
    for form in (SSE, NDJSON, BATCH):
        target = stream_of(topic) + "?key=k&follow=true&limit=1"
        text = http.get(target, headers={"Accept": form}).content
        assert b"wanted" in text, form


def test_follow_is_refused_where_it_means_nothing(http: httpx.Client, ten: str) -> None:
    answer = http.get(f"{stream_of(ten)}?follow=true")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


def test_a_wait_that_ends_says_that_there_is_nothing(http: httpx.Client, ten: str) -> None:
    before = time.monotonic()
    page = http.get(f"{stream_of(ten)}?from=latest&wait=0.2").json()
    assert 0.1 < time.monotonic() - before < 5
    assert (page["messages"], page["up_to_date"]) == ([], True)


def test_a_pattern_reads_its_topics_together(http: httpx.Client, topic: str) -> None:
    for name in ("a", "b", "a.c"):
        publish(http, f"{topic}.{name}", name.encode())
    assert sorted(payloads(http, f"{topic}.*")) == ["a", "b"]
    assert sorted(payloads(http, f"{topic}.>")) == ["a", "a.c", "b"]
    shown = read(http, f"{topic}.*")
    assert {message["topic"] for message in shown} == {f"{topic}.a", f"{topic}.b"}
    cursor = http.get(stream_of(f"{topic}.*")).json()["cursor"]
    publish(http, f"{topic}.b", b"later")
    assert payloads(http, f"{topic}.*", f"?from=cursor:{cursor}") == ["later"]


def test_a_read_over_too_many_partitions_points_to_one(http: httpx.Client, topic: str) -> None:
    http.put(f"/v1/topics/{topic}", json={"partitions": 65})
    problem = assert_problem(http.get(stream_of(topic)), 400, "too_many_partitions")
    assert "partition=" in problem["detail"]
    publish(http, topic, b"x", Sprawl_Partition="64")
    assert payloads(http, topic, "?partition=64") == ["x"]


# --- read (forms) ---


Event = dict[str, Any]


def events_of(stream: httpx.Response) -> Iterator[Event]:
    """The events of an open stream; comments are left out."""
    event: Event = {}
    for line in stream.iter_lines():
        if line == "":
            if event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


def test_an_event_stream_gives_id_event_and_data_and_goes_on(
    http: httpx.Client, topic: str
) -> None:
    publish(http, topic, b"a\nb")
    with http.stream("GET", stream_of(topic), headers={"Accept": SSE}) as stream:
        assert stream.headers["content-type"] == SSE
        assert stream.headers["cache-control"] == "no-store"
        events = events_of(stream)
        first = next(events)
        assert list(first) == ["id", "event", "data"]
        assert (first["event"], first["data"]["payload"]) == ("message", "a\nb")
        with httpx.Client(base_url=http.base_url, verify=False) as other:
            publish(other, topic, b"live")
        assert next(events)["data"]["payload"] == "live"
    for resume in ({"Last-Event-ID": first["id"]}, {}):
        query = "?limit=1" if resume else f"?limit=1&last_event_id={first['id']}"
        headers = {"Accept": SSE, **resume}
        with http.stream("GET", stream_of(topic) + query, headers=headers) as stream:
            assert [event["data"]["payload"] for event in events_of(stream)] == ["live"]


def test_a_stream_that_retention_overtook_says_so(http: httpx.Client, topic: str) -> None:
    publish(http, topic, b"0")
    with http.stream("GET", f"{stream_of(topic)}?limit=1", headers={"Accept": SSE}) as stream:
        (first,) = events_of(stream)
    for n in range(1, 5):
        publish(http, topic, b"%d" % n)
    http.put(f"/v1/topics/{topic}", json={"retention": {"count": 1}})
    headers = {"Accept": SSE, "Last-Event-ID": first["id"]}
    with http.stream("GET", f"{stream_of(topic)}?limit=1", headers=headers) as stream:
        if stream.status_code == 410:
            stream.read()
            assert stream.json()["code"] == "offset_expired"
            return
        gap, message = events_of(stream)
    assert (gap["event"], message["data"]["payload"]) == ("gap", "4")


def test_lines_come_without_end(http: httpx.Client, topic: str) -> None:
    publish(http, topic, b"first")
    with http.stream("GET", stream_of(topic), headers={"Accept": NDJSON}) as stream:
        assert stream.headers["content-type"] == NDJSON
        lines = stream.iter_lines()
        assert json.loads(next(lines))["payload"] == "first"
        with httpx.Client(base_url=http.base_url, verify=False) as other:
            publish(other, topic, b"live")
        assert json.loads(next(lines))["payload"] == "live"


def test_batches_are_read_as_they_are_stored(http: httpx.Client, topic: str) -> None:
    sent = encode_batch([(b"k", b"v%d" % n * 50, None, NOW_MS) for n in range(20)], 4)
    publish(http, topic, sent, Content_Type=BATCH)
    publish(http, topic, b"single")
    answer = http.get(stream_of(topic), headers={"Accept": BATCH})
    assert answer.headers["content-type"] == BATCH
    records = decode_batches(answer.content)
    assert [record[0] for record in records] == list(range(21))
    assert (records[3][2], records[3][3], records[20][3]) == (b"k", b"v3" * 50, b"single")
    assert len(answer.content) < 21 * 100, "the compression of the sender is kept"
    rest = http.get(
        f"{stream_of(topic)}?from=cursor:{answer.headers['sprawl-cursor']}",
        headers={"Accept": BATCH},
    )
    assert (rest.content, rest.headers["sprawl-up-to-date"]) == (b"", "true")


def test_a_form_that_we_do_not_have_is_answered_in_json(http: httpx.Client, ten: str) -> None:
    for accept in ("*/*", "text/html", "application/json;q=0.5", "text/html, application/json"):
        answer = http.get(f"{stream_of(ten)}?limit=1", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"


def test_head_of_a_read_has_no_body(wire: Wire, ten: str) -> None:
    answer = exchange(wire, request("HEAD", stream_of(ten)))
    assert (answer.status, answer.body) == (200, b"")
    assert exchange(wire, request("GET", f"{stream_of(ten)}?limit=1")).status == 200


# Topics


@pytest.mark.parametrize(
    ("config", "status", "code", "location"),
    [
        ({"unknown": 1}, 400, "invalid_member", "/unknown"),
        ({"partitions": 0}, 400, "invalid_member", "/partitions"),
        ({"partitions": 1025}, 400, "invalid_member", "/partitions"),
        ({"partitions": "1"}, 400, "invalid_member", "/partitions"),
        ({"replicas": 8}, 400, "invalid_member", "/replicas"),
        ({"retention": {"age": 1}}, 400, "invalid_member", "/retention/age"),
        ({"retention": 5}, 400, "invalid_member", "/retention"),
        ({"ttl_s": -1}, 400, "invalid_member", "/ttl_s"),
        ({"durability": "paper"}, 400, "invalid_member", "/durability"),
        ({"durability": "quorum"}, 422, "durability_unavailable", "/durability"),
        ({"discard": "some"}, 400, "invalid_member", "/discard"),
        ({"compaction": True}, 501, "not_available", "/compaction"),
        ({"max_message_bytes": PAYLOAD_BYTES_MAX + 1}, 400, "invalid_member", "/max_message_bytes"),
    ],
)
def test_a_configuration_outside_its_bounds_is_refused(
    http: httpx.Client, topic: str, config: dict[str, Any], status: int, code: str, location: str
) -> None:
    problem = assert_problem(http.put(f"/v1/topics/{topic}", json=config), status, code)
    assert problem["location"] == location
    assert http.get(f"/v1/topics/{topic}").status_code == 404


def test_every_member_of_a_configuration_is_kept_and_counts(http: httpx.Client, topic: str) -> None:
    config = {
        "partitions": 2,
        "replicas": 1,
        "retention": {"age_s": 3600, "bytes": 1_000_000, "count": 3},
        "ttl_s": 60,
        "durability": "memory",
        "discard": "old",
        "dedup_window_s": 30,
        "compaction": False,
        "max_message_bytes": 10,
    }
    made = http.put(f"/v1/topics/{topic}", json=config)
    assert made.status_code == 201
    assert made.json()["config"] | config == made.json()["config"]
    assert_problem(publish(http, topic, b"x" * 11), 413, "too_large")
    for _ in range(5):
        publish(http, topic, b"x" * 10, Sprawl_Partition="1")
    shown = http.get(f"/v1/topics/{topic}").json()
    first, second = shown["partitions"]
    assert (first["high_offset"], second["low_offset"], second["high_offset"]) == (0, 2, 5)
    assert second["leader"] == second["replicas"][0] == second["isr"][0]
    assert shown["messages"] == second["tiers"]["memory"]["messages"] == 3


def test_topics_are_listed_in_stable_pages(http: httpx.Client, topic: str) -> None:
    for n in range(5):
        http.put(f"/v1/topics/{topic}.{n}", json={})
    names: list[str] = []
    query = {"prefix": f"{topic}.", "limit": "2"}
    while True:
        page = http.get("/v1/topics", params=query).json()
        names += [shown["name"] for shown in page["topics"]]
        if page["next_page_token"] is None:
            break
        query["page_token"] = page["next_page_token"]
    assert names == [f"{topic}.{n}" for n in range(5)]
    for bad in ("limit=0", "limit=x", "page_token=%21", "unknown=1"):
        assert_problem(http.get(f"/v1/topics?{bad}"), 400, "invalid_parameter")


def test_what_a_problem_says_is_always_the_same_shape(http: httpx.Client, topic: str) -> None:
    answers: list[tuple[Callable[[], Any], int, str]] = [
        (lambda: http.get("/v1/nothing"), 404, "not_found"),
        (lambda: http.get("/v1/messages/nobody"), 404, "message_not_found"),
        (lambda: http.put(f"/v1/topics/{topic}", content=b"{"), 400, "bad_json"),
        (lambda: http.post("/v1/topics"), 405, "method_not_allowed"),
        (lambda: http.get("/v1/slots"), 501, "not_available"),
    ]
    for ask, status, code in answers:
        assert_problem(ask(), status, code)
