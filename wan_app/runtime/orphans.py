"""Workers whose server was killed. They end by themselves within seconds, if they are able to."""

from __future__ import annotations

import time
from contextlib import suppress

# As long as an orphan may take by itself (worker_process._ORPHAN_GRACE), and a little more.
_GRACE = 8.0
# What is not gone so long after it was killed is held back by a driver, and will never write again.
_BURIAL = 10.0


class Orphans:
    """Tells when the worker of a dead server is gone: until then it may still write the file of its job."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}  # when the worker of a dead server was first met

    def gone(self, server: str) -> bool:
        """Whether no worker of this dead server writes any more; one that stays too long is killed."""
        import psutil

        found = [one for one in psutil.process_iter(["cmdline"]) if server in (one.info["cmdline"] or ())]
        if not found:
            self._seen.pop(server, None)
            return True
        waited = time.monotonic() - self._seen.setdefault(server, time.monotonic())
        if waited > _GRACE:
            for one in found:
                with suppress(psutil.Error):
                    one.kill()
        return waited > _GRACE + _BURIAL
