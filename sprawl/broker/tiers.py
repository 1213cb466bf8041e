"""Moves messages between tiers and cleans up behind retention.

In: the engine, the disk and the cloud tier, None where one is off. Out: nothing, or a refusal. Invariant: what
memory lets go of is on disk before.
"""

from typing import Final, Protocol

from sprawl.broker.engine import Engine
from sprawl.broker.find_topic import find_topic
from sprawl.errors import InvalidRequest, NotAvailable
from sprawl.limits import COMPACT_WAIT_S
from sprawl.log.figures import CloudFigures, DiskFigures

TIERS: Final = ("memory", "disk", "cloud")


class Disk(Protocol):
    """The disk tier, as use cases see it."""

    def figures(self) -> DiskFigures:
        """What it says of itself, at once."""

    async def let_go(self) -> None:
        """Lets memory go of everything that is on disk now."""

    async def compact(self, timeout_s: float) -> bool:
        """Retention and cleaning now; False when they still go on after ``timeout_s``."""


class Cloud(Protocol):
    """The cloud tier, as use cases see it."""

    def figures(self) -> CloudFigures:
        """What it says of itself, at once."""

    def ask(self) -> None:
        """What memory has let go of now is to move, whatever its age."""


async def move_topic(
    engine: Engine, disk: Disk | None, cloud: Cloud | None, topic: str, tier: str
) -> None:
    """Moves what a topic holds now at least as far as ``tier``; memory is where it is at least.

    What moves to the cloud has begun to move when this returns.

    Raises InvalidRequest (no such tier), NotFound, NotAvailable (the tier is off).
    """
    if tier not in TIERS:
        raise InvalidRequest(
            f"{tier[:64]!r} is not one of {', '.join(TIERS)}", code="invalid_member"
        )
    find_topic(engine, topic)
    if tier == "memory":
        return
    if disk is None or (tier == "cloud" and cloud is None):
        raise NotAvailable(f"the {tier} tier is off")
    # The log is one: its oldest part leaves memory as a whole.
    await disk.let_go()
    if tier == "cloud" and cloud is not None:
        cloud.ask()


async def compact(disk: Disk | None) -> bool:
    """Applies retention and drops what nobody needs; False when it goes on in the background.

    Raises NotAvailable without a disk tier, Conflict while one goes on.
    """
    if disk is None:
        raise NotAvailable("storage compaction needs the disk tier, which is off")
    return await disk.compact(COMPACT_WAIT_S)
