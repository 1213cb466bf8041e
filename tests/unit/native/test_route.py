"""The compiled route cache against its unbounded twin, on random operations."""

import xxhash
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sprawl._native import RouteCache
from tests.models import route as model

# Lengths on both sides of what lies inside an entry (47 bytes), and more names than one set holds.
NAMES = [bytes([97 + index % 26]) * length for length in (1, 46, 47, 48, 249) for index in range(8)]
names = st.sampled_from(NAMES)
epochs = st.integers(1, 3)
topics = st.integers(0, 9)


def hash_of(name: bytes) -> int:
    """Collides on purpose: four sets' worth of names share few values."""
    return xxhash.xxh3_64_intdigest(name) & 0x1_0000_0001


class Routes(RuleBasedStateMachine):
    """Whatever is answered is what was put last; the counters count."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = RouteCache(16)
        self.twin = model.RouteCache()
        self.hits = self.misses = 0

    @rule(name=names, epoch=epochs)
    def get(self, name: bytes, epoch: int) -> None:
        found = self.cache.get(name, hash_of(name), epoch)
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
            assert found == self.twin.get(name, epoch)

    @rule(name=names, epoch=epochs, topic=topics)
    def put(self, name: bytes, epoch: int, topic: int) -> None:
        route = (topic, 4095 - topic, topic % 3)
        self.cache.put(name, hash_of(name), epoch, route)
        self.twin.put(name, epoch, route)
        assert self.cache.get(name, hash_of(name), epoch) == route
        self.hits += 1

    @rule(name=names)
    def remove(self, name: bytes) -> None:
        removed = self.cache.remove(name, hash_of(name))
        assert self.twin.remove(name) or not removed
        assert not self.cache.remove(name, hash_of(name))

    @rule(topic=topics)
    def invalidate(self, topic: int) -> None:
        assert self.cache.invalidate(topic) <= self.twin.invalidate(topic)
        assert self.cache.invalidate(topic) == 0

    @invariant()
    def counts(self) -> None:
        assert (self.cache.hits, self.cache.misses) == (self.hits, self.misses)
        assert len(self.cache) <= min(self.cache.capacity, len(self.twin.routes))


TestRoutes = Routes.TestCase
TestRoutes.settings = settings(max_examples=60, stateful_step_count=80, deadline=None)


def test_nothing_is_forgotten_while_there_is_room() -> None:
    cache = RouteCache()
    for topic in range(500):
        name = b"t%d" % topic
        cache.put(name, xxhash.xxh3_64_intdigest(name), 1, (topic, 0, 0))
    for topic in range(500):
        name = b"t%d" % topic
        assert cache.get(name, xxhash.xxh3_64_intdigest(name), 1) == (topic, 0, 0)
    assert (len(cache), cache.capacity, cache.hits, cache.misses) == (500, 16_384, 500, 0)
