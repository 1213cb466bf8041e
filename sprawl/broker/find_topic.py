"""Finds topics: one by name, or a page of all.

In: a name, or a prefix and a position. Out: what the engine holds. Invariants: the order of a list
is stable, that of creation but for topics that took the place of one deleted long ago; a page token
is opaque and never a defect when it is damaged.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator

from sprawl.broker.engine import Engine, TopicInfo, TopicSummary
from sprawl.broker.topic_name import check_topic_name
from sprawl.errors import InvalidRequest, NotFound
from sprawl.limits import TOPICS_PAGE_MAX

_TOKEN_BYTES = 8


def find_topic(engine: Engine, name: str) -> TopicInfo:
    """The topic; NotFound when there is none, InvalidRequest when it cannot be a name."""
    found = engine.topic_get(check_topic_name(name))
    if found is None:
        raise NotFound(f"topic {name!r} does not exist", code="topic_not_found")
    return found


def topics_page(
    engine: Engine, prefix: str, limit: int, page_token: str
) -> tuple[list[TopicSummary], str | None]:
    """Up to ``limit`` topics behind ``page_token`` (empty: the first), and the next token."""
    page, after = engine.topics_page(prefix, _position(page_token), limit)
    return page, None if after is None else _token(after)


def all_topics(engine: Engine) -> Iterator[TopicSummary]:
    """Every topic; the engine is asked a page at a time."""
    after: int | None = 0
    while after is not None:
        page, after = engine.topics_page("", after, TOPICS_PAGE_MAX)
        yield from page


def _token(after: int) -> str:
    raw = after.to_bytes(_TOKEN_BYTES, "little")
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _position(token: str) -> int:
    if not token:
        return 0
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError) as error:
        raise _bad_token() from error
    if len(raw) != _TOKEN_BYTES or raw[-1] & 0x80:
        raise _bad_token()
    return int.from_bytes(raw, "little")


def _bad_token() -> InvalidRequest:
    return InvalidRequest("page_token is not one that this endpoint gave", code="invalid_parameter")
