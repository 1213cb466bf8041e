"""The slot table as a list of entries, and its bytes by ``struct``: the oracle of ``SlotTable``."""

import struct
from dataclasses import dataclass

import xxhash

SLOTS_COUNT = 4096
NO_LEADER = 0xFFFF

Entry = tuple[int | None, int, list[int], int]


@dataclass
class SlotTable:
    """Members, one (leader, epoch, replicas, bits in sync) for each slot, and the table's epoch."""

    members: list[str]
    slots: list[Entry]
    table_epoch: int

    def encode(self) -> bytes:
        out = struct.pack("<BBHHHQ", 1, 0, len(self.members), SLOTS_COUNT, 0, self.table_epoch)
        for member in self.members:
            text = member.encode()
            out += bytes([len(text)]) + text
        for leader, epoch, replicas, in_sync in self.slots:
            number = NO_LEADER if leader is None else leader
            out += struct.pack("<IHBB", epoch, number, len(replicas), in_sync)
            out += struct.pack(f"<{len(replicas)}H", *replicas)
        return out + struct.pack("<Q", xxhash.xxh3_64_intdigest(out))
