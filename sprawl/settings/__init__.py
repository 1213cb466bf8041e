"""Settings: from flags, environment, a TOML file and defaults to one frozen record.

In: ``argv``, the environment, the text of a file. Out: ``Settings`` with the origin of every value,
and what is worth a warning. Invariants: precedence flag > environment > file > default; an empty
value counts as not given; nothing here touches a socket or starts anything. The one table is in
``table.py``; the parser, the help, ``-printConfig`` and the reference are derived from it.
"""

from sprawl.settings.kinds import Setting, Value
from sprawl.settings.sources import Invocation, Loaded, load, parse_flags
from sprawl.settings.table import TABLE, Origin, Settings

__all__ = [
    "TABLE",
    "Invocation",
    "Loaded",
    "Origin",
    "Setting",
    "Settings",
    "Value",
    "load",
    "parse_flags",
]
