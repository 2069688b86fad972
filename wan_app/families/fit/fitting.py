"""A request held against this machine: where weights, measurements and free memory come together. No torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wan_app.devices import Machine
from wan_app.errors import ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.fit.costs import Costs, as_in_folder, costs_of
from wan_app.families.fit.measured import Measured
from wan_app.families.fit.plan import Fit, Prediction, Work, fit, predict, what_would
from wan_app.families.parts import loras
from wan_app.families.spec import ModelSpec
from wan_app.families.weights import locate as weights
from wan_app.settings import Settings
from wan_app.types import GenerationRequest


def fit_request(
    request: GenerationRequest, settings: Settings, machine: Machine, *, current: Plan | None = None
) -> Fit:
    """How a resolved request fits, and what would in its place if it does not.

    Args:
        current: the plan under which its model is loaded now.
    """
    spec = registry.get(request.model)
    costs, here = known_costs(spec, settings, request.weights)
    work, measured = work_of(request, spec), Measured.read(settings.data_dir)
    current = replace(current, cache=None) if current else None
    found = fit(spec, work, machine, costs=costs, measured=measured, here=here, current=current)
    if more := loras.lacking_bytes(request, spec, settings):
        cost = found.predicted
        cost = replace(cost, download=cost.download + more, disk=cost.disk + more)
        found = replace(found, predicted=cost, fits=found.fits and cost.disk <= machine.disk_free)
    if found.fits:
        return found
    others = [one for one in registry.specs().values() if request.mode in one.tasks]
    instead = what_would(spec, work, machine, others, costs=costs, measured=measured, here=here)
    return replace(found, instead=instead)


def work_of(request: GenerationRequest, spec: ModelSpec) -> Work:
    """The numbers that cost something: for sound alone those of the smallest picture, which is thrown away."""
    work = Work.of(request)
    return replace(work, width=spec.min_side, height=spec.min_side) if request.sound_only else work


def known_costs(spec: ModelSpec, settings: Settings, folder: Path | None) -> tuple[Costs, bool]:
    """The row's costs, with the parameters that are really in its folder; and whether it is here."""
    try:
        return as_in_folder(costs_of(spec), weights.locate(spec, settings, folder)), True
    except ModelUnavailable:
        return costs_of(spec), False


def uncorrected(
    request: GenerationRequest, settings: Settings, machine: Machine, plan: Plan, *, loaded: bool
) -> Prediction:
    """What the numbers alone say of a run, which measurements are held against."""
    spec = registry.get(request.model)
    costs, here = known_costs(spec, settings, request.weights)
    return predict(spec, costs, plan, work_of(request, spec), machine, here=here, loaded=loaded)
