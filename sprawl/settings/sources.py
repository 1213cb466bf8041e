"""Flags, environment and file, put together by precedence.

In: ``argv`` without the program's name, the environment, the text of the settings file. Out:
``Invocation`` (what the command line says) and ``Loaded`` (the settings and what is worth a
warning). Raises ``SettingsError`` whose detail is one line; a name that is not known comes with the
nearest one that is. Go's ``flag`` package is the source of the spellings.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sprawl.errors import SettingsError
from sprawl.limits import SETTINGS_FILE_BYTES_MAX
from sprawl.settings.kinds import BOOLEANS, Setting, Value, refused
from sprawl.settings.table import FOREIGN, IGNORED, TABLE, Origin, Settings

_COMMANDS: Final[Mapping[str, str]] = {
    "h": "help",
    "help": "help",
    "version": "version",
    "printConfig": "print_config",
    "print-config": "print_config",
    "print_config": "print_config",
}
_FLAGS: Final[Mapping[str, Setting]] = {
    spelling: row for row in TABLE.values() if row.flag for spelling in row.spellings
}
_KEYS: Final[Mapping[str, Setting]] = {
    spelling: row for row in TABLE.values() for spelling in row.spellings
}
_VARIABLES: Final[Mapping[str, Setting]] = {
    variable: row for row in TABLE.values() for variable in row.variables
}
_KUBERNETES: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_|$)")
_SERVICE_URL: Final = re.compile(r"(tcp|udp|sctp)://\S+:[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the command line says: texts by setting, and which of the other things it asks for."""

    texts: Mapping[str, tuple[str, str]]
    """Name of the setting → (text, flag as it was spelt)."""
    asks_help: bool = False
    asks_version: bool = False
    asks_print_config: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, warnings (something is probably wrong) and notices (nothing is)."""

    settings: Settings
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def parse_flags(argv: Iterable[str]) -> Invocation:
    """Reads Go-style flags; the last of a repeated flag counts, an empty value is not given."""
    texts: dict[str, tuple[str, str]] = {}
    asked: set[str] = set()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, has_value, text = _split(word)
        if command := _COMMANDS.get(name):
            if not has_value or _flag_boolean(text, word):
                asked.add(command)
            continue
        row = _FLAGS.get(name)
        if row is None:
            raise _unknown("flag", f"-{name}", (*_FLAGS, *_COMMANDS), "-")
        if not has_value:
            text = _next_text(row, rest, f"-{name}")
        texts[row.name] = (text, f"-{name}")
    return Invocation(
        texts=MappingProxyType(texts),
        asks_help="help" in asked,
        asks_version="version" in asked,
        asks_print_config="print_config" in asked,
    )


def load(
    invocation: Invocation,
    environment: Mapping[str, str],
    read_file: Callable[[str], bytes] | None = None,
) -> Loaded:
    """The settings of flags over environment over file over defaults."""
    warnings: list[str] = []
    values: dict[str, Value] = {}
    origins: dict[str, Origin] = {}

    def take(row: Setting, text: str, origin: Origin) -> None:
        if text != "" and row.name not in origins:
            values[row.name] = row.parse(text, origin.where)
            origins[row.name] = origin

    for name, (text, flag) in invocation.texts.items():
        take(TABLE[name], text, Origin("flag", flag))
    for variable, row in _VARIABLES.items():
        text = environment.get(variable, "")
        if _is_injected(row, text):
            warnings.append(f"{variable}={text} looks like a Kubernetes Service, not ours: ignored")
            continue
        take(row, text, Origin("environment", variable))
    if path := str(values.get("settings", "")):
        for row, text in _read_members(path, read_file or _read_file):
            take(row, text, Origin("file", f"{path}: {row.key}"))
    settings = Settings(**_arguments(values), origins=MappingProxyType(origins))
    _check_together(settings)
    warnings += _unknown_variables(environment)
    return Loaded(settings, tuple(warnings), tuple(_notices(settings, environment)))


def _split(word: str) -> tuple[str, bool, str]:
    """Name, whether ``=`` gave a value, and that value."""
    name, equals, text = word.partition("=")
    bare = name[2:] if name.startswith("--") else name[1:]
    if not name.startswith("-") or not bare or bare.startswith("-"):
        raise SettingsError(f"unexpected argument {word!r}; settings are given as -name=value")
    return bare, bool(equals), text


def _next_text(row: Setting, rest: list[str], flag: str) -> str:
    if row.kind == "boolean":
        return rest.pop(0) if rest and rest[0] in BOOLEANS else "true"
    if not rest:
        raise refused(flag, "needs a value")
    return rest.pop(0)


def _flag_boolean(text: str, word: str) -> bool:
    if text not in BOOLEANS:
        raise refused(word, "is not a boolean; use 1, 0, t, f, true or false")
    return BOOLEANS[text]


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(SETTINGS_FILE_BYTES_MAX + 1)


def _read_members(path: str, read: Callable[[str], bytes]) -> list[tuple[Setting, str]]:
    import tomllib

    try:
        data = read(path)
    except OSError as error:
        raise SettingsError(f"settings file {path}: {error.strerror or error}") from error
    if len(data) > SETTINGS_FILE_BYTES_MAX:
        raise SettingsError(
            f"settings file {path}: more than settings_file_bytes_max {SETTINGS_FILE_BYTES_MAX}"
        )
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise SettingsError(f"settings file {path}: {error}") from error
    return [_member(path, key, value) for key, value in document.items()]


def _member(path: str, key: str, value: object) -> tuple[Setting, str]:
    row = _KEYS.get(key)
    if row is None:
        raise _unknown("member", f"{path}: {key}", _KEYS, "", key)
    if row.name == "settings":
        raise refused(f"{path}: {key}", "a settings file cannot name another one")
    return row, _text_of(row, value, f"{path}: {key}")


def _text_of(row: Setting, value: object, source: str) -> str:
    """The text of a TOML value, when its type fits the setting's."""
    is_boolean = isinstance(value, bool)
    if is_boolean and row.kind == "boolean":
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if row.kind == "seeds" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ",".join(value)
    if not is_boolean and isinstance(value, int) and row.kind in ("integer", "number", "duration"):
        return str(value)
    if isinstance(value, float) and row.kind in ("number", "duration"):
        return f"{value!r}s" if row.kind == "duration" else repr(value)
    raise refused(source, f"a TOML {type(value).__name__} is no {row.kind}")


def _arguments(values: Mapping[str, Value]) -> dict[str, Any]:
    return dict(values)


def _check_together(settings: Settings) -> None:
    """What no single value can tell."""
    for up, down in (
        ("cpu_scale_up_threshold", "cpu_scale_down_threshold"),
        ("mem_scale_up_threshold", "mem_scale_down_threshold"),
        ("msg_rate_scale_up_threshold", "msg_rate_scale_down_threshold"),
    ):
        high, low = getattr(settings, up), getattr(settings, down)
        if high <= low:
            at_fault = up if settings.is_given(up) else down
            where = settings.origin(at_fault).where
            raise refused(where, f"{up} {high:g} must be above {down} {low:g}")


def _is_injected(row: Setting, text: str) -> bool:
    return row.kind == "integer" and bool(_SERVICE_URL.fullmatch(text))


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = _VARIABLES.keys() | IGNORED.keys() | FOREIGN
    return [
        f"unknown variable {variable} has no effect{_hint(variable, known, '')}"
        for variable in sorted(environment)
        if variable.startswith("SPRAWL_")
        and variable not in known
        and not _KUBERNETES.search(variable)
    ]


def _notices(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    notices = [
        f"{variable} has no effect: {reason}"
        for variable, reason in IGNORED.items()
        if environment.get(variable)
    ]
    return notices + [
        f"{settings.origin(name).where} has no effect: {row.inert}"
        for name, row in TABLE.items()
        if row.inert and settings.is_given(name) and getattr(settings, name) != row.default
    ]


def _unknown(
    what: str, shown: str, known: Iterable[str], prefix: str, word: str = ""
) -> SettingsError:
    hint = _hint(word or shown.lstrip("-"), known, prefix)
    return SettingsError(f"unknown {what} {shown}{hint}", code="unknown_setting")


def _hint(word: str, known: Iterable[str], prefix: str) -> str:
    """``; did you mean -httpPort?``, or nothing when no name is near."""
    from difflib import get_close_matches

    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.lower(), name)
    near = get_close_matches(word.lower(), folded, n=1, cutoff=0.75)
    return f"; did you mean {prefix}{folded[near[0]]}?" if near else ""
