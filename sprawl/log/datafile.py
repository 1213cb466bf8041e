"""LMDB's data file, read before it is mapped.

In: the path of a ``data.mdb``. Out: nothing, or ``Unfit`` with one sentence. A map over a file that
is shorter than its meta pages claim kills the process with SIGBUS at the first read behind its end,
so that is looked at first, with plain reads. Source: LMDB 0.9, ``mdb.c`` (MDB_page, MDB_meta,
MDB_db; data format 1); numbers are those of the machine that wrote them, little-endian here.

```
page    number u64 | pad u16 | flags u16 | lower u16 | upper u16 (together u32 pages of a long value)
meta    behind a page's 16 bytes: magic u32 | version u32 | address u64 | map size u64 |
        free list: MDB_db (page size in its first u32) | main: MDB_db | last page u64 | transaction u64
MDB_db  pad u32 | flags u16 | depth u16 | branch, leaf, overflow pages, entries u64 each | root u64
node    length or page low u16, high u16 | flags (page: bits 32 to 47) u16 | key bytes u16 | key | value
```
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAGIC: Final = 0xBEEFC0DE
DATA_FORMAT: Final = 1

_PAGE: Final = struct.Struct("<Q2xHHH")
_META: Final = struct.Struct("<IIQQ I2xH32xQ 48x QQ")
_LONG_PAGES: Final = struct.Struct("<I")
_NODE: Final = struct.Struct("<HHHH")
_U64: Final = struct.Struct("<Q")
_IS_BRANCH: Final = 0x01
_IS_LEAF: Final = 0x02
_IS_LONG: Final = 0x04
_IS_META: Final = 0x08
_VALUE_IS_LONG: Final = 0x01
_NO_PAGE: Final = 2**64 - 1
# LMDB's own bound on the depth of a tree.
_DEPTH_MAX: Final = 32
_PAGE_BYTES_MIN, _PAGE_BYTES_MAX = 256, 65_536
# Where LMDB 1.0 has its magic: its page head is 8 bytes longer.
_LATER_MAGIC_AT: Final = 24


class Unfit(Exception):
    """The file must not be mapped; the text says why."""


@dataclass(frozen=True, slots=True)
class Meta:
    """The newer of the two meta pages. ``free_root`` is the root page of the free list, or None."""

    page_bytes: int
    last_page: int
    transaction: int
    free_root: int | None
    free_depth: int


def require_fit(path: Path) -> None:
    """Returns when ``path`` may be mapped; raises Unfit when not, OSError when it cannot be read.

    A file may be shorter than its meta page claims only by pages that its free list names: those
    were given back in the transaction that took them, so they were never written.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(handle).st_size
        meta = read_meta(handle)
        claimed = meta.last_page + 1
        present = size // meta.page_bytes
        if present >= claimed:
            return
        free = sum(present <= page < claimed for page in _free_pages(handle, meta, present))
        if free != claimed - present:
            raise Unfit(
                f"{size} bytes, but its meta page claims {claimed * meta.page_bytes}: "
                "the end of the file is missing"
            )
    finally:
        os.close(handle)


def read_meta(handle: int) -> Meta:
    """The newer meta page of an open data file; Unfit when it has not two sound ones."""
    first = _meta_at(handle, 0)
    second = _meta_at(handle, first.page_bytes)
    return second if second.transaction > first.transaction else first


def _meta_at(handle: int, at: int) -> Meta:
    data = os.pread(handle, 16 + _META.size, at)
    if len(data) < 16 + _META.size:
        raise Unfit(f"it ends inside a meta page, after {at + len(data)} bytes")
    magic, version, _, _, page_bytes, free_depth, free_root, last_page, transaction = (
        _META.unpack_from(data, 16)
    )
    if magic != MAGIC:
        later = struct.unpack_from("<II", data, _LATER_MAGIC_AT)
        if later[0] == MAGIC:
            raise Unfit(f"LMDB data format {later[1]}; this version reads {DATA_FORMAT}")
        raise Unfit("it is not an LMDB file, or its meta page is damaged")
    if version != DATA_FORMAT:
        raise Unfit(f"LMDB data format {version}; this version reads {DATA_FORMAT}")
    flags = _PAGE.unpack_from(data)[1]
    is_size = _PAGE_BYTES_MIN <= page_bytes <= _PAGE_BYTES_MAX and not page_bytes & page_bytes - 1
    if not flags & _IS_META or not is_size:
        raise Unfit("its meta page is damaged")
    root = None if free_root == _NO_PAGE else free_root
    return Meta(page_bytes, last_page, transaction, root, free_depth)


def _free_pages(handle: int, meta: Meta, present: int) -> Iterator[int]:
    """Every page number on the free list, reading only pages that are there."""

    def read(number: int, pages: int = 1) -> bytes:
        if number + pages > present:
            raise Unfit(f"its free list lies on page {number}, which is missing")
        return os.pread(handle, pages * meta.page_bytes, number * meta.page_bytes)

    def values(number: int, depth: int) -> Iterator[bytes]:
        if depth > _DEPTH_MAX:
            raise Unfit("its free list is damaged")
        page = read(number)
        _, flags, lower, _ = _PAGE.unpack_from(page)
        for place in range(16, min(lower, len(page)), 2):
            at = int.from_bytes(page[place : place + 2], "little")
            if at + _NODE.size > len(page):
                raise Unfit("its free list is damaged")
            low, high, node_flags, key_bytes = _NODE.unpack_from(page, at)
            if flags & _IS_BRANCH:
                yield from values(low | high << 16 | node_flags << 32, depth + 1)
                continue
            if not flags & _IS_LEAF:
                raise Unfit("its free list is damaged")
            start, length = at + _NODE.size + key_bytes, low | high << 16
            if not node_flags & _VALUE_IS_LONG:
                yield page[start : start + length]
                continue
            (first,) = _U64.unpack_from(page, start)
            head = read(first)
            if not _PAGE.unpack_from(head)[1] & _IS_LONG:
                raise Unfit("its free list is damaged")
            (pages,) = _LONG_PAGES.unpack_from(head, 12)
            yield read(first, pages)[16 : 16 + length]

    if meta.free_root is None:
        return
    for value in values(meta.free_root, 0):
        (count,) = _U64.unpack_from(value)
        if 8 * (count + 1) > len(value):
            raise Unfit("its free list is damaged")
        yield from (n for (n,) in _U64.iter_unpack(value[8 : 8 * (count + 1)]))
