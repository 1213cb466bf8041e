"""``sprawlctl``: what people and scripts do with nodes, from a terminal.

In: the command line. Out: text or JSON on stdout, complaints and progress on stderr, an exit
status (``exits``). Invariants: stdout holds results only; nothing is destroyed without asking or
``--yes``; a closed pipe ends a command silently.

Read in this order: ``app`` (the tree of commands and how one ends), ``arguments`` (the original's
spellings), one file per command.
"""

from sprawl.cli.ctl.app import main

__all__ = ["main"]
