"""Strict reading of JSON bodies, from the same description that the OpenAPI document shows.

In: bytes. Out: checked values. Invariants: unknown members are refused with their JSON pointer; a
value outside its bounds is refused naming the bound and the value; what a field accepts is exactly
what its schema says. Source: RFC 8259, RFC 6901.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from sprawl.errors import InvalidRequest


class Field(Protocol):
    """One kind of value: how it reads, and its JSON schema."""

    def read(self, value: object, pointer: str) -> object:
        """The value, or InvalidRequest pointing at it."""

    def schema(self) -> dict[str, Any]:
        """The JSON schema of what ``read`` accepts."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number between two bounds, both inclusive."""

    minimum: int
    maximum: int
    is_nullable: bool = False

    def read(self, value: object, pointer: str) -> object:
        """The value when it is one, else InvalidRequest."""
        if value is None and self.is_nullable:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refuse(pointer, "an integer", value)
        if not self.minimum <= value <= self.maximum:
            raise _refuse(pointer, f"between {self.minimum} and {self.maximum}", value)
        return value

    def schema(self) -> dict[str, Any]:
        """The JSON schema."""
        kind: str | list[str] = ["integer", "null"] if self.is_nullable else "integer"
        return {"type": kind, "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``."""

    def read(self, value: object, pointer: str) -> object:
        """The value when it is one, else InvalidRequest."""
        if not isinstance(value, bool):
            raise _refuse(pointer, "true or false", value)
        return value

    def schema(self) -> dict[str, Any]:
        """The JSON schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some strings."""

    values: tuple[str, ...]

    def read(self, value: object, pointer: str) -> object:
        """The value when it is one, else InvalidRequest."""
        if value not in self.values or not isinstance(value, str):
            raise _refuse(pointer, f"one of {', '.join(self.values)}", value)
        return value

    def schema(self) -> dict[str, Any]:
        """The JSON schema."""
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Object:
    """An object with these members, all optional."""

    members: Mapping[str, Field]

    def read(self, value: object, pointer: str) -> dict[str, object]:
        """The value when it is one, else InvalidRequest."""
        if not isinstance(value, dict):
            raise _refuse(pointer, "an object", value)
        checked: dict[str, object] = {}
        for name, member in value.items():
            at = f"{pointer}/{_escape(name)}"
            if name not in self.members:
                known = ", ".join(self.members)
                raise InvalidRequest(
                    f"unknown member {name[:64]!r}; known are {known}",
                    code="invalid_member",
                    location=at,
                )
            checked[name] = self.members[name].read(member, at)
        return checked

    def schema(self) -> dict[str, Any]:
        """The JSON schema."""
        properties = {name: field.schema() for name, field in self.members.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


def read_object(body: bytes, fields: Object) -> dict[str, object]:
    """The members of a JSON object in a body; an empty body is an empty object."""
    if not body:
        return {}
    return fields.read(parse(body), "")


def parse(body: bytes) -> object:
    """A JSON document, or InvalidRequest ``bad_json``."""
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="bad_json") from error
    return document


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")[:256]


def _refuse(pointer: str, wanted: str, value: object) -> InvalidRequest:
    shown = repr(value)
    if len(shown) > 64:
        shown = shown[:61] + "..."
    name = pointer or "the body"
    return InvalidRequest(
        f"{name} must be {wanted}, not {shown}", code="invalid_member", location=pointer
    )
