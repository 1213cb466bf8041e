"""A slow, obvious memory tier and its index: what `ring.rs` and the log's index do, over lists.

A chunk is a list of batches, a partition a list of offsets. Nothing is packed and nothing is shared.
"""

from dataclasses import dataclass, field


@dataclass
class PlainBatch:
    """``count`` records of one partition from offset ``base`` on, ``size`` bytes, appended at ``append_ns``."""

    partition: str
    base: int
    count: int
    size: int
    append_ns: int


@dataclass
class PlainChunk:
    """Batches in arrival order; ``capacity`` in bytes."""

    capacity: int
    batches: list[PlainBatch] = field(default_factory=list)

    @property
    def room(self) -> int:
        """Bytes still free."""
        return self.capacity - sum(batch.size for batch in self.batches)


class PlainRing:
    """At most ``bytes_max`` bytes in chunks of ``chunk_bytes``; the oldest chunk goes first."""

    def __init__(self, bytes_max: int, chunk_bytes: int) -> None:
        self.bytes_max = bytes_max
        self.chunk_bytes = chunk_bytes
        self.chunks = [PlainChunk(chunk_bytes)]
        self.ends: dict[str, int] = {}
        self.lows: dict[str, int] = {}

    @property
    def allocated(self) -> int:
        """Bytes of all chunks."""
        return sum(chunk.capacity for chunk in self.chunks)

    def append(
        self, partition: str, count: int, size: int, append_ns: int
    ) -> tuple[int, list[PlainBatch]]:
        """Appends a batch; its base offset, and the batches that had to go for it."""
        dropped: list[PlainBatch] = []
        if size > self.chunks[-1].room:
            capacity = max(size, self.chunk_bytes)
            while self.allocated + capacity > self.bytes_max and len(self.chunks) > 1:
                dropped += self.chunks.pop(0).batches
            self.chunks.append(PlainChunk(capacity))
        base = self.ends.get(partition, 0)
        self.chunks[-1].batches.append(PlainBatch(partition, base, count, size, append_ns))
        self.ends[partition] = base + count
        for batch in dropped:
            self.lows[batch.partition] = batch.base + batch.count
        return base, dropped

    def batches(self, partition: str) -> list[PlainBatch]:
        """What is held of a partition, oldest first."""
        return [b for chunk in self.chunks for b in chunk.batches if b.partition == partition]

    def find(self, partition: str, offset: int) -> PlainBatch | None:
        """The batch that holds ``offset``."""
        held = self.batches(partition)
        return next((b for b in held if b.base <= offset < b.base + b.count), None)

    def first_since(self, partition: str, append_ns: int) -> int:
        """Offset of the first record appended at ``append_ns`` or later; the end when there is none."""
        held = self.batches(partition)
        since = (b.base for b in held if b.append_ns >= append_ns)
        return next(since, self.ends.get(partition, 0))

    def low(self, partition: str) -> int:
        """First offset that may still be read."""
        return self.lows.get(partition, 0)
