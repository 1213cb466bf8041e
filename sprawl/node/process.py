"""What the node asks of its own process: descriptors, and a quiet garbage collector.

In: bounds. Out: a warning, or nothing. Invariant: called once, by the root.
"""

import gc
import resource
from typing import Final

# Descriptors beside those of clients: listeners, log, directory, worker pipes.
_OWN_FILES: Final = 256
# Allocations before the youngest generation is looked at: the loop makes few cycles, and each
# collection is a pause of everybody's.
_GC_THRESHOLDS: Final = (50_000, 20, 100)


def raise_file_limit(connections_max: int) -> str:
    """Raises the soft limit of open files as far as needed; says so when that is not enough."""
    wanted = connections_max + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ""
    reached = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    except (OSError, ValueError):
        # macOS has a bound of its own below an infinite hard limit.
        reached = soft
    if reached >= wanted:
        return ""
    return (
        f"this process may open {reached} files, connectionsMax {connections_max} needs {wanted}; "
        "raise the limit with ulimit -n"
    )


def quiet_collector() -> None:
    """Puts what the start made out of the collector's sight, and makes collections rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
