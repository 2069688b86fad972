"""Every model family in listing order; a new family is one line in FAMILIES. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from wan_app.errors import InvalidRequest, ModelUnavailable, OutOfMemory, WanAppError
from wan_app.families import echo, h3, ltx, pocket, vace, wan, wan22
from wan_app.families.base import Pipeline, Plan
from wan_app.families.spec import ModelSpec

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


@contextmanager
def faults_as_ours(model_id: str, plan: Plan, where: str) -> Iterator[None]:
    """Whatever goes wrong while a model loads, as one of our errors; used by `families.speech` too.

    Args:
        where: the folder or folders that are read.
    Raises:
        ModelUnavailable, OutOfMemory: as `load`.
    """
    _quiet_libraries()
    try:
        yield
    except WanAppError:
        raise
    except Exception as error:
        # diffusers, transformers and safetensors each raise their own kinds on a wrong file;
        # for the user they are one: this folder is not this model. The cause stays chained.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            raise OutOfMemory(f"{model_id} does not fit on {plan.device}: {error}") from error
        raise ModelUnavailable(
            f"{model_id}: the weights in {where} do not load: {type(error).__name__}: {str(error)[:300]}"
        ) from error


@cache
def _quiet_libraries() -> None:
    """No progress bars of the libraries' own on the command line's error stream: progress is an event."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


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
