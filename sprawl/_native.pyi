"""Bindings of the Rust crate ``sprawl-core``; see the facades that own each type."""

from collections.abc import Sequence
from typing import ClassVar, TypeAlias, final

__version__: str

# routing

# leader (index of a member, None: nobody), epoch, replicas (indexes), bits of the replicas in sync
_SlotEntry: TypeAlias = tuple[int | None, int, list[int], int]
# topic index, slot of partition 0, leader
_Route: TypeAlias = tuple[int, int, int]

@final
class SlotTable:
    """An immutable snapshot of slot → leader, replicas, epoch for all 4096 slots."""

    def __new__(
        cls, members: Sequence[str], entries: Sequence[_SlotEntry], table_epoch: int
    ) -> SlotTable:
        """One entry for each slot, in order. Raises ValueError naming the slot or member at fault."""

    @staticmethod
    def single(member: str, epoch: int) -> SlotTable:
        """The table of a cluster of one, whose epoch is the table's too."""

    @staticmethod
    def decode(data: bytes) -> SlotTable:
        """The table that ``encode`` wrote. Raises ValueError (version, checksum, invariants)."""

    def encode(self) -> bytes:
        """The table as in docs/design/routing.md, checksum included."""

    def leader(self, slot: int) -> int | None:
        """The index of the slot's leader. Raises IndexError from slot 4096 on."""

    def leader_id(self, slot: int) -> str | None:
        """The node id of the slot's leader. Raises IndexError from slot 4096 on."""

    def epoch(self, slot: int) -> int:
        """The epoch of the slot's leadership. Raises IndexError from slot 4096 on."""

    def entries(self) -> list[_SlotEntry]:
        """All entries in order of slots."""

    def member(self, node_id: str) -> int | None:
        """The index of a node id."""

    @property
    def members(self) -> list[str]:
        """The node ids that leaders and replicas are indexes of."""

    @property
    def table_epoch(self) -> int:
        """Number of this snapshot; a later one is higher."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class RouteCache:
    """Topic name → route, bounded; the one of a node is consulted inside the native append."""

    def __new__(cls, routes: int = 10_000) -> RouteCache:
        """Room for at least so many routes. Raises ValueError above ROUTES_COUNT_MAX."""

    def get(self, name: bytes, name_hash: int, table_epoch: int) -> _Route | None:
        """The route put under this epoch; ``name_hash`` is XXH3-64 of the name. Counted."""

    def put(self, name: bytes, name_hash: int, table_epoch: int, route: _Route) -> None:
        """Keeps a route in place of the name's old one; may evict another."""

    def remove(self, name: bytes, name_hash: int) -> bool:
        """Forgets one name; whether it was there."""

    def invalidate(self, topic: int) -> int:
        """Forgets all routes to a topic index; how many. Looks at the whole cache."""

    def __len__(self) -> int: ...
    @property
    def capacity(self) -> int:
        """Routes it can hold."""

    @property
    def hits(self) -> int:
        """Lookups answered."""

    @property
    def misses(self) -> int:
        """Lookups not answered."""

@final
class HashRing:
    """Consistent hashing of the 4096 slots with bounded loads; exact, so equal on every node."""

    def __new__(cls, members: Sequence[tuple[str, int]]) -> HashRing:
        """Members as (id, weight 1 to 4096; 128 is an ordinary machine). Raises ValueError."""

    def placement(self, replicas: int, *, epsilon_permille: int) -> list[list[int]]:
        """Per slot the indexes of its members, the preferred leader first.

        No member holds more than ceil((1 + ε) × its fair share). Raises ValueError (replicas 1 to 7,
        ε up to 10,000 ‰). Runs without the interpreter lock.
        """

@final
class TopicTrie:
    """Topic patterns → subscriber ids (unsigned 64 bits)."""

    def __new__(cls) -> TopicTrie: ...
    def insert(self, items: Sequence[tuple[str, int]]) -> int:
        """Adds (pattern, id) pairs; how many were new. ValueError: nothing was added."""

    def remove(self, items: Sequence[tuple[str, int]]) -> int:
        """Takes (pattern, id) pairs away; how many were there."""

    def matches(self, topics: Sequence[str]) -> list[list[int]]:
        """Per topic the ascending ids whose patterns match; none for a name outside the grammar."""

    def __len__(self) -> int: ...
    @property
    def node_count(self) -> int:
        """Nodes in use, the root among them."""

def valid_pattern(pattern: str) -> bool:
    """Whether a pattern is within the grammar (api.md, Topics)."""

def pattern_matches(pattern: str, topic: str) -> bool:
    """Whether the pattern matches; False when either is outside the grammar."""
