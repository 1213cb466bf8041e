"""The log's LMDB environment: the only file that imports lmdb.

In: pieces of the log under their positions, pieces of index blocks under their keys, named states.
Out: the same bytes; ``LogDamaged`` where they are not what was written. Invariants: one transaction
per ``put_commit``, synced when it returns; a read transaction ends with the call that opened it; one
environment per data file and process. Raises ``StartError`` (opening), ``DiskFull`` (no room:
nothing was stored, reads go on, the same write may be tried again), ``DiskFailed`` (the node must
stop), ``LogDamaged``. All calls may block: they belong on the committer's thread (writes) or on a
pool's (reads), never on the loop; lmdb releases the interpreter lock for every page it touches.
Source: docs/design/disk.md; hazards of LMDB in docs/guarantees.md.

The environment reads ahead: values are 64 KiB and lie in one piece, and without it every 4 KiB of
them would be a fault of its own.
"""

import contextlib
import errno
import os
import resource
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import lmdb

from sprawl._native import Slice
from sprawl.clock import Clock
from sprawl.errors import (
    Closed,
    DiskFailed,
    DiskFull,
    LogDamaged,
    SprawlError,
    StartError,
    Unavailable,
)
from sprawl.limits import (
    DISK_VALUE_BYTES_MAX,
    INDEX_STRETCH_COUNT,
    LOG_DELETES_MAX,
    LOG_MAP_BYTES_MIN,
    LOG_READ_BYTES_MAX,
    LOG_READERS_MAX,
    LOG_REOPEN_TIMEOUT_S,
    LOG_STRETCH_BYTES,
    MIB,
)
from sprawl.log import datafile
from sprawl.log.place import is_rocksdb, sync_folder

Item = tuple[bytes, bytes | memoryview | Slice]
"""A key and its value, on the way in."""

FORMAT: Final = 2
"""Of a log with a journal before it; 1 is one that has none yet."""

FOLDER_NAME: Final = "log"
DATA_NAME: Final = "data.mdb"
CUT_STATE: Final = b"cut"
"""Name of the state that holds the newest log position that was cut away (``counter``)."""

_FORMAT_STATE: Final = b"format"
_FORMAT_WITHOUT_JOURNAL: Final = 1
PIECE_HEAD_BYTES: Final = 16
_PIECE_VERSION: Final = 1
_PIECE_HEAD: Final = struct.Struct("<B3xIQ")
assert _PIECE_HEAD.size == PIECE_HEAD_BYTES
_COUNTER: Final = struct.Struct("<B7xQ")
_KEY: Final = struct.Struct(">Q")
_META_PAGES: Final = 2
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGED: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
)
_PROBE_NAME: Final = "probe"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Log bytes ``[lsn, lsn + len(data))``, whole."""

    lsn: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Log positions ``[lsn, end_lsn)`` that cannot be read, and why."""

    lsn: int
    end_lsn: int
    why: str


Environments = Callable[..., lmdb.Environment]
"""What opens an environment: ``lmdb.open``, or in tests something that fails on purpose."""

_open_files: Final[set[tuple[int, int]]] = set()
_open_files_lock: Final = threading.Lock()


def counter(number: int) -> bytes:
    """A number as the value of a state."""
    return _COUNTER.pack(_PIECE_VERSION, number)


def counter_of(name: bytes, value: bytes) -> int:
    """The number that a state holds; LogDamaged when it is none of version 1."""
    if len(value) != _COUNTER.size or value[0] != _PIECE_VERSION:
        raise LogDamaged(f"state {name.decode()} of the log is not a number of version 1")
    number: int = _COUNTER.unpack(value)[1]
    return number


class LogStore:
    """An open log; close it, or use it as a context manager.

    ``directory`` is the locked data directory, ``disk_bytes_max`` the bound of the tier (0: none).
    ``is_new`` says that no log was ever made there: only then may one be created, so that a log
    that has vanished is never taken for an empty one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        disk_bytes_max: int,
        is_new: bool,
        clock: Clock,
        environments: Environments = lmdb.open,
    ) -> None:
        self.path: Final = directory / FOLDER_NAME
        self._bytes_max = disk_bytes_max
        self._map_bytes = max(LOG_MAP_BYTES_MIN, 2 * disk_bytes_max)
        self._clock = clock
        self._environments = environments
        self._gate = threading.Condition()
        self._reading_since_ns: dict[int, int] = {}
        self._is_shut = True
        self._is_closed = False
        # Known from the first commit on.
        self._end_lsn: int | None = None
        _require_ours(self.path, is_new=is_new)
        try:
            is_made = not self.path.exists()
            self.path.mkdir(exist_ok=True)
            folder = self.path.stat()
            self._file = (folder.st_dev, folder.st_ino)
            with _open_files_lock:
                if self._file in _open_files:
                    raise _refused(self.path, "this process has it open already")
                _open_files.add(self._file)
        except OSError as error:
            raise _refused(self.path, error.strerror or str(error)) from error
        try:
            self._open()
            self._require_format()
            if is_made or is_new:
                # LMDB syncs its file, not the names that lead to it.
                sync_folder(self.path)
                sync_folder(directory)
            self.reader_check()
        except BaseException as error:
            self.close()
            if isinstance(error, lmdb.Error):
                raise _refused(self.path, str(error)) from error
            if isinstance(error, OSError):
                raise _refused(self.path, error.strerror or str(error)) from error
            raise

    # --- Life. ---

    def close(self) -> None:
        """Waits for the reads that run and gives the files back; twice does nothing."""
        with self._gate:
            self._is_closed = True
        self._shut()
        with _open_files_lock:
            _open_files.discard(self._file)

    def reopen(self) -> None:
        """Opens the environment again; a write that found no room has done so already.

        Waits for the reads that run; others wait for it. Raises DiskFull while there is no room
        even for that, DiskFailed when the files are gone or no longer fit.
        """
        self._shut()
        try:
            self._open()
        except (lmdb.Error, OSError, StartError) as error:
            raise self._translated(error, "reopening the log") from error
        self._end_lsn = None

    def grow_map(self) -> None:
        """Doubles the map; on the writing thread, as ``reopen``."""
        self._map_bytes *= 2
        self.reopen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- Writing: one thread at a time. ---

    def put_commit(
        self,
        log: Sequence[Item],
        index: Iterable[Item] = (),
        *,
        deletes: Iterable[bytes] = (),
        state: Mapping[bytes, bytes] | None = None,
        state_deletes: Iterable[bytes] = (),
    ) -> None:
        """Puts all in one transaction; on return it is synced, after an error nothing is visible.

        ``log`` in ascending order and without a hole, the first at the log's end (or above it, in
        the first commit after opening); ``deletes`` are keys of the index, deleted before ``index``
        is put, ``state_deletes`` names of states. An item of ``log`` that is there already with the same value is passed over, because
        a commit whose last write failed may have reached the disk all the same.
        """
        self._require_open()
        end_lsn = self._tiled_end(log)
        written = sum(len(value) for _, value in log)
        try:
            with self._environment.begin(write=True) as txn:
                if log:
                    _append(txn, self._log, log)
                for key in deletes:
                    txn.delete(key, db=self._index)
                for key, value in index:
                    written += len(value)
                    txn.put(key, value, db=self._index)
                for key, value in (state or {}).items():
                    txn.put(key, value + _state_sum(key, value), db=self._state)
                for key in state_deletes:
                    txn.delete(key, db=self._state)
        except (lmdb.Error, OSError) as error:
            raise self._unwritten(error, "writing the log", written) from error
        if log:
            self._end_lsn = end_lsn

    def leave_hole(self) -> None:
        """The next commit may begin above the log's end; what lies between is damage."""
        self._end_lsn = None

    def note_journal(self) -> None:
        """From now on a journal that is missing is damage; synced on return."""
        self.state_put({_FORMAT_STATE: counter(FORMAT)})

    def state_put(self, states: Mapping[bytes, bytes]) -> None:
        """Puts named states in one transaction; synced on return."""
        self.put_commit((), state=states)

    def drop_window(self, window: int, end_lsn: int) -> Iterator[None]:
        """Drops the oldest window, step by step: each step is one bounded, synced transaction.

        The first step makes ``end_lsn`` the newest position that was cut away; what a crash leaves
        of the rest lies below it and goes with the next call. A piece that reaches above
        ``end_lsn`` stays.
        """
        assert window < end_lsn, f"a window from {window} to {end_lsn}"
        cut = self.cut_lsn()
        if end_lsn > cut:
            self.state_put({CUT_STATE: counter(end_lsn)})
            yield
        while self._delete_index(_KEY.pack(end_lsn)):
            yield
        while self._delete_log(end_lsn):
            yield

    # --- Reading. ---

    def has_journal(self) -> bool:
        """Whether a journal was made before this log."""
        value = self.state_get(_FORMAT_STATE)
        return value is not None and counter_of(_FORMAT_STATE, value) == FORMAT

    def ends(self) -> tuple[int, int]:
        """``[first, end)`` of the log positions that pieces cover; ``(0, 0)`` when there is none.

        The first may lie below ``cut_lsn``. The end is what the last piece says of itself.
        """
        with self._reading() as txn, txn.cursor(self._log) as cursor:
            if not cursor.first():
                return 0, 0
            first = _lsn_of(cursor.key())
            cursor.last()
            return first, _piece_end(cursor.key(), cursor.value())

    def cut_lsn(self) -> int:
        """The newest log position that was cut away; 0 when nothing was."""
        value = self.state_get(CUT_STATE)
        return 0 if value is None else counter_of(CUT_STATE, value)

    def read_log(self, lsn: int, length: int) -> bytes:
        """The log bytes ``[lsn, lsn + length)``; LogDamaged when a piece of them is not there."""
        (found,) = self.read_ranges([(lsn, length)])
        if isinstance(found, Damage):
            raise LogDamaged(
                f"log positions {found.lsn} to {found.end_lsn}: {found.why}",
                members={"lsn": found.lsn, "end_lsn": found.end_lsn},
            )
        return found

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | Damage]:
        """The bytes of each ``(lsn, length)``, or its first damage; one transaction for all.

        The lengths together must not exceed ``LOG_READ_BYTES_MAX``.
        """
        total = sum(length for _, length in ranges)
        assert total <= LOG_READ_BYTES_MAX, f"{total} bytes in one read"
        with self._reading() as txn, txn.cursor(self._log) as cursor:
            return [_range(cursor, lsn, lsn + length) for lsn, length in ranges]

    def iter_log(self, lsn: int, end_lsn: int | None = None) -> Iterator[Stretch | Damage]:
        """Everything in ``[lsn, end_lsn)`` (by default to the end of now), in order, without a gap.

        A transaction per stretch, none while the caller has it. Stretches join at any byte.
        """
        stop = self.ends()[1] if end_lsn is None else end_lsn
        while lsn < stop:
            with self._reading() as txn, txn.cursor(self._log) as cursor:
                found = list(_stretches(cursor, lsn, min(stop, lsn + LOG_STRETCH_BYTES)))
            for part in found:
                lsn = part.lsn + len(part.data) if isinstance(part, Stretch) else part.end_lsn
                yield part

    def iter_pieces(self, lsn: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of the pieces as they are, whole or not, from the one at or below ``lsn``.

        A transaction per ``LOG_STRETCH_BYTES``, none while the caller has the pieces.
        """
        start, is_first = _KEY.pack(lsn), True
        while True:
            found: list[tuple[bytes, bytes]] = []
            taken = 0
            with self._reading() as txn, txn.cursor(self._log) as cursor:
                has = _seek(cursor, start) if is_first else cursor.set_range(start)
                while has and taken < LOG_STRETCH_BYTES:
                    found.append((bytes(cursor.key()), bytes(cursor.value())))
                    taken += len(found[-1][1]) + 1
                    has = cursor.next()
            if not found:
                return
            yield from found
            start, is_first = found[-1][0] + b"\0", False

    def index_get(self, key: bytes) -> bytes | None:
        """The index value under ``key``, or None."""
        return self._get(self._index, key)

    def index_seek_le(self, key: bytes, prefix: bytes = b"") -> tuple[bytes, bytes] | None:
        """The entry with the greatest key ≤ ``key``, None when there is none under ``prefix``."""
        with self._reading() as txn, txn.cursor(self._index) as cursor:
            if cursor.set_range(key):
                is_found = bytes(cursor.key()) == key or cursor.prev()
            else:
                is_found = cursor.last()
            if not is_found or bytes(cursor.key()[: len(prefix)]) != prefix:
                return None
            return bytes(cursor.key()), bytes(cursor.value())

    def index_seek_ge(self, key: bytes, prefix: bytes = b"") -> tuple[bytes, bytes] | None:
        """The entry with the least key ≥ ``key``, None when there is none under ``prefix``."""
        with self._reading() as txn, txn.cursor(self._index) as cursor:
            if not cursor.set_range(key) or bytes(cursor.key()[: len(prefix)]) != prefix:
                return None
            return bytes(cursor.key()), bytes(cursor.value())

    def index_iter(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The index entries whose keys begin with ``prefix``, in order.

        A transaction per ``INDEX_STRETCH_COUNT`` entries, none while the caller has them.
        """
        return self._iter(self._index, prefix)

    def state_get(self, name: bytes) -> bytes | None:
        """The state of this name, or None; LogDamaged when its checksum does not hold."""
        value = self._get(self._state, name)
        return None if value is None else _state_of(name, value)

    def state_iter(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The states whose names begin with ``prefix``, in order."""
        for name, value in self._iter(self._state, prefix):
            yield name, _state_of(name, value)

    # --- Figures. ---

    @property
    def map_bytes(self) -> int:
        """Bytes that the map can hold now."""
        return self._map_bytes

    def used_bytes(self) -> int:
        """Bytes of the pages in use; what the file has beside them is used again."""
        with self._reading() as txn:
            stats = [txn.stat(db) for db in (self._main, self._log, self._index, self._state)]
        pages = sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
        return (_META_PAGES + pages) * stats[0]["psize"]

    def file_bytes(self) -> int:
        """Length of the data file."""
        return (self.path / DATA_NAME).stat().st_size

    def fill_ratio(self) -> float:
        """Used bytes per byte of the bound; without a bound, per byte the file could have."""
        used = self.used_bytes()
        if self._bytes_max:
            return used / self._bytes_max
        space = os.statvfs(self.path)
        return used / max(1, used + space.f_bavail * space.f_frsize)

    def reader_check(self) -> int:
        """Frees the places of readers that were killed; how many there were."""
        return self._environment.reader_check()

    def oldest_reader_age_ns(self) -> int:
        """How long the oldest read that runs has been running; 0 when none does."""
        with self._gate:
            if not self._reading_since_ns:
                return 0
            return self._clock.monotonic_ns() - min(self._reading_since_ns.values())

    # --- Inside. ---

    def _open(self) -> None:
        data = self.path / DATA_NAME
        if data.exists() and data.stat().st_size:
            try:
                datafile.require_fit(data)
            except datafile.Unfit as error:
                raise _refused(data, str(error)) from error
        environment = self._environments(
            str(self.path),
            map_size=self._map_bytes,
            subdir=True,
            readonly=False,
            metasync=True,
            sync=True,
            map_async=False,
            mode=0o700,
            create=False,
            readahead=True,
            writemap=False,
            meminit=True,
            max_readers=LOG_READERS_MAX,
            max_dbs=3,
            max_spare_txns=0,
            lock=True,
            lib_version=0,
        )
        try:
            self._main = environment.open_db(None)
            self._log = environment.open_db(b"log")
            self._index = environment.open_db(b"index")
            self._state = environment.open_db(b"state")
        except BaseException:
            environment.close()
            raise
        with self._gate:
            self._environment = environment
            self._is_shut = False
            self._gate.notify_all()

    def _shut(self) -> None:
        with self._gate:
            self._gate.notify_all()
            if self._is_shut:
                return
            self._is_shut = True
            # Reads are bounded to a second each, and no new one begins.
            self._gate.wait_for(lambda: not self._reading_since_ns)
            self._environment.close()

    def _require_format(self) -> None:
        value = self.state_get(_FORMAT_STATE)
        if value is None:
            if self.ends() != (0, 0):
                raise _refused(self.path, "it holds a log without a format number")
            self.state_put({_FORMAT_STATE: counter(_FORMAT_WITHOUT_JOURNAL)})
            return
        found = counter_of(_FORMAT_STATE, value)
        if found not in (FORMAT, _FORMAT_WITHOUT_JOURNAL):
            raise _refused(self.path, f"log format {found}; this version reads {FORMAT}")

    @contextlib.contextmanager
    def _reading(self) -> "Iterator[lmdb.Transaction[memoryview]]":
        """A read transaction that ends with the block; waits while the log is reopened."""
        token = threading.get_ident()
        try:
            with self._begin_read(token) as txn:
                yield txn
        except (lmdb.Error, OSError) as error:
            raise self._translated(error, "reading the log") from error
        finally:
            with self._gate:
                self._reading_since_ns.pop(token, None)
                self._gate.notify_all()

    def _begin_read(self, token: int) -> "lmdb.Transaction[memoryview]":
        failed: lmdb.Environment | None = None
        while True:
            with self._gate:
                assert token not in self._reading_since_ns, "one read transaction per thread"
                environment = self._opened(failed)
                self._reading_since_ns[token] = self._clock.monotonic_ns()
            try:
                return environment.begin(buffers=True)
            except lmdb.PanicError:
                # A meta page could not be written; the writer is about to open the log again.
                failed = environment
                with self._gate:
                    del self._reading_since_ns[token]
                    self._gate.notify_all()

    def _opened(self, failed: lmdb.Environment | None) -> lmdb.Environment:
        """The environment, once it is open and another than ``failed``; holds the gate."""

        def is_ready() -> bool:
            return self._is_closed or not (self._is_shut or self._environment is failed)

        # A reopening takes milliseconds; on a full disk it is tried again every second.
        if not self._gate.wait_for(is_ready, LOG_REOPEN_TIMEOUT_S):
            raise Unavailable(f"the log under {self.path} is being opened again")
        if self._is_closed:
            raise Closed(f"the log under {self.path} is closed")
        return self._environment

    def _get(self, db: lmdb._Database, key: bytes) -> bytes | None:
        with self._reading() as txn:
            value = txn.get(key, db=db)
            return None if value is None else bytes(value)

    def _iter(self, db: lmdb._Database, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        start = prefix
        while True:
            found: list[tuple[bytes, bytes]] = []
            with self._reading() as txn, txn.cursor(db) as cursor:
                has = cursor.set_range(start) if start else cursor.first()
                while has and len(found) < INDEX_STRETCH_COUNT:
                    key = bytes(cursor.key())
                    if not key.startswith(prefix):
                        break
                    found.append((key, bytes(cursor.value())))
                    has = cursor.next()
            yield from found
            if len(found) < INDEX_STRETCH_COUNT:
                return
            start = found[-1][0] + b"\0"

    def _tiled_end(self, log: Sequence[Item]) -> int:
        """Position behind the last item; the items must begin at the log's end, without a hole."""
        expected = self._end_lsn
        for key, value in log:
            lsn = _lsn_of(key)
            assert len(value) <= DISK_VALUE_BYTES_MAX, f"value of {len(value)} bytes"
            assert expected is None or lsn == expected, (
                f"piece at {lsn}, the log ends at {expected}"
            )
            expected = lsn + len(value) - PIECE_HEAD_BYTES
        return expected or 0

    def _delete_index(self, end: bytes) -> bool:
        """Deletes a bounded number of the entries below a window; False when there was none left.

        Those of a window whose dropping a crash ended are among them.
        """
        return self._delete(self._index, b"", lambda key, _: bytes(key[: len(end)]) < end)

    def _delete_log(self, end_lsn: int) -> bool:
        """Deletes a bounded number of the pieces below ``end_lsn``; False when none was left."""
        return self._delete(self._log, b"", lambda key, value: _piece_end(key, value) <= end_lsn)

    def _delete(
        self,
        db: lmdb._Database,
        start: bytes,
        is_meant: Callable[[memoryview, memoryview], bool],
    ) -> bool:
        count = 0
        self._require_open()
        try:
            with self._environment.begin(write=True, buffers=True) as txn, txn.cursor(db) as cursor:
                has = cursor.set_range(start) if start else cursor.first()
                while has and count < LOG_DELETES_MAX and is_meant(cursor.key(), cursor.value()):
                    cursor.delete()
                    count += 1
                    has = bool(cursor.key())
        except (lmdb.Error, OSError) as error:
            raise self._unwritten(error, "deleting from the log", 0) from error
        return count > 0

    def _require_open(self) -> None:
        """Opens the environment again when an earlier attempt could not."""
        if self._is_shut and not self._is_closed:
            self.reopen()

    def _unwritten(self, error: Exception, doing: str, written: int) -> SprawlError:
        """What ``error`` of a write means; where that is no room, the environment is opened again.

        LMDB fails every later write until then, and every later read, too, when it was the meta
        page that could not be written.
        """
        failure = self._translated(error, doing, written)
        if isinstance(failure, DiskFull):
            try:
                self.reopen()
            except DiskFull:
                # The next write tries again; reads wait for it as long as they may.
                self._end_lsn = None
        return failure

    def _translated(self, error: Exception, doing: str, written: int = 0) -> SprawlError:
        """What ``error`` means: no room, damage, or a disk that fails."""
        number = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
        if isinstance(error, lmdb.MapFullError):
            return DiskFull(f"{doing}: the map of {self._map_bytes} bytes is full")
        # LMDB calls a write that ended early EIO, and so ends the first one that fills a disk.
        if number in _FULL or (number == errno.EIO and self._has_no_room(written)):
            return DiskFull(f"{doing}: no room left under {self.path}")
        if isinstance(error, _DAMAGED):
            return LogDamaged(f"{doing}: {error}")
        return DiskFailed(f"{doing}: {error}")

    def _has_no_room(self, written: int) -> bool:
        """Whether a file as long as the data file could not grow by ``written`` bytes now."""
        probe = self.path / _PROBE_NAME
        try:
            at = self.file_bytes()
            soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
            if soft != resource.RLIM_INFINITY and at + written + MIB > soft:
                return True
            handle = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, written + MIB)
            finally:
                os.close(handle)
                probe.unlink()
        except OSError as error:
            return error.errno in _FULL
        return False


def _require_ours(path: Path, *, is_new: bool) -> None:
    """Refuses what is not a log of ours, before anything is made or opened."""
    if is_rocksdb(path):
        raise _refused(path, "it is a RocksDB database, which this version does not read")
    data = path / DATA_NAME
    try:
        size = data.stat().st_size
    except FileNotFoundError:
        size = 0
    except OSError as error:
        raise _refused(data, error.strerror or str(error)) from error
    if size == 0 and not is_new:
        raise _refused(data, "it is missing or empty, but there was a log")


def _lsn_of(key: bytes | memoryview) -> int:
    """The position that a key of the log names; LogDamaged when it is none, as on a damaged page."""
    if len(key) != _KEY.size:
        raise LogDamaged(f"a key of the log has {len(key)} bytes")
    lsn: int = _KEY.unpack(key)[0]
    return lsn


def _state_sum(name: bytes, value: bytes) -> bytes:
    return zlib.crc32(value, zlib.crc32(name)).to_bytes(4, "little")


def _state_of(name: bytes, stored: bytes) -> bytes:
    """The value of a state without its checksum, which holds."""
    value = stored[:-4]
    if _state_sum(name, value) != stored[-4:]:
        raise LogDamaged(f"state {name.decode(errors='replace')} of the log does not hold its sum")
    return value


def _append(txn: "lmdb.Transaction[bytes]", db: lmdb._Database, log: Sequence[Item]) -> None:
    with txn.cursor(db) as cursor:
        _, added = cursor.putmulti(log, overwrite=False, append=True)
        if added == len(log):
            return
        for key, value in log:
            if cursor.get(key) != bytes(value):
                lsn = _lsn_of(key)
                raise LogDamaged(
                    f"log position {lsn} is below the end and holds other bytes",
                    members={"lsn": lsn},
                )


def _stretches(
    cursor: "lmdb.Cursor[memoryview]", lsn: int, end_lsn: int
) -> Iterator[Stretch | Damage]:
    """``_walk`` with neighbouring views joined and copied."""
    parts: list[memoryview] = []
    start = lsn
    for at, data in _walk(cursor, lsn, end_lsn):
        if isinstance(data, Damage):
            if parts:
                yield Stretch(start, b"".join(parts))
                parts = []
            yield data
            continue
        if not parts:
            start = at
        parts.append(data)
    if parts:
        yield Stretch(start, b"".join(parts))


def _range(cursor: "lmdb.Cursor[memoryview]", lsn: int, end_lsn: int) -> bytes | Damage:
    parts: list[memoryview] = []
    for _, data in _walk(cursor, lsn, end_lsn):
        if isinstance(data, Damage):
            return data
        parts.append(data)
    return b"".join(parts)


def _walk(
    cursor: "lmdb.Cursor[memoryview]", lsn: int, end_lsn: int
) -> Iterator[tuple[int, memoryview | Damage]]:
    """Views and damages that tile ``[lsn, end_lsn)``; a view lives as long as its transaction."""
    at = lsn
    has = _seek(cursor, _KEY.pack(at))
    while at < end_lsn:
        start = _lsn_of(cursor.key()) if has else end_lsn
        if start > at or not has:
            stop = min(start, end_lsn)
            yield at, Damage(at, stop, "no piece of the log covers it")
            at = stop
            continue
        value = cursor.value()
        why = _fault(start, value)
        has = cursor.next()
        if why:
            stop = min(_lsn_of(cursor.key()), end_lsn) if has else end_lsn
            if stop > at:
                yield at, Damage(at, stop, why)
                at = stop
            continue
        stop = min(start + len(value) - PIECE_HEAD_BYTES, end_lsn)
        if stop > at:
            skip = PIECE_HEAD_BYTES + at - start
            yield at, value[skip : skip + stop - at]
            at = stop


def _seek(cursor: "lmdb.Cursor[memoryview]", key: bytes) -> bool:
    """Goes to the greatest key ≤ ``key``, else to the first; False when there is none at all."""
    if not cursor.set_range(key):
        return cursor.last()
    return bytes(cursor.key()) == key or cursor.prev() or cursor.first()


def _fault(lsn: int, value: memoryview) -> str:
    """What is wrong with a piece, or empty."""
    if len(value) < PIECE_HEAD_BYTES:
        return f"its piece has {len(value)} bytes"
    version, length, own_lsn = _PIECE_HEAD.unpack_from(value)
    if version != _PIECE_VERSION:
        return f"its piece has version {version}"
    if own_lsn != lsn:
        return f"its piece says position {own_lsn}"
    if length != len(value) - PIECE_HEAD_BYTES:
        return f"its piece has {len(value) - PIECE_HEAD_BYTES} of {length} bytes"
    return ""


def _piece_end(key: memoryview, value: memoryview) -> int:
    """Position behind a piece: what its head says when that can be, else what its value holds."""
    lsn = _lsn_of(key)
    held = max(0, len(value) - PIECE_HEAD_BYTES)
    if len(value) < PIECE_HEAD_BYTES:
        return lsn + held
    version, length, own_lsn = _PIECE_HEAD.unpack_from(value)
    is_sound = version == _PIECE_VERSION and own_lsn == lsn
    return lsn + (length if is_sound and length <= DISK_VALUE_BYTES_MAX else held)


def _refused(path: Path, why: str) -> StartError:
    return StartError(f"cannot use {path}: {why}", code="directory_unreadable")
