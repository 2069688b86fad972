"""A call that a browser sends twice is made once.

When a connection that it kept is reset before any answer came, a browser sends the request again by itself, a
Generate too, and nobody can tell it from a second click. So the page gives each of its calls a key of its own
(`Idempotency-Key`, as in the IETF's draft), and the second gets the first one's answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from hashlib import sha256
from typing import Any

HEADER = b"idempotency-key"
# Answers kept for whoever asks again, which a browser does at once. Most are some kilobytes.
_KEPT = 256
_LONGEST_KEY = 100

Send = Callable[[Any], Awaitable[None]]


class Once:
    """The answers of the last calls, by who asked for what under which key."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, asyncio.Future[list[Any] | None]] = OrderedDict()

    @staticmethod
    def key(scope: Any, owner: str, data: bytes) -> Hashable | None:
        """What makes a call the same one: owner, path, key and body; None where no (sensible) key was sent."""
        given = dict(scope["headers"]).get(HEADER, b"")
        if not 0 < len(given) <= _LONGEST_KEY:
            return None
        return owner, scope["path"], given, sha256(data).digest()

    async def __call__(self, key: Hashable, make: Callable[[Send], Awaitable[None]], send: Send) -> None:
        """Answer by `make(send)`, or as the same call was answered or is being answered now."""
        while (found := self._answers.get(key)) is not None:
            answer = await asyncio.shield(found)
            if answer is not None:
                for message in answer:
                    await send(message)
                return
            # The first one failed without an answer: this one tries.
        await self._first(key, make, send)

    async def _first(self, key: Hashable, make: Callable[[Send], Awaitable[None]], send: Send) -> None:
        promised: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        self._answers[key] = promised
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)
            await send(message)

        try:
            await make(keep)
        except BaseException:
            self._answers.pop(key, None)
            promised.set_result(None)
            raise
        promised.set_result(messages)
