"""What becomes of the jobs of processes that have ended: taken up, or failed with the reason.

A studio's jobs last: the next studio on the same data folder goes on with them, in their order. A job of the
command line belongs to whoever waited for it there: it is failed, and nobody makes it behind their back.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from wan_app.errors import StorageError
from wan_app.runtime import leftovers, receipts
from wan_app.runtime.job import receipt_file
from wan_app.runtime.ledger import Ledger, Unfinished
from wan_app.runtime.lifeline import is_alive
from wan_app.runtime.line import Line
from wan_app.runtime.orphans import Orphans
from wan_app.runtime.queue import JobQueue
from wan_app.settings import Settings
from wan_app.types import Cancelled, Failed, Finished, JobEvent

log = logging.getLogger(__name__)

# The studio was ended so often while it made this job that the job may be the reason (a machine that runs out
# of memory as a whole). Far more than MAX_DEATHS, for restarts and power cuts seldom are a job's fault.
MAX_INTERRUPTIONS = 5
_INTERRUPTED = Failed("The studio stopped while this job was {}; send it again", "WorkerDied")
_POISONOUS = Failed(
    f"The studio stopped {MAX_INTERRUPTIONS} times while this job was running; a smaller one may do", "WorkerDied"
)
_EVERY = 1.0


class Takeover:
    """Looks for dead processes on the data folder.

    Args:
        server: the name of this process in the ledger (see `runtime.lifeline`).
        lasting: whether this is a studio, which takes lasting jobs up.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, queue: JobQueue, server: str, *, lasting: bool
    ) -> None:
        self._settings, self._ledger, self._queue = settings, ledger, queue
        self._server, self._lasting = server, lasting
        self._orphans = Orphans()
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look every second."""
        self._thread = threading.Thread(target=self._keep_looking, name="takeover", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Once: take up or bury all jobs of dead processes; those of other living ones are left alone."""
        with self._looking:
            for server, jobs in self._ledger.unfinished().items():
                if server == self._server:
                    self._heed(jobs)
                if server == self._server or is_alive(self._settings.servers_dir, server):
                    continue
                mine = [one for one in jobs if one.unwanted or not one.lasting]
                # What is to be made again waits until the old worker is gone: both would write the same file.
                if self._lasting and len(mine) < len(jobs) and self._orphans.gone(server):
                    mine = jobs
                for one in mine:
                    self._take(one, server)

    def move(self, job_id: str, to: str) -> bool:
        """Let a studio's waiting job change places; it follows the ledger, as whoever comes after it does.

        Args:
            to: as of `Line.move`.
        Returns:
            False if the job does not wait at any studio, or neither does the one it is to be made before.
        """
        for jobs in self._ledger.unfinished().values():
            line = Line()
            for one in jobs:
                if one.lasting and one.job.state == "queued":
                    line.add(one.job.id, one.job.owner, one.slot)
            if line.can_move(job_id, to):
                self._ledger.arrange(line.move(job_id, to))
                return True
        return False

    def _heed(self, jobs: list[Unfinished]) -> None:
        """Do what another process wrote down: another order, jobs that are unwanted."""
        self._queue.follow({one.job.id: one.slot for one in jobs})
        for one in jobs:
            if one.unwanted:
                self._queue.cancel(one.job.id, one.why)

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _keep_looking(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                self.look()
                self._queue.settle()
            except StorageError as error:  # it may be over in a second
                log.error("Jobs of other processes: %s", error)

    def _take(self, one: Unfinished, dead: str) -> None:
        job = one.job
        if not self._ledger.claim(job.id, dead, self._server):
            return
        receipt = receipt_file(self._settings, job.id)
        if result := receipts.read(receipt):
            leftovers.discard_parts(job)
            self._end(one, Finished(result))
            return
        leftovers.discard_output(self._settings, job)
        if ending := self._ending(one):
            self._end(one, ending)
        else:
            log.info("Job %s of %s is taken up again", job.id, dead)
            self._queue.adopt(one)

    def _ending(self, one: Unfinished) -> JobEvent | None:
        """Why a job is not taken up; None if it is."""
        if one.unwanted:
            return Cancelled(one.why)
        if not one.lasting:
            what = "waiting" if one.job.state == "queued" else "running"
            return replace(_INTERRUPTED, error=_INTERRUPTED.error.format(what))
        if one.job.state == "running" and one.starts - one.deaths >= MAX_INTERRUPTIONS:
            return _POISONOUS
        return None

    def _end(self, one: Unfinished, ending: JobEvent) -> None:
        self._ledger.record(one.job.id, ending)
        leftovers.forget_tries(self._settings, one.job.id)
