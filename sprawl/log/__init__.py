"""The log on disk: one LMDB environment, one thread that writes it, and what may be opened at all.

In: pieces of the log and of index blocks, as compiled code made them. Out: the same bytes after any
crash, by log position or by key. Invariants: only ``store.py`` imports lmdb; a commit is one
transaction and synced when it returns; a read transaction never outlives the call that opened it;
a log that cannot be read is refused, never started empty. Nothing here is called on the loop but
``Committer.wake`` and ``Committer.submit``. Layer: below the cluster, above the predictor.
Source: docs/design/disk.md.
"""
