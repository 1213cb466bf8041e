"""Reading from disk what memory has let go.

In: what a reader wants (a partition, an offset or a time, where memory begins). Out: a page of
verified batches, with the offsets that are damaged; or where in the cloud they are. Invariants: a page says which offsets it covers,
so that nothing is passed over in silence; bytes whose checksum does not hold are never given out;
a read takes at most ``DISK_PAGE_BYTES``. Runs on pool threads. Source: docs/design/disk.md.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from sprawl._native import Page
from sprawl.errors import LogDamaged
from sprawl.limits import DISK_PAGE_BATCHES_MAX, DISK_PAGE_BYTES
from sprawl.log.catalogue import ColdRange
from sprawl.log.store import Damage, LogStore
from sprawl.log.windows import Located, Windows

_log: Final = logging.getLogger("sprawl.log")

Want = tuple[int, int, int, int, int]
"""Topic id, partition, offset, append time (0: from the offset), offset where memory begins."""


FindCold = Callable[[int, int, int, int], ColdRange | None]
"""What of (topic id, partition) from an offset or an append time on lies in the cloud first."""


@dataclass(frozen=True, slots=True)
class ColdWant:
    """A want whose first record lies in the cloud; from ``end`` on a hotter tier has the rest."""

    want: Want
    found: ColdRange
    end: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Batches as they were read and not yet verified, for a page up to ``end``."""

    end: int
    located: list[Located]
    data: list[bytes | Damage]
    gaps: list[tuple[int, int]]

    @property
    def sound(self) -> list[bytes]:
        """What could be read."""
        return [part for part in self.data if not isinstance(part, Damage)]


def read_page(
    store: LogStore, windows: Windows, want: Want, find_cold: FindCold | None = None
) -> Page | ColdWant:
    """The batches that ``want`` asks for, as many as a page takes, or where in the cloud they are.

    Where an index or the store itself is damaged, all that was asked for is a gap. Raises DiskFailed
    when the disk cannot be read.
    """
    found = read_parts(store, windows, want, find_cold, DISK_PAGE_BYTES)
    if isinstance(found, ColdWant):
        return found
    gaps = found.gaps + [
        _damaged(want, batch, part.why)
        for batch, part in zip(found.located, found.data, strict=True)
        if isinstance(part, Damage) and not _was_dropped(windows, batch)
    ]
    try:
        return Page(want, found.end, found.sound, gaps)
    except ValueError:
        # One of them does not hold: find out which.
        return _checked(want, found, gaps)


def read_parts(
    store: LogStore,
    windows: Windows,
    want: Want,
    find_cold: FindCold | None,
    bytes_max: int,
) -> Parts | ColdWant:
    """The same, at most ``bytes_max`` (one batch at least), before the batches are verified."""
    while True:
        oldest = windows.all[:1]
        try:
            found = _read_parts(store, windows, want, find_cold, bytes_max)
        except LogDamaged as error:
            topic_id, partition, offset, _, end = want
            _log.error(
                "damaged log: topic id %x, partition %d, offsets %d to %d cannot be found: %s",
                topic_id,
                partition,
                offset,
                end,
                error,
            )
            return Parts(end, [], [], [(offset, end)])
        if find_cold is None or windows.all[:1] == oldest:
            return found
        # A window went to the cloud meanwhile: some of it may have been missed.


def _read_parts(
    store: LogStore,
    windows: Windows,
    want: Want,
    find_cold: FindCold | None,
    bytes_max: int,
) -> Parts | ColdWant:
    topic_id, partition, offset, since_ns, end = want
    found = (
        windows.batches_since(topic_id, partition, since_ns)
        if since_ns
        else windows.batches(topic_id, partition, offset)
    )
    first = next(found, None)
    if find_cold is not None:
        disk_first = min(first.base, end) if first is not None else end
        cold = find_cold(topic_id, partition, offset, since_ns)
        if cold is not None and cold.first < disk_first:
            return ColdWant(want, cold, disk_first)
    located: list[Located] = []
    size, is_whole = 0, True
    for batch in chain(() if first is None else (first,), found):
        if batch.base >= end:
            break
        if located and (size + batch.length > bytes_max or len(located) >= DISK_PAGE_BATCHES_MAX):
            is_whole = False
            break
        located.append(batch)
        size += batch.length
    covered = end if is_whole else located[-1].end
    parts = store.read_ranges([(batch.lsn, batch.length) for batch in located])
    return Parts(covered, located, parts, [])


def _was_dropped(windows: Windows, batch: Located) -> bool:
    """Whether its window went since it was located: nobody needed what it held."""
    kept = windows.all
    return not kept or batch.lsn < kept[0].first_lsn


def _checked(want: Want, found: Parts, gaps: list[tuple[int, int]]) -> Page:
    """A page of those batches that hold; the offsets of the others are gaps."""
    sound = []
    for batch, part in zip(found.located, found.data, strict=True):
        if isinstance(part, Damage):
            continue
        try:
            Page(want, found.end, [part], [])
        except ValueError as error:
            gaps.append(_damaged(want, batch, str(error)))
        else:
            sound.append(part)
    return Page(want, found.end, sound, sorted(gaps))


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
