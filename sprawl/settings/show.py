"""Settings as text: the help, ``-printConfig`` and the lines of the start.

In: the table and a record of settings. Out: lines. Invariant: a secret is never in them. What
``-printConfig`` writes can be given back with ``-settings``, secrets aside.
"""

from sprawl.settings.kinds import Setting
from sprawl.settings.table import TABLE, Settings

USAGE = "usage: sprawl [-name=value ...]    sprawl -help lists every setting"


def help_lines() -> list[str]:
    """The whole help: usage, then every setting with its flag, variables, default and bounds."""
    lines = [
        "usage: sprawl [-name=value ...]",
        "",
        "Starts a node. Every setting is a flag (-name value, -name=value, --name value,",
        "--name=value), an environment variable or a member of the settings file; flags go",
        "before the environment, the environment before the file. An empty value is not given.",
        "",
        "  -help, -h        this text",
        "  -version         the version",
        "  -printConfig     every setting with its value and origin, secrets masked",
        "",
    ]
    for row in TABLE.values():
        lines += _help_of(row)
    return lines


def config_lines(settings: Settings) -> list[str]:
    """Every setting as ``name = value  # origin``; those not given and empty are commented out."""
    lines = []
    for name, row in TABLE.items():
        value = getattr(settings, name)
        mark = "# " if value in ("", ()) or (row.secret and value) or name == "settings" else ""
        lines.append(f"{mark}{row.key} = {row.show(value)}  # {settings.origin(name)}")
    return lines


def effective_lines(settings: Settings) -> list[str]:
    """The settings that differ from their defaults, as ``name=value (origin)``."""
    return [
        f"{row.key}={row.show(getattr(settings, name))} ({settings.origin(name)})"
        for name, row in TABLE.items()
        if settings.is_given(name) and getattr(settings, name) != row.default
    ]


def changes(old: Settings, new: Settings) -> list[tuple[Setting, str, str]]:
    """Row, old text and new text of every setting that differs."""
    return [
        (row, row.show(getattr(old, name)), row.show(getattr(new, name)))
        for name, row in TABLE.items()
        if getattr(old, name) != getattr(new, name)
    ]


def _help_of(row: Setting) -> list[str]:
    head = f"-{row.flag}" if row.flag else row.variables[0]
    facts = []
    if row.default not in ("", ()):
        facts.append(f"default {row.show(row.default)}")
    if row.unit:
        facts.append(row.unit)
    if row.low is not None or row.high is not None:
        facts.append(_bounds(row))
    if row.choices:
        facts.append("one of " + ", ".join(row.choices))
    if row.reloadable:
        facts.append("reloaded by SIGHUP")
    lines = [f"  {head:<28} {row.help}"]
    if facts:
        lines.append(" " * 31 + "; ".join(facts))
    if row.inert:
        lines.append(" " * 31 + f"no effect: {row.inert}")
    if row.flag:
        lines.append(" " * 31 + ", ".join(row.variables))
    elif len(row.variables) > 1:
        lines.append(" " * 31 + "or " + ", ".join(row.variables[1:]))
    return lines


def _bounds(row: Setting) -> str:
    low = "" if row.low is None else str(int(row.low))
    high = "" if row.high is None else str(int(row.high))
    return f"at least {low}" if not high else f"{low} to {high}"
