"""Errors as records: one registry of codes, one tree of exceptions.

In: nothing. Out: ``REGISTRY`` (code → record) and the classes rooted at ``SprawlError``.
Invariants: a code never changes its meaning; codes that compiled code can answer equal
``native/core/src/problem.rs`` (a test parses that file). Cores raise these and know no HTTP; the
edges write ``problem`` out. Source: RFC 9457.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Literal

Outcome = Literal["none", "unknown"]


@dataclass(frozen=True, slots=True)
class Record:
    """What is fixed about one code.

    ``status`` is the HTTP status it is answered with (0: it never leaves the process that raised
    it). ``retryable``: the same request may succeed later. ``outcome``: ``none`` means certainly
    not stored, ``unknown`` that it may have been.
    """

    code: str
    status: int
    retryable: bool
    title: str
    outcome: Outcome = "none"


_RECORDS: Final = (
    # Answered by compiled code, too.
    Record("bad_request", 400, False, "Malformed HTTP request"),
    Record("bad_json", 400, False, "Malformed JSON"),
    Record("invalid_member", 400, False, "Invalid member"),
    Record("missing_member", 400, False, "Missing member"),
    Record("invalid_parameter", 400, False, "Invalid parameter"),
    Record("invalid_header", 400, False, "Invalid header"),
    Record("invalid_topic", 400, False, "Invalid topic name"),
    Record("invalid_cursor", 400, False, "Invalid cursor"),
    Record("invalid_batch", 400, False, "Invalid record batch"),
    Record("bad_checksum", 400, False, "Wrong checksum"),
    Record("too_many_partitions", 400, False, "Too many partitions"),
    Record("foreign_origin", 403, False, "Foreign origin"),
    Record("topic_not_found", 404, False, "Topic not found"),
    Record("not_found", 404, False, "Not found"),
    Record("method_not_allowed", 405, False, "Method not allowed"),
    Record("request_timeout", 408, True, "Request timeout"),
    Record("idempotency_conflict", 409, False, "Idempotency key reused"),
    Record("sequence_gap", 409, False, "Sequence gap"),
    Record("sequence_too_old", 409, False, "Sequence too old"),
    Record("producer_fenced", 409, False, "Producer fenced"),
    Record("offset_expired", 410, False, "Offset expired"),
    Record("expectation_failed", 412, False, "Precondition failed"),
    Record("too_large", 413, False, "Too large"),
    Record("unsupported_media_type", 415, False, "Unsupported media type"),
    Record("offset_out_of_range", 416, False, "Offset out of range"),
    Record("durability_unavailable", 422, False, "Durability unavailable"),
    Record("too_many_requests", 429, True, "Too many requests"),
    Record("head_too_large", 431, False, "Request head too large"),
    Record("not_available", 501, False, "Not available in this version"),
    Record("busy", 503, True, "Server is too busy"),
    Record("disk_behind", 503, True, "Disk behind"),
    Record("draining", 503, True, "Draining"),
    Record("storage_full", 507, True, "Storage full"),
    # Answered by the cold paths only.
    Record("missing_field", 400, False, "Missing field"),
    Record("invalid_config", 400, False, "Invalid configuration"),
    Record("unauthenticated", 401, False, "Not authenticated"),
    Record("forbidden", 403, False, "Forbidden"),
    Record("message_not_found", 404, False, "Message not found"),
    Record("subscription_not_found", 404, False, "Subscription not found"),
    Record("group_not_found", 404, False, "Consumer group not found"),
    Record("offset_not_found", 404, False, "Committed offset not found"),
    Record("not_acceptable", 406, False, "Not acceptable"),
    Record("topic_conflict", 409, False, "Topic configuration conflict"),
    Record("subscription_conflict", 409, False, "Subscription configuration conflict"),
    Record("stale_generation", 409, False, "Stale generation"),
    Record("operation_in_progress", 409, False, "Operation already in progress"),
    Record("not_enough_points", 409, True, "Not enough points"),
    Record("message_expired", 410, False, "Message expired"),
    Record("length_required", 411, False, "Length required"),
    Record("unavailable", 503, True, "Unavailable"),
    Record("starting", 503, True, "Starting"),
    Record("internal_error", 500, True, "Internal error", "unknown"),
    Record("publish_timeout", 504, True, "Request timed out", "unknown"),
    # Met by the client library; nothing was answered.
    Record("connection_failed", 0, True, "Connection failed"),
    Record("connection_lost", 0, True, "Connection lost", "unknown"),
    Record("timeout", 0, True, "Timed out", "unknown"),
    Record("bad_answer", 0, False, "Answer not understood", "unknown"),
    Record("queue_full", 0, True, "Producer queue full"),
    Record("closed", 0, False, "Closed"),
    # Met before the node serves; shown on the command line.
    Record("invalid_setting", 0, False, "Invalid setting"),
    Record("unknown_setting", 0, False, "Unknown setting"),
    Record("not_in_version", 0, False, "Not in this version"),
    Record("port_in_use", 0, True, "Port in use"),
    Record("directory_locked", 0, True, "Data directory locked"),
    Record("directory_unreadable", 0, False, "Data directory unreadable"),
    Record("task_failed", 0, False, "Background task failed"),
    # Met below the edges, by the disk tier.
    Record("disk_failed", 0, False, "Disk failed", "unknown"),
    Record("log_damaged", 0, False, "Log damaged"),
    # Met below the edges, by the cloud tier and the worker process.
    Record("object_not_found", 0, False, "Object not found"),
    Record("object_exists", 0, False, "Object exists"),
    Record("object_damaged", 0, True, "Object damaged"),
    Record("store_refused", 0, False, "Object store refused"),
    Record("store_unreachable", 0, True, "Object store unreachable", "unknown"),
    Record("worker_lost", 0, True, "Worker process lost", "unknown"),
)

REGISTRY: Final[Mapping[str, Record]] = MappingProxyType({r.code: r for r in _RECORDS})
"""Every code, in the order of their statuses by group."""


class SprawlError(Exception):
    """The root of every error this package raises on purpose.

    ``detail`` is one sentence for people: the thing, the bound, the value, what to do. ``location``
    is a JSON pointer to the member at fault, or empty. ``retry_after_s`` is set when the answer
    should carry ``Retry-After``; ``members`` are further problem members (for example the current
    offset of a failed expectation).
    """

    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        location: str = "",
        retry_after_s: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.record: Final = REGISTRY[code or self.default_code]
        self.detail: Final = detail
        self.location: Final = location
        self.retry_after_s: Final = retry_after_s
        self.members: Final[Mapping[str, object]] = members or {}

    @property
    def code(self) -> str:
        """The stable code, a key of ``REGISTRY``."""
        return self.record.code

    @property
    def status(self) -> int:
        """The HTTP status, 0 for an error that is never an answer."""
        return self.record.status

    @property
    def title(self) -> str:
        """A short summary that does not change from case to case."""
        return self.record.title

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.record.retryable

    @property
    def outcome(self) -> Outcome:
        """``none``: certainly not stored; ``unknown``: it may have been."""
        return self.record.outcome

    @property
    def problem(self) -> dict[str, object]:
        """The members of the RFC 9457 answer, in the order they are written."""
        members: dict[str, object] = {
            "type": f"urn:sprawl:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            "outcome": self.outcome,
        }
        if self.location:
            members["location"] = self.location
        if self.retry_after_s is not None:
            members["retry_after_s"] = self.retry_after_s
        members.update(self.members)
        return members

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps code, location and members when the error crosses a process border."""
        return (
            _rebuild,
            (type(self), self.detail, self.code, self.location, self.retry_after_s, self.members),
        )


class InvalidRequest(SprawlError):
    """The request can never succeed as it is (400, 405, 406, 411, 415, 416, 422, 431)."""

    default_code = "bad_request"


class NotAllowed(SprawlError):
    """The caller is not known or may not do this (401, 403)."""

    default_code = "forbidden"


class NotFound(SprawlError):
    """The named thing does not exist (404)."""

    default_code = "not_found"


class Conflict(SprawlError):
    """The request contradicts what is there (409)."""

    default_code = "topic_conflict"


class Expired(SprawlError):
    """The thing existed and is gone by age or retention (410)."""

    default_code = "offset_expired"


class PreconditionFailed(SprawlError):
    """``If-Match`` or ``If-None-Match`` did not hold (412)."""

    default_code = "expectation_failed"


class TooLarge(SprawlError):
    """Something is above its bound (413)."""

    default_code = "too_large"


class RateLimited(SprawlError):
    """A quota or a table is at its bound (429)."""

    default_code = "too_many_requests"


class NotAvailable(SprawlError):
    """This version does not have it yet (501)."""

    default_code = "not_available"


class Unavailable(SprawlError):
    """The node cannot serve now; certainly not stored (503)."""

    default_code = "unavailable"


class StorageFull(SprawlError):
    """A tier is full of what may not be dropped (507)."""

    default_code = "storage_full"


class DiskFull(StorageFull):
    """The file system or the map has no room; reads go on, nothing of the write was stored."""


class DiskFailed(SprawlError):
    """A read, write or sync failed: what of it reached the disk is unknown, so the node stops."""

    default_code = "disk_failed"


class LogDamaged(SprawlError):
    """Bytes of the log are missing or not what was written; ``members`` name the positions."""

    default_code = "log_damaged"


class ObjectNotFound(SprawlError):
    """The object store has no object of this key."""

    default_code = "object_not_found"


class ObjectExists(SprawlError):
    """An object of this key was there before, and the caller asked to make a new one."""

    default_code = "object_exists"


class ObjectDamaged(SprawlError):
    """What the object store holds or gave is not what was stored."""

    default_code = "object_damaged"


class StoreRefused(SprawlError):
    """The object store says no: keys, rights, clocks, names. A person has to change something."""

    default_code = "store_refused"


class StoreUnreachable(SprawlError):
    """The object store gave no sound answer in time; a write may have happened."""

    default_code = "store_unreachable"


class WorkerLost(SprawlError):
    """The worker process ended before it answered; what it was asked may have happened."""

    default_code = "worker_lost"


class InternalError(SprawlError):
    """A defect of this program (500)."""

    default_code = "internal_error"


class ConnectionFailed(SprawlError):
    """The client could not reach a node, or lost it."""

    default_code = "connection_failed"


class Timeout(SprawlError):
    """No answer in time; it may have been stored (408 is answered before anything is)."""

    default_code = "timeout"


class BadAnswer(SprawlError):
    """A node answered something that is not this protocol."""

    default_code = "bad_answer"


class QueueFull(SprawlError):
    """A bounded queue of the client is full; nothing was sent."""

    default_code = "queue_full"


class Closed(SprawlError):
    """The object was closed before the call."""

    default_code = "closed"


class SettingsError(SprawlError):
    """A flag, variable or file member is refused; the process ends with status 2."""

    default_code = "invalid_setting"


class StartError(SprawlError):
    """The node cannot have what it needs to start; the process ends with status 1."""

    default_code = "port_in_use"


class TaskFailed(SprawlError):
    """A background task ended with an error, so the node stops."""

    default_code = "task_failed"


_BY_STATUS: Final[Mapping[int, type[SprawlError]]] = {
    400: InvalidRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    405: InvalidRequest,
    406: InvalidRequest,
    408: Timeout,
    409: Conflict,
    410: Expired,
    411: InvalidRequest,
    412: PreconditionFailed,
    413: TooLarge,
    415: InvalidRequest,
    416: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    431: InvalidRequest,
    500: InternalError,
    501: NotAvailable,
    503: Unavailable,
    504: Timeout,
    507: StorageFull,
}

_BY_CODE: Final[Mapping[str, type[SprawlError]]] = {
    "connection_failed": ConnectionFailed,
    "connection_lost": ConnectionFailed,
    "timeout": Timeout,
    "bad_answer": BadAnswer,
    "queue_full": QueueFull,
    "closed": Closed,
    "invalid_setting": SettingsError,
    "unknown_setting": SettingsError,
    "not_in_version": SettingsError,
    "port_in_use": StartError,
    "directory_locked": StartError,
    "directory_unreadable": StartError,
    "task_failed": TaskFailed,
    "disk_failed": DiskFailed,
    "log_damaged": LogDamaged,
    "object_not_found": ObjectNotFound,
    "object_exists": ObjectExists,
    "object_damaged": ObjectDamaged,
    "store_refused": StoreRefused,
    "store_unreachable": StoreUnreachable,
    "worker_lost": WorkerLost,
}


def class_of(code: str) -> type[SprawlError]:
    """The class that carries ``code``; KeyError when the code is not registered."""
    record = REGISTRY[code]
    return _BY_CODE.get(code) or _BY_STATUS[record.status]


def error_for(
    code: str,
    detail: str,
    location: str = "",
    *,
    retry_after_s: int | None = None,
    members: Mapping[str, object] | None = None,
) -> SprawlError:
    """The error for ``code`` as an instance of its class; KeyError when it is not registered."""
    kind = class_of(code)
    return kind(detail, code=code, location=location, retry_after_s=retry_after_s, members=members)


def _rebuild(
    kind: type[SprawlError],
    detail: str,
    code: str,
    location: str,
    retry_after_s: int | None,
    members: Mapping[str, object],
) -> SprawlError:
    return kind(
        detail, code=code, location=location, retry_after_s=retry_after_s, members=dict(members)
    )
