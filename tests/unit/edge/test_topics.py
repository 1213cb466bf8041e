"""``/v1/topics`` and ``/v1/messages``."""

import httpx
import pytest

from sprawl.edge.app import build_app
from sprawl.edge.call import Context
from tests.models.plain_engine import PlainEngine


async def test_put_makes_a_topic_and_again_changes_nothing(client: httpx.AsyncClient) -> None:
    first = await client.put("/v1/topics/orders", json={"partitions": 2, "ttl_s": 60})
    assert first.status_code == 201
    assert [p["partition"] for p in first.json()["partitions"]] == [0, 1]
    assert first.json()["partitions"][0]["leader"] == "N1"
    again = await client.put("/v1/topics/orders", json={"partitions": 2, "ttl_s": 60})
    assert (again.status_code, again.json()) == (200, first.json())
    assert first.text.endswith("}\n")


async def test_put_without_a_body_takes_the_defaults(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/topics/t")
    assert answer.status_code == 201
    assert answer.json()["config"]["partitions"] == 1


async def test_fewer_partitions_is_409(client: httpx.AsyncClient) -> None:
    await client.put("/v1/topics/t", json={"partitions": 2})
    answer = await client.put("/v1/topics/t", json={"partitions": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "topic_conflict")


@pytest.mark.parametrize(
    ("body", "code", "location"),
    [
        ({"partition": 1}, "invalid_member", "/partition"),
        ({"partitions": 0}, "invalid_member", "/partitions"),
        ({"partitions": 1025}, "invalid_member", "/partitions"),
        ({"partitions": True}, "invalid_member", "/partitions"),
        ({"partitions": 1.0}, "invalid_member", "/partitions"),
        ({"retention": {"age": 1}}, "invalid_member", "/retention/age"),
        ({"retention": {"bytes": -1}}, "invalid_member", "/retention/bytes"),
        ({"a/b~c": 1}, "invalid_member", "/a~1b~0c"),
        ({"discard": "newest"}, "invalid_member", "/discard"),
        ([], "invalid_member", None),
    ],
)
async def test_bad_member_is_400_with_its_pointer(
    client: httpx.AsyncClient,
    engine: PlainEngine,
    body: object,
    code: str,
    location: str | None,
) -> None:
    answer = await client.put("/v1/topics/t", json=body)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json().get("location")) == (code, location)
    assert engine.topics == {}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"compaction": True}, 501, "not_available"),
        ({"durability": "disk"}, 422, "durability_unavailable"),
        ({"durability": "quorum"}, 422, "durability_unavailable"),
    ],
)
async def test_what_this_node_cannot_keep_is_refused(
    client: httpx.AsyncClient, body: dict[str, object], status: int, code: str
) -> None:
    answer = await client.put("/v1/topics/t", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_malformed_json_is_400(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.put("/v1/topics/t", content=b'{"partitions":', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")


async def test_another_content_type_is_415(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.put("/v1/topics/t", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("name", ["a..b", ".a", "a.", "a b", "$sys.x", "ä", "a*", "x" * 250])
async def test_name_outside_the_grammar_is_400(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.put(f"/v1/topics/{name}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_topic")


@pytest.mark.parametrize("name", ["a", "a.b-c_d~e", "A.1.2", "x" * 249])
async def test_name_inside_the_grammar_is_taken(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.put(f"/v1/topics/{name}")).status_code == 201


async def test_list_pages_through_every_topic_once(client: httpx.AsyncClient) -> None:
    names = [f"t{n}" for n in range(7)]
    for name in names:
        await client.put(f"/v1/topics/{name}")
    seen: list[str] = []
    token: str | None = ""
    while token is not None:
        page = (await client.get("/v1/topics", params={"limit": 3, "page_token": token})).json()
        seen += [topic["name"] for topic in page["topics"]]
        token = page["next_page_token"]
    assert seen == names


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=%C2%B2", "page_token=!!", "page_token=AA", "a=b"],
)
async def test_bad_parameter_is_400(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/topics?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


async def test_deleted_topic_is_404_until_it_is_brought_back(client: httpx.AsyncClient) -> None:
    await client.put("/v1/topics/t")
    assert (await client.delete("/v1/topics/t")).status_code == 204
    assert (await client.get("/v1/topics/t")).json()["code"] == "topic_not_found"
    assert (await client.post("/v1/topics/t:undelete")).status_code == 200
    assert (await client.get("/v1/topics/t")).status_code == 200
    assert (await client.post("/v1/topics/t:undelete")).status_code == 404


@pytest.mark.parametrize(
    ("peer", "host", "status"),
    [
        ("127.0.0.1", "localhost:8080", 204),
        ("127.0.0.1", "127.0.0.1:8080", 204),
        ("::1", "[::1]:8080", 204),
        ("::ffff:127.0.0.1", "localhost", 204),
        ("10.0.0.7", "localhost:8080", 403),
        ("127.0.0.1", "rebound.example:8080", 403),
        ("127.0.0.1", "localhost.evil.example", 403),
        ("127.0.0.1", "", 403),
    ],
)
async def test_delete_is_answered_to_this_host_only(
    context: Context, engine: PlainEngine, peer: str, host: str, status: int
) -> None:
    engine.topic_put("t", {})
    transport = httpx.ASGITransport(build_app(context), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
        answer = await http.delete("/v1/topics/t", headers={"host": host})
    assert answer.status_code == status
    assert ("t" in engine.topics) == (status == 403)


async def test_message_is_found_by_our_id_and_by_the_given_one(
    client: httpx.AsyncClient, engine: PlainEngine
) -> None:
    message_id = engine.publish("t", b"hello", key="mine")
    ours = (await client.get(f"/v1/messages/{message_id}")).json()
    assert (ours["id"], ours["payload"], ours["offset"]) == (message_id, "hello", 0)
    assert (await client.get("/v1/messages/mine")).json() == ours


async def test_bytes_that_are_not_text_come_as_base64(
    client: httpx.AsyncClient, engine: PlainEngine
) -> None:
    message_id = engine.publish("t", b"\xff\x00")
    body = (await client.get(f"/v1/messages/{message_id}")).json()
    assert (body["base64"], "payload" in body) == ("/wA=", False)


async def test_json_value_only_when_asked(client: httpx.AsyncClient, engine: PlainEngine) -> None:
    message_id = engine.publish("t", b'{"a":1}')
    asked = (await client.get(f"/v1/messages/{message_id}?value=json")).json()
    assert asked["json"] == {"a": 1}
    assert (await client.get(f"/v1/messages/{message_id}")).json()["payload"] == '{"a":1}'


@pytest.mark.parametrize("name", ["aaaaaaaaaaaaa-0-99", "nobody", "aaaaaaaaaaaaa-0--1", "x" * 300])
async def test_unknown_message_is_404(
    client: httpx.AsyncClient, engine: PlainEngine, name: str
) -> None:
    engine.publish("t", b"x")
    answer = await client.get(f"/v1/messages/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")


async def test_expired_message_is_410(client: httpx.AsyncClient, engine: PlainEngine) -> None:
    message_id = engine.publish("t", b"x")
    engine.expired.add((engine.topics["t"].topic_id, 0))
    answer = await client.get(f"/v1/messages/{message_id}")
    assert (answer.status_code, answer.json()["code"]) == (410, "message_expired")


async def test_head_of_a_read_tells_whether_it_would_be_answered(
    client: httpx.AsyncClient, engine: PlainEngine
) -> None:
    assert (await client.head("/v1/topics/t/messages")).status_code == 404
    engine.publish("t", b"x")
    answer = await client.head("/v1/topics/t/messages?from=latest")
    assert (answer.status_code, answer.content) == (200, b"")
