"""Where a message goes: partition of a key, slot of a partition.

In: names and keys. Out: integers that every node computes alike. Invariant: both functions are
fixed for ever and equal to ``native/core/src/ids.rs`` (held together by ``tests/golden/ids.json``).
Source: XXH3 64.
"""

from xxhash import xxh3_64_intdigest


def partition_of(key: bytes, partitions_count: int) -> int:
    """The partition of ``key`` among ``partitions_count`` (at least 1)."""
    return xxh3_64_intdigest(key) % partitions_count


def slot_of(topic: str, partition: int) -> int:
    """The slot, 0 to 4095, of a topic's partition: the unit of placement in a cluster."""
    return xxh3_64_intdigest(topic.encode() + b"\0" + partition.to_bytes(4, "little")) >> 52
