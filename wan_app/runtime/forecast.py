"""How long a job will take, from what such jobs took here before. Says nothing where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from wan_app.errors import StorageError
from wan_app.runtime.job import JobView
from wan_app.types import GenerationRequest, JobEvent, Step

# Enough for a median, few enough that a new card or a driver is soon noticed.
_REMEMBERED = 20
_COUNTED = 5
# Work that differs by more is no measure: a five-second clip says little about a picture.
_KIN = 8.0


class Forecast:
    """Seconds by request, learned from finished jobs.

    Args:
        finished: (model, limit) -> its last finished jobs, newest first; asked once a model.
    """

    def __init__(self, finished: Callable[[str, int], Iterable[JobView]]) -> None:
        self._finished = finished
        self._runs: dict[str, list[tuple[GenerationRequest, float]]] = {}

    def learn(self, job: JobView) -> None:
        """Count a job that has finished just now."""
        runs = self._of(job.model)
        runs[:] = [*_measured([job]), *runs][:_REMEMBERED]

    def seconds(self, request: GenerationRequest) -> float | None:
        """From beginning to end; None where no job of this kind and about this size has finished."""
        work = _work(request)
        known = [(_work(one), took) for one, took in self._of(request.model or "")
                 if one.sound_only == request.sound_only]
        same = [took for done, took in known if done == work][:_COUNTED]
        kin = [took * work / done for done, took in known if 1 / _KIN <= work / done <= _KIN][:_COUNTED]
        return median(same or kin) if same or kin else None

    def left(self, request: GenerationRequest, event: JobEvent | None, elapsed: float) -> float | None:
        """Seconds that a running job still needs: as its pipeline says, else by the jobs before."""
        if isinstance(event, Step) and event.eta is not None:
            return event.eta
        whole = self.seconds(request)
        return None if whole is None else max(0.0, whole - elapsed)

    def _of(self, model: str) -> list[tuple[GenerationRequest, float]]:
        if model not in self._runs:
            try:
                self._runs[model] = _measured(self._finished(model, _REMEMBERED))
            except StorageError:  # a time that is not known is no reason to show nothing
                return []
        return self._runs[model]


def _measured(jobs: Iterable[JobView]) -> list[tuple[GenerationRequest, float]]:
    taken = ((job.request, job.result.timings.get("total", 0.0)) for job in jobs if job.result)
    return [(request, seconds) for request, seconds in taken if seconds > 0]


def _work(request: GenerationRequest) -> float:
    """Pixels times frames times passes through the network; words alone for sound alone."""
    frames = float(request.num_frames or 1)
    if request.sound_only:
        return frames
    passes = (request.num_inference_steps or 1) * (2 if (request.guidance_scale or 1) > 1 else 1)
    return max(1, (request.width or 1) * (request.height or 1)) * frames * passes
