"""Everything the page, the API and the command line can ask for, wired once. Imports no torch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from wan_app import devices, policy
from wan_app.checking import Checking
from wan_app.consent.ledger import KEEPER, Consent, ConsentLedger, Person
from wan_app.errors import InvalidRequest, JobNotFound
from wan_app.families import listing, registry
from wan_app.families.fit.fitting import fit_request
from wan_app.families.parts import loras
from wan_app.families.spec import ModelSpec, check_number
from wan_app.families.speech import registry as speech_registry
from wan_app.families.speech import weights as speech_weights
from wan_app.families.weights import licences
from wan_app.families.weights import locate as weights
from wan_app.generate import request_from
from wan_app.library.library import Library
from wan_app.media.inputs import InputStore
from wan_app.media.label import label_for
from wan_app.media.marks.credentials import ready_keys
from wan_app.media.marks.verify import Verification
from wan_app.media.storage import check_writable, shown
from wan_app.media.video import read_metadata
from wan_app.runtime import leftovers
from wan_app.runtime.downloads import DownloadEvent, Downloads, DownloadView
from wan_app.runtime.job import JobView, new_job_id, now
from wan_app.runtime.ledger import Ledger, Tally
from wan_app.runtime.lifeline import Lifeline
from wan_app.runtime.line import Move
from wan_app.runtime.queue import JobQueue
from wan_app.runtime.takeover import Takeover
from wan_app.runtime.worker import ProcessWorker, Worker
from wan_app.settings import Settings
from wan_app.sharing.guests import Guest, Guests
from wan_app.sharing.store import Store
from wan_app.sharing.who import GUEST, VISITOR
from wan_app.sounds import speech_demanded, speech_wanted
from wan_app.types import Downloaded, GenerationRequest, JobEvent, Queued, Reporter

RECIPE = "wan_app.generate:open_recipe"
log = logging.getLogger(__name__)
# How often a job of another process on the same data folder is looked at.
_FOREIGN_POLL = 0.5
_REVOKED = "The guest link was taken back before this job had ended"


class Services:
    """The app without a face. All methods are thread-safe.

    Args:
        worker: where videos are made; by default a process started with the first job.
        lasting: this is a studio. Its jobs outlive it, and it goes on with those of studios that have ended;
            without, a job ends with the process that waits for it (the command line).
    Raises:
        StorageError: the data folder cannot be used.
    """

    def __init__(self, settings: Settings, *, worker: Worker | None = None, lasting: bool = False) -> None:
        # Paths go to another process and into the ledger, so they must not depend on where we stand.
        self.settings = settings = replace(settings, data_dir=settings.data_dir.absolute())
        self._ledger = Ledger(settings.ledger_file)
        self._lifeline = Lifeline(settings.servers_dir)
        self._inputs = InputStore(settings.inputs_dir)
        self._consent = ConsentLedger(settings.consent_file, days=settings.consent_days)
        self.checks = Checking(settings, self._consent)
        self.library = Library(
            settings, self._ledger, inputs=self._inputs, consent=self._consent, server=self._lifeline.token,
            remove=lambda job_id, owner: self.remove(job_id, owner=owner),
        )
        self._worker = worker or ProcessWorker(settings, RECIPE, server=self._lifeline.token)
        self._queue = JobQueue(settings, self._ledger, self._worker, lasting=lasting)
        self._downloads = Downloads(self._fetch)
        self._takeover = Takeover(settings, self._ledger, self._queue, self._lifeline.token, lasting=lasting)
        self._takeover.look()
        if lasting:
            leftovers.sweep(settings, self._unfinished)
            self._takeover.start()
            self.library.quota.start()

    def submit(self, request: GenerationRequest, *, owner: str = "local", out: Path | None = None) -> str:
        """Check a request, keep its pictures and sounds, write it to the ledger, queue it; return the job id.

        Args:
            out: where the video (or the WAV of `sound_only`) goes; by default into a folder of the job's
                own under data_dir.
        Raises:
            InvalidRequest: naming the first field that is wrong; nothing was queued.
            ModelUnavailable: the weights of the model, or of the speech model that it needs, are not here.
            StorageError: the request or the result cannot be written.
        """
        if out:
            check_writable(out)
        spec = registry.get(request.model)
        casting = self.library.casting(request, owner, spec)
        resolved = spec.resolve(casting.request)
        if (resolved.mode == "reference" or resolved.characters) and resolved.consent is not True:
            raise InvalidRequest(
                "consent", "no consent",
                "the statement that every person shown or heard agrees, or is yourself (--consent, consent=true)",
            )
        if self.settings.refuse:
            policy.refuse(resolved)
        kind = ".wav" if resolved.sound_only else ".mp4"
        if out and (resolved.sound_only or out.suffix.lower() == ".wav") and out.suffix.lower() != kind:
            what = "sound alone" if resolved.sound_only else "a video"
            raise InvalidRequest("out", f"{shown(out.name)} for {what}", f"a name that ends in {kind}")
        self._check_models(resolved, spec)
        ready_keys(self.settings)  # what could not be signed need not be made
        # All is read and checked before any of it is kept.
        label = label_for(self.settings.label, owner)
        settled = self._inputs.settle(replace(self._absolute(resolved), label=label, consent_id=None))
        people = [Person.of(one) for one in settled.request.characters]
        self._consent.check(people, owner)
        job_id = new_job_id()
        name = f"{spec.id}-{resolved.mode}-{resolved.seed}{kind}"
        check_writable(self.settings.data_dir / name, "data_dir")
        path = out.absolute() if out else self.settings.outputs_dir / job_id / name
        seconds = (resolved.num_frames or 0) / spec.fps
        with self._admitted(owner, seconds), self._inputs.keeping(settled.inputs):
            job = JobView(
                id=job_id, owner=owner, state="queued", mode=resolved.mode, model=spec.id, created=now(),
                request=replace(settled.request, consent_id=self._consent.record(people, owner) if people else None),
                out=path, notes=casting.notes + settled.notes,
            )
            log.info("job queued", extra={
                "job": job_id, "mode": job.mode, "model": job.model, "prompt": resolved.prompt,
                "role": owner.partition(":")[0], "seconds": round(seconds, 3),
            })
            return self._queue.submit(job, self._lifeline.token)

    def cancel(self, job_id: str, *, owner: str = "local", why: str = "") -> JobView:
        """Stop a job: at once while it waits, within one step's block while it runs.

        Nothing happens to a job that has ended.

        Args:
            why: a line for the job's row, if it is not its owner's own wish.
        Raises:
            JobNotFound: also for a job of another owner.
            InvalidRequest: a command line on the same data folder runs it. A studio there is asked by way of
                the ledger, and stops it within a second more.
        """
        job = self.job(job_id, owner=owner)
        if self._queue.cancel(job_id, why) or job.ended:
            return self.job(job_id, owner=owner)
        if not self._ledger.give_up(job_id, why) and not self.job(job_id, owner=owner).ended:
            raise InvalidRequest("job", f"{job_id}, which another process runs", "a cancel (Ctrl+C) there")
        self._takeover.look()  # there may be nobody left to ask
        return self.job(job_id, owner=owner)

    def move(self, job_id: str, to: str, *, owner: str = "local") -> JobView:
        """Let a waiting job change places with others of its owner, here or at a studio on the same data folder.

        Args:
            to: "front", "up", "down", "back", or the id of a job which it is to be made before.
        Raises:
            JobNotFound: also for a job of another owner.
            InvalidRequest: one of the two does not wait, or there is no such direction.
        """
        job = self.job(job_id, owner=owner)
        if to not in get_args(Move):
            other = self._queue.job(to) if isinstance(to, str) and to != job_id else None
            if other is None or other.owner != owner or other.state != "queued":
                needed = ", ".join(get_args(Move)) + ", or the id of another job that waits"
                raise InvalidRequest("to", repr(to)[:40], needed)
        if not (self._queue.move(job_id, to) or self._takeover.move(job_id, to)):
            raise InvalidRequest("job", f"{job_id}, which is {self._standing(job)}", "one that waits")
        return self.job(job_id, owner=owner)

    def duplicate(self, job_id: str, *, owner: str = "local") -> str:
        """Queue the same request once more, with a seed of its own; the new job's id. Raises as `submit`."""
        return self.submit(replace(self.job(job_id, owner=owner).request, seed=None), owner=owner)

    def remove(self, job_id: str, *, owner: str = "local") -> None:
        """Forget a job that waits or has ended, and delete what was made; a file that the user named stays.

        Raises:
            JobNotFound: also for a job of another owner.
            InvalidRequest: it runs, or another process answers for it.
        """
        job = self.job(job_id, owner=owner)
        if isinstance(job.event, Queued):
            self._queue.cancel(job_id)
            job = self.job(job_id, owner=owner)
        if not job.ended:
            raise InvalidRequest("job", f"{job_id}, which is {self._standing(job)}", "a cancel first")
        # The files first: a row without a file says what was there, a file without a row is never found again.
        leftovers.discard_output(self.settings, job)
        leftovers.forget_tries(self.settings, job_id)
        (self.settings.logs_dir / f"{job_id}.log").unlink(missing_ok=True)
        self._queue.forget(job_id)
        self.library.forget(job)

    def job(self, job_id: str, *, owner: str = "local") -> JobView:
        """The job as it stands. Raises JobNotFound, also for a job of another owner."""
        found = self._queue.job(job_id) if isinstance(job_id, str) else None
        if found is None or found.owner != owner:
            raise JobNotFound(f"job: got {str(job_id)[:40]!r}; needed the id of one of your jobs")
        return found

    def watch(self, job_id: str, *, owner: str = "local") -> Iterator[JobEvent]:
        """Every event of a job so far, then each new one, until it has ended. Raises JobNotFound."""
        self.job(job_id, owner=owner)
        return self._watch(job_id, owner)

    def jobs(self, *, owner: str | None = None) -> list[JobView]:
        """The jobs of one owner, or of all, newest last."""
        return self._queue.jobs(owner)

    def tally(self) -> Tally:
        """All jobs of the data folder in numbers."""
        return self._ledger.tally()

    def living(self, *, owner: str | None = None) -> list[JobView]:
        """The jobs of this process that run or wait, the next one first."""
        return self._queue.living(owner)

    def models(self) -> list[dict[str, Any]]:
        """A row for every model, see `families.listing`."""
        return listing.rows(self.settings)

    def accept_licence(self, licence_id: str, words: str) -> None:
        """Record that the person at this machine accepts a licence in its own `words`.

        Raises:
            InvalidRequest: no such licence, or other words; nothing is recorded.
            StorageError: the record cannot be written.
        """
        licences.accept(licence_id, words, self.settings)

    def download(self, model_id: str, preset: str = "quality") -> DownloadView:
        """Begin to fetch a model's weights in the background, or go on with it; see `watch_download`.

        Args:
            model_id: a video model, or the speech model.
            preset: "fast" for what that preset needs too; its view's `model` tells what to watch.
        Raises:
            InvalidRequest: no such model, or no such preset of it.
            ModelUnavailable: its licence is not accepted.
        """
        from wan_app.families.weights import download

        target = download.target_of(model_id, preset)
        download.check(target, self.settings)
        return self._downloads.start(target)

    def download_of(self, model_id: str) -> DownloadView | None:
        """The last download of a model in this process as it stands, None if there was none."""
        return self._downloads.view(model_id)

    def downloads(self) -> list[DownloadView]:
        """The downloads of this process, the latest of each model."""
        return self._downloads.views()

    def watch_download(self, model_id: str) -> Iterator[DownloadEvent]:
        """How a download stands, and what comes, until it has ended."""
        return self._downloads.watch(model_id)

    def cancel_download(self, model_id: str) -> None:
        """Stop a download within a second; what came so far stays for the next time."""
        self._downloads.cancel(model_id)

    def consents(self, *, owner: str = KEEPER) -> list[Consent]:
        """The people for whom an owner stated consent, newest last; for the keeper of the machine, everybody's.

        Raises:
            StorageError: the record was changed by other hands.
        """
        return self._consent.consents(None if owner == KEEPER else owner)

    def withdraw_consent(self, consent_id: str, *, owner: str = KEEPER) -> None:
        """Refuse the faces and voices of a statement from now on, for everybody; jobs that wait fail.

        Raises:
            InvalidRequest: no such statement of this owner; the keeper may withdraw any.
        """
        self._consent.withdraw(consent_id, owner=owner)

    def renew_consent(self, consent_id: str, words: str, *, owner: str = KEEPER) -> None:
        """State anew, in the statement's own `words`, what was withdrawn or ran out. Raises InvalidRequest."""
        self._consent.renew(consent_id, words, owner=owner)

    def fit(
        self, request: GenerationRequest, *, vram: float | None = None, ram: float | None = None
    ) -> dict[str, Any]:
        """Whether and how a request fits, before it is made: `families.fit.plan.Fit` as JSON types.

        Only its model, size, length, steps, guidance and pictures count; the rest may be missing.

        Args:
            vram: ask for a card of so many GiB in place of this machine's; ram: and for so much memory.
        Raises:
            InvalidRequest: a number that the model can't make.
        """
        for name, value in (("vram", vram), ("ram", ram)):
            if value is not None:
                check_number(name, value, 1, 10_000)
        pid = self._worker.pid if isinstance(self._worker, ProcessWorker) else None
        machine = devices.machine(self.settings.data_dir, self.settings.device, own_pid=pid)
        if vram is not None or ram is not None:
            machine = machine.instead(vram, ram)
        return fit_request(registry.get(request.model).sized(request), self.settings, machine).to_json()

    def request_of(self, path: Path) -> GenerationRequest:
        """The request stored inside a video made by this app. Raises InvalidRequest."""
        try:
            return request_from(read_metadata(path), self.settings)
        except (KeyError, TypeError, ValueError) as error:
            got = f"{path.name} (no whole request in it)"
            raise InvalidRequest("from", got, "a video made by this app") from error

    def verify(self, path: Path, *, owner: str = KEEPER) -> Verification:
        """Look for the three marks of a file, and say what they show; waits, two minutes at most. See `checks`.

        Raises:
            InvalidRequest: naming `file`: there is no such file, or nothing to see or hear in it.
        """
        return self.checks.verify(path, owner=owner)

    def warm(self) -> None:
        """Start the worker and load the default model in the background."""
        self._worker.warm()

    def close(self) -> None:
        """Stop the worker and give everything back. Jobs that have not ended wait for the next studio; without
        `lasting` they fail with the reason."""
        self._takeover.close()
        self.checks.close()
        self.library.close()
        self._downloads.close()
        self._queue.close()
        self._lifeline.close()
        self._ledger.close()

    def revoke(self, guest_id: str) -> Guest:
        """Close a guest link, and cancel what its guest has in the queue. Raises InvalidRequest: no such link."""
        guest = self.guests.revoke(guest_id)
        for job in self.jobs(owner=GUEST + guest.id):
            if not job.ended:
                with suppress(JobNotFound, InvalidRequest):  # it went, or ended, a moment ago
                    self.cancel(job.id, owner=job.owner, why=_REVOKED)
        return guest

    @cached_property
    def guests(self) -> Guests:
        """The guest links; opened when somebody asks for them."""
        return Guests(Store(self.settings.sharing_file))

    def _admitted(self, owner: str, seconds: float) -> AbstractContextManager[None]:
        """Around the queueing of a job: guests and visitors have quotas. Raises InvalidRequest."""
        if not owner.startswith((GUEST, VISITOR)):
            return nullcontext()
        return self.guests.admitted(owner, seconds, lambda: sum(not job.ended for job in self._queue.jobs(owner)))

    def _fetch(self, model_id: str, report: Reporter) -> Downloaded:
        from wan_app.families.weights import download

        return download.download(model_id, self.settings, report)

    def _check_models(self, request: GenerationRequest, spec: ModelSpec) -> None:
        """Before the inputs are kept: no faces and voices for a job that cannot be."""
        if speech_wanted(request, spec) and speech_demanded(request):
            speech_weights.locate(speech_registry.get(), self.settings)
        if spec.native_audio or not request.sound_only:
            weights.locate(spec, self.settings, request.weights)
            loras.check(loras.with_preset(request, spec, self.settings).loras, spec)

    def _absolute(self, request: GenerationRequest) -> GenerationRequest:
        return replace(
            request, weights=request.weights.absolute() if request.weights else None,
            loras=tuple(replace(one, file=one.file.absolute()) for one in request.loras),
        )

    def _watch(self, job_id: str, owner: str) -> Iterator[JobEvent]:
        yield from self._queue.watch(job_id)
        # The job may be another process's (a command line beside the studio): the ledger tells.
        while not (view := self.job(job_id, owner=owner)).ended:
            time.sleep(_FOREIGN_POLL)
            self._takeover.look()
            if (later := self.job(job_id, owner=owner)).event not in (None, view.event):
                yield later.event

    def _unfinished(self) -> set[str]:
        return {one.job.id for jobs in self._ledger.unfinished().values() for one in jobs}

    def _standing(self, job: JobView) -> str:
        return job.state if self._queue.lives(job.id) or job.ended else "another process's"
