"""What the use cases need of the compiled engine, as Protocols.

In: nothing. Out: ``Engine`` and ``Reader``, with the shapes of what they take and give. Invariants:
every method is synchronous and returns within a millisecond; times are integer nanoseconds since
the Unix epoch; what a method refuses it raises as a class of ``sprawl.errors``. The compiled class
is ``sprawl._native.Engine``, bound directly: its methods are called without a wrapper; tests use a
slow twin.
"""

from collections.abc import Sequence
from typing import Literal, NotRequired, Protocol, TypedDict

from sprawl._native import Page
from sprawl.log.reads import Want


class TierHeld(TypedDict):
    """What one tier holds of a topic or partition; every message counts in one tier."""

    records: int
    bytes: int
    oldest_ns: int | None
    newest_ns: int | None


class TiersHeld(TypedDict):
    """By tier; ``disk`` is there with a disk tier, ``cloud`` with a cloud tier.

    They count what is there alone: what memory has let go of, what the disk has let go of.
    """

    memory: TierHeld
    disk: NotRequired[TierHeld]
    cloud: NotRequired[TierHeld]


class PartitionInfo(TypedDict):
    """One partition of a topic; offsets are half-open, ``[low_offset, high_offset)``.

    ``bytes`` are those of the batches held, in all tiers; the times are ``None`` when it is empty.
    """

    partition: int
    slot: int
    epoch: int
    low_offset: int
    high_offset: int
    records: int
    bytes: int
    oldest_ns: int | None
    newest_ns: int | None
    tiers: TiersHeld


class TopicInfo(TypedDict):
    """A topic with its partitions and its whole configuration (every member present)."""

    name: str
    topic_id: str
    config: dict[str, object]
    partitions: list[PartitionInfo]
    created_ns: int


class TopicSummary(TypedDict):
    """A topic in a list: sums over its partitions; ``partitions`` is their count."""

    name: str
    topic_id: str
    partitions: int
    records: int
    bytes: int
    oldest_ns: int | None
    newest_ns: int | None
    created_ns: int
    tiers: TiersHeld


class StoredMessage(TypedDict):
    """One record as stored."""

    topic: str
    payload: bytes
    key: str | bytes | None
    headers: list[tuple[str | bytes, str | bytes]]
    content_type: str | None
    timestamp_ms: int
    ttl_s: int | None
    append_ns: int


class Stats(TypedDict):
    """A consistent reading of the node's own figures; the histograms are those of the listeners.

    ``histograms`` holds one list per stage (``metrics.registry.STAGES``): entry *i* counts the
    durations *d* in nanoseconds with ``2**(i-1) <= d < 2**i`` (entry 0: zero), the last entry also
    everything above. ``sums_ns`` holds the sum of all durations of a stage.
    """

    counters: dict[str, int]
    gauges: dict[str, int]
    histograms: NotRequired[dict[str, list[int]]]
    sums_ns: NotRequired[dict[str, int]]


class Reader(Protocol):
    """A cursor with a form: gives out what lies behind it, ready to be written.

    ``messages`` is the count in the last ``pull``, ``more`` whether further messages are there
    already, ``ended`` whether none will ever follow (a topic that is gone, a limit that is
    reached), ``cursor`` the position behind what was pulled.
    """

    @property
    def messages(self) -> int:
        """Messages in the last pull."""

    @property
    def more(self) -> bool:
        """Whether more is there already."""

    @property
    def ended(self) -> bool:
        """Whether nothing will follow what is there."""

    @property
    def cursor(self) -> str:
        """The position behind what was pulled."""

    def pull(self, bytes_max: int, messages_max: int, now_ns: int) -> bytes | None:
        """The next messages in the reader's form, ``None`` when there are none.

        At most ``messages_max`` messages and ``bytes_max`` bytes, but always at least one message,
        so that a large one cannot block its reader.
        """


class Engine(Protocol):
    """The log and its topics."""

    @property
    def levels(self) -> Sequence[str]:
        """The durability levels that this node offers, weakest first."""

    def mark(self) -> int:
        """What an answer for everything up to now waits for; 0 without a disk tier."""

    def topic_put(
        self, name: str, config: dict[str, object]
    ) -> Literal["created", "updated", "same"]:
        """Creates or changes a topic: ``created``, ``updated`` or ``same``.

        Members as in ``PUT /v1/topics/{topic}``, 0 for *no bound*; absent ones keep the topic's
        value, or get a new topic's default.
        Raises InvalidRequest, Conflict (a change that cannot be applied), RateLimited.
        """

    def topic_get(self, name: str) -> TopicInfo | None:
        """The topic, ``None`` when there is none of this name."""

    def topics_page(
        self, prefix: str, after: int, limit: int
    ) -> tuple[list[TopicSummary], int | None]:
        """Topics in the order of their creation behind position ``after`` (0: from the start)."""

    def topic_delete(self, name: str, now_ns: int) -> bool:
        """Deletes the topic (it can be brought back within its grace); False when unknown."""

    def topic_undelete(self, name: str) -> bool:
        """Brings a deleted topic back; False when there is nothing to bring back."""

    def message(
        self, topic_id: str, partition: int, offset: int, page: Page | None = None
    ) -> StoredMessage | Want | None:
        """One message, ``None`` when unknown; raises Expired when it is gone by age.

        A ``Want`` when memory let go of it: the page that is read for it is to be given with the
        same question.
        """

    def message_by_key(self, key: str) -> tuple[str, int, int] | None:
        """Topic id, partition and offset of what was published with this idempotency key.

        While the window holds it, else ``None``.
        """

    def reader(
        self, topic: str, query: bytes, form: str, last_event_id: str | None, now_ns: int
    ) -> Reader:
        """A reader over a topic or pattern; ``query`` as in a URL (``from=latest&partition=0``).

        ``form``: ``ws-json`` and ``ws-binary`` (unmasked WebSocket frames, one message each),
        ``ndjson`` (a message a line). Raises InvalidRequest, NotFound, Expired.
        """

    def publish_json(self, topic: str, line: bytes, now_ns: int) -> tuple[bytes, int]:
        """Publishes one NDJSON publish object; the result is a receipt or a problem, as JSON.

        With it the mark that has to be synced before the receipt is true, 0 when it is already.
        """

    def stats(self) -> Stats:
        """The engine's counters, gauges and histograms."""
