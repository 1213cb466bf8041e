"""The defects that the fault tests must find, and the scenario that finds each.

In: a name. Out: for the model, code behind ``PLANTED_BUG`` in ``model_node``; for the product,
``plant`` patches one method of the running program before it starts. Invariant: nothing of this is
in the product; ``planted_node`` alone calls ``plant``.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sprawl import errors
from tests.models.disk import journal_record

# Defect: the scenario that finds it, and a part of what that scenario then says.
MODEL_BUGS: Final[dict[str, tuple[str, str]]] = {
    "answer-before-sync": ("order", "early"),
    "visible-before-durable": ("order", "early"),
    "no-sync": ("power", "lost-|refused|phantom|inconsistent|exit status"),
    "sync-error-ignored": ("eio", "lives on after EIO"),
    "commit-skipped": ("kill", "lost-"),
    "drop-tail": ("kill", "lost-|inconsistent-offset"),
    "offset-again-after-restart": ("kill", "inconsistent-offset|lost-"),
    "twice-at-recovery": ("kill", "duplicate-log"),
    "swapped-at-recovery": ("kill", "inconsistent-offset"),
    "refused-but-stored": ("kill", "phantom"),
    "read-skips": ("kill", "skipped-poll|lost-middle"),
    "less-than-asked": ("kill", "overstated"),
    "checksum-unchecked": ("flips", "wrong-bytes"),
    "damage-unnamed": ("flips", "lost-"),
    "start-empty": ("harms", "lost-"),
    "full-acknowledged": ("full", "lost-|not in"),
    "stuck-after-full": ("full", "not in"),
}


def _answer_before_sync() -> None:
    """Answers are let go when a commit begins."""
    from sprawl.log.committer import Commit, Committer

    put = Committer._put

    def early(self: Committer, commit: Commit) -> None:
        self._call(self._on_durable, commit.end_lsn, commit.tick)
        put(self, commit)

    Committer._put = early  # type: ignore[method-assign]


def _tick_ahead() -> None:
    """A commit tells one tick more durable than it holds."""
    from sprawl.log.committer import Commit, Committer

    put = Committer._put

    def ahead(self: Committer, commit: Commit) -> None:
        put(self, dataclasses.replace(commit, tick=commit.tick + 1))

    Committer._put = ahead  # type: ignore[method-assign]


def _commit_halved() -> None:
    """Of what the journal holds at a start the last record is passed over."""
    from sprawl.log import ahead

    relevant = ahead.relevant

    def halved(*args: Any) -> Any:
        return relevant(*args)[:-1]

    ahead.relevant = halved


def _commit_skipped() -> None:
    """Every 20th record of the journal is told durable and never written."""
    from sprawl.log.journal import Journal

    append, count = Journal.append, 0

    def skipping(self: Journal, lsn: int, parts: Sequence[Any], size: int) -> None:
        nonlocal count
        count += 1
        if count % 20:
            append(self, lsn, parts, size)

    Journal.append = skipping  # type: ignore[method-assign]


def _no_journal_sync() -> None:
    """Records of the journal are written and not synced."""
    import os

    from sprawl.log import journal

    class Unsynced:
        def __init__(self, path: Any) -> None:
            self._file = journal.JournalFile(path)
            self._handle = os.open(path, os.O_RDWR)

        def write(self, at: int, data: bytes) -> None:
            self._file.write(at, data)

        def append(self, at: int, salt: int, lsn: int, parts: Sequence[Any]) -> None:
            os.pwrite(self._handle, journal_record(salt, lsn, b"".join(parts)), at)

    opened = journal.Journal.__init__

    def init(self: journal.Journal, path: Any) -> None:
        opened(self, path)
        self._file = Unsynced(path)  # type: ignore[assignment]

    journal.Journal.__init__ = init  # type: ignore[method-assign]


def _no_sync() -> None:
    """The environment is opened without syncs."""
    _with_lmdb_options(sync=False, metasync=False)


def _no_meta_sync() -> None:
    """Pages are synced, the page that names them is not."""
    _with_lmdb_options(metasync=False)


def _with_lmdb_options(**options: bool) -> None:
    """Before the store is imported, which keeps ``lmdb.open`` as a default."""
    import lmdb

    open_as_ever = lmdb.open

    def opened(*args: Any, **named: Any) -> Any:
        return open_as_ever(*args, **(named | options))

    lmdb.open = opened


def _sync_error_ignored() -> None:
    """A commit that failed is told durable, as if the next one would make up for it."""
    from sprawl.log.ahead import WriteAhead

    _ignore(WriteAhead, "put", errors.DiskFailed)


def _full_acknowledged() -> None:
    """A commit without room is told durable; none goes into the journal, which has its room already."""
    from sprawl.log.journal import Journal
    from sprawl.log.store import LogStore

    def has_none(self: Journal, size: int) -> bool:
        return False

    Journal.has_room = has_none  # type: ignore[method-assign]
    _ignore(LogStore, "put_commit", errors.DiskFull)


def _ignore(owner: Any, name: str, error: type[Exception]) -> None:
    call = getattr(owner, name)

    def deaf(self: Any, *args: Any, **named: Any) -> None:
        with contextlib.suppress(error):
            call(self, *args, **named)

    setattr(owner, name, deaf)


def _stuck_after_full() -> None:
    """A disk that was full once is never tried again."""
    from sprawl.log.store import LogStore

    put, was_full = LogStore.put_commit, False

    def stuck(self: LogStore, *args: Any, **named: Any) -> None:
        nonlocal was_full
        if was_full:
            raise errors.DiskFull("the disk was full once")
        try:
            put(self, *args, **named)
        except errors.DiskFull:
            was_full = True
            raise

    LogStore.put_commit = stuck  # type: ignore[method-assign]


def _drop_tail() -> None:
    """Recovery ends one piece of the log too early."""
    from sprawl.log.store import LogStore

    iterate = LogStore.iter_log

    def shorter(self: LogStore, *args: Any) -> Any:
        stretches = list(iterate(self, *args))
        return iter(stretches[:-1])

    LogStore.iter_log = shorter  # type: ignore[method-assign]


def _twice_at_recovery() -> None:
    """Recovery takes the last piece of the log twice."""
    from sprawl.log.store import LogStore

    iterate = LogStore.iter_log

    def longer(self: LogStore, *args: Any) -> Any:
        stretches = list(iterate(self, *args))
        return iter(stretches + stretches[-1:])

    LogStore.iter_log = longer  # type: ignore[method-assign]


def _start_empty() -> None:
    """A log that is refused is thrown away and begun anew."""
    import shutil

    from sprawl.log import starts, store, tier

    open_as_ever = tier.open_tier

    def emptied(
        directory: Path, new_engine: Callable[[int], Any], start: starts.Starts, **named: Any
    ) -> Any:
        try:
            return open_as_ever(directory, new_engine, start, **named)
        except (errors.StartError, errors.LogDamaged):
            shutil.rmtree(directory / store.FOLDER_NAME, ignore_errors=True)
            anew = starts.Starts(start.number, 0, was_clean=True)
            return open_as_ever(directory, new_engine, anew, **named)

    tier.open_tier = emptied


# The same as in the model, where the product has the seam for it.
PRODUCT_BUGS: Final[dict[str, tuple[Callable[[], None], str]]] = {
    "answer-before-sync": (_answer_before_sync, "order"),
    "no-journal-sync": (_no_journal_sync, "power"),
    "no-journal-sync-in-order": (_no_journal_sync, "order"),
    "no-sync": (_no_sync, "order-large"),
    "no-meta-sync": (_no_meta_sync, "order-large"),
    "tick-ahead": (_tick_ahead, "order"),
    "commit-halved": (_commit_halved, "kill-large"),
    "commit-skipped": (_commit_skipped, "kill"),
    "sync-error-ignored": (_sync_error_ignored, "eio"),
    "full-acknowledged": (_full_acknowledged, "full"),
    "stuck-after-full": (_stuck_after_full, "full"),
    "drop-tail": (_drop_tail, "kill"),
    "twice-at-recovery": (_twice_at_recovery, "kill"),
    "start-empty": (_start_empty, "harms"),
}


def plant(name: str) -> None:
    """Patches one defect into this process; KeyError for an unknown one."""
    PRODUCT_BUGS[name][0]()
