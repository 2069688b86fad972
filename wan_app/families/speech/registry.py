"""Every speech model in listing order; a new one is one line in FAMILIES. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from wan_app.errors import InvalidRequest, ModelUnavailable
from wan_app.families.base import Plan
from wan_app.families.speech import pocket_tts, weights
from wan_app.families.speech.base import Speaker
from wan_app.families.speech.spec import SpeechSpec
from wan_app.families.weights.faults import faults_as_ours
from wan_app.settings import Settings

# The first row of the first one gives silent models their voice.
FAMILIES: tuple[ModuleType, ...] = (pocket_tts,)


def specs() -> dict[str, SpeechSpec]:
    """Every speech model by id, in listing order."""
    return {spec.id: spec for family in FAMILIES for spec in family.SPECS}


def get(speech_id: str | None = None) -> SpeechSpec:
    """The speech model of this id; None is the default one.

    Raises:
        InvalidRequest: listing the ids there are.
    """
    rows = specs()
    if speech_id is None:
        return next(iter(rows.values()))
    if speech_id not in rows:
        raise InvalidRequest("speech", repr(speech_id)[:60], "one of " + ", ".join(rows))
    return rows[speech_id]


def load(spec: SpeechSpec, plan: Plan, folders: tuple[Path, ...]) -> Speaker:
    """The loaded speaker. Heavy libraries are imported here, so call it in the worker only.

    Args:
        folders: one for each of `spec.parts`, as `weights.locate` found them.
    Raises:
        ModelUnavailable: the folders looked whole but their content does not load.
        OutOfMemory: the plan did not fit.
    """
    family = next(family for family in FAMILIES if family.__name__.endswith(f".{spec.family}"))
    where = " and ".join(str(folder) for folder in folders)
    with faults_as_ours(spec.id, plan, where):
        return family.load(spec, plan, folders)


def described(settings: Settings) -> dict[str, Any]:
    """What `models` tells of the default speech model: its row, `available`, and the `reason` if not."""
    spec = get()
    try:
        weights.locate(spec, settings)
    except ModelUnavailable as error:
        return {**spec.to_json(), "available": False, "reason": str(error)}
    return {**spec.to_json(), "available": True, "reason": None}
