"""Where the bucket is that a command reads: ``--from``, and the variables that a node takes, too.

In: the command line, variables. Out: options, and what they were given. Invariants: keys are shown
nowhere; a flag goes before a variable; names and variables are those of the node's settings (a test
holds the two together: importing the table would cost every command 20 ms).
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_VISIBLE: Final = "A flag is visible in ps: better by the variable."
SETTINGS: Final = {
    "s3_endpoint": (("MINIO_ENDPOINT", "SPRAWL_S3_ENDPOINT"), "", "URL or host:port."),
    "s3_access_key": (("MINIO_ACCESS_KEY", "SPRAWL_S3_ACCESS_KEY"), "", _VISIBLE),
    "s3_secret_key": (("MINIO_SECRET_KEY", "SPRAWL_S3_SECRET_KEY"), "", _VISIBLE),
    "s3_bucket": (
        ("SPRAWL_STORAGE_CLOUD_BUCKET", "SPRAWL_S3_BUCKET"), "sprawl-messages", "Unless --from names it."
    ),
    "s3_region": (("MINIO_REGION", "SPRAWL_S3_REGION"), "us-east-1", "Region."),
}  # fmt: skip
"""By the name of the setting: its variables, its default, what to say of it."""


class _From(click.ParamType[str]):
    """``s3://BUCKET[/CLUSTER_ID]`` or ``file:///PATH/BUCKET``."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is, once it has one of the two forms."""
        scheme, sign, rest = str(value).partition("://")
        if not sign or scheme not in ("s3", "file") or not rest.strip("/"):
            text = (
                f'"{value}" is no place, it takes s3://BUCKET[/CLUSTER_ID] or file:///PATH/BUCKET'
            )
            self.fail(text, param, ctx)
        return str(value)


def source_options(command: _Command) -> _Command:
    """``--from``, ``--cluster``, ``--s3-…``: passes what ``offline.Source`` is made of."""
    for name, (variables, default, text) in reversed(SETTINGS.items()):
        command = click.option(
            f"--{name.replace('_', '-')}",
            name,
            envvar=list(variables),
            show_envvar=True,
            default=default,
            help=text,
        )(command)
    command = click.option(
        "--cluster", "cluster_id", default="", help="Id of the cluster, where there are several."
    )(command)
    return click.option(
        "--from",
        "from_",
        type=_From(),
        default=None,
        help="s3://BUCKET[/CLUSTER_ID] or file:///PATH/BUCKET.  [default: the bucket of the settings]",
    )(command)
