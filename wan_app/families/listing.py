"""The models as `models --json`, the API and the page list them: what each is, and whether it is here."""

from __future__ import annotations

from collections.abc import Mapping
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
    `fast` tells what the preset of that name needs beside the weights, None where there is none.
    `pinned` is the commit of the first download, to which later ones keep.
    """
    speech = speech_registry.described(settings)
    return [
        {**spec.to_json(), **_availability(spec, settings),
         "speech": None if spec.native_audio else {**speech, "max_voices": spec.voices},
         "fast": _fast(spec, settings), "terms": licences.terms_of(spec, settings),
         "pinned": pins.pinned(spec.repository, settings)}
        for spec in registry.specs().values()
    ]


def in_words(row: Mapping[str, Any]) -> str:
    """A row of `rows` in two lines: what it is and under which licence, and what it takes and gives."""
    state = "ready" if row["available"] else "not here"
    first = f"{row['id']:<20} {state:<9} {', '.join(row['tasks']):<24} {row['licence']}"
    fetched = f"{_short(row['download_bytes'])}B to download" if row["download_bytes"] else "bundled"
    bits = {"none": "", "int8": " in 8 bits", "nf4": " in 4"}
    memory = ", ".join(f"{_short(size)}B{bits[name]}" for name, size in row["memory"].items())
    grid = row["frame_grid"]
    frames = f"{grid['min']} to {grid['max']} frames ({grid['step']}k+{grid['offset']}) at {row['fps']:g} fps"
    sound = "with sound" if row["native_audio"] else "silent"
    voices = row["max_voices"] if row["native_audio"] else row["speech"]["max_voices"]
    limits = {"characters": row["max_characters"], "pictures": row["max_reference_images"], "voices": voices}
    shown = ", ".join(f"{name} {most}" for name, most in limits.items()) if row["max_characters"] else "none"
    count = f"{_short(row['parameters'])} parameters"
    return f"{first}\n    {count}; {fetched}; memory {memory}; {frames}; {sound}; references: {shown}"


def _short(count: int) -> str:
    """A count in three digits: 2.15 G."""
    size, unit = (1e9, "G") if count >= 1e9 else (1e6, "M")
    return f"{count / size:.3g} {unit}"


def _fast(spec: ModelSpec, settings: Settings) -> dict[str, Any] | None:
    fast = spec.fast
    if fast is None:
        return None
    here = all(locate.locate_file(fast.repository, name, settings) for name in fast.files)
    return {"repository": fast.repository, "download_bytes": fast.download_bytes, "licence": fast.licence,
            "num_inference_steps": fast.num_inference_steps, "available": here}


def _availability(spec: ModelSpec, settings: Settings) -> dict[str, Any]:
    try:
        locate.locate(spec, settings, None)
    except ModelUnavailable as error:
        return {"available": False, "reason": str(error)}
    return {"available": True, "reason": None}
