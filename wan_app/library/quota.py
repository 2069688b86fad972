"""How much space an owner's videos may take: when it is used up, the oldest that are not pinned go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from wan_app.errors import InvalidRequest, WanAppError
from wan_app.library.gallery import Gallery, Kept
from wan_app.library.store import Store

GB = 1_000_000_000
_FACT = "quota_bytes"
_EVERY = 20.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of one owner: how many results, their bytes, those pinned; `quota` in bytes, None for no limit."""

    results: int
    bytes: int
    pinned_bytes: int
    quota: int | None


class Quota:
    """The limit, and who keeps it. It counts for each owner alone: nobody's videos push out another's.

    Args:
        default: bytes, until somebody sets another limit; None for none.
        remove: deletes a job by id and owner.
    """

    def __init__(
        self, gallery: Gallery, store: Store, *, default: int | None, remove: Callable[[str, str], None]
    ) -> None:
        self._gallery, self._store, self._default, self._remove = gallery, store, default, remove
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def limit(self) -> int | None:
        """Bytes that an owner's results may take; None for no limit."""
        said = self._store.fact(_FACT)
        if said is None:
            return self._default
        return int(said) or None

    def set(self, gigabytes: float | None) -> None:
        """A new limit, None or 0 for none; what is over it goes within seconds. Raises InvalidRequest."""
        if gigabytes is None:
            gigabytes = 0.0
        usual = not isinstance(gigabytes, bool) and isinstance(gigabytes, (int, float))
        if not usual or not (gigabytes == 0 or 0.01 <= gigabytes <= 1e6):
            raise InvalidRequest("quota", repr(gigabytes)[:40], "gigabytes, 0.01 or more, or 0 for no limit")
        self._store.remember(_FACT, str(int(gigabytes * GB)))

    def usage(self, owner: str) -> Usage:
        """What an owner's results take."""
        own = [one for one in self._gallery.of_all(owner) if one.ours]
        return Usage(
            results=len(own), bytes=sum(one.bytes for one in own),
            pinned_bytes=sum(one.bytes for one in own if one.pinned), quota=self.limit,
        )

    def keep(self) -> list[str]:
        """Once: delete what is over the limit; ids of the jobs that went.

        Never: pinned ones, files that somebody named themselves, and an owner's newest, which is being looked at.
        """
        limit = self.limit
        if limit is None:
            return []
        gone: list[str] = []
        owners: dict[str, list[Kept]] = {}
        for one in self._gallery.of_all():
            if one.ours:
                owners.setdefault(one.job.owner, []).append(one)
        for owner, results in owners.items():
            over = sum(one.bytes for one in results) - limit
            for one in results[:-1]:
                if over <= 0:
                    break
                if not one.pinned and one.there and self._removed(one, owner):
                    over -= one.bytes
                    gone.append(one.job.id)
        return gone

    def start(self) -> None:
        """Keep the limit from now on, in the background."""
        self._thread = threading.Thread(target=self._keep_on, name="quota", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _keep_on(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                if gone := self.keep():
                    log.info("%s results went: the space for videos is used up", len(gone))
            except WanAppError as error:  # it may be over the next time
                log.error("The space for videos: %s", error)

    def _removed(self, one: Kept, owner: str) -> bool:
        try:
            self._remove(one.job.id, owner)
        except WanAppError as error:
            log.warning("Job %s could not be deleted: %s", one.job.id, error)
            return False
        return True
