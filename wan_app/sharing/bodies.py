"""Bodies of requests: so large and no larger, and not a byte a minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

# Seconds for the next piece of a body; and a whole body may take this long plus what it needs at `_PACE`.
_PIECE = 15.0
_GRACE, _PACE = 30.0, 20_000.0

Receive = Callable[[], Awaitable[Any]]


class BadBody(Exception):
    """A body that is not read on; `status` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Body:
    """The pieces of one request's body; stands in for ASGI's `receive`.

    After `BadBody` the application is told that the caller has gone: it must not wait for the rest, nor
    take the part for the whole. `fault` then says what to answer.
    """

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._began, self.size, self._whole = time.monotonic(), 0, False
        self.fault: BadBody | None = None

    async def __call__(self) -> Any:
        if self.fault:
            return {"type": "http.disconnect"}
        try:
            return await self._next()
        except BadBody as fault:
            self.fault = fault
            return {"type": "http.disconnect"}

    async def read(self) -> bytes:
        """The whole body. Raises BadBody; also when the caller goes away."""
        pieces = []
        while not self._whole:
            message = await self._next()
            if message["type"] != "http.request":
                raise BadBody(400, "The request ended before its body did")
            pieces.append(message.get("body", b""))
        return b"".join(pieces)

    async def _next(self) -> Any:
        if self._whole:
            # What an application waits for now is the end of the connection, which may be long in coming.
            return await self._receive()
        left = _GRACE + self.size / _PACE - (time.monotonic() - self._began)
        try:
            message = await asyncio.wait_for(self._receive(), max(0.01, min(_PIECE, left)))
        except (asyncio.TimeoutError, TimeoutError):
            raise BadBody(408, "The body of this request came too slowly") from None
        if message["type"] == "http.request":
            self.size += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self.size > self._most:
                raise BadBody(413, f"This is too large: at most {self._most / 1e6:.0f} MB")
        return message


def replayed(data: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `data` as the whole body, then what comes after it."""
    given = False

    async def once() -> Any:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": data, "more_body": False}
        return await receive()

    return once
