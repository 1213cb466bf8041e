"""The tree of commands, and how a command ends.

In: the command line. Out: an exit status. Invariants: an error is one line on stderr, never a
traceback; a closed pipe is silence; an interrupt is 130.
"""

import sys
from collections.abc import Sequence
from typing import Final

import click

from sprawl.cli.ctl import exits
from sprawl.cli.ctl.arguments import arranged
from sprawl.cli.ctl.bench import bench
from sprawl.cli.ctl.completion import completion
from sprawl.cli.ctl.diagnose import diagnose
from sprawl.cli.ctl.node import doctor, health, node
from sprawl.cli.ctl.output import complain
from sprawl.cli.ctl.pub import pub
from sprawl.cli.ctl.publish import publish
from sprawl.cli.ctl.run import Ended
from sprawl.cli.ctl.selftest import selftest
from sprawl.cli.ctl.sub import sub
from sprawl.cli.ctl.subscribe import subscribe
from sprawl.cli.ctl.tier import tier
from sprawl.cli.ctl.topic import topic
from sprawl.errors import SprawlError

LATER: Final = (
    "ai", "cluster", "context", "dlq", "message", "pull", "subscription", "top",
)  # fmt: skip
"""Commands that later versions have."""


class _Root(click.Group):
    """Knows the names of later versions, so that it can say so."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in LATER:
            raise click.UsageError(f'command "{args[0]}" is not in this version', ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Options may stand before or after the command.",
)
@click.version_option(
    package_name="sprawl-node", prog_name="sprawlctl", message="%(prog)s %(version)s"
)
def root() -> None:
    """Talk to Sprawl nodes: publish, read, administer, measure."""


@root.command("help")
@click.argument("path", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, path: tuple[str, ...]) -> None:
    """Show the help of a command."""
    assert ctx.parent is not None
    shown, command = ctx.parent, ctx.parent.command
    for word in path:
        found = command.get_command(shown, word) if isinstance(command, click.Group) else None
        if found is None:
            raise click.UsageError(f'no command "{" ".join(path)}"')
        shown, command = click.Context(found, info_name=word, parent=shown), found
    click.echo(command.get_help(shown))


for _command in (
    publish, subscribe, selftest, diagnose, completion,
    pub, sub, topic, tier, node, health, doctor, bench,
):  # fmt: skip
    root.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``sprawlctl``; ``argv`` without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = root.main(arranged(root, arguments), prog_name="sprawlctl", standalone_mode=False)
        sys.stdout.flush()
    except Ended as ended:
        status = ended.status
    except click.exceptions.Abort:
        return exits.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SprawlError as error:
        complain(f"sprawlctl: {error.detail}")
        return exits.status_of(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return status if isinstance(status, int) else exits.OK
