"""Single publishes: retries, failover, errors."""

import asyncio

import pytest

from sprawl import errors
from sprawl.client import Client, Outgoing
from sprawl.client.routing import partition_of
from tests.unit.client.flaky_server import Answer, FlakyServer, problem


async def test_publish_answers_where_the_message_lies(node: FlakyServer, client: Client) -> None:
    receipt = await client.publish("t", b"one")
    assert (receipt.topic, receipt.partition, receipt.offset) == ("t", 0, 0)
    assert receipt.id == "aaaaaaaaaaaao-0-0"
    assert receipt.reached == "disk"
    assert not receipt.is_duplicate
    assert node.values("t") == [b"one"]


@pytest.mark.parametrize(
    "failure",
    [
        "drop",
        "drop-after",
        "hang",
        problem(503, "busy", retryable=True),
        problem(429, "too_many_requests", retryable=True),
        problem(504, "publish_timeout", retryable=True),
        Answer(502, b"<html>a proxy's page</html>"),
    ],
    ids=["drop", "drop-after", "hang", "503", "429", "504", "proxy"],
)
async def test_a_failed_publish_is_repeated_and_stored_once(
    node: FlakyServer, client: Client, failure: Answer | str
) -> None:
    node.script.append(failure)
    receipt = await client.publish("t", b"one")
    assert node.values("t") == [b"one"]
    keys = [asked.headers["idempotency-key"] for asked in node.asked]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert receipt.is_duplicate == (failure == "drop-after")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("invalid_topic", 400, errors.InvalidRequest),
        ("unauthenticated", 401, errors.NotAllowed),
        ("idempotency_conflict", 409, errors.Conflict),
        ("expectation_failed", 412, errors.PreconditionFailed),
        ("too_large", 413, errors.TooLarge),
        ("not_available", 501, errors.NotAvailable),
    ],
)
async def test_a_refusal_is_raised_at_once_with_its_problem(
    node: FlakyServer, client: Client, code: str, status: int, kind: type[errors.SprawlError]
) -> None:
    node.script.append(problem(status, code, location="/x", current=41))
    with pytest.raises(kind) as caught:
        await client.publish("t", b"one")
    assert (caught.value.code, caught.value.status) == (code, status)
    assert caught.value.location == "/x"
    assert caught.value.problem["current"] == 41
    assert len(node.asked) == 1


async def test_an_unknown_code_keeps_its_name_in_the_problem(
    node: FlakyServer, client: Client
) -> None:
    node.script.append(problem(409, "newer_than_this_client"))
    with pytest.raises(errors.Conflict) as caught:
        await client.publish("t", b"one")
    assert caught.value.problem["code"] == "newer_than_this_client"


async def test_retry_after_is_waited_for(node: FlakyServer, client: Client) -> None:
    answer = problem(503, "busy")
    answer.headers["Retry-After"] = "1"
    node.script.append(answer)
    loop = asyncio.get_running_loop()
    before_s = loop.time()
    await client.publish("t", b"one")
    assert loop.time() - before_s >= 1


async def test_the_other_node_takes_over(node: FlakyServer) -> None:
    async with FlakyServer().serve() as gone:
        dead = gone.url
    async with Client([dead, node.url]) as client:
        await client.publish("t", b"one")
        await client.publish("t", b"two")
    assert node.values("t") == [b"one", b"two"]


async def test_a_call_ends_at_its_deadline(node: FlakyServer) -> None:
    node.script.extend(["hang"] * 50)
    async with Client(node.url, timeout_s=0.3, answer_timeout_s=0.1) as client:
        with pytest.raises(errors.Timeout) as caught:
            await client.publish("t", b"one")
    assert caught.value.outcome == "unknown"


async def test_no_node_is_connection_failed_and_certainly_not_stored() -> None:
    async with FlakyServer().serve() as gone:
        dead = gone.url
    async with Client(dead, tries_max=2) as client:
        with pytest.raises(errors.ConnectionFailed) as caught:
            await client.publish("t", b"one")
    assert (caught.value.code, caught.value.outcome) == ("connection_failed", "none")


async def test_what_headers_cannot_carry_travels_as_a_batch(
    node: FlakyServer, client: Client
) -> None:
    receipt = await client.publish("t", b"\x00", key=b"\xff\x00", headers={"Upper": "Grüße"})
    assert receipt.id == "aaaaaaaaaaaao-0-0"
    assert node.logs["t", 0] == [(b"\xff\x00", b"\x00")]
    assert node.asked[-1].headers["content-type"] == "application/x-sprawl-batch"
    node.script.append("drop-after")
    again = await client.publish("t", b"\x01", key=b"\xff\x00", idempotency_key="Grüße")
    assert again.is_duplicate
    once_more = await client.publish("t", b"\x01", key=b"\xff\x00", idempotency_key="Grüße")
    assert (once_more.offset, once_more.is_duplicate) == (again.offset, True)
    assert len(node.logs["t", 0]) == 2


async def test_a_key_that_is_no_text_still_chooses_the_partition(
    node: FlakyServer, client: Client
) -> None:
    node.partitions["t"] = 8
    receipts = [await client.publish("t", b"x", key=b"\xff%d" % n) for n in range(20)]
    assert [r.partition for r in receipts] == [partition_of(b"\xff%d" % n, 8) for n in range(20)]


async def test_cancelled_publishes_leave_room_for_others(node: FlakyServer, client: Client) -> None:
    calls = [asyncio.ensure_future(client.publish("t", b"%d" % n)) for n in range(600)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for call in calls[100:500]:
        call.cancel()
    await asyncio.gather(*calls[:100], *calls[500:])
    assert len(set(node.values("t"))) >= 200


async def test_a_plain_message_travels_as_it_is(node: FlakyServer, client: Client) -> None:
    await client.publish(
        "t", "{}", key="k", headers={"a": "1"}, content_type="application/json", ttl_s=5,
        durability="disk", partition=0, if_match=7, idempotency_key="mine",
    )  # fmt: skip
    headers = node.asked[0].headers
    assert node.asked[0].body == b"{}"
    assert headers["sprawl-key"] == "k"
    assert headers["sprawl-header-a"] == "1"
    assert headers["content-type"] == "application/json"
    assert headers["sprawl-ttl"] == "5"
    assert headers["sprawl-durability"] == "disk"
    assert headers["sprawl-partition"] == "0"
    assert headers["if-match"] == '"7"'
    assert headers["idempotency-key"] == "mine"


async def test_a_header_cannot_smuggle_a_request(node: FlakyServer, client: Client) -> None:
    await client.publish("t", b"x", headers={"a": "1\r\nSprawl-TTL: 1"})
    assert "sprawl-ttl" not in node.asked[0].headers
    assert node.values("t") == [b"x"]
    with pytest.raises(errors.InvalidRequest):
        await client.publish("t", b"x", durability="disk\r\nX: y")


async def test_many_publishes_share_few_connections(node: FlakyServer, client: Client) -> None:
    await asyncio.gather(*(client.publish("t", b"%d" % n) for n in range(500)))
    assert len(node.values("t")) == 500
    assert node.connections_count <= 4


async def test_a_batch_has_a_receipt_for_each_message_in_order(
    node: FlakyServer, client: Client
) -> None:
    node.partitions["t"] = 4
    messages = [Outgoing(data=b"%d" % n, key=b"k%d" % (n % 7)) for n in range(50)]
    receipts = await client.publish_batch("t", messages)
    for n, receipt in enumerate(receipts):
        assert node.values("t", receipt.partition)[receipt.offset] == b"%d" % n


async def test_a_failed_batch_says_what_became_of_each(node: FlakyServer, client: Client) -> None:
    node.script.append(problem(422, "durability_unavailable"))
    with pytest.raises(errors.InvalidRequest) as caught:
        await client.publish_batch("t", [b"a", b"b"], durability="quorum")
    results = caught.value.members["results"]
    assert isinstance(results, list)
    assert [result.code for result in results] == ["durability_unavailable"] * 2


async def test_an_answer_that_is_no_http_is_a_bad_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(errors.BadAnswer):
            await client.publish("t", b"one")


async def test_a_closed_client_says_so(node: FlakyServer) -> None:
    client = Client(node.url)
    await client.close()
    with pytest.raises(errors.Closed):
        await client.publish("t", b"one")


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://h:99999", "http://h/?q=1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        Client(url)
