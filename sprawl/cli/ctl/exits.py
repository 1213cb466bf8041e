"""Exit statuses of ``sprawlctl``.

In: errors. Out: integers that scripts rely on; they never change.
"""

from typing import Final

from sprawl.errors import NotAllowed, NotFound, SprawlError, Timeout

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
TIMED_OUT: Final = 5
INTERRUPTED: Final = 130


def status_of(error: SprawlError) -> int:
    """The exit status that tells of ``error``."""
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, NotAllowed):
        return NOT_ALLOWED
    return TIMED_OUT if isinstance(error, Timeout) else FAILED
