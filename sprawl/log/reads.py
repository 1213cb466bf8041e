"""Reading from disk what memory has let go.

In: what a reader wants (a partition, an offset or a time, where memory begins). Out: a page of
verified batches, with the offsets that are damaged. Invariants: a page says which offsets it covers,
so that nothing is passed over in silence; bytes whose checksum does not hold are never given out;
a read takes at most ``DISK_PAGE_BYTES``. Runs on pool threads. Source: docs/design/disk.md.
"""

import logging
from typing import Final

from sprawl._native import Page
from sprawl.errors import LogDamaged
from sprawl.limits import DISK_PAGE_BATCHES_MAX, DISK_PAGE_BYTES
from sprawl.log.store import Damage, LogStore
from sprawl.log.windows import IndexDamaged, Located, Windows

_log: Final = logging.getLogger("sprawl.log")

Want = tuple[int, int, int, int, int]
"""Topic id, partition, offset, append time (0: from the offset), offset where memory begins."""


def read_page(store: LogStore, windows: Windows, want: Want, *, is_last: bool = True) -> Page:
    """The batches that ``want`` asks for, as many as a page takes.

    Where an index or the store itself is damaged, all that was asked for is a gap; unless the read
    ``is_last``, a damaged index raises IndexDamaged instead, so that it can be built again. Raises
    DiskFailed when the disk cannot be read.
    """
    try:
        return _read_page(store, windows, want)
    except LogDamaged as error:
        if isinstance(error, IndexDamaged) and not is_last:
            raise
        topic_id, partition, offset, _, end = want
        _log.error(
            "damaged log: topic id %x, partition %d, offsets %d to %d cannot be found: %s",
            topic_id,
            partition,
            offset,
            end,
            error,
        )
        return Page(want, end, [], [(offset, end)])


def _read_page(store: LogStore, windows: Windows, want: Want) -> Page:
    topic_id, partition, offset, since_ns, end = want
    found = (
        windows.batches_since(topic_id, partition, since_ns)
        if since_ns
        else windows.batches(topic_id, partition, offset)
    )
    located: list[Located] = []
    size, is_whole = 0, True
    for batch in found:
        if batch.base >= end:
            break
        if located and (
            size + batch.length > DISK_PAGE_BYTES or len(located) >= DISK_PAGE_BATCHES_MAX
        ):
            is_whole = False
            break
        located.append(batch)
        size += batch.length
    covered = end if is_whole else located[-1].end
    parts = store.read_ranges([(batch.lsn, batch.length) for batch in located])
    sound = [part for part in parts if not isinstance(part, Damage)]
    gaps = [
        _damaged(want, batch, part.why)
        for batch, part in zip(located, parts, strict=True)
        if isinstance(part, Damage) and not _was_dropped(windows, batch)
    ]
    try:
        return Page(want, covered, sound, gaps)
    except ValueError:
        # One of them does not hold: find out which.
        return _checked(windows, want, covered, located, parts)


def _was_dropped(windows: Windows, batch: Located) -> bool:
    """Whether its window went since it was located: nobody needed what it held."""
    kept = windows.all
    return not kept or batch.lsn < kept[0].first_lsn


def _checked(
    windows: Windows,
    want: Want,
    covered: int,
    located: list[Located],
    parts: list[bytes | Damage],
) -> Page:
    sound, gaps = [], []
    for batch, part in zip(located, parts, strict=True):
        if isinstance(part, Damage):
            if not _was_dropped(windows, batch):
                gaps.append(_damaged(want, batch, part.why))
            continue
        try:
            Page(want, covered, [part], [])
        except ValueError as error:
            gaps.append(_damaged(want, batch, str(error)))
        else:
            sound.append(part)
    return Page(want, covered, sound, gaps)


def _damaged(want: Want, batch: Located, why: str) -> tuple[int, int]:
    _log.error(
        "damaged log: topic id %x, partition %d, offsets %d to %d cannot be read: %s",
        want[0],
        want[1],
        batch.base,
        batch.end,
        why,
        extra={"lsn": batch.lsn, "length": batch.length},
    )
    return batch.base, batch.end
