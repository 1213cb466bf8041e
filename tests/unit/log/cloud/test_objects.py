"""What each object store does alike: MinIO, another server, moto, and a directory."""

import threading

import pytest

from sprawl.errors import ObjectExists, ObjectNotFound, StoreRefused, StoreUnreachable
from sprawl.log.cloud.objects import Store, require_key
from sprawl.log.cloud.place import StorePlace
from tests.unit.log.cloud.conftest import KINDS, new_store, soon

pytestmark = pytest.mark.parametrize("kind", KINDS)
KEY = "cluster/data/day=2026-01-02/part-0000.parquet"


def test_what_was_put_is_got(store: Store) -> None:
    data = bytes(range(256)) * 1000
    info = store.put(KEY, memoryview(data), soon())
    assert (info.key, info.size_bytes) == (KEY, len(data))
    assert store.get(KEY, soon()) == data


def test_an_empty_object_is_one(store: Store) -> None:
    store.put(KEY, b"", soon())
    assert store.get(KEY, soon()) == b""
    assert store.head(KEY, soon()).size_bytes == 0


def test_a_later_put_takes_the_place_of_an_older(store: Store) -> None:
    first = store.put(KEY, b"one", soon())
    second = store.put(KEY, b"other", soon())
    assert store.get(KEY, soon()) == b"other"
    assert store.head(KEY, soon()).etag == second.etag != first.etag


def test_create_only_makes_a_new_one_and_leaves_an_old_one(store: Store) -> None:
    store.put(KEY, b"one", soon(), create_only=True)
    with pytest.raises(ObjectExists):
        store.put(KEY, b"other", soon(), create_only=True)
    assert store.get(KEY, soon()) == b"one"


def test_of_many_that_create_one_wins(store: Store, kind: str) -> None:
    if kind == "s3s":
        pytest.skip("s3s-fs 0.14 has no conditional puts: looking and putting are two steps")
    won: list[bytes] = []
    start = threading.Barrier(6)

    def create(data: bytes) -> None:
        start.wait(10)
        try:
            store.put(KEY, data, soon(), create_only=True)
        except ObjectExists:
            return
        won.append(data)

    threads = [threading.Thread(target=create, args=[b"%d" % n]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert won == [store.get(KEY, soon())]


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 4, b"0123"),
        (4, 3, b"456"),
        (4, None, b"456789"),
        (8, 100, b"89"),
        (9, 1, b"9"),
        (10, 1, b""),
        (1000, None, b""),
        (3, 0, b""),
        (0, None, b"0123456789"),
    ],
)
def test_a_range_is_half_open_and_cut_at_the_end(
    store: Store, start: int, length: int | None, expected: bytes
) -> None:
    store.put(KEY, b"0123456789", soon())
    assert store.get(KEY, soon(), start=start, length=length) == expected


def test_head_says_what_put_said(store: Store) -> None:
    info = store.put(KEY, b"0123456789", soon())
    found = store.head(KEY, soon())
    assert (found.key, found.size_bytes, found.etag) == (KEY, 10, info.etag)
    assert found.modified_ns > 0


def test_what_is_absent_is_not_found(store: Store) -> None:
    with pytest.raises(ObjectNotFound, match=KEY):
        store.get(KEY, soon())
    with pytest.raises(ObjectNotFound, match=KEY):
        store.head(KEY, soon())


def test_deleting_twice_is_deleting_once(store: Store) -> None:
    store.put(KEY, b"x", soon())
    store.delete(KEY, soon())
    store.delete(KEY, soon())
    with pytest.raises(ObjectNotFound):
        store.head(KEY, soon())
    assert not store.page("", soon())


def test_pages_are_in_the_keys_order_below_a_prefix(store: Store) -> None:
    keys = ["a/1", "a/10", "a/2", "a-b/1", "b/1", "a/2/x=1-2@3"]
    keys.remove("a/2")
    for key in keys:
        store.put(key, key.encode(), soon())
    found = store.page("a/", soon())
    assert [info.key for info in found] == ["a/1", "a/10", "a/2/x=1-2@3"]
    assert [info.size_bytes for info in found] == [3, 4, 11]
    assert [info.key for info in store.page("", soon())] == sorted(keys)
    assert [info.key for info in store.page("a/1", soon())] == ["a/1", "a/10"]
    assert store.page("none/", soon()) == []


def test_a_page_ends_at_its_limit_and_the_next_goes_on_after_it(store: Store) -> None:
    keys = [f"p/{number:02}" for number in range(7)]
    for key in keys:
        store.put(key, b"x", soon())
    seen: list[str] = []
    while page := store.page("p/", soon(), after=seen[-1] if seen else "", limit=3):
        assert len(page) <= 3
        seen += [info.key for info in page]
    assert seen == keys


def test_preparing_twice_keeps_what_is_there(store: Store, place: StorePlace) -> None:
    store.put(KEY, b"x", soon())
    again = new_store(place)
    again.prepare(soon())
    assert again.get(KEY, soon()) == b"x"
    again.close()


def test_a_fresh_bucket_has_no_unfinished_uploads(store: Store) -> None:
    assert store.uploads("", soon()) == []


def test_a_call_without_time_is_not_made(store: Store) -> None:
    with pytest.raises(StoreUnreachable, match="no time is left"):
        store.put(KEY, b"x", soon(0))
    with pytest.raises(ObjectNotFound):
        store.head(KEY, soon())


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/..", ".uploads/x", "a b", "a+b", "é"])
def test_a_key_that_is_no_path_is_refused(store: Store, key: str) -> None:
    with pytest.raises(StoreRefused):
        require_key(key)
    with pytest.raises(StoreRefused):
        store.put(key, b"x", soon())
