"""The mover's plan against a bucket and a log in which every step may fail and the node may die."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from sprawl.clock import SECOND_NS as SECOND
from sprawl.limits import (
    CLOUD_DIFFERS_MAX,
    CLOUD_RETRY_S_MAX,
    JANITOR_INTERVAL_S,
    JANITOR_OBJECT_AGE_S,
)
from sprawl.log.cloud.mover import (
    Asked,
    Build,
    Built,
    BuiltObject,
    Check,
    Delete,
    Differs,
    Done,
    Drop,
    Effect,
    Event,
    Failed,
    Gone,
    List,
    Listed,
    LocalWindow,
    Mover,
    Put,
    Record,
    Sealed,
    Tick,
    orphans,
)
from sprawl.log.cloud.objects import ObjectInfo, Upload

DAY = 86_400 * SECOND
START = 20_000 * DAY
AGE_S = 60


def window(number: int) -> LocalWindow:
    """Windows of 100 bytes, one second each, from ``START`` on."""
    newest = START + number * SECOND
    return LocalWindow(number * 100, number * 100 + 100, newest - SECOND, newest)


def built(of: LocalWindow) -> dict[str, bytes]:
    """What a window's build is: two segments with their manifests, by key."""
    stem = hashlib.sha256(str(of.first_lsn).encode()).hexdigest()[:32]
    objects = {}
    for part in range(2):
        data = f"{stem} {part}".encode()
        objects[f"data/day=2024-10-04/{stem}-{part:04}.parquet"] = data
        objects[f"_sprawl/manifest/day=2024-10-04/{stem}-{part:04}"] = b"manifest of " + data
    return objects


def stored(key: str, modified_ns: int) -> ObjectInfo:
    return ObjectInfo(key, 1, "etag", modified_ns)


def name_of(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".parquet")


@dataclass
class World:
    """What outlives the process: the bucket, the log's manifest records, the local windows."""

    bucket: dict[str, bytes] = field(default_factory=dict)
    modified: dict[str, int] = field(default_factory=dict)
    recorded: set[LocalWindow] = field(default_factory=set)
    local: list[LocalWindow] = field(default_factory=list)
    uploads: dict[str, int] = field(default_factory=dict)
    dropped: list[LocalWindow] = field(default_factory=list)

    def assert_safe(self) -> None:
        """Each record is local, or in the bucket whole with its manifest in the log."""
        for gone in self.dropped:
            assert gone in self.recorded, gone
            for key, data in built(gone).items():
                assert self.bucket.get(key) == data, key


FAULTS = ("none", "before", "after", "differs", "dies before", "dies after")


class Died(Exception):
    """The process is gone; the world is what it was."""


class Node:
    """A process: a mover with the host that performs its effects."""

    def __init__(self, world: World, faults: Iterator[str], now_ns: int) -> None:
        self.world, self.faults, self.now_ns = world, faults, now_ns
        self.mover = Mover(age_s=AGE_S, local_bytes_max=10_000)
        for known in world.local:
            self.mover.receive(Sealed(known, known in world.recorded), now_ns)

    def step(self) -> bool:
        """Performs one effect, or lets time pass until one is due; False: nothing will be."""
        effect = self.mover.take()
        if effect is None:
            if not self.world.local:
                return False
            self.now_ns = max(self.now_ns + 1, self.mover.wakes_ns(self.now_ns))
            self.mover.receive(Tick(), self.now_ns)
            return True
        fault = next(self.faults, "none")
        if fault == "dies before":
            raise Died
        if fault == "before":
            self.mover.receive(Failed("no connection"), self.now_ns)
            return True
        event = self.perform(effect, is_damaged=fault == "differs")
        self.world.assert_safe()
        if fault == "dies after":
            raise Died
        self.mover.receive(Failed("timed out") if fault == "after" else event, self.now_ns)
        return True

    def perform(self, effect: Effect, *, is_damaged: bool) -> Event:
        world = self.world
        match effect:
            case Build():
                assert effect.window in world.local
                return Built(
                    tuple(
                        BuiltObject(key, len(data), hashlib.sha256(data).digest())
                        for key, data in built(effect.window).items()
                    )
                )
            case Put():
                data = built(effect.window)[effect.built.key]
                world.bucket[effect.built.key] = data[:-1] if is_damaged else data
                world.modified[effect.built.key] = self.now_ns
            case Check():
                data = world.bucket.get(effect.built.key, b"")
                if is_damaged or hashlib.sha256(data).digest() != effect.built.sha256:
                    return Differs()
            case Record():
                world.recorded.add(effect.window)
            case Drop():
                if effect.window in world.local:
                    world.local.remove(effect.window)
                    world.dropped.append(effect.window)
            case List():
                objects = tuple(stored(k, world.modified[k]) for k in world.bucket)
                uploads = tuple(Upload(k, "1", at) for k, at in world.uploads.items())
                named = {name_of(k) for w in world.recorded for k in built(w)}
                return Listed(objects, uploads, frozenset(named))
            case Delete():
                for key in effect.keys:
                    del world.bucket[key]
                for upload in effect.uploads:
                    del world.uploads[upload.key]
        return Done()


def run(world: World, faults: Iterator[str], steps_max: int = 5_000) -> int:
    """Lives of nodes one after another until all windows are moved; the count of lives."""
    now_ns, lives = START, 0
    while True:
        lives += 1
        node = Node(world, faults, now_ns)
        try:
            for _ in range(steps_max):
                if not node.step():
                    return lives
            pytest.fail(f"not moved after {steps_max} steps: {node.mover.error}")
        except Died:
            now_ns = node.now_ns


def assert_all_moved(world: World, count: int) -> None:
    assert world.dropped == [window(number) for number in range(count)]
    assert set(world.bucket) == {key for number in range(count) for key in built(window(number))}
    world.assert_safe()


def test_a_window_is_moved_in_the_documented_order() -> None:
    mover, seen = Mover(age_s=AGE_S, local_bytes_max=10_000), list[Effect]()
    mover.receive(Sealed(window(0)), START)
    assert mover.take() is None
    mover.receive(Tick(), window(0).newest_ns + AGE_S * SECOND - 1)
    assert mover.take() is None
    now_ns = mover.wakes_ns(START)
    assert now_ns == window(0).newest_ns + AGE_S * SECOND
    mover.receive(Tick(), now_ns)
    uploads = tuple(BuiltObject(key, len(data), b"") for key, data in built(window(0)).items())
    while (effect := mover.take()) is not None:
        assert mover.take() is None
        seen.append(effect)
        mover.receive(Built(uploads) if isinstance(effect, Build) else Done(), now_ns)
    steps = [
        step for upload in uploads for step in (Put(window(0), upload), Check(window(0), upload))
    ]
    assert seen == [Build(window(0)), *steps, Record(window(0)), Drop(window(0))]
    assert mover.lag_windows == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", range(24))
def test_one_fault_at_any_step_loses_nothing(fault: str, at: int) -> None:
    world = World(local=[window(number) for number in range(2)])
    faults = iter(["none"] * at + [fault])
    lives = run(world, faults)
    assert lives == (2 if fault.startswith("dies") and at < 22 else 1)
    assert_all_moved(world, 2)


@pytest.mark.parametrize("seed", range(60))
def test_many_faults_lose_nothing(seed: int) -> None:
    choose = random.Random(seed)
    world = World(local=[window(number) for number in range(5)])
    weights = [choose.random() for _ in FAULTS]
    faults = choose.choices(FAULTS, weights, k=400)
    run(world, iter(faults))
    assert_all_moved(world, 5)


def test_a_covered_window_is_dropped_and_never_built_again() -> None:
    mover = Mover(age_s=AGE_S, local_bytes_max=10_000)
    mover.receive(Sealed(window(0), is_covered=True), START)
    assert mover.take() == Drop(window(0))


def test_a_full_disk_or_a_request_moves_ahead_of_age() -> None:
    mover = Mover(age_s=10**6, local_bytes_max=250)
    mover.receive(Sealed(window(0)), START)
    mover.receive(Sealed(window(1)), START)
    assert mover.take() is None
    mover.receive(Sealed(window(2)), START)
    assert mover.take() == Build(window(0))
    asked = Mover(age_s=10**6, local_bytes_max=10_000)
    asked.receive(Sealed(window(0)), START)
    asked.receive(Asked(100), START)
    assert asked.take() == Build(window(0))


def test_a_step_that_fails_is_tried_again_later_and_later() -> None:
    mover, now_ns, waits = Mover(age_s=0, local_bytes_max=0), START + 10 * SECOND, list[int]()
    mover.receive(Sealed(window(0)), now_ns)
    for _ in range(9):
        assert mover.take() == Build(window(0))
        mover.receive(Failed("refused"), now_ns)
        assert mover.error == "refused"
        assert mover.take() is None
        waits.append((mover.wakes_ns(now_ns) - now_ns) // SECOND)
        now_ns = mover.wakes_ns(now_ns)
        mover.receive(Tick(), now_ns)
    assert waits == [1, 2, 4, 8, 16, 32, CLOUD_RETRY_S_MAX, CLOUD_RETRY_S_MAX, CLOUD_RETRY_S_MAX]
    mover.receive(Built(()), now_ns) if mover.take() else None
    assert mover.error is None


def test_an_object_that_reads_back_different_is_put_again_and_then_reported() -> None:
    mover, now_ns = Mover(age_s=0, local_bytes_max=0), START
    mover.receive(Sealed(window(0)), now_ns)
    upload = BuiltObject("data/x", 1, b"")
    assert mover.take() == Build(window(0))
    mover.receive(Built((upload,)), now_ns)
    for times in range(CLOUD_DIFFERS_MAX):
        assert mover.error is None, times
        assert mover.take() == Put(window(0), upload)
        mover.receive(Done(), now_ns)
        assert mover.take() == Check(window(0), upload)
        mover.receive(Differs(), now_ns)
    assert mover.error is not None and "data/x" in mover.error
    assert mover.take() is None


def test_a_window_that_retention_took_is_not_moved_on() -> None:
    mover = Mover(age_s=0, local_bytes_max=0)
    mover.receive(Sealed(window(0)), START)
    mover.receive(Sealed(window(1)), START)
    assert mover.take() == Build(window(0))
    mover.receive(Gone(100), START)
    mover.receive(Failed("the window is gone"), START)
    mover.receive(Tick(), mover.wakes_ns(START))
    assert mover.take() == Build(window(1))


def test_the_janitor_removes_only_what_nothing_names_or_can_name() -> None:
    now_ns = START + 10 * DAY
    old_ns = now_ns - (JANITOR_OBJECT_AGE_S + 1) * SECOND

    def at(day: str, name: str, modified_ns: int = old_ns) -> ObjectInfo:
        return stored(f"data/day={day}/{name}.parquet", modified_ns)

    a, b = "a" * 32 + "-0000", "b" * 32 + "-0001"
    removed = at("2024-10-04", a), stored(f"_sprawl/manifest/day=2024-10-04/{a}", old_ns)
    kept = (
        at("2024-10-04", b),
        at("2024-10-14", "c" * 32 + "-0000"),
        at("2024-10-04", "d" * 32 + "-0000", now_ns),
        stored("data/day=2024-10-04/notes.txt", old_ns),
        stored("_sprawl/topics/1", old_ns),
    )
    found = orphans((*removed, *kept), {b}, oldest_ns=now_ns, now_ns=now_ns)
    assert found == tuple(gone.key for gone in removed)
    assert orphans(removed, {b}, oldest_ns=START, now_ns=now_ns) == ()


def test_the_janitor_runs_between_moves_and_aborts_old_uploads() -> None:
    key = f"data/day=2024-10-01/{'f' * 32}-0000.parquet"
    world = World(bucket={key: b"left over"}, modified={key: START - 2 * DAY})
    world.uploads = {"data/left": START - 2 * DAY, "data/new": START + JANITOR_INTERVAL_S * SECOND}
    node = Node(world, iter(()), START)
    node.mover.receive(Tick(), START)
    node.mover.receive(Tick(), START + JANITOR_INTERVAL_S * SECOND)
    node.now_ns = START + JANITOR_INTERVAL_S * SECOND
    for expected in (List, Delete):
        effect = node.mover.take()
        assert isinstance(effect, expected)
        node.mover.receive(node.perform(effect, is_damaged=False), node.now_ns)
    assert (world.bucket, set(world.uploads)) == ({}, {"data/new"})
    assert node.mover.take() is None
