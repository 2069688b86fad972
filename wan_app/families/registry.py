"""Every model family in listing order; a new family is one line in FAMILIES. Imports no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from wan_app.errors import InvalidRequest
from wan_app.families import echo, h3, ltx, pocket, vace, wan, wan22
from wan_app.families.base import Pipeline, Plan
from wan_app.families.spec import ModelSpec
from wan_app.families.weights.faults import faults_as_ours

# The first row of the first family is the app's default model.
FAMILIES: tuple[ModuleType, ...] = (pocket, vace, wan, wan22, ltx, echo, h3)


def specs() -> dict[str, ModelSpec]:
    """Every model by id, in listing order."""
    return {spec.id: spec for spec, _ in _rows().values()}


def get(model_id: str | None) -> ModelSpec:
    """The model of this id; None is the default model.

    Raises:
        InvalidRequest: listing the ids there are.
    """
    rows = _rows()
    if model_id is None:
        return next(iter(rows.values()))[0]
    if not isinstance(model_id, str) or model_id not in rows:
        raise InvalidRequest("model", repr(model_id)[:60], "one of " + ", ".join(rows))
    return rows[model_id][0]


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The loaded pipeline. Heavy libraries are imported here, so call it in the worker only.

    Args:
        spec: a row of `specs`, or a copy with other numbers; its family does the loading.
        weights: a folder that `weights.locate` has looked over.
    Raises:
        ModelUnavailable: the folder looked whole but its content does not load.
        OutOfMemory: the plan did not fit.
    """
    family = _rows()[spec.id][1]
    with faults_as_ours(spec.id, plan, str(weights)):
        return family.load(spec, plan, weights)


@cache
def _rows() -> dict[str, tuple[ModelSpec, ModuleType]]:
    return collect(FAMILIES)


def collect(families: tuple[ModuleType, ...]) -> dict[str, tuple[ModelSpec, ModuleType]]:
    """Rows of the families by model id; two rows of one id are a mistake, and both are named."""
    rows: dict[str, tuple[ModelSpec, ModuleType]] = {}
    for family in families:
        for spec in family.SPECS:
            if spec.id in rows:
                first = rows[spec.id][1].__name__
                raise ValueError(f"model id {spec.id!r} is in both {first} and {family.__name__}")
            rows[spec.id] = (spec, family)
    return rows
