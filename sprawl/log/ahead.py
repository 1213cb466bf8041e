"""Writing ahead: a small commit goes into the journal, and into LMDB later, together with others.

In: commits in log order. Out: durable when ``put`` returns; all of them in the store when ``settle``
does. Invariants: the store holds the log up to where the journal's oldest record that counts
begins; the journal is rewound only after the store has synced what it holds; a large commit goes
into the store at once, so that its bytes are written once. On the committer's thread, but
``recover``. Source: docs/design/disk.md, docs/adr/0008-a-journal-before-lmdb.md.

```
 put ── small, room ──► journal: one write, one flush
  └──── else ─────────► LMDB: what the journal holds, and this, in one transaction; rewind
```
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from sprawl._native import cut_log
from sprawl.errors import LogDamaged, StartError
from sprawl.log.journal import JOURNAL_NAME, Buffer, Journal, make_journal, relevant
from sprawl.log.starts import Starts, ended_in_order, number_of_start
from sprawl.log.store import Item, LogStore

_log: Final = logging.getLogger("sprawl.log")

Cut = Callable[[int, Sequence[Buffer]], Sequence[Item]]
"""Makes the values that hold log bytes from a position on."""


class WriteAhead:
    """The log's one writer: the journal, and the store behind it."""

    def __init__(self, store: LogStore, journal: Journal, cut: Cut = cut_log) -> None:
        self._store = store
        self._journal = journal
        self._cut = cut
        # What the journal holds and the store does not: views of memory that stay until then.
        self._first_lsn = 0
        self._parts: list[Buffer] = []

    def put(self, first_lsn: int, parts: Sequence[Buffer]) -> None:
        """Makes log bytes durable; after DiskFull nothing was taken, and the call may be repeated."""
        size = sum(len(part) for part in parts)
        if self._journal.has_room(size):
            self._journal.append(first_lsn, parts, size)
            if not self._parts:
                self._first_lsn = first_lsn
            self._parts += parts
        else:
            self._put_store(self._first_lsn if self._parts else first_lsn, [*self._parts, *parts])

    def settle(self) -> None:
        """Puts what the journal holds into the store; does nothing when that is nothing."""
        if self._parts:
            self._put_store(self._first_lsn, self._parts)

    def _put_store(self, first_lsn: int, parts: Sequence[Buffer]) -> None:
        self._store.put_commit(self._cut(first_lsn, parts))
        self._parts = []
        self._journal.rewind()


def open_journal(store: LogStore, starts: Starts) -> Journal:
    """The journal of a log, everything in it put into the store; a log of before them gets one.

    Raises StartError where the journal is missing, damaged, or not of the time of its log;
    nothing was changed then.
    """
    path = store.path / JOURNAL_NAME
    if not store.has_journal():
        make_journal(path, number_of_start(store))
        store.note_journal()
    journal = Journal(path)
    _recover(store, journal, starts)
    return journal


def _recover(store: LogStore, journal: Journal, starts: Starts) -> None:
    """Puts what a crash left in the journal into the store."""
    if journal.start < number_of_start(store):
        raise StartError(
            f"cannot use {journal.path}: it is of start {journal.start}, "
            f"the log beside it of start {number_of_start(store)}; put the newer one back",
            code="directory_unreadable",
        )
    end_lsn = max(store.ends()[1], store.cut_lsn())
    records = relevant(journal.records(), end_lsn, journal.path)
    if records and ended_in_order(store, starts, end_lsn):
        raise LogDamaged(f"{journal.path} goes on after the log ended in order at {end_lsn}")
    for record in records:
        if record.lsn > end_lsn:
            _log.error("damaged journal: positions %d to %d are missing", end_lsn, record.lsn)
            store.leave_hole()
        store.put_commit(cut_log(record.lsn, [record.data]))
        end_lsn = record.end_lsn
    if journal.is_begun(end_lsn):
        # Nobody was answered, unless it was whole and has been damaged since: that looks the same.
        _log.warning("the journal ends in a record at %d that is not whole: it is cut", end_lsn)
    if records:
        _log.info("%d commits were taken up from the journal", len(records))
