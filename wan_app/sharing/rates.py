"""How often somebody may ask: token buckets, one for each kind of request and each caller."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_CALLERS = 10_000


@dataclass(frozen=True)
class Limit:
    """`burst` at once, `rate` more each second."""

    burst: float
    rate: float


# For guests, visitors and strangers. A page looks at its job twice a second and loads some eighty files.
# A class behind one address comes through the door at once; wrong passwords are counted elsewhere.
LIMITS = {
    "request": Limit(400, 40),
    "call": Limit(60, 12),
    "upload": Limit(24, 0.5),
    "upload_bytes": Limit(300e6, 2e6),
    "door": Limit(60, 0.5),
}
# Nobody needs more of their own studio; a script that runs away does.
OWNER_LIMITS = {
    "request": Limit(20_000, 4000),
    "call": Limit(8000, 2000),
    "upload": Limit(1000, 20),
    "upload_bytes": Limit(4e9, 100e6),
    "door": Limit(60, 0.5),
}


class Rates:
    """The buckets; the least used go when there are too many."""

    def __init__(self, limits: dict[str, Limit], clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock, self._lock = limits, clock, threading.Lock()
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()  # tokens, when

    def take(self, kind: str, caller: str, amount: float = 1.0) -> float:
        """Seconds to wait before `amount` of `kind` may be had; 0 if it was taken now.

        What is larger than a burst is let through by a full bucket, which then owes the rest.
        """
        limit = self._limits[kind]
        with self._lock:
            now = self._clock()
            tokens, last = self._buckets.get((kind, caller), (limit.burst, now))
            tokens = min(limit.burst, tokens + (now - last) * limit.rate)
            wanted = min(amount, limit.burst)
            wait = 0.0 if tokens >= wanted else (wanted - tokens) / limit.rate
            self._buckets[kind, caller] = (tokens if wait else tokens - amount, now)
            self._buckets.move_to_end((kind, caller))
            if len(self._buckets) > _CALLERS:
                self._buckets.popitem(last=False)
            return wait
