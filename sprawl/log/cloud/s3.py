"""An object store behind the S3 API: the only file that imports minio, in the worker process only.

In and out: as ``objects.py``. Invariants: one call is tried again, after a pause with jitter, until
its deadline, and only for what may pass (connections, 429, 5xx, short bodies); every wait for the
network is bounded by ``STORE_IDLE_TIMEOUT_S`` and by what is left; a put whose ETag is not the MD5
of what was sent is read back before it is believed; each connection goes back to the pool; the keys
of the account stand in no error and no log line.

The client's own retries are off, because they know no deadline, and it writes and reads bodies
whole. So it is given a pool of ours, which sends in pieces, counts them against the bandwidth, adds
the header that its ``put_object`` cannot (``If-None-Match``; it may be unsigned) and reads answers
in pieces. It never uploads in parts: one object is one request.
"""

import contextlib
import email.utils
import hashlib
import http.client
import io
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from sprawl.clock import SECOND_NS, Clock
from sprawl.errors import (
    ObjectDamaged,
    ObjectExists,
    ObjectNotFound,
    SprawlError,
    StorageFull,
    StoreRefused,
    StoreUnreachable,
)
from sprawl.limits import (
    MIB,
    OBJECT_BYTES_MAX,
    OBJECTS_PAGE_MAX,
    STORE_ANSWER_BYTES_MAX,
    STORE_CONNECTIONS_MAX,
    STORE_IDLE_TIMEOUT_S,
    STORE_PIECE_BYTES,
    STORE_RETRY_S_MAX,
    STORE_RETRY_S_MIN,
)
from sprawl.log.cloud.objects import (
    Bytes,
    Deadline,
    ObjectInfo,
    Upload,
    require_key,
    require_size,
)
from sprawl.log.cloud.place import StorePlace

_log: Final = logging.getLogger("sprawl.log.cloud")
_T = TypeVar("_T")
_SOUND: Final = frozenset({200, 204, 206})
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_CODES: Final = frozenset({"SlowDown", "InternalError", "RequestTimeout", "IncompleteBody"})
_KEY_CODES: Final = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"})
_ABSENT_CODES: Final = frozenset({"NoSuchKey", "NoSuchObject", "NoSuchUpload", "NotFound"})
_EXISTS_CODES: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_FULL_CODES: Final = frozenset({"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded"})
_PART_BYTES: Final = max(OBJECT_BYTES_MAX, 5 * MIB)
_MESSAGE_CHARS_MAX: Final = 200


class Bandwidth:
    """At most ``bytes_per_s`` through all threads together; 0 means no bound."""

    def __init__(self, bytes_per_s: int, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._ns_per_byte = SECOND_NS / bytes_per_s if bytes_per_s else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at_ns = 0.0

    def take(self, byte_count: int) -> None:
        """Waits until this many more may go."""
        if not self._ns_per_byte:
            return
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            start_ns = max(self._free_at_ns, now_ns)
            self._free_at_ns = start_ns + byte_count * self._ns_per_byte
        if start_ns > now_ns:
            self._sleep((start_ns - now_ns) / SECOND_NS)


class _OutOfTime(Exception):
    """The deadline passed in the middle of an attempt."""


class _Short(Exception):
    """An answer had fewer bytes than it announced, or another range than was asked for."""


class _Attempt(threading.local):
    """What the pool has to know of the call of its thread."""

    deadline: Deadline
    is_new_only = False


class _Pool(urllib3.PoolManager):
    """The client's connections, with our bounds on each request."""

    def __init__(self, attempt: _Attempt, bandwidth: Bandwidth) -> None:
        super().__init__(
            num_pools=1,
            maxsize=STORE_CONNECTIONS_MAX,
            block=True,
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        )
        self._attempt = attempt
        self._bandwidth = bandwidth

    def urlopen(  # type: ignore[override] # the client calls it by these names only
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Any = None,
        preload_content: bool = True,
        **_: object,
    ) -> BaseHTTPResponse:
        """Sends one request; its answer is read here unless it is an object's."""
        deadline = self._attempt.deadline
        wait_s = min(STORE_IDLE_TIMEOUT_S, deadline.left_s)
        if wait_s == 0:
            raise _OutOfTime
        if method == "PUT" and self._attempt.is_new_only:
            headers["If-None-Match"] = "*"
        response = super().urlopen(
            method,
            url,
            body=self._pieces(body, deadline) if body else body,
            headers=headers,
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=wait_s, read=wait_s),
            pool_timeout=wait_s,
        )
        if response.status in _SOUND and not preload_content:
            return response
        with _released(response):
            data = b"" if method == "HEAD" else _read(response, deadline, STORE_ANSWER_BYTES_MAX)
        return HTTPResponse(
            body=io.BytesIO(data),
            headers=response.headers,
            status=response.status,
            reason=response.reason,
            request_method=method,
            enforce_content_length=False,
            decode_content=False,
        )

    def _pieces(self, body: bytes, deadline: Deadline) -> Iterator[bytes]:
        for at in range(0, len(body), STORE_PIECE_BYTES):
            if deadline.has_passed:
                raise _OutOfTime
            piece = body[at : at + STORE_PIECE_BYTES]
            self._bandwidth.take(len(piece))
            yield piece


class _Client(Minio):
    """The client without the empty ``delimiter=`` of its lists: not every server takes it as none."""

    def _url_open(  # type: ignore[override] # the client names all but two of them
        self, method: str, region: str, **parts: Any
    ) -> BaseHTTPResponse:
        # The function that signs and sends; a test with a server that minds keeps its name.
        query = parts.get("query_params")
        if query and query.get("delimiter") == "":
            parts["query_params"] = {k: v for k, v in query.items() if k != "delimiter"}
        return super()._url_open(method, region, **parts)


class S3Store:
    """A bucket; thread-safe. ``upload_bytes_per_s`` bounds puts of all threads (0: no bound)."""

    def __init__(
        self,
        place: StorePlace,
        *,
        clock: Clock,
        rng: random.Random,
        upload_bytes_per_s: int = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shown = f"{place.shown}/{place.bucket}"
        self._place = place
        self._bucket = place.bucket
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._attempt = _Attempt()
        self._pool = _Pool(self._attempt, Bandwidth(upload_bytes_per_s, clock, sleep))
        self._client = _Client(
            endpoint=place.host,
            access_key=place.access_key,
            secret_key=place.secret_key,
            region=place.region,
            secure=place.is_secure,
            http_client=self._pool,
        )

    def prepare(self, deadline: Deadline) -> None:
        """Lists the bucket (a head would not say why it is refused); makes it when it is missing."""

        def look() -> None:
            try:
                next(self._client.list_objects(bucket_name=self._bucket), None)
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
                try:
                    self._client.make_bucket(bucket_name=self._bucket, location=self._place.region)
                except S3Error as refusal:
                    # Another node made it in between.
                    if refusal.code != "BucketAlreadyOwnedByYou":
                        raise

        self._call("use the bucket", deadline, look)

    def put(
        self, key: str, data: Bytes, deadline: Deadline, *, create_only: bool = False
    ) -> ObjectInfo:
        """Puts with one request; reads back what another ETag than the MD5 was given for."""
        require_key(key)
        require_size(key, data)
        tries = 0

        def put() -> str:
            nonlocal tries
            tries += 1
            if create_only:
                self._require_absent(key)
            self._attempt.is_new_only = create_only
            try:
                answer = self._client.put_object(
                    bucket_name=self._bucket,
                    object_name=key,
                    data=io.BytesIO(data),
                    length=len(data),
                    part_size=_PART_BYTES,
                )
            finally:
                self._attempt.is_new_only = False
            return answer.etag or ""

        own_etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        try:
            etag = self._call(f"put {key}", deadline, put)
        except ObjectExists:
            # An attempt whose answer was lost may be what is there now.
            if tries == 1 or self.get(key, deadline) != data:
                raise
            return self.head(key, deadline)
        if etag != own_etag and self.get(key, deadline) != data:
            raise ObjectDamaged(
                f"the object store {self._shown} answered the put of {key} with ETag {etag!r} "
                f"and holds other bytes than were sent"
            )
        return ObjectInfo(key, len(data), etag, self._clock.now_ns())

    def get(
        self, key: str, deadline: Deadline, *, start: int = 0, length: int | None = None
    ) -> bytes:
        """Asks for the range; takes no answer that says or holds another."""
        require_key(key)
        assert start >= 0
        if length == 0:
            return b""

        def get() -> bytes:
            try:
                response = self._client.get_object(
                    bucket_name=self._bucket, object_name=key, offset=start, length=length or 0
                )
            except S3Error as error:
                if error.code == "InvalidRange":
                    return b""
                raise
            with _released(response):
                _require_range(response, start, length)
                bytes_max = OBJECT_BYTES_MAX if length is None else length
                return _read(response, deadline, bytes_max)

        return self._call(f"get {key}", deadline, get)

    def head(self, key: str, deadline: Deadline) -> ObjectInfo:
        """Asks for the object's head."""
        require_key(key)

        def head() -> ObjectInfo:
            found = self._client.stat_object(bucket_name=self._bucket, object_name=key)
            modified_ns = (
                int(found.last_modified.timestamp() * SECOND_NS) if found.last_modified else 0
            )
            return ObjectInfo(key, found.size or 0, found.etag or "", modified_ns)

        return self._call(f"head {key}", deadline, head)

    def page(
        self, prefix: str, deadline: Deadline, *, after: str = "", limit: int = OBJECTS_PAGE_MAX
    ) -> list[ObjectInfo]:
        """Lists one page."""
        assert 0 < limit <= OBJECTS_PAGE_MAX

        def ask() -> list[ObjectInfo]:
            found = self._client.list_objects(
                bucket_name=self._bucket,
                prefix=prefix or None,
                recursive=True,
                start_after=after or None,
            )
            return [
                ObjectInfo(
                    entry.object_name or "",
                    entry.size or 0,
                    (entry.etag or "").strip('"'),
                    int(entry.last_modified.timestamp() * SECOND_NS) if entry.last_modified else 0,
                )
                for entry in islice(found, limit)
            ]

        return self._call(f"list {prefix}", deadline, ask)

    def delete(self, key: str, deadline: Deadline) -> None:
        """Deletes; S3 itself does not say whether there was one."""
        require_key(key)

        def delete() -> None:
            self._client.remove_object(bucket_name=self._bucket, object_name=key)

        with contextlib.suppress(ObjectNotFound):
            self._call(f"delete {key}", deadline, delete)

    def uploads(self, prefix: str, deadline: Deadline) -> list[Upload]:
        """Unfinished uploads in parts, whoever began them."""

        def ask() -> list[Upload]:
            # The client has these calls for its own use only; its plain names are kept by a test.
            try:
                found = self._client._list_multipart_uploads(  # noqa: SLF001
                    self._bucket, prefix=prefix
                )
            except S3Error as error:
                if error.code == "NotImplemented":
                    return []
                raise
            return [
                Upload(
                    entry.object_name,
                    entry.upload_id or "",
                    int(entry.initiated_time.timestamp() * SECOND_NS)
                    if entry.initiated_time
                    else 0,
                )
                for entry in found.uploads
            ]

        return self._call("list unfinished uploads", deadline, ask)

    def abort(self, upload: Upload, deadline: Deadline) -> None:
        """Aborts one."""

        def abort() -> None:
            self._client._abort_multipart_upload(  # noqa: SLF001
                self._bucket, upload.key, upload.upload_id
            )

        with contextlib.suppress(ObjectNotFound):
            self._call("abort an upload", deadline, abort)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _require_absent(self, key: str) -> None:
        """Asks before a body is sent: a server that refuses early resets its answer away."""
        try:
            self._client.stat_object(bucket_name=self._bucket, object_name=key)
        except S3Error as error:
            if error.code in _ABSENT_CODES:
                return
            raise
        raise ObjectExists(f"object {key} is at {self._shown} already")

    def _call(self, what: str, deadline: Deadline, attempt: Callable[[], _T]) -> _T:
        """Tries until it worked, cannot work, or no time is left."""
        pause_s = STORE_RETRY_S_MIN
        why: SprawlError | None = None
        while True:
            if deadline.has_passed:
                raise why or StoreUnreachable(
                    f"the object store {self._shown} was not asked to {what}: no time is left"
                )
            self._attempt.deadline = deadline
            try:
                return attempt()
            except (MinioException, HTTPError, http.client.HTTPException, OSError) as error:
                why, may_pass = self._translated(what, error)
                if not may_pass:
                    raise why from error
                why.__cause__ = error
            except _Short as error:
                why = ObjectDamaged(f"the object store {self._shown} cannot {what}: {error}")
            except _OutOfTime:
                raise why or StoreUnreachable(
                    f"the object store {self._shown} took too long to {what}"
                ) from None
            _log.debug("tried again: %s", why.detail)
            self._sleep(min(deadline.left_s, pause_s * self._rng.uniform(0.5, 1)))
            pause_s = min(2 * pause_s, STORE_RETRY_S_MAX)

    def _translated(self, what: str, error: Exception) -> tuple[SprawlError, bool]:
        """The error of ours, and whether trying again may help."""
        here = f"the object store {self._shown}"
        if isinstance(error, S3Error):
            return self._refusal(what, here, error)
        if isinstance(error, InvalidResponseError):
            status = error._code  # noqa: SLF001 # it has no other name
        elif isinstance(error, ServerError):
            status = error.status_code
        else:
            return StoreUnreachable(f"{here} cannot be reached: {self._plain(error)}"), True
        if status == 412:
            return ObjectExists(f"{here} cannot {what}: it exists"), False
        if status == 404:
            return ObjectNotFound(f"{here} cannot {what}: there is none"), False
        if status == 507:
            return StorageFull(f"{here} cannot {what}: it is full"), False
        detail = f"{here} answered {status} without saying why: cannot {what}"
        if status in _PASSING:
            return StoreUnreachable(detail), True
        return StoreRefused(detail), False

    def _refusal(self, what: str, here: str, error: S3Error) -> tuple[SprawlError, bool]:
        code = error.code or ""
        status = error.response.status
        if code in _ABSENT_CODES:
            return ObjectNotFound(f"{here} cannot {what}: there is none"), False
        if code in _EXISTS_CODES or status == 412:
            return ObjectExists(f"{here} cannot {what}: it exists"), False
        if code == "NoSuchBucket":
            return StoreRefused(f"{here} is gone: it has no bucket {self._bucket}"), False
        if code in _KEY_CODES:
            detail = (
                f"{here} does not accept the keys ({code}): "
                f"look at MINIO_ACCESS_KEY and MINIO_SECRET_KEY"
            )
            return StoreRefused(detail), False
        if code in ("AccessDenied", "AllAccessDisabled"):
            return StoreRefused(f"{here} does not allow these keys to {what}"), False
        if code == "RequestTimeTooSkewed":
            return StoreRefused(f"{here} has another time: {self._skew(error)}"), False
        detail = f"{here} cannot {what}: {code} {self._scrubbed(error.message or '')}".rstrip()
        if code in _FULL_CODES:
            return StorageFull(detail), False
        if code in _PASSING_CODES or status in _PASSING:
            return StoreUnreachable(detail), True
        return StoreRefused(detail), False

    def _skew(self, error: S3Error) -> str:
        date = error.response.headers.get("Date", "")
        try:
            there_s = email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return "set the clock of one of the two"
        behind_s = there_s - self._clock.now_ns() / SECOND_NS
        side = "behind" if behind_s > 0 else "ahead"
        return f"the clock here is {abs(behind_s):.0f} s {side}; set the clock of one of the two"

    def _plain(self, error: Exception) -> str:
        """The last cause in one line: what a person can act on."""
        reason: BaseException | None = error
        if isinstance(error, MaxRetryError) and error.reason:
            reason = error.reason
        text = str(reason).rpartition(": ")[2] or type(reason).__name__
        return self._scrubbed(text)

    def _scrubbed(self, text: str) -> str:
        for secret in (self._place.secret_key, self._place.access_key):
            text = text.replace(secret, "***") if secret else text
        return " ".join(text.split())[:_MESSAGE_CHARS_MAX]


@contextlib.contextmanager
def _released(response: BaseHTTPResponse) -> Iterator[None]:
    """Gives the connection back when the body was read to its end, else closes it."""
    try:
        yield
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _read(response: BaseHTTPResponse, deadline: Deadline, bytes_max: int) -> bytes:
    """The whole body, which must have the length that was announced."""
    announced = response.headers.get("Content-Length", "")
    parts: list[bytes] = []
    count = 0
    while True:
        if deadline.has_passed:
            raise _OutOfTime
        piece = response.read1(STORE_PIECE_BYTES, decode_content=False)
        if not piece:
            break
        parts.append(piece)
        count += len(piece)
        if count > bytes_max:
            raise _Short(f"the answer has more than {bytes_max} bytes")
    if announced.isdecimal() and int(announced) != count:
        raise _Short(f"the answer ended after {count} of {announced} bytes")
    return b"".join(parts)


def _require_range(response: BaseHTTPResponse, start: int, length: int | None) -> None:
    """Raises for an answer that begins elsewhere than asked."""
    if start == 0 and length is None:
        return
    said = response.headers.get("Content-Range", "")
    if response.status != 206 or not said.startswith(f"bytes {start}-"):
        raise _Short(f"asked for bytes from {start}, got status {response.status} {said!r}")
