"""Which start has the log, and where it ended: what tells a log, or a node.json, that was put back.

In: what ``node.json`` says of the starts, the log's own note of them. Out: whether the log ended in
order. Invariants: the log notes a start before ``node.json`` does, and an orderly end before
``node.json`` does, so a crash leaves the log one start ahead at most and never behind; a log that is
behind is older than its directory and is refused, and so is a directory older than its log. Source:
docs/design/disk.md.
"""

import struct
from dataclasses import dataclass
from typing import Final

from sprawl.errors import LogDamaged, StartError
from sprawl.log.store import LogStore

START_STATE: Final = b"start"
"""State: number of the start that has the log; after an orderly end, the log's end."""

_VERSION: Final = 1
_START: Final = struct.Struct("<BB6xQQ")


@dataclass(frozen=True, slots=True)
class Starts:
    """What ``node.json`` says.

    ``number`` is this start's, ``with_log`` the last one's that had the log (0: none had);
    ``was_clean`` tells that the start ``with_log`` was the last one and ended in order.
    """

    number: int
    with_log: int
    was_clean: bool


def start_state(number: int, clean_lsn: int | None = None) -> dict[bytes, bytes]:
    """The state of a start that has the log, or, with the log's end, of one that ended in order."""
    is_clean = clean_lsn is not None
    return {START_STATE: _START.pack(_VERSION, is_clean, number, clean_lsn or 0)}


def ended_in_order(store: LogStore, starts: Starts, end_lsn: int) -> bool:
    """Whether the start before this one left the log in order; ``end_lsn`` is where it ends.

    Raises StartError when log and ``node.json`` are not of one time, LogDamaged when the note
    cannot be read or the log does not end where it ended in order.
    """
    note = _note(store)
    if note is None:
        if starts.with_log:
            raise _put_back(store, f"it knows no start, node.json names start {starts.with_log}")
        return False
    is_clean, number, clean_lsn = note
    if number < starts.with_log:
        raise _put_back(store, f"it is of start {number}, node.json of start {starts.with_log}")
    if number > starts.number:
        detail = f"node.json is older than the log under {store.path}, which is of start {number}"
        raise StartError(f"{detail}; put the newer one back", code="directory_unreadable")
    if starts.was_clean and number == starts.with_log and not is_clean:
        raise _put_back(store, f"it is of before start {number} ended in order")
    if is_clean and clean_lsn != end_lsn:
        raise LogDamaged(f"the log ends at {end_lsn}; in order it ended at {clean_lsn}")
    return is_clean


def number_of_start(store: LogStore) -> int:
    """The number of the start that had the log last; 0 when none had."""
    note = _note(store)
    return 0 if note is None else note[1]


def _note(store: LogStore) -> tuple[bool, int, int] | None:
    """Whether the last start that had the log ended in order, its number, and where then."""
    value = store.state_get(START_STATE)
    if value is None:
        return None
    if len(value) != _START.size or value[0] != _VERSION or value[1] > 1:
        raise LogDamaged("state start of the log is not of version 1")
    _, is_clean, number, clean_lsn = _START.unpack(value)
    return bool(is_clean), number, clean_lsn


def _put_back(store: LogStore, why: str) -> StartError:
    detail = f"the log under {store.path} is older than its directory: {why}"
    return StartError(f"{detail}; put the newer one back", code="directory_unreadable")
