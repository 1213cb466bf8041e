"""Reading query parameters.

In: parsed parameters. Out: values, or InvalidRequest ``invalid_parameter`` naming the parameter,
the bound and the value.
"""

from starlette.datastructures import QueryParams

from sprawl.errors import InvalidRequest


def integer(query: QueryParams, name: str, default: int, minimum: int, maximum: int) -> int:
    """A whole number in decimal digits within the bounds, ``default`` when it is not given."""
    text = query.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= 19
    if not is_number or not minimum <= int(text) <= maximum:
        raise InvalidRequest(
            f"{name} must be a number from {minimum} to {maximum}, not {text[:32]!r}",
            code="invalid_parameter",
        )
    return int(text)


def choice(query: QueryParams, name: str, default: str, values: tuple[str, ...]) -> str:
    """One of some words, ``default`` when it is not given."""
    text = query.get(name, default)
    if text not in values:
        raise InvalidRequest(
            f"{name} must be one of {', '.join(values)}, not {text[:32]!r}",
            code="invalid_parameter",
        )
    return text


def flag(query: QueryParams, name: str) -> bool:
    """Whether a switch is on: ``true`` or ``1``."""
    return query.get(name, "").lower() in ("true", "1")
