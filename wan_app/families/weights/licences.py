"""Licences that a person must accept in so many words before a model runs, and the record of it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import wan_app
from wan_app.errors import InvalidRequest, ModelUnavailable, StorageError
from wan_app.families.spec import ModelSpec
from wan_app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Licence:
    """`limits` says in a few plain words what it forbids; `words` are what a person must say to accept."""

    id: str
    title: str
    url: str
    limits: str
    words: str


LICENCES = {
    one.id: one
    for one in (
        Licence(
            id="joyai-echo",
            title="JoyAI-Echo licence and LTX-2 Community License",
            url="https://huggingface.co/Echo-Team/JoyAI-Echo",
            limits="academic and other non-commercial use only",
            words="I use JoyAI-Echo for non-commercial purposes only and accept its licence "
            "and the LTX-2 Community License",
        ),
        Licence(
            id="minimax-h3",
            title="MiniMax H3 Community License Agreement",
            url="https://huggingface.co/MiniMaxAI/MiniMax-H3/blob/main/LICENSE",
            limits="not in the European Union, the United Kingdom, South Korea or the United States",
            words="I am not in the EU, the UK, South Korea or the USA, use MiniMax H3 in none of them, "
            "and accept the MiniMax H3 Community License Agreement",
        ),
    )
}


def needed_by(spec: ModelSpec) -> Licence | None:
    """The licence that must be accepted before this model runs, None for most."""
    return LICENCES[spec.licence_id] if spec.licence_id else None


def is_accepted(licence: Licence, settings: Settings) -> bool:
    """Whether the record is here and holds today's words."""
    return read_record(licence, settings).get("words") == licence.words


def read_record(licence: Licence, settings: Settings) -> dict[str, Any]:
    """What was recorded: licence, title, url, words, accepted_at, app_version; empty if nothing."""
    try:
        record = json.loads(_record_file(licence, settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def terms_of(spec: ModelSpec, settings: Settings) -> dict[str, Any] | None:
    """The licence that a model needs accepted, as JSON types, and when it was; None for most."""
    licence = needed_by(spec)
    return _row(licence, settings) if licence else None


def accept(licence_id: str, words: str, settings: Settings) -> dict[str, Any]:
    """Record that the person at this machine accepts a licence; returns the record.

    Args:
        words: the licence's own `words`; case, spaces and a full stop at the end don't matter.
    Raises:
        InvalidRequest: no such licence, or other words; nothing is recorded.
        StorageError: the record cannot be written.
    """
    licence = LICENCES.get(licence_id)
    if licence is None:
        raise InvalidRequest("licence", repr(licence_id)[:60], "one of " + ", ".join(LICENCES))
    if _plain(words) != _plain(licence.words):
        raise InvalidRequest("words", repr(words)[:160], f'exactly "{licence.words}"')
    record = {
        "licence": licence.id, "title": licence.title, "url": licence.url, "words": licence.words,
        "accepted_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "app_version": wan_app.__version__,
    }  # fmt: skip
    file = _record_file(licence, settings)
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(record, indent=2), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise StorageError("licence", str(file), f"a folder that can be written: {error.strerror}") from error
    return record


def withdraw(licence_id: str, settings: Settings) -> None:
    """Forget an acceptance; the model is off again. Nothing happens where there is none."""
    if licence_id in LICENCES:
        _record_file(LICENCES[licence_id], settings).unlink(missing_ok=True)


def check(spec: ModelSpec, settings: Settings) -> None:
    """Raise ModelUnavailable, saying what the licence forbids and how to accept it, unless it is accepted."""
    licence = needed_by(spec)
    if licence is None or is_accepted(licence, settings):
        return
    raise ModelUnavailable(
        f"{spec.id}: off until its licence is accepted ({licence.title}: {licence.limits}); read {licence.url}, "
        f'then: python -m wan_app licence accept {licence.id} --words "{licence.words}"'
    )


def listed(settings: Settings) -> list[dict[str, Any]]:
    """Every licence of this kind as JSON types, with `accepted_at`, None where it is not accepted."""
    return [_row(one, settings) for one in LICENCES.values()]


def _row(licence: Licence, settings: Settings) -> dict[str, Any]:
    record = read_record(licence, settings)
    # Other words than today's accept nothing.
    accepted = record.get("accepted_at") if record.get("words") == licence.words else None
    return {**asdict(licence), "accepted_at": accepted}


def _record_file(licence: Licence, settings: Settings) -> Path:
    return settings.data_dir / "licences" / f"{licence.id}.json"


def _plain(words: Any) -> str:
    return " ".join(str(words).lower().split()).rstrip(".")
