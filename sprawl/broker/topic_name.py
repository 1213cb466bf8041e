"""The grammar of topic names, checked once at the edge.

In: text. Out: the same text, or InvalidRequest ``invalid_topic``. Invariant: a name that passes is
safe in logs, paths and object keys. Patterns add ``*`` (one token) and ``>`` (the rest).
"""

import re
from typing import Final

from sprawl.errors import InvalidRequest
from sprawl.limits import TOPIC_BYTES_MAX

_NAME: Final = re.compile(r"[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*", re.ASCII)
_PATTERN: Final = re.compile(
    r"(?:[A-Za-z0-9_~-]+|\*)(?:\.(?:[A-Za-z0-9_~-]+|\*))*(?:\.>)?|>", re.ASCII
)


def check_topic_name(name: str) -> str:
    """``name`` itself when it is one."""
    if len(name) > TOPIC_BYTES_MAX:
        raise _invalid(f"topic name of {len(name)} bytes exceeds {TOPIC_BYTES_MAX}")
    if _NAME.fullmatch(name) is None:
        raise _invalid(
            f"topic name {name[:64]!r} must be tokens of A-Z a-z 0-9 _ ~ - joined by dots"
        )
    return name


def is_pattern(name: str) -> bool:
    """Whether ``name`` is a valid pattern over several topics."""
    has_wildcard = "*" in name or ">" in name
    return has_wildcard and len(name) <= TOPIC_BYTES_MAX and _PATTERN.fullmatch(name) is not None


def _invalid(detail: str) -> InvalidRequest:
    return InvalidRequest(detail, code="invalid_topic")
