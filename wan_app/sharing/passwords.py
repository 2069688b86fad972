"""Passwords: made, kept as a scrypt hash only, and not to be guessed by trying."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from wan_app.errors import InvalidRequest

MIN_LENGTH = 10
MAX_LENGTH = 200
# 64 MiB and about 0.2 s a try.
_N, _R, _P = 2**16, 8, 1
_MEMORY = 2 * 128 * _N * _R
# Without 0, 1, l and o, which are mistaken for each other.
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_ADDRESSES = 10_000
# One at a time: many tries at once must not use up the memory.
_ONE = threading.Lock()


def make_password() -> str:
    """A strong one (80 random bits) which can be read out: four groups of four letters."""
    letters = [secrets.choice(_LETTERS) for _ in range(16)]
    return "-".join("".join(letters[start:start + 4]) for start in range(0, 16, 4))


def check_strength(password: str) -> None:
    """Refuse what a guesser finds. Raises InvalidRequest, which never repeats the password."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidRequest("password", f"{len(password)} characters", f"{MIN_LENGTH} to {MAX_LENGTH}")
    if len(set(password)) < 5:
        raise InvalidRequest("password", "the same few characters again and again", "at least 5 different ones")


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$hash`, all that is kept of it."""
    salt = secrets.token_bytes(16)
    return "$".join(("scrypt", str(_N), str(_R), str(_P), _text(salt), _text(_scrypt(password, salt, _N, _R, _P))))


def is_password(password: str, hashed: str) -> bool:
    """Whether `hashed` was made of it; takes as long for a wrong one."""
    kind, n, r, p, salt, digest = hashed.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return kind == "scrypt" and hmac.compare_digest(found, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    data = password[:MAX_LENGTH].encode("utf-8", "surrogatepass")
    with _ONE:
        return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class LockOut:
    """Wrong passwords make their address wait, longer each time; very many from anywhere make everyone wait.

    Those who are signed in are not concerned. Overall waits are short, so that nobody can lock the owner out.
    """

    FREE, LONGEST = 5, 900.0
    FREE_OVERALL, LONGEST_OVERALL = 50, 60.0
    FORGET = 3600.0  # seconds without a wrong one after which an address begins anew
    CALM = 10.0  # seconds in which the overall count falls by one

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, time of the last
        self._overall, self._seen = 0.0, clock()

    def wait(self, address: str) -> float:
        """Seconds before this address may try; 0 for now. Counts the try as a wrong one until `right`."""
        with self._lock:
            now, key = self._clock(), _network(address)
            self._overall = max(0.0, self._overall - (now - self._seen) / self.CALM)
            count, last = self._wrong.get(key, (0, now))
            if now - last > self.FORGET:
                count = 0
            left = max(
                last + _pause(count - self.FREE, self.LONGEST) - now,
                self._seen + _pause(int(self._overall) - self.FREE_OVERALL, self.LONGEST_OVERALL) - now,
            )
            if left > 0:
                return left
            self._seen, self._overall = now, self._overall + 1
            self._wrong[key] = (count + 1, now)
            self._wrong.move_to_end(key)
            if len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)
            return 0.0

    def right(self, address: str) -> None:
        """The try was right: nothing is held against this address."""
        with self._lock:
            count, _ = self._wrong.pop(_network(address), (0, 0.0))
            self._overall = max(0.0, self._overall - count)


def _pause(over: int, longest: float) -> float:
    return 0.0 if over < 0 else min(longest, 2.0 ** min(over, 20))


def _network(address: str) -> str:
    """Whoever has one address of IPv6 has the 2^64 beside it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
