"""Guest links: a secret address that lets somebody in for some days, with so many videos and seconds."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from wan_app.errors import InvalidRequest
from wan_app.sharing.store import Store
from wan_app.sharing.who import GUEST, VISITOR

_COLUMNS = "id, label, created, expires, revoked, jobs, seconds, places, used_jobs, used_seconds"
_DAY = 86_400.0
# What a visitor of a public demo may have in the queue at a time.
VISITOR_PLACES = 3


@dataclass(frozen=True, kw_only=True)
class Guest:
    """One link. Times are seconds since 1970; `seconds` are of video, `places` in the queue at a time."""

    id: str
    label: str
    created: float
    expires: float
    revoked: float | None
    jobs: int
    seconds: float
    places: int
    used_jobs: int
    used_seconds: float

    @property
    def state(self) -> str:
        """open, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if time.time() >= self.expires else "open"

    def to_json(self) -> dict[str, Any]:
        """The row that `guests list --json` prints; the link itself is known to nobody but its holder."""
        return {
            "id": self.id, "label": self.label, "state": self.state, "created": _day(self.created),
            "expires": _day(self.expires), "jobs": self.jobs, "seconds": self.seconds, "places": self.places,
            "used_jobs": self.used_jobs, "used_seconds": round(self.used_seconds, 3),
        }


class Guests:
    """The guest links of a data folder, and what they have used of their quotas."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Between counting a guest's places and taking one more.
        self._lock = threading.Lock()

    def create(
        self, *, label: str = "", days: float = 7.0, jobs: int = 20, seconds: float = 120.0, places: int = 2
    ) -> tuple[Guest, str]:
        """A new link and its secret token, which is not kept and cannot be shown again.

        Raises:
            InvalidRequest: a limit that is none.
        """
        label = " ".join(str(label).split())[:60]
        if any(ord(letter) < 32 or 0x202A <= ord(letter) <= 0x202E for letter in label):
            raise InvalidRequest("label", repr(label), "plain words")
        limits = (("days", days, 3650), ("jobs", jobs, 100_000), ("seconds", seconds, 1e7), ("places", places, 100))
        for name, value, most in limits:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
                raise InvalidRequest(name, repr(value)[:40], f"a number above 0, at most {most:g}")
        token, one, now = secrets.token_urlsafe(24), secrets.token_hex(4), time.time()
        limits_kept = (max(1, int(jobs)), float(seconds), max(1, int(places)))
        self._store.change(
            "INSERT INTO guests (id, token, label, created, expires, jobs, seconds, places) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (one, _hashed(token), label, now, now + days * _DAY, *limits_kept),
        )
        return self.get(one), token

    def all(self) -> list[Guest]:
        """Every link, oldest first."""
        return [_guest(row) for row in self._store.rows(f"SELECT {_COLUMNS} FROM guests ORDER BY created")]

    def get(self, guest_id: str) -> Guest:
        """A link by its id. Raises InvalidRequest."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM guests WHERE id = ?", (str(guest_id),))
        if not rows:
            raise InvalidRequest("guest", repr(guest_id)[:40], "the id of a guest link (guests list)")
        return _guest(rows[0])

    def of_token(self, token: str) -> Guest | None:
        """The open link which this token belongs to."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM guests WHERE token = ?", (_hashed(token),))
        return _guest(rows[0]) if rows and _guest(rows[0]).state == "open" else None

    def revoke(self, guest_id: str) -> Guest:
        """Close a link: from now on nobody comes in by it, nor goes on. Raises InvalidRequest.

        What its guest has in the queue is stopped by `Services.revoke`.
        """
        self.get(guest_id)
        with self._lock:  # a job that is being queued just now is in the ledger after this
            self._store.change(
                "UPDATE guests SET revoked = ? WHERE id = ? AND revoked IS NULL", (time.time(), guest_id)
            )
        self._store.change("DELETE FROM sessions WHERE guest = ?", (guest_id,))
        return self.get(guest_id)

    @contextmanager
    def admitted(self, owner: str, seconds: float, living: Callable[[], int]) -> Iterator[None]:
        """Around the queueing of a job: takes what it costs of its owner's quota, gives it back on an error.

        Args:
            seconds: length of the video.
            living: how many jobs of this owner wait or run.
        Raises:
            InvalidRequest: the quota, the link or the places are used up. Nobody else than guests and
                visitors has a quota.
        """
        if not owner.startswith((GUEST, VISITOR)):
            yield
            return
        with self._lock:
            guest = self.get(owner.removeprefix(GUEST)) if owner.startswith(GUEST) else None
            _check_places(living(), guest.places if guest else VISITOR_PLACES)
            if guest:
                self._take(guest, seconds)
            try:
                yield
            except BaseException:
                if guest:
                    self._store.change(
                        "UPDATE guests SET used_jobs = used_jobs - 1, used_seconds = used_seconds - ? WHERE id = ?",
                        (seconds, guest.id),
                    )
                raise

    def _take(self, guest: Guest, seconds: float) -> None:
        # One statement: two processes on a data folder can't both take the last one.
        taken = self._store.change(
            "UPDATE guests SET used_jobs = used_jobs + 1, used_seconds = used_seconds + ?1 WHERE id = ?2 AND "
            "revoked IS NULL AND expires > ?3 AND used_jobs < jobs AND used_seconds + ?1 <= seconds + 1e-6",
            (seconds, guest.id, time.time()),
        )
        if taken:
            return
        if guest.state != "open":
            raise InvalidRequest("guest", f"a link that is {guest.state}", "a new one")
        if guest.used_jobs >= guest.jobs:
            raise InvalidRequest("guest", f"{guest.jobs} videos already made with this link", "another link for more")
        left = max(0.0, guest.seconds - guest.used_seconds)
        raise InvalidRequest("seconds", f"{seconds:.4g}", f"at most {left:.4g}, what is left for this guest link")


def _check_places(living: int, places: int) -> None:
    if living >= places:
        raise InvalidRequest("queue", f"{living} videos of yours waiting or running", f"fewer than {places} at a time")


def _guest(row: tuple[Any, ...]) -> Guest:
    return Guest(**dict(zip(_COLUMNS.split(", "), row)))


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
