"""The journal: a file of fixed length in front of the log, in which a small commit is durable by one flush.

In: log bytes in order, with their position. Out: the same bytes after a crash, or where they are
damaged. Invariants: the file's blocks are written once when it is made, so a sync has no metadata
to write; a record is synced when ``append`` returns; no page of a synced record is written again
before ``rewind``. Raises ``StartError`` (opening), ``DiskFull``, ``DiskFailed``. Source:
docs/design/disk.md, docs/adr/0008-a-journal-before-lmdb.md.

```
page 0:  magic u32 | version u8=1 | 0 u24 | start u64 | salt u64 | bytes of the file u64 | CRC32 of these u32
record:  XXH3-64 of what follows u64 | salt u64 | lsn u64 | length u64 | log bytes           at a page's begin
```

The salt is drawn at each start and known to nobody else: no bytes that a client sent can pass for a
record, and none of an earlier start can either. Numbers are little-endian.
"""

import errno
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sprawl._native import JournalFile, Slice, journal_begun, journal_whole
from sprawl.errors import DiskFailed, DiskFull, LogDamaged, SprawlError, StartError
from sprawl.limits import JOURNAL_BYTES, JOURNAL_RECORD_BYTES_MAX, MIB
from sprawl.log.place import sync_folder

JOURNAL_NAME: Final = "journal"
_MAGIC: Final = 0x4A575053
_VERSION: Final = 1
_PAGE_BYTES: Final = 4_096
_FILE: Final = struct.Struct("<IB3xQQQ")
_SUM: Final = struct.Struct("<I")
_RECORD_HEAD_BYTES: Final = 32
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Buffer = bytes | memoryview | Slice


@dataclass(frozen=True, slots=True)
class Record:
    """Whole log bytes ``[lsn, lsn + len(data))``."""

    lsn: int
    data: bytes

    @property
    def end_lsn(self) -> int:
        """Position behind the last byte."""
        return self.lsn + len(self.data)


class Journal:
    """An open journal. ``start`` is the number of the start whose records it holds."""

    def __init__(self, path: Path) -> None:
        """Opens a journal that was made; StartError when it is missing, cut, or not a journal."""
        self.path: Final = path
        try:
            self._file = JournalFile(path)
            self.start, self._salt, self._bytes = _read_head(path)
        except OSError as error:
            raise _refused(path, error.strerror or str(error)) from error
        self._at = _PAGE_BYTES

    def records(self) -> Iterator[Record]:
        """The whole records of the start that wrote last, in the order in which they lie.

        What was not written whole is passed over: a record behind it says whether it was damaged.
        Records from before the last ``rewind`` are among them.
        """
        content = self.path.read_bytes()
        at = _PAGE_BYTES
        while at < len(content):
            whole = journal_whole(self._salt, content, at)
            if whole is not None:
                yield Record(*whole)
            at += _PAGE_BYTES if whole is None else _pages(len(whole[1]))

    def is_begun(self, lsn: int) -> bool:
        """Whether a record at ``lsn`` was begun, whole or not."""
        content = self.path.read_bytes()
        pages = range(_PAGE_BYTES, len(content), _PAGE_BYTES)
        return any(journal_begun(self._salt, content, at) == lsn for at in pages)

    def begin(self, start: int) -> None:
        """Makes the journal that of a start: it holds no record then. Synced on return."""
        salt = _new_salt()
        try:
            self._file.write(0, _head(start, salt, self._bytes))
        except OSError as error:
            raise _translated(error, f"beginning {self.path}") from error
        self.start, self._salt = start, salt
        self.rewind()

    def has_room(self, size: int) -> bool:
        """Whether ``append`` takes so many bytes now."""
        return size <= JOURNAL_RECORD_BYTES_MAX and self._at + _pages(size) <= self._bytes

    def append(self, lsn: int, parts: Sequence[Buffer], size: int) -> None:
        """Writes the ``size`` log bytes of ``parts``, which begin at ``lsn``; synced on return.

        After DiskFull nothing was appended, and the same call may be made again.
        """
        assert size > 0, "an empty record cannot be told from none"
        assert self.has_room(size), f"{size} bytes at {self._at}"
        try:
            self._file.append(self._at, self._salt, lsn, parts)
        except OSError as error:
            raise _translated(error, f"writing {self.path}") from error
        self._at += _pages(size)

    def rewind(self) -> None:
        """Goes back to the begin: everything appended lies elsewhere now, and is synced there."""
        self._at = _PAGE_BYTES


def make_journal(path: Path, start: int) -> None:
    """Makes the file, or makes it anew where a crash left a part of it; synced with its name."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Written, not reserved: the first write to a reserved block changes metadata.
            for at in range(0, JOURNAL_BYTES, MIB):
                os.pwrite(handle, bytes(MIB), at)
            os.pwrite(handle, _head(start, _new_salt(), JOURNAL_BYTES), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error


def relevant(records: Iterator[Record], end_lsn: int, path: Path) -> list[Record]:
    """The records that reach above ``end_lsn``, the end of the log behind; in order.

    A hole before one of them is damage. Raises LogDamaged when they do not ascend, or one begins
    before the log ends.
    """
    found: list[Record] = []
    for record in records:
        if record.end_lsn <= end_lsn:
            continue
        after = found[-1].end_lsn if found else end_lsn
        if record.lsn < after:
            raise LogDamaged(f"{path}: a record at {record.lsn} begins before {after}")
        found.append(record)
    return found


def _new_salt() -> int:
    return int.from_bytes(os.urandom(8), "little")


def _read_head(path: Path) -> tuple[int, int, int]:
    """Number of the start, salt and length of the file; StartError when the file is no whole journal."""
    with path.open("rb") as file:
        head = file.read(_FILE.size + _SUM.size)
    size = path.stat().st_size
    if len(head) != _FILE.size + _SUM.size:
        raise _refused(path, f"it has {size} bytes")
    magic, version, start, salt, own_bytes = _FILE.unpack_from(head)
    if magic != _MAGIC:
        raise _refused(path, "it is not a journal, or its head is damaged")
    if version != _VERSION:
        raise _refused(path, f"journal version {version}; this version reads {_VERSION}")
    if _SUM.unpack_from(head, _FILE.size)[0] != zlib.crc32(head[: _FILE.size]):
        raise _refused(path, "its head is damaged")
    if size != own_bytes:
        raise _refused(path, f"it has {size} bytes of {own_bytes}")
    return start, salt, own_bytes


def _head(start: int, salt: int, size: int) -> bytes:
    head = _FILE.pack(_MAGIC, _VERSION, start, salt, size)
    return head + _SUM.pack(zlib.crc32(head))


def _pages(size: int) -> int:
    """Bytes of the whole pages that a record of ``size`` log bytes takes."""
    return -(-(_RECORD_HEAD_BYTES + size) // _PAGE_BYTES) * _PAGE_BYTES


def _translated(error: OSError, doing: str) -> SprawlError:
    if error.errno in _FULL:
        return DiskFull(f"{doing}: no room left")
    return DiskFailed(f"{doing}: {error.strerror or error}")


def _refused(path: Path, why: str) -> StartError:
    return StartError(f"cannot use {path}: {why}", code="directory_unreadable")
