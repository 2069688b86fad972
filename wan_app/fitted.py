"""A model run under a plan that fits: chosen before, stepped down when memory runs out, measured after."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from wan_app import devices
from wan_app.errors import OutOfMemory
from wan_app.families import registry
from wan_app.families.base import Output, Pipeline, Plan
from wan_app.families.fit.fitting import fit_request, known_costs, uncorrected
from wan_app.families.fit.measured import Measured
from wan_app.families.fit.plan import Fit, described, step_down
from wan_app.runtime.models import ModelManager, Room
from wan_app.settings import Settings
from wan_app.types import GenerationRequest, Loading, Reporter

# After so many smaller plans the request itself is too large.
MAX_STEPS_DOWN = 3


class Stopwatch:
    """Seconds by stage name."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> float:
        """End a stage, which began where the last one ended; its seconds."""
        moment = time.perf_counter()
        seconds, self._last = moment - self._last, moment
        self._laps[stage] = round(seconds, 3)
        return seconds

    def timings(self) -> dict[str, float]:
        """The stages so far and their `total`."""
        return {**self._laps, "total": round(time.perf_counter() - self._start, 3)}


def made(
    request: GenerationRequest, models: ModelManager[Pipeline], settings: Settings, report: Reporter, clock: Stopwatch
) -> tuple[Output, tuple[str, ...]]:
    """What the model makes of a resolved request, under the first plan that memory allows; and notes for people.

    Where memory runs out, the plan is stepped down (`plan.step_down`), each time with a Loading event and
    a note: the decoder in tiles, parts off the card, smaller weights. The request itself never changes.

    Raises:
        OutOfMemory: the smallest plan did not do, or the request is too large for this machine by far.
    """
    spec = registry.get(request.model)
    plan, found = planned(request, models, settings)
    _refuse_hopeless(found)
    notes: tuple[str, ...] = ()
    for fallen in range(MAX_STEPS_DOWN + 1):
        try:
            output = _run(request, plan, found, models=models, settings=settings, report=report, clock=clock)
            return output, notes
        except Exception as error:
            if not (isinstance(error, OutOfMemory) or devices.is_out_of_memory(error)):
                raise
            step = step_down(plan, spec) if fallen < MAX_STEPS_DOWN else None
            if step is None:
                if not notes:
                    raise
                raise OutOfMemory(f"{spec.id}: memory ran out under every plan; {_instead(found)}") from None
        # Out here, where the error is gone and no longer holds what the run had made.
        devices.free_memory()
        _remember_failure(plan, found, settings)
        plan, words = step
        report(Loading(f"Memory ran out; trying again with {words}", stays=True))
        notes += (f"Memory ran out; it was made with {words}, which takes longer",)
    raise AssertionError("the last round returns or raises")


def planned(request: GenerationRequest, models: ModelManager[Pipeline], settings: Settings) -> tuple[Plan, Fit]:
    """The plan for a resolved request on this machine as it is now, and how it fits."""
    device = devices.pick_device(settings.device)
    machine = devices.machine(settings.data_dir, device, own_pid=os.getpid())
    current = models.plan_of(request.model or "", request.weights)
    found = fit_request(request, settings, machine, current=current)
    return replace(found.plan, cache=settings.cache_dir), found


def _run(
    request: GenerationRequest, plan: Plan, found: Fit, *, models: ModelManager[Pipeline], settings: Settings,
    report: Reporter, clock: Stopwatch,
) -> Output:
    """One try under one plan."""
    machine = found.machine
    loaded = models.plan_of(found.model, request.weights) == plan
    expected = uncorrected(request, settings, machine, plan, loaded=loaded)
    room = Room(expected.vram, machine.vram_free) if machine.vram else Room(expected.ram, machine.ram_free)
    peak = devices.PeakMemory()
    peak.start()
    with models.lease(found.model, plan, request.weights, room=room) as pipeline:
        seconds = clock.lap("load")
        output = pipeline.generate(request, report)
        seconds += clock.lap("generate")
    # What sound alone takes says nothing about a video.
    if not request.sound_only and known_costs(registry.get(found.model), settings, request.weights)[1]:
        vram, ram = peak.bytes()
        _learn(plan, found, settings, vram=vram / max(1, expected.vram), ram=ram / max(1, expected.ram),
               seconds=seconds / max(1e-3, 60 * expected.minutes))
    return output


def _learn(plan: Plan, found: Fit, settings: Settings, **ratios: float) -> None:
    """Keep what this run took, over what was expected."""
    measured = Measured.read(settings.data_dir)
    measured.learn(found.machine.name, found.model, plan, **ratios).write(settings.data_dir)


def _remember_failure(plan: Plan, found: Fit, settings: Settings) -> None:
    """So that the next job of the kind does not begin with the same fall."""
    if plan != replace(found.plan, cache=plan.cache):
        return
    machine, cost = found.machine, found.predicted
    measured = Measured.read(settings.data_dir)
    if machine.vram:
        measured = measured.did_not_fit(
            machine.name, found.model, plan, "vram", predicted=cost.vram, free=machine.vram_free
        )
    else:
        measured = measured.did_not_fit(
            machine.name, found.model, plan, "ram", predicted=cost.ram, free=machine.ram_free
        )
    measured.write(settings.data_dir)


def _refuse_hopeless(found: Fit) -> None:
    """Before gigabytes are read for nothing: more is needed than there is memory, free or not."""
    machine, cost = found.machine, found.predicted
    short = cost.vram > machine.vram if machine.vram else False
    if not found.fits and cost.download == 0 and (short or cost.ram > machine.ram):
        raise OutOfMemory(f"{found.model}: {found.reason}; {_instead(found)}")


def _instead(found: Fit) -> str:
    if found.instead:
        return "what would fit: " + ", or ".join(found.instead)
    return f"a smaller size or fewer seconds needs less (the plan was: {described(found.plan)})"
