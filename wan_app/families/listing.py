"""The models as `models --json`, the API and the page list them: what each is, and whether it is here."""

from __future__ import annotations

from typing import Any

from wan_app.errors import ModelUnavailable
from wan_app.families import registry
from wan_app.families.spec import ModelSpec
from wan_app.families.speech import registry as speech_registry
from wan_app.families.weights import licences, locate, pins
from wan_app.settings import Settings


def rows(settings: Settings) -> list[dict[str, Any]]:
    """A row for every model, in listing order, with `available` and the `reason` if it is not.

    `speech` tells which speech model speaks for one that has no sound of its own, and whether it is here.
    `terms` are those of a licence that must be accepted first, with `accepted_at`, None until it is.
    `pinned` is the commit of the first download, to which later ones keep.
    """
    speech = speech_registry.described(settings)
    return [
        {**spec.to_json(), **_availability(spec, settings),
         "speech": None if spec.native_audio else {**speech, "max_voices": spec.voices},
         "terms": licences.terms_of(spec, settings), "pinned": pins.pinned(spec.repository, settings)}
        for spec in registry.specs().values()
    ]


def _availability(spec: ModelSpec, settings: Settings) -> dict[str, Any]:
    try:
        locate.locate(spec, settings, None)
    except ModelUnavailable as error:
        return {"available": False, "reason": str(error)}
    return {"available": True, "reason": None}
