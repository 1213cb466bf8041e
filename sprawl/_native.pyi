"""Bindings of the Rust crate ``sprawl-core``; see the facades that own each type."""

import os
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, Self, TypeAlias, TypedDict, final

from sprawl.broker.engine import Stats, StoredMessage, TopicInfo, TopicSummary

__version__: str

# codec

# offset, timestamp_ms, key, value (None: null), headers, ttl_s, idempotency_key, content_type
_Record: TypeAlias = tuple[
    int,
    int,
    bytes | None,
    bytes | None,
    list[tuple[bytes, bytes]],
    int | None,
    str | None,
    str | None,
]

def encode_batch(
    records: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[bytes, bytes]] | None, int]],
    codec: int = 0,
    producer: tuple[int, int, int] | None = None,
) -> bytes:
    """One RecordBatch v2 of (key, value, headers, timestamp_ms), base offset and leader epoch 0.

    Headers named 0x01 (ttl, 4 bytes), 0x02 (idempotency key) and 0x03 (content type) are the
    reserved ones and are checked as such. Codecs: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; records
    that a reader would refuse to inflate, or that do not shrink, are written as they are.
    ``producer`` is (id, epoch, sequence of the first record). Raises SprawlError (``invalid_batch``,
    ``too_large``, ``unsupported_media_type``).
    """

def decode_batches(data: bytes) -> list[_Record]:
    """The records of whole batches back to back; checksums hold, inflated sizes are bounded.

    Raises SprawlError (``invalid_batch``, ``bad_checksum``, ``too_large``,
    ``unsupported_media_type``).
    """

def verify_batches(data: bytes) -> list[tuple[int, int, int | None, bool]]:
    """(length, records, smallest ttl in seconds, is compressed) of whole producers' batches.

    What passes here is appended by a node as it is. Raises SprawlError as ``decode_batches``.
    """

def encode_envelope(
    batch: bytes,
    *,
    slot: int,
    epoch: int,
    partition: int,
    sequence: int,
    topic_id: int,
    append_ns: int,
    expiry_ns: int = 0,
    records_count: int,
    kind: int = ...,
) -> bytes:
    """``batch`` behind its sealed envelope. Raises SprawlError for a kind or slot that is none."""

def decode_envelopes(
    data: bytes,
) -> tuple[list[tuple[int, int, int, int, int, int, int, int, int, bytes]], int]:
    """The whole envelopes at the start of ``data`` and the bytes they take; the rest is incomplete.

    Each is (kind, slot, epoch, partition, sequence, topic_id, append_ns, expiry_ns, records_count,
    batch). Raises SprawlError (``invalid_batch``) for bytes that can never become an envelope.
    """

def slot_of(name: str, partition: int) -> int:
    """The slot (0 to 4095) of a topic's partition; fixed for ever."""

def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition of a key among ``partitions`` (at least 1); fixed for ever."""

def topic_id_text(topic_id: int) -> str:
    """A topic id as 13 characters of lowercase base32."""

def topic_id_parse(text: str) -> int | None:
    """The id that ``topic_id_text`` wrote, or None."""

def check_topic(name: str) -> None:
    """Raises SprawlError (``invalid_topic``) unless a client may name a topic so."""

def message_id(topic_id: int, partition: int, number: int, is_delayed: bool = False) -> str:
    """``{topic id}-{partition}-{offset}``, or ``…-d{number}`` of a delayed message."""

def message_id_parse(text: str) -> tuple[int, int, int, bool]:
    """The arguments of ``message_id``. Raises SprawlError (``invalid_parameter``)."""

def cursor_encode(entries: Sequence[tuple[int, int, int, int]]) -> str:
    """The cursor over (topic_id, partition, epoch, next offset), at most 64, in any order.

    Raises SprawlError (``too_many_partitions``, ``invalid_cursor`` for a partition twice).
    """

def cursor_decode(text: str) -> list[tuple[int, int, int, int]]:
    """The entries by topic id and partition. Raises SprawlError (``invalid_cursor``)."""

# disk

# Read-only and contiguous. A view into LMDB's map is valid until its transaction ends: the caller
# keeps that from happening during a call, nothing is kept after it.
_Buffer: TypeAlias = bytes | memoryview | Slice
# base offset, position - the window's first, bytes of envelope and batch, records, append time
_PartitionEntry: TypeAlias = tuple[int, int, int, int, int]
# topic id, partition, base offset, records as a damaged envelope states them, all unverified
_Claim: TypeAlias = tuple[int, int, int, int]
_ScanEvent: TypeAlias = tuple[
    Literal["whole", "damaged", "hole", "value", "torn"], int, int, str, _Claim | None
]

# topic id, partition, offset, append time to begin at (0: at the offset), offset where memory begins
_Want: TypeAlias = tuple[int, int, int, int, int]

class _WindowHeader(TypedDict):
    first_lsn: int
    end_lsn: int
    batches: int
    records: int
    oldest_ns: int
    newest_ns: int
    bloom_bytes: int
    pieces: tuple[int, int, int, int]

def cut_log(lsn: int, parts: Sequence[_Buffer]) -> list[tuple[bytes, Slice]]:
    """Keys and values of the database ``log`` for the log from ``lsn`` on.

    ``parts`` are whole envelopes back to back, one at least, borders of parts anywhere. Values of
    one call share one allocation. Runs without the interpreter from 64 KiB on. Raises
    LogDamaged when the bytes are no whole envelopes: nothing may be written then.
    """

@final
class JournalFile:
    """The journal's file, open for writing, which needs a file that is there.

    What a call writes is synced when it returns; each runs without the interpreter. Raises OSError.
    """

    def __new__(cls, path: os.PathLike[str] | str) -> Self:
        """Opens a file that exists."""

    def write(self, at: int, data: _Buffer) -> None:
        """Writes bytes at a place of the file."""

    def append(self, at: int, salt: int, lsn: int, parts: Sequence[_Buffer]) -> None:
        """Writes the record that holds the log bytes of ``parts``, which begin at ``lsn``."""

def journal_begun(salt: int, data: _Buffer, at: int) -> int | None:
    """Position of the record at ``data[at:]``, whole or not; None when none of this salt is there."""

def journal_whole(salt: int, data: _Buffer, at: int) -> tuple[int, bytes] | None:
    """Position and log bytes of the record at ``data[at:]``; None when it is not whole."""

def check_log_value(key: _Buffer, value: _Buffer) -> int | None:
    """Position of the first envelope that begins in a value of ``log``; None when none does.

    The log bytes follow after 16 bytes; their envelopes are to be verified. Raises LogDamaged
    when version, length or position do not hold.
    """

def build_window(
    first_lsn: int,
    parts: Sequence[_Buffer],
    verify: bool,
    skip: Sequence[tuple[int, int]] = ...,
) -> tuple[_WindowHeader, list[tuple[bytes, Slice]]]:
    """The header of the window that begins at ``first_lsn`` and the keys and values of its block.

    ``parts`` are all bytes of the window, 1 to ``WINDOW_BYTES_MAX``, ending between envelopes.
    ``skip`` names ranges of positions, ascending, that ``LogScan`` found damaged: something must
    stand in their place (zeros for a hole) and is not read. ``verify`` checks envelopes and batches
    (bytes from disk). The pairs are in the order of their keys, the header's is the first. Runs
    without the interpreter from 64 KiB on. Raises LogDamaged when an envelope does not hold, or
    offsets of a partition or sequences of a slot do not ascend.
    """

def window_header(value: _Buffer) -> _WindowHeader:
    """The header in the value of a key (window, 0). Raises LogDamaged."""

def check_index_value(key: _Buffer, value: _Buffer) -> None:
    """Raises LogDamaged unless a value of ``index`` holds and lies under its own key."""

def bloom_place(topic_id: int, partition: int, bloom_bytes: int) -> tuple[int, int] | None:
    """(number of the value, byte after its head) of a partition's block in a Bloom filter.

    None for a filter of 0 bytes: the window has no batch.
    """

def bloom_admits(value: _Buffer, topic_id: int, partition: int, bloom_bytes: int) -> bool:
    """Whether a window may hold batches of a partition; False is certain.

    ``value`` is the one that ``bloom_place`` names. Raises LogDamaged.
    """

def find_entries(
    value: _Buffer, topic_id: int, partition: int, offset: int, bytes_max: int
) -> tuple[list[_PartitionEntry], bool]:
    """Batches of a partition from the one on that holds ``offset`` or follows it, one at least.

    ``value`` is the one with the greatest key <= (window, 1, topic id, partition, offset), or the
    first of section 1. They end before ``bytes_max`` bytes would be exceeded. The flag: the value
    ended first, so the next one may hold more (or the first). Raises LogDamaged.
    """

def find_entries_since(
    value: _Buffer, topic_id: int, partition: int, append_ns: int, bytes_max: int = 0
) -> tuple[list[_PartitionEntry], bool]:
    """As ``find_entries``, from the first batch on that was appended at ``append_ns`` or later.

    The first value to look into is that of (window, 1, topic id, partition, 0).
    """

def all_entries(value: _Buffer) -> list[tuple[int, int, int, int, int, int]]:
    """(topic id, partition, base offset, records, position - the window's first, bytes) of each.

    Raises LogDamaged.
    """

def last_entries(value: _Buffer) -> list[tuple[int, int, int, int, int, int]]:
    """(topic id, partition, slot, base offset, records, append time) of each partition's last batch.

    That of the value's last partition may be in the next value. Raises LogDamaged.
    """

def find_sequences(
    value: _Buffer, slot: int, sequence: int, count_max: int
) -> tuple[list[tuple[int, int, int]], bool]:
    """At most ``count_max`` (sequence, position - the window's first, epoch) of a slot.

    From ``sequence`` on; ``value`` and the flag as with ``find_entries`` in section 2.
    """

def last_sequences(value: _Buffer) -> list[tuple[int, int, int]]:
    """(slot, sequence, epoch) of the last batch of each slot; as ``last_entries``."""

def snapshot_entries(value: _Buffer) -> list[tuple[bytes, bytes | None]]:
    """Keys and last states (None: forgotten) in a value of section 4, by key.

    Raises LogDamaged.
    """

def snapshot_pack(states: Sequence[tuple[_Buffer, _Buffer | None]]) -> list[Slice]:
    """Values of section 4 with the last of each key's states, by key.

    Raises LogDamaged for a key above ``KEY_BYTES_MAX`` or empty, or a state above
    ``TOPIC_STATE_BYTES_MAX``.
    """

@final
class LogScan:
    """Reads the values of ``log`` in order and says what is whole.

    Events are (what, start, end, reason, claim) with half-open ranges of positions. ``whole``,
    ``damaged`` and the final ``torn`` tile the log: ``whole`` are verified envelopes and ends
    between two, ``damaged`` is to be fenced, ``torn`` is what follows the last whole envelope.
    ``hole`` (no value has these bytes) and ``value`` (one does not hold its form) say more about
    what the others cover. Envelopes after damage are found by lengths and by what later values say
    of their beginnings, never by searching inside batches.
    """

    def __new__(cls, first_lsn: int, verify_batches: bool = ...) -> LogScan:
        """A scan from ``first_lsn``, where an envelope begins.

        Checksums of envelopes, which cover their batches, always hold; ``verify_batches`` adds
        each batch's own, so that one that was damaged before it was stored is found too.
        """

    def feed(self, key: _Buffer, value: _Buffer) -> list[_ScanEvent]:
        """The next value. Raises nothing: all damage is events."""

    def finish(self) -> list[_ScanEvent]:
        """The log ends here. Call once."""

    @property
    def batches(self) -> int:
        """Whole envelopes so far."""

    @property
    def records(self) -> int:
        """Records that they state."""

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

    def __new__(cls, routes: int = ...) -> RouteCache:
        """Room for so many routes, ROUTES_COUNT_MAX unless given. ValueError above that."""

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

# engine

# Answer bytes; a step with its answers; True: answers wait for the disk; None: more must arrive.
_Step: TypeAlias = (
    bytes | tuple[bytes | None, int, Request | Reader | None, int] | Literal[True] | None
)

@final
class Engine:
    """One node's log and the state its HTTP edge shares; times are ns since the Unix epoch."""

    is_draining: bool
    """Write only: publishes are refused from now on."""

    levels: list[str]
    """The durability levels offered here, weakest first."""

    def __new__(
        cls,
        *,
        memory_bytes_max: int,
        chunk_bytes: int,
        dedup_keys_max: int,
        topics_max: int,
        seed: int,
        node_id: str,
        auto_create: bool = True,
        delete_grace_s: int = 86400,
        disk_lsn: int | None = None,
    ) -> Engine:
        """``disk_lsn``: there is a disk tier, whose log goes on at this position."""

    def connection(self, number: int, is_hot: bool) -> Connection:
        """A parser for a new connection; without ``is_hot`` every request is a cold one."""

    def reader(
        self, topic: str, query: bytes, form: str, last_event_id: str | None, now_ns: int
    ) -> Reader:
        """A reader of a topic or pattern; raises SprawlError for what the read may not be."""

    def is_dirty(self) -> bool:
        """Whether the tick must be ended."""

    def add_unsent(self, bytes: int) -> None:
        """Counts bytes of large answers that clients left lying, or, negative, took after all."""

    def end_tick(self, now_ns: int) -> tuple[list[int], list[int], bool]:
        """Seals everything appended: watched partitions that changed, topics that are new.

        What is for the disk becomes visible with ``synced``; the flag: there is something to take.
        """

    def mark(self) -> int:
        """What an answer for everything up to now waits for; 0 without a disk tier."""

    def take_commit(self, bytes_max: int) -> tuple[int, list[Slice], int, int] | None:
        """First position, bytes, end position and mark of the next ended ticks, one at least.

        None when there are none. For the committer's thread.
        """

    def synced(self, end_lsn: int, mark: int) -> list[int]:
        """What ``take_commit`` gave up to here is on disk: watched partitions that show more now."""

    def set_disk_full(self, is_full: bool) -> None:
        """Whether the disk takes nothing now: publishes at level disk are refused."""

    def window(self, bytes_min: int) -> tuple[int, list[Slice], int] | None:
        """First position, bytes and end position of what is synced and in no window.

        None when it is less than ``bytes_min`` bytes.
        """

    def window_sealed(self, end_lsn: int) -> None:
        """Memory may let go of what lies below ``end_lsn``."""

    def age_out(self, before_ns: int) -> None:
        """Lets go of chunks in which everything was appended before a time and is in a window."""

    def tail_lsn(self) -> int:
        """Where memory begins: everything below has left it, and counts as on disk alone."""

    def record_manifests(
        self, slot: int, records: Sequence[tuple[bytes, bytes | None]], now_ns: int
    ) -> int:
        """Appends records (key, value; None: forgotten) of ``$sys.manifest`` to a slot, as one batch.

        They are for the next commit whatever the disk's watermarks refuse; the log position after
        them is given. Keys are not 8 bytes long, those are of topics; a value has
        ``TOPIC_STATE_BYTES_MAX`` bytes at most. Raises InvalidRequest for these, for no record, for a
        batch above 1 MiB and without a disk tier.
        """

    def topics_for_segment(
        self, ids: Sequence[int]
    ) -> list[tuple[int, str | None, list[tuple[int, int]]]]:
        """Topics as ``build_segments`` takes them; name None: the id is not known, or forgotten."""

    def topic_states(self, ids: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Key and value of the present records in ``$sys.topics`` of those topics that are known."""

    def set_cold(self, is_on: bool) -> None:
        """Whether ``tiers`` name the cloud though it holds nothing yet."""

    def cold_value(self, value: _Buffer, oldest_ns: int) -> None:
        """What an index value names is in the cloud alone from now on. Raises LogDamaged.

        Its window lies below ``tail_lsn`` and is the oldest that is left; ``oldest_ns`` is the oldest
        append time of what stays on disk. No sum over the tiers changes.
        """

    def restore_cold(self, piece: _Buffer, end_lsn: int) -> None:
        """Takes up a manifest piece that a start found: after topics and lows, before batches.

        Pieces of a partition come in the order of their offsets; what was seen before, lies below
        the low offset or is of an unknown topic counts for nothing. ``end_lsn``: the log position
        below which all of it was. Raises LogDamaged.
        """

    def restore_topics(self, value: _Buffer) -> None:
        """Topics of one snapshot value; records of manifests in it are left out. Raises LogDamaged."""

    def restore_batches(self, first_lsn: int, value: _Buffer) -> None:
        """Batches of one index value in partition order. Raises LogDamaged."""

    def restore_sequences(self, value: _Buffer) -> None:
        """Slot sequences of one index value in slot order. Raises LogDamaged."""

    def finish_restore(
        self, unclean: Sequence[tuple[int, int]], damaged_lsns: Sequence[int]
    ) -> int | None:
        """Ends the reading of a start; the id of a topic that has batches and no record.

        ``unclean``: (end of the log, how often) of starts after a process without an orderly end;
        ``damaged_lsns``: where bytes ended that hold no whole batch.
        """

    def restore_topic(self, key: _Buffer, state: _Buffer) -> None:
        """A topic by its record in ``$sys.topics``. Raises LogDamaged."""

    def restore_low(self, topic_id: int, partition: int, low: int) -> None:
        """Nothing below this offset of a partition is retained."""

    def restore_sequence(self, slot: int, sequence: int) -> None:
        """The newest sequence of a slot that was cut away."""

    def overdue(
        self, count_max: int
    ) -> list[tuple[tuple[int, int], int, int, int, int, int, bool, int]]:
        """Partitions whose oldest below memory retention no longer covers; ``Overdue`` of retention.py.

        A call goes on where the one before it ended.
        """

    def retired(
        self, place: tuple[int, int], low: int, records: int, size: int, oldest_ns: int
    ) -> None:
        """Raises the low offset of (topic id, partition) over what lies on disk alone.

        Records and bytes are those of the batches below it, the time is that of what is above.
        """

    def retired_cold(
        self, place: tuple[int, int], low: int, records: int, size: int, oldest_ns: int
    ) -> None:
        """The same over what lies in the cloud alone: ``low`` is ``cold_end`` of ``overdue`` at most."""

    def is_cold(self, topic_id: int, partition: int) -> bool:
        """Whether the cloud alone has offsets of a partition that are not below its low one."""

    def discard_value(self, value: _Buffer, oldest_ns: int) -> None:
        """Raises low offsets over all batches of an index value. Raises LogDamaged."""

    def may_discard(self, value: _Buffer) -> bool:
        """Whether all batches of an index value are not needed, or may go for want of room."""

    def first_needed(
        self, value: _Buffer, start: int
    ) -> tuple[int, tuple[int, int, int], int, int] | None:
        """The first batch of an index value, from an index on, that offsets do not give up.

        Its index, (topic id, partition, end), position - the window's first, and length.
        """

    def is_needed(self, topic_id: int, partition: int, end: int) -> bool:
        """Whether a batch that ends there lies above the low offset of a known partition."""

    def is_known(self, topic_id: int) -> bool:
        """Whether a topic is not forgotten."""

    def last_expiry(self, bytes: _Buffer) -> int | None:
        """When the last record of an envelope is over; None for never. Raises LogDamaged."""

    def take_lows(self, count_max: int) -> list[tuple[int, int, int]]:
        """(topic id, partition, low offset) that rose since they were last taken."""

    def take_forgotten(self) -> list[int]:
        """Ids of topics that were forgotten since the last call."""

    def set_refuses(self, refuses: str) -> None:
        """Whose publishes the disk's bound refuses: ``none``, ``new`` (discard=new) or ``all``."""

    def sweep(self, now_ns: int) -> None:
        """Applies retention by age and forgets topics deleted long ago; once a second."""

    def watch(self, handle: int, waits: bool) -> None:
        """One more (or less) reader waits for a partition."""

    def publish_json(self, topic: str, line: bytes, now_ns: int) -> tuple[bytes, int]:
        """Publishes one message written as a line of NDJSON: a receipt or a problem, as JSON.

        The second member is the mark that a receipt waits for, 0 when it may be given at once.
        """

    def topic_put(
        self, name: str, config: dict[str, object]
    ) -> Literal["created", "updated", "same"]:
        """Creates or changes a topic; raises InvalidRequest, Conflict, RateLimited."""

    def topic_get(self, name: str) -> TopicInfo | None:
        """A topic with its partitions and configuration."""

    def topics_page(
        self, prefix: str, after: int, limit: int
    ) -> tuple[list[TopicSummary], int | None]:
        """Topics in the order of creation behind position ``after``; a page may be short."""

    def topic_delete(self, name: str, now_ns: int) -> bool:
        """Hides a topic; False when there is none."""

    def topic_undelete(self, name: str) -> bool:
        """Brings the newest deleted topic of this name back; False when it cannot."""

    def message(
        self, topic_id: str, partition: int, offset: int, page: Page | None = None
    ) -> StoredMessage | _Want | None:
        """One message, or what to read from disk for it and to give as ``page``.

        None when there is no such message; raises Expired when it is no longer retained.
        """

    def message_by_key(self, key: str) -> tuple[str, int, int] | None:
        """Topic id, partition and offset stored under an idempotency key, while it is known."""

    def stats(self) -> Stats:
        """Counters and gauges."""

@final
class Connection:
    """One connection's parser; steps are those of ``sprawl/_hot/protocol.pyx``."""

    held: int
    inside: int
    def receive(self, data: bytes, now_ns: int) -> _Step:
        """Takes what the socket gave: answers, and what the event loop has to do."""

    def release(self, now_ns: int) -> _Step:
        """Gives the answers that waited for the disk and may leave now; goes on parsing."""

    def resume(self, now_ns: int) -> _Step:
        """Goes on with the next request after an answer of the event loop."""

    def time_out(self, now_ns: int) -> bytes | None:
        """Ends a connection whose request did not arrive in time, with a 408."""

    def give_up(self, now_ns: int) -> bytes | None:
        """Ends a connection whose answers wait too long for the disk: a 504, outcome unknown."""

    def forget(self) -> None:
        """Gives back what a closed connection held."""

    def take_rest(self) -> bytes:
        """Bytes after a request that upgraded the connection."""

@final
class Request:
    """A complete, limited and de-chunked request; header names in lower case."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    http_version: str
    keep_alive: bool

@final
class Reader:
    """A cursor over the log in one form; what it gives can be written as it is."""

    cursor: str
    ended: bool
    ending: bytes | None
    handles: list[int]
    heartbeat: bytes | None
    awaits_topics: bool
    keep_alive: bool
    messages: int
    more: bool
    want: _Want | None
    """What it needs from disk before the next pull has something to give."""

    def feed(self, page: Page) -> None:
        """Takes the page that was read for ``want``."""

    def pull(self, bytes_max: int, messages_max: int, now_ns: int) -> bytes | None:
        """What follows the cursor, at least one message when there is one."""

    def stream(self, bytes_max: int, now_ns: int) -> bytes | tuple[bytes, Slice, bytes] | None:
        """The next bytes of an HTTP stream, framed; parts are written one after another."""

    def answer(self, now_ns: int, is_due: bool) -> bytes | None:
        """The whole answer of a plain read, or ``None`` while it finds nothing and is not due.

        Then ``more`` says whether there is more to look at, or the read waits for a publish.
        """

    def refuse(self, now_ns: int) -> bytes:
        """The answer 503 to a plain read, for a colder tier that cannot be read now."""

    def adopt(self, topics: list[int]) -> bool:
        """Takes new topics of a pattern in; raises InvalidRequest above 64 partitions."""

@final
class Page:
    """Verified batches of one partition that were read from disk or from the cloud."""

    end: int
    """Offset after what the page covers."""

    is_cold: bool
    """Whether it came from the cloud."""

    def __new__(
        cls,
        want: _Want,
        end: int,
        parts: Sequence[bytes],
        gaps: Sequence[tuple[int, int]],
        *,
        is_cold: bool = False,
    ) -> Page:
        """A page over ``[want's offset, end)`` from whole envelopes with their batches, in order.

        ``gaps`` are the offsets that are damaged. Raises ValueError for bytes that do not hold or
        are of another partition. Runs without the interpreter.
        """

@final
class Slice:
    """A read-only buffer over bytes of the memory ring; keeps them alive."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...

_Cover: TypeAlias = tuple[int, int, int, int]
_PartitionRange: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int]

def build_segments(
    parts: Sequence[_Buffer], topics: Sequence[tuple[int, str | None, Sequence[tuple[int, int]]]]
) -> tuple[list[_Cover], list[tuple[bytes, bytes]]]:
    """The segments of a window: what it covers, and (manifest, Parquet file) of each.

    ``parts`` are whole envelopes in the order of the log, cut anywhere; each is verified. ``topics``
    name all topics in them: id, name (None: gone for good, left out), lifetimes of its records as
    (from which append time in ns, seconds), ascending. A cover is (slot, highest epoch, first slot
    sequence, last slot sequence), both ends included; it holds once all segments are durable. The
    same input gives the same bytes and keys. Runs without the interpreter from 64 KiB on. Raises
    LogDamaged when an envelope does not hold, a topic is not named or offsets do not ascend.
    """

@final
class SegmentManifest:
    """What is said of one segment; the bytes are those of ``build_segments`` or a piece of ``slots``.

    Raises LogDamaged when version, length or checksum do not hold.
    """

    key: str
    size: int
    sha256: bytes
    footer_at: int
    records: int
    oldest_ns: int
    newest_ns: int
    # (first byte, bytes, XXH3-64) of each row group, then of the footer, ascending
    checksums: list[tuple[int, int, int]]
    part: tuple[int, int]
    covers: list[_Cover]
    partitions: list[_PartitionRange]
    def __new__(cls, data: _Buffer) -> SegmentManifest: ...
    def partition(self, topic_id: int, partition: int) -> _PartitionRange | None:
        """The range of a partition.

        (topic id, partition, slot, first offset, last offset, records, oldest ns, newest ns, bytes of
        the log that it was made of, when the last of its records is over in ns, 0: never).
        """

    def slots(self, bytes_max: int) -> list[tuple[int, list[bytes]]]:
        """For each slot of ``covers`` what concerns it, as manifests of at most ``bytes_max`` bytes.

        Split by partitions, a partition that is too large alone by row groups; the offsets of the
        pieces ascend. None for a slot that has no partition here. Runs without the interpreter.
        Raises LogDamaged when ``bytes_max`` is too small for any piece.
        """

    def locate(
        self,
        topic_id: int,
        partition: int,
        offset: int,
        since_ns: int,
        rows_max: int,
        bytes_max: int,
    ) -> tuple[int, int] | None:
        """(first byte, bytes) of the one range of the file to fetch for a read.

        It begins with the row group that holds ``offset`` or what follows it (``since_ns`` not 0:
        what was appended from then on) and goes on until about ``rows_max`` records or ``bytes_max``
        bytes, one row group at least. None: the segment holds nothing there.
        """

    def page(
        self,
        footer: _Buffer,
        at: int,
        data: _Buffer,
        topic_id: int,
        partition: int,
        offset: int,
        since_ns: int,
        bytes_max: int,
    ) -> tuple[bytes, int] | None:
        """Envelopes of a partition from ``offset`` on, and the offset after what was looked at.

        ``footer`` is the file from ``footer_at`` on, ``data`` the file from ``at`` on: what
        ``locate`` named. Ends after ``bytes_max`` bytes of envelopes, one batch at least. Between
        ``offset`` and the returned offset the segment has no other record of the partition. Runs
        without the interpreter. Raises LogDamaged when the bytes are not those of the manifest.
        """
