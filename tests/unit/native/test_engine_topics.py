"""What the engine says of topics: readable messages only, and room again for forgotten topics."""

from typing import Any

from sprawl import _native

NOW = 1_700_000_000 * 1_000_000_000
SECOND = 1_000_000_000
GRACE_S = 10
TOPICS_MAX = 3


def engine() -> _native.Engine:
    return _native.Engine(
        memory_bytes_max=1 << 20,
        chunk_bytes=1 << 16,
        dedup_keys_max=1000,
        topics_max=TOPICS_MAX,
        seed=1,
        node_id="n",
        delete_grace_s=GRACE_S,
    )


def publish(native: _native.Engine, topic: str, now_ns: int, members: str = "") -> bytes:
    receipt, _ = native.publish_json(topic, b'{"payload":"%s"%s}' % (b"m", members.encode()), now_ns)
    return receipt


def stats(native: _native.Engine) -> Any:
    return native.stats()["gauges"]["messages"]


def listed(native: _native.Engine) -> dict[str, tuple[int, int | None, int | None]]:
    page, _ = native.topics_page("", 0, 100)
    return {t["name"]: (t["records"], t["oldest_ns"], t["newest_ns"]) for t in page}


def test_messages_that_are_over_are_in_no_figure() -> None:
    native = engine()
    native.topic_put("b", {"ttl_s": 3})
    publish(native, "a", NOW)
    native.end_tick(NOW)
    publish(native, "a", NOW + SECOND, ',"ttl_s":1')
    publish(native, "b", NOW + SECOND)
    native.end_tick(NOW + SECOND)
    assert stats(native) == 3
    # A later publish tells the engine the time; no sweep came by.
    publish(native, "c", NOW + 4 * SECOND)
    native.end_tick(NOW + 4 * SECOND)
    later = NOW + 4 * SECOND
    assert listed(native) == {"b": (0, None, None), "a": (1, NOW, NOW), "c": (1, later, later)}
    assert stats(native) == 2
    found = native.topic_get("b")
    assert found is not None
    (partition,) = found["partitions"]
    assert (partition["records"], partition["bytes"], partition["low_offset"]) == (0, 0, 0)
    native.topic_delete("a", NOW + 4 * SECOND)
    assert stats(native) == sum(count for count, _, _ in listed(native).values()) == 1


def test_a_reader_goes_over_what_expired_without_a_gap() -> None:
    native = engine()
    publish(native, "a", NOW, ',"ttl_s":1')
    native.end_tick(NOW)
    reader = native.reader("a", b"from=offset:0", "ndjson", None, NOW)
    native.sweep(NOW + 2 * SECOND)
    assert reader.pull(1 << 20, 100, NOW + 2 * SECOND) is None
    assert not reader.ended
    publish(native, "a", NOW + 2 * SECOND)
    native.end_tick(NOW + 2 * SECOND)
    given = reader.pull(1 << 20, 100, NOW + 2 * SECOND)
    assert given is not None and b'"offset":1' in given and b"gap" not in given


def test_readers_of_a_forgotten_topic_see_nothing_of_its_successor() -> None:
    native = engine()
    publish(native, "old", NOW)
    native.end_tick(NOW)
    alone = native.reader("old", b"from=offset:1", "ndjson", None, NOW)
    (old_handle,) = alone.handles
    of_pattern = native.reader("*", b"from=latest", "ndjson", None, NOW)
    native.topic_delete("old", NOW)
    native.end_tick(NOW)
    now_ns = NOW + (GRACE_S + 1) * SECOND
    native.sweep(now_ns)
    publish(native, "new", now_ns)
    publish(native, "new", now_ns)
    _, born, _ = native.end_tick(now_ns)
    assert native.reader("new", b"", "ndjson", None, now_ns).handles == [old_handle]
    assert alone.pull(1 << 20, 100, now_ns) is None and alone.ended
    assert of_pattern.pull(1 << 20, 100, now_ns) is None
    assert of_pattern.adopt(born) and not of_pattern.adopt(born)
    given = of_pattern.pull(1 << 20, 100, now_ns)
    assert given is not None and given.count(b'"topic":"new"') == 2


def test_topics_max_bounds_topics_that_are_there_and_not_all_that_ever_were() -> None:
    native = engine()
    now_ns = NOW
    for at in range(3 * TOPICS_MAX):
        assert b'"offset":0' in publish(native, f"t{at}", now_ns)
        native.end_tick(now_ns)
        assert native.topic_delete(f"t{at}", now_ns)
        now_ns += (GRACE_S + 1) * SECOND
        native.sweep(now_ns)
    for at in range(TOPICS_MAX):
        publish(native, f"live{at}", now_ns)
    assert b"too_many_requests" in publish(native, "more", now_ns)
    assert len(listed(native)) == TOPICS_MAX
