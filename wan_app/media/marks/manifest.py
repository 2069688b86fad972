"""What a file's credentials state, as C2PA assertions, and what others' say in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import wan_app

CREATED_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
# Labels of our own assertions; an entity's name comes first, and ours is the package's.
GENERATION, CONSENT = "wan_app.generation", "wan_app.consent"
VIDEO_MARK, AUDIO_MARK = "wan_app.video_mark.1", "wan_app.audio_mark.1"
_TEXT = 200  # characters of anything that a stranger's manifest says


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the credentials state; no name, no prompt, no folder.

    `model` made the picture (or the sound, if that is all), `speech` the words over it. `created` is UTC in
    ISO 8601; `faces` and `voices` are sha256 of the references, in hexadecimal.
    """

    watermark_id: str
    created: str
    model: str
    model_title: str
    model_revision: str | None = None
    speech: str | None = None
    mode: str
    consent_id: str | None = None
    faces: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()


def manifest_of(facts: Facts, *, sound_marked: bool) -> dict[str, Any]:
    """A manifest definition for `c2pa.Builder`."""
    return {
        "claim_generator_info": [{"name": "Wan App", "version": wan_app.__version__}],
        "assertions": [
            # "created": stated by the signer, and not gathered from elsewhere.
            {"label": label, "data": data, "created": True}
            for label, data in _assertions(facts, sound_marked)
        ],
    }  # fmt: skip


def stated_in(manifest: dict[str, Any]) -> dict[str, Any]:
    """Our own assertions, if it holds them: fields of CredentialsReading."""
    data: dict[str, dict[str, Any]] = {}
    for one in map(dict_of, list_of(manifest.get("assertions"))):
        data.setdefault(str(one.get("label")), dict_of(one.get("data")))
    made, app = data.get(GENERATION, {}), dict_of(next(iter(list_of(manifest.get("claim_generator_info"))), None))
    actions = map(dict_of, list_of(data.get("c2pa.actions.v2", data.get("c2pa.actions", {})).get("actions")))
    return {
        "watermark_id": text_of(made.get("watermark_id")), "created": text_of(made.get("time")),
        "app": text_of(f"{app.get('name', '')} {app.get('version', '')}".strip()), "model": text_of(made.get("model")),
        "consent_id": text_of(data.get(CONSENT, {}).get("consent_id")),
        "by_ai": any("trainedAlgorithmicMedia" in str(one.get("digitalSourceType", "")) for one in actions),
    }


def _assertions(facts: Facts, sound_marked: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    created = {
        "action": "c2pa.created", "when": facts.created, "digitalSourceType": CREATED_BY_AI,
        "softwareAgent": {"name": facts.model_title, "version": facts.model_revision or "1"},
    }
    yield "c2pa.actions.v2", {"actions": [created, {"action": "c2pa.watermarked.bound"}]}
    yield "c2pa.soft-binding", _binding(VIDEO_MARK, facts.watermark_id)
    if sound_marked:
        yield "c2pa.soft-binding", _binding(AUDIO_MARK, facts.watermark_id[2:])
    yield GENERATION, {
        "app": "wan-app", "version": wan_app.__version__, "model": facts.model, "mode": facts.mode,
        "revision": facts.model_revision, "speech": facts.speech, "time": facts.created,
        "watermark_id": facts.watermark_id,
    }  # fmt: skip
    if facts.faces or facts.voices:
        yield CONSENT, {
            "consent_id": facts.consent_id, "faces_sha256": list(facts.faces), "voices_sha256": list(facts.voices),
        }


def _binding(algorithm: str, value: str) -> dict[str, Any]:
    return {"alg": algorithm, "blocks": [{"scope": {}, "value": value}]}


def text_of(value: Any) -> str | None:
    """Printable text of a stranger's, cut short; None for anything else."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else "?" for char in value[:_TEXT])


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
