"""The object store as the node's process sees it: every call is a request to the worker.

In and out: as ``objects.py``, but awaited. Invariants: minio is not imported here; a call that
finds a worker started anew opens the store there and goes on; one whose worker ended is WorkerLost
and not repeated here. The deadline of a call is kept in the worker; a little after it the caller is
freed in any case.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sprawl.errors import Closed
from sprawl.log.cloud.objects import ObjectInfo, Upload
from sprawl.log.cloud.place import StorePlace
from sprawl.worker.frames import Body
from sprawl.worker.host import BACKGROUND, URGENT, Worker
from sprawl.worker.work import Answer

WORK_MODULE: Final = "sprawl.log.cloud.building"
"""What the worker imports for these calls."""


class RemoteStore:
    """An object store through the worker. ``timeout_s`` is each call's unless it names another."""

    def __init__(
        self,
        worker: Worker,
        place: StorePlace,
        *,
        timeout_s: float,
        upload_bytes_per_s: int = 0,
    ) -> None:
        self.place: Final = place
        self._worker = worker
        self._timeout_s = timeout_s
        self._upload_bytes_per_s = upload_bytes_per_s

    async def prepare(self) -> None:
        """Makes the bucket when it is missing; raises what ``objects.py`` names."""
        members = {
            "place": {name: getattr(self.place, name) for name in StorePlace.__slots__},
            "upload_bytes_per_s": self._upload_bytes_per_s,
        }
        await self._worker.call("objects.open", members, timeout_s=self._timeout_s, urgency=URGENT)

    async def put(self, key: str, data: Body, *, create_only: bool = False) -> ObjectInfo:
        """Stores the whole object, durably when it returns."""
        answer = await self._call("put", {"key": key, "create_only": create_only}, data)
        return msgspec.convert(answer.members, ObjectInfo)

    async def get(
        self, key: str, *, start: int = 0, length: int | None = None, is_urgent: bool = True
    ) -> Body:
        """The bytes ``[start, start + length)``, or what of them there is."""
        members = {"key": key, "start": start, "length": length}
        answer = await self._call("get", members, urgency=URGENT if is_urgent else BACKGROUND)
        return answer.body

    async def head(self, key: str) -> ObjectInfo:
        """What is known of an object."""
        answer = await self._call("head", {"key": key})
        return msgspec.convert(answer.members, ObjectInfo)

    async def page(
        self, prefix: str, *, after: str = "", limit: int = 1_000
    ) -> Sequence[ObjectInfo]:
        """Objects below ``prefix`` and above ``after``, in the keys' order."""
        answer = await self._call("page", {"prefix": prefix, "after": after, "limit": limit})
        return msgspec.convert(answer.members["objects"], list[ObjectInfo])

    async def delete(self, key: str) -> None:
        """Removes an object; nothing happens when there is none."""
        await self._call("delete", {"key": key})

    async def uploads(self, prefix: str) -> Sequence[Upload]:
        """Unfinished uploads below ``prefix``."""
        answer = await self._call("uploads", {"prefix": prefix})
        return msgspec.convert(answer.members["uploads"], list[Upload])

    async def abort(self, upload: Upload) -> None:
        """Gives back the room of one."""
        await self._call("abort", {"upload": msgspec.to_builtins(upload)})

    async def _call(
        self,
        name: str,
        members: Mapping[str, object],
        body: Body = b"",
        *,
        urgency: int = BACKGROUND,
    ) -> Answer:
        return await self.call(
            f"objects.{name}", members, body, timeout_s=self._timeout_s, urgency=urgency
        )

    async def call(
        self,
        name: str,
        members: Mapping[str, object],
        body: Body = b"",
        *,
        timeout_s: float,
        urgency: int = BACKGROUND,
    ) -> Answer:
        """A request that uses the store, by its whole name; ``Worker.call`` names what is raised."""

        async def call() -> Answer:
            return await self._worker.call(
                name, members, body, timeout_s=timeout_s, urgency=urgency
            )

        try:
            return await call()
        except Closed:
            # A worker that was started anew, or the first call; a stopped one refuses this, too.
            await self.prepare()
            return await call()
