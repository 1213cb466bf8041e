"""The log on disk: a journal, LMDB behind it, one thread that writes both, and what may be opened.

In: pieces of the log and of index blocks, as compiled code made them. Out: the same bytes after any
crash, by log position or by key. Invariants: only ``store.py`` imports lmdb; a commit is one
record of the journal or one transaction, and synced when it returns; a read transaction never outlives the call that opened it;
a log that cannot be read is refused, never started empty. Nothing here is called on the loop but
``Committer.wake`` and ``Committer.submit``. Layer: below the cluster, above the predictor.
Source: docs/design/disk.md.
"""
