"""Faults on the way to a real S3 server: what the store makes of them (M1, M2, M4)."""

import logging
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sprawl.clock import SystemClock
from sprawl.errors import (
    ObjectDamaged,
    ObjectExists,
    ObjectNotFound,
    SprawlError,
    StorageFull,
    StoreRefused,
    StoreUnreachable,
)
from sprawl.log.cloud import s3
from sprawl.log.cloud.place import StorePlace
from sprawl.log.cloud.s3 import Bandwidth, S3Store
from tests.faults.s3_proxy import (
    Fault,
    Rule,
    S3Proxy,
    StaleAnswers,
    answer_lost,
    flipped_byte,
    half_body,
    hang_after_head,
    reset_at,
    stall,
    status,
    swallowed,
    wrong_etag,
)
from tests.unit.log.cloud.conftest import soon
from tests.unit.log.cloud.servers import new_bucket, through

pytestmark = pytest.mark.needs("minio")
KEY = "a/object"
DATA = bytes(range(256)) * 400
IDLE_S = 0.3


@pytest.fixture
def proxy(minio_place: StorePlace) -> Iterator[S3Proxy]:
    host, port = minio_place.host.rsplit(":", 1)
    with S3Proxy(host, int(port)) as found:
        yield found


def _store(place: StorePlace, **options: object) -> S3Store:
    return S3Store(place, clock=SystemClock(), rng=random.Random(7), **options)  # type: ignore[arg-type]


@pytest.fixture
def store(
    minio_place: StorePlace, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[S3Store]:
    """A store behind the proxy, with a bucket and one object, that waits briefly for bytes."""
    monkeypatch.setattr(s3, "STORE_IDLE_TIMEOUT_S", IDLE_S)
    place = replace(through(minio_place, proxy.endpoint), bucket=new_bucket())
    found = _store(place)
    found.prepare(soon())
    found.put(KEY, DATA, soon())
    yield found
    found.close()


PASSING = [
    pytest.param(status(500, "InternalError"), id="500"),
    pytest.param(status(503, "SlowDown"), id="503"),
    pytest.param(status(503), id="503 without a document"),
    pytest.param(status(429), id="429"),
    pytest.param(stall(), id="stall"),
    pytest.param(hang_after_head, id="hang after the head"),
    pytest.param(half_body, id="half body"),
    pytest.param(reset_at(0), id="reset before"),
    pytest.param(reset_at(40), id="reset within the head"),
    pytest.param(reset_at(5000), id="reset within the body"),
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_get_is_tried_again_until_it_is_whole(
    store: S3Store, proxy: S3Proxy, fault: Fault
) -> None:
    rule = proxy.add(Rule(fault, method="GET", count=2))
    assert store.get(KEY, soon()) == DATA
    assert rule.hits == 2


@pytest.mark.parametrize("fault", [*PASSING[:5], pytest.param(answer_lost(), id="answer lost")])
def test_a_put_is_tried_again_until_it_is_answered(
    store: S3Store, proxy: S3Proxy, fault: Fault
) -> None:
    rule = proxy.add(Rule(fault, method="PUT", count=2))
    store.put(KEY, b"new", soon())
    assert rule.hits == 2
    assert store.get(KEY, soon()) == b"new"


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("verb", ["get", "put", "head", "page"])
def test_a_fault_that_stays_ends_at_the_deadline(
    store: S3Store, proxy: S3Proxy, fault: Fault, verb: str, request: pytest.FixtureRequest
) -> None:
    has_body = verb in ("get", "page")
    if not has_body and any(w in request.node.name for w in ("hang", "half", "within")):
        pytest.skip("its answer has no body that could be cut")
    if verb == "page" and "within the body" in request.node.name:
        pytest.skip("its answer is shorter")
    proxy.add(Rule(fault, count=None))
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    calls = {
        "get": lambda: store.get(KEY, soon(1)),
        "put": lambda: store.put(KEY, b"new", soon(1)),
        "head": lambda: store.head(KEY, soon(1)),
        "page": lambda: store.page("", soon(1)),
    }
    with pytest.raises((StoreUnreachable, ObjectDamaged)) as caught:
        calls[verb]()
    assert caught.value.retryable
    took_s = (clock.monotonic_ns() - began_ns) / 1e9
    assert 0.9 < took_s < 1 + IDLE_S + 2


def test_a_body_that_trickles_ends_at_the_deadline(store: S3Store, proxy: S3Proxy) -> None:
    import asyncio

    from tests.faults.s3_proxy import Exchange

    async def trickle(exchange: Exchange) -> None:
        head, body = await exchange.forward()
        exchange.writer.write(head)
        for at in range(len(body)):
            exchange.writer.write(body[at : at + 1])
            await exchange.writer.drain()
            await asyncio.sleep(IDLE_S / 3)

    proxy.add(Rule(trickle, method="GET", count=None))
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    with pytest.raises(StoreUnreachable, match="too long"):
        store.get(KEY, soon(1))
    assert clock.monotonic_ns() - began_ns < 3_000_000_000


def test_a_wrong_etag_is_looked_into_and_believed_when_the_bytes_are_right(
    store: S3Store, proxy: S3Proxy
) -> None:
    rule = proxy.add(Rule(wrong_etag, method="PUT"))
    store.put("b", DATA, soon())
    assert rule.hits == 1
    assert ("GET", proxy.requests[-1][1]) == proxy.requests[-1]


def test_a_wrong_etag_with_wrong_bytes_is_no_success(store: S3Store, proxy: S3Proxy) -> None:
    proxy.add(Rule(wrong_etag, method="PUT"))
    proxy.add(Rule(flipped_byte, method="GET"))
    with pytest.raises(ObjectDamaged, match="holds other bytes"):
        store.put("b", DATA, soon())


def test_a_put_that_was_answered_and_not_done_is_no_success(store: S3Store, proxy: S3Proxy) -> None:
    proxy.add(Rule(swallowed, method="PUT"))
    with pytest.raises(ObjectNotFound):
        store.put("b", DATA, soon())


def test_404_after_200_is_not_found_at_once(store: S3Store, proxy: S3Proxy) -> None:
    rule = proxy.add(Rule(status(404, "NoSuchKey"), method="GET", count=None))
    with pytest.raises(ObjectNotFound):
        store.get(KEY, soon())
    assert rule.hits == 1


def test_a_create_whose_answer_was_lost_is_a_success(store: S3Store, proxy: S3Proxy) -> None:
    proxy.add(Rule(answer_lost(), method="PUT"))
    assert store.put("new", DATA, soon(), create_only=True).size_bytes == len(DATA)
    proxy.add(Rule(status(500, "InternalError"), method="PUT"))
    with pytest.raises(ObjectExists):
        store.put("new", b"other", soon(), create_only=True)


def test_a_stale_page_says_nothing_of_what_is_there(store: S3Store, proxy: S3Proxy) -> None:
    proxy.add(Rule(StaleAnswers(), method="GET", path=r".*list-type=2.*", count=None))
    before = store.page("", soon())
    store.put("later", b"x", soon())
    assert store.page("", soon()) == before
    assert store.get("later", soon()) == b"x"


def test_an_answer_from_elsewhere_in_the_object_is_not_taken(
    store: S3Store, proxy: S3Proxy
) -> None:
    from tests.faults.s3_proxy import Exchange

    async def another_range(exchange: Exchange) -> None:
        head, body = await exchange.forward()
        exchange.writer.write(head.replace(b"bytes 100-", b"bytes 0-") + body)

    proxy.add(Rule(another_range, method="GET"))
    assert store.get(KEY, soon(), start=100, length=50) == DATA[100:150]
    assert [m for m, _ in proxy.requests].count("GET") == 3  # bucket, wrong, right


def test_wrong_keys_are_one_line_without_them(minio_place: StorePlace) -> None:
    for place in (
        replace(minio_place, secret_key="not-the-secret"),
        replace(minio_place, access_key="nobody-knows", secret_key="not-the-secret"),
    ):
        store = _store(place)
        with pytest.raises(StoreRefused, match="MINIO_ACCESS_KEY") as caught:
            store.prepare(soon())
        assert "\n" not in caught.value.detail
        assert "not-the-secret" not in repr(caught.value)
        assert "not-the-secret" not in repr(place)
        store.close()


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (status(403, "AccessDenied"), StoreRefused, "does not allow these keys to put b"),
        (status(403), StoreRefused, "403"),
        (
            status(403, "RequestTimeTooSkewed", "Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n"),
            StoreRefused,
            r"the clock here is \d+ s behind",
        ),
        (status(404, "NoSuchBucket"), StoreRefused, "it has no bucket"),
        (status(507, "XMinioStorageFull"), StorageFull, "XMinioStorageFull"),
        (status(400, "EntityTooLarge"), StoreRefused, "EntityTooLarge"),
    ],
)
def test_a_refusal_is_not_tried_again_and_says_what_to_do(
    store: S3Store, proxy: S3Proxy, fault: Fault, kind: type[SprawlError], says: str
) -> None:
    rule = proxy.add(Rule(fault, method="PUT", count=None))
    with pytest.raises(kind, match=says):
        store.put("b", b"x", soon())
    assert rule.hits == 1


def test_a_server_that_is_not_there_is_unreachable_after_the_deadline() -> None:
    place = StorePlace("http://127.0.0.1:1", "bucket", host="127.0.0.1:1", secret_key="s3cr3t")
    store = _store(replace(place, access_key="k3y"))
    with pytest.raises(StoreUnreachable, match="refused") as caught:
        store.prepare(soon(0.5))
    assert caught.value.retryable
    assert "\n" not in caught.value.detail
    store.close()


def test_no_key_is_in_a_log_line(
    store: S3Store, proxy: S3Proxy, minio_place: StorePlace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.add(Rule(status(500, "InternalError"), method="PUT", count=1))
    store.put("b", DATA, soon())
    proxy.add(Rule(status(403, "AccessDenied"), method="GET", count=1))
    with pytest.raises(StoreRefused):
        store.get("b", soon())
    assert "tried again" in caplog.text
    assert minio_place.secret_key not in caplog.text
    assert minio_place.access_key not in caplog.text


def test_connections_go_back_after_faults(store: S3Store, proxy: S3Proxy) -> None:
    for fault in (half_body, status(500, "InternalError"), status(403, "AccessDenied")):
        for _ in range(6):  # more than there are connections, all faults together
            proxy.add(Rule(fault, method="GET"))
            try:
                assert store.get(KEY, soon()) == DATA
            except StoreRefused:
                continue


def test_unfinished_uploads_are_found_and_aborted(minio_place: StorePlace, store: S3Store) -> None:
    upload_id = store._client._create_multipart_upload(store._bucket, "half", {})
    found = store.uploads("half", soon())
    assert [(upload.key, upload.upload_id) for upload in found] == [("half", upload_id)]
    assert found[0].begun_ns > 0
    store.abort(found[0], soon())
    store.abort(found[0], soon())
    assert store.uploads("half", soon()) == []


def test_puts_of_all_threads_share_the_bandwidth() -> None:
    from sprawl.clock import ManualClock

    clock = ManualClock()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(int(seconds * 1e9))

    bandwidth = Bandwidth(1000, clock, sleep)
    for _ in range(5):
        bandwidth.take(500)
    assert sum(slept) == pytest.approx(2.0)
    unbounded = Bandwidth(0, clock, sleep)
    unbounded.take(10**9)
    assert len(slept) == 4
