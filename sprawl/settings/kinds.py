"""One setting as data, and how each kind of value is read from text.

In: text of a flag, variable or file member. Out: a typed value inside its bounds. Errors name the
thing, the bound and the value; the value of a secret never appears in one. Source: Go's ``flag``
and ``strconv`` for the spellings of booleans and integers.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sprawl.clock import SECOND_NS, parse_duration
from sprawl.errors import SettingsError
from sprawl.limits import NODE_ID_BYTES_MAX, SETTING_BYTES_MAX

Value = str | int | float | bool | tuple[str, ...]
Kind = Literal[
    "text", "address", "integer", "number", "boolean", "duration", "choice", "seeds", "identity"
]

BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
CLUSTER_PORT_DEFAULT: Final = 7946
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]+", re.ASCII)
_IDENTITY: Final = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table of settings.

    ``flag`` is the spelling of the original (``bindPort``; kebab and snake case are taken, too), or
    empty when there is no flag. ``variables`` are in order of preference. ``low`` and ``high`` are
    inclusive, in ``unit``. ``inert`` says why the setting has no effect in this version, or is
    empty.
    """

    name: str
    kind: Kind
    default: Value
    flag: str
    variables: tuple[str, ...]
    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    reloadable: bool = False
    secret: bool = False
    inert: str = ""

    @property
    def key(self) -> str:
        """Its name in a settings file, which is also its flag if it has one."""
        return self.flag or camel(self.name)

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every spelling of ``key`` that is taken."""
        return tuple(dict.fromkeys((self.key, kebab(self.key), snake(self.key), self.name)))

    def parse(self, text: str, source: str) -> Value:
        """The value of ``text``; SettingsError that begins with ``source`` (``-bindPort``)."""
        if len(text.encode("utf-8", "surrogateescape")) > SETTING_BYTES_MAX:
            raise refused(source, f"its value exceeds setting_bytes_max {SETTING_BYTES_MAX}")
        try:
            value = _PARSERS[self.kind](self, text)
        except ValueError as error:
            shown = "the value" if self.secret else repr(text)
            raise refused(source, f"{shown} {error}") from None
        self._check_bounds(value, source)
        return value

    def show(self, value: Value) -> str:
        """The value as it may be printed, in the spelling of a TOML file; secrets are masked."""
        if self.secret and value:
            return '"***"'
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        text = ",".join(value) if isinstance(value, tuple) else value
        return '"' + "".join(_escape(c) for c in text) + '"'

    def _check_bounds(self, value: Value, source: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and value < self.low:
            raise refused(source, f"{value}{unit} is below the minimum {_plain(self.low)}{unit}")
        if self.high is not None and value > self.high:
            raise refused(source, f"{value}{unit} exceeds the maximum {_plain(self.high)}{unit}")


def refused(source: str, why: str) -> SettingsError:
    """A refusal of what ``source`` (a flag, variable or file member) says."""
    return SettingsError(f"{source}: {why}", location=source)


def camel(name: str) -> str:
    """``bind_port`` → ``bindPort``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def kebab(name: str) -> str:
    """``bindPort`` → ``bind-port``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).replace("_", "-").lower()


def snake(name: str) -> str:
    """``bindPort`` → ``bind_port``."""
    return kebab(name).replace("-", "_")


def _text(_: Setting, text: str) -> str:
    if any(not c.isprintable() for c in text):
        raise ValueError("holds a character that cannot be printed")
    return text


def _address(_: Setting, text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(host) or (":" in host and not _is_ipv6(host)):
        raise ValueError("is not a host name or an IP address without port")
    return host


def _identity(_: Setting, text: str) -> str:
    if len(text) > NODE_ID_BYTES_MAX:
        raise ValueError(f"is longer than node_id_bytes_max {NODE_ID_BYTES_MAX}")
    if not _IDENTITY.fullmatch(text):
        raise ValueError("holds more than letters, digits and _ . : -")
    return text


def _integer(_: Setting, text: str) -> int:
    try:
        return int(text) if _DECIMAL.fullmatch(text) else int(text, 0)
    except ValueError:
        raise ValueError("is not a whole number") from None


def _number(_: Setting, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return value


def _boolean(_: Setting, text: str) -> bool:
    if text not in BOOLEANS:
        raise ValueError("is not a boolean; use 1, 0, t, f, true or false")
    return BOOLEANS[text]


def _duration(_: Setting, text: str) -> float:
    if _DECIMAL.fullmatch(text):
        return int(text)
    return parse_duration_s(text)


def _choice(setting: Setting, text: str) -> str:
    if text not in setting.choices:
        raise ValueError(f"is none of {', '.join(setting.choices)}")
    return text


def _seeds(_: Setting, text: str) -> tuple[str, ...]:
    return tuple(_seed(part.strip()) for part in text.split(",") if part.strip())


def _seed(text: str) -> str:
    """``host:port`` in one spelling; a missing port is the default cluster port."""
    if text.count(":") > 1 and not text.startswith("["):
        host, port = text, ""
    else:
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port = text, ""
    bare = host.removeprefix("[").removesuffix("]")
    number = int(port) if re.fullmatch("[0-9]{1,5}", port, re.ASCII) else 0
    if not port:
        number = CLUSTER_PORT_DEFAULT
    if not _HOST.fullmatch(bare) or not 1 <= number <= 65_535:
        raise ValueError("is not a comma list of host:port")
    return f"[{bare}]:{number}" if ":" in bare else f"{bare}:{number}"


def parse_duration_s(text: str) -> float:
    """Seconds of a Go duration, whole ones as integers; ValueError says what is wrong."""
    try:
        value_ns = parse_duration(text)
    except ValueError:
        raise ValueError("is not a duration such as 300ms, 45s or 1h30m") from None
    return value_ns // SECOND_NS if value_ns % SECOND_NS == 0 else value_ns / SECOND_NS


def _plain(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _is_ipv6(host: str) -> bool:
    from socket import AF_INET6, inet_pton

    try:
        inet_pton(AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\u{ord(character):04x}"


_PARSERS: Final[Mapping[Kind, Callable[[Setting, str], Value]]] = {
    "text": _text,
    "address": _address,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "duration": _duration,
    "choice": _choice,
    "seeds": _seeds,
    "identity": _identity,
}
