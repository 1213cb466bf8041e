"""Reading request bodies as the original did: any content type, unknown members ignored.

In: bytes. Out: the members, or a refusal in the original's words.
"""

from sprawl.edge.strict import parse
from sprawl.errors import InvalidRequest, SprawlError, error_for


def members_of(body: bytes) -> dict[str, object]:
    """The members of a JSON object; ``Invalid request body`` for anything else."""
    try:
        document = parse(body)
    except InvalidRequest as error:
        raise invalid_body() from error
    if not isinstance(document, dict):
        raise invalid_body()
    return document


def text_member(members: dict[str, object], name: str) -> str | None:
    """A string member, None when it is absent, null or empty."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid_body()
    return value or None


def invalid_body() -> SprawlError:
    """The original's answer to a body it cannot use."""
    return error_for("bad_json", "Invalid request body")


def missing(detail: str) -> SprawlError:
    """The original's answer to a member that is not there."""
    return error_for("missing_field", detail)
