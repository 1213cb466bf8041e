"""What a framework gives: read the body, keep it, answer a constant JSON (run by uvicorn, one worker)."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

KEPT: deque[bytes] = deque(maxlen=1_000_000)
BODY = b'{"id":"k3v7q2m4xw5ta-0-41","topic":"t","partition":0,"offset":41}'
START = {
    "type": "http.response.start",
    "status": 201,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}
END = {"type": "http.response.body", "body": BODY}


async def app(
    _scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """ASGI 3; HTTP only (start uvicorn with ``--lifespan off``)."""
    pieces = []
    while True:
        event = await receive()
        pieces.append(event.get("body", b""))
        if not event.get("more_body"):
            break
    KEPT.append(b"".join(pieces))
    await send(START)
    await send(END)
