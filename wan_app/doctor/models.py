"""Which models would run here, and how: each at its usual size and length, held against this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from wan_app.devices import Machine
from wan_app.doctor.found import Found
from wan_app.errors import ModelUnavailable
from wan_app.families import registry
from wan_app.families.fit.fitting import fit_request
from wan_app.families.spec import ModelSpec
from wan_app.families.speech import registry as speech_registry
from wan_app.families.weights import licences
from wan_app.families.weights import locate as weights
from wan_app.settings import Settings
from wan_app.types import GenerationRequest

# here: runs now. download, licence: would run after that. small: this machine is.
Standing = Literal["here", "download", "licence", "small"]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What would become of a usual clip. `how` is a line for people; minutes are an estimate, or measured here."""

    id: str
    standing: Standing
    how: str
    minutes: float | None
    measured: bool

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return asdict(self)

    def line(self) -> str:
        """For people."""
        words = {"here": "runs", "download": "to fetch", "licence": "licence", "small": "too big"}[self.standing]
        how = self.how.removeprefix("Does not fit: ").removeprefix("Fits, ")
        time = f"; a clip in {_time(self.minutes)}{'' if self.measured else ', estimated'}" if self.minutes else ""
        return f"  {self.id:<20} {words:<9} {how}{time}"


def _time(minutes: float) -> str:
    if minutes < 1.5:
        return f"{60 * minutes:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} hours" if minutes < 60 * 48 else f"{minutes / 60 / 24:.0f} days"


def outlook(spec: ModelSpec, settings: Settings, machine: Machine) -> Outlook:
    """One model at its usual clip."""
    request = spec.sized(GenerationRequest(mode=spec.tasks[0], prompt="", model=spec.id))
    found = fit_request(request, settings, machine)
    standing: Standing = "here"
    if not found.fits:
        standing = "small"
    elif not _is_here(spec, settings):
        terms = licences.terms_of(spec, settings)
        standing = "licence" if terms and not terms["accepted_at"] else "download"
    how = found.reason.rstrip(".")
    if standing == "download" and spec.download_bytes:
        how += f"; {spec.download_bytes / 1e9:.0f} GB to fetch (python -m wan_app download {spec.id})"
    return Outlook(
        id=spec.id, standing=standing, how=how, measured=found.measured,
        minutes=round(found.predicted.minutes, 2) if found.fits else None,
    )


def outlooks(settings: Settings, machine: Machine) -> list[Outlook]:
    """All models, in listing order."""
    return [outlook(spec, settings, machine) for spec in registry.specs().values()]


def any_runs(found: list[Outlook]) -> Found:
    """Whether a video can be made at all."""
    ready = [one.id for one in found if one.standing == "here"]
    if ready:
        return Found(name="models", said=f"{', '.join(ready)} would run now; {len(found) - len(ready)} others below")
    return Found(
        name="models", said="none would run now", state="fail",
        advice="The bundled model (assets/pocket) is missing or damaged, or memory is short: get the files anew",
    )


def speech(settings: Settings) -> Found:
    """Who speaks for the models that make no sound."""
    told = speech_registry.described(settings)
    if told["available"]:
        return Found(name="speech", said=f"{told['title']} speaks for models without sound")
    return Found(
        name="speech", said=f"{told['title']} is not here; only models with their own sound speak",
        advice=f"If wanted: python -m wan_app download {told['id']}",
    )


def _is_here(spec: ModelSpec, settings: Settings) -> bool:
    try:
        weights.locate(spec, settings, None)
    except ModelUnavailable:
        return False
    return True
