"""The client's collecting of messages into batches: what runs once per published message."""

from collections.abc import Callable, Generator, Mapping
from typing import Generic, TypeAlias, TypeVar

from typing_extensions import disjoint_base

from sprawl.client.message import Receipt
from sprawl.errors import SprawlError

_Extra: TypeAlias = list[tuple[bytes, bytes]]
_Record: TypeAlias = tuple[bytes | None, bytes | None, _Extra | None, int]

@disjoint_base
class Collected:
    """What a batch collects."""

    bytes_count: int
    open_count: int
    records: list[_Record]
    def __init__(self, topic: str, timestamp_ms: int) -> None: ...
    @property
    def topic(self) -> str: ...
    @property
    def timestamp_ms(self) -> int: ...

_B = TypeVar("_B", bound=Collected)

@disjoint_base
class Delivery:
    """The future of one published message: await it for the receipt."""

    def __init__(self, batch: Collected, index: int) -> None: ...
    def __await__(self) -> Generator[object, None, Receipt]: ...
    def done(self) -> bool: ...
    def exception(self) -> SprawlError | None: ...
    def result(self) -> Receipt: ...
    def add_done_callback(self, callback: Callable[[Delivery], object]) -> None: ...

@disjoint_base
class Collector(Generic[_B]):
    """Collects messages; the subclass begins, ends and sends batches."""

    open: dict[str, _B]
    room: int
    def __init__(
        self,
        *,
        room: int,
        batch_bytes_max: int,
        batch_records_max: int,
        record_overhead_bytes: int,
    ) -> None: ...
    @property
    def batch_bytes_max(self) -> int: ...
    @property
    def batch_records_max(self) -> int: ...
    @property
    def record_overhead_bytes(self) -> int: ...
    def publish_nowait(
        self,
        topic: str,
        data: bytes,
        *,
        key: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        content_type: str | None = None,
        ttl_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> Delivery:
        """Takes one message and returns at once; nothing is sent yet."""
