"""What shared code may know about a speech model: one SpeechSpec row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """One repository of a speech model. `model_type` is what its config.json says; `files` must be there."""

    repository: str
    model_type: str
    revision: str = "main"
    files: tuple[str, ...] = ("config.json",)


@dataclass(frozen=True, kw_only=True)
class SpeechSpec:
    """One speech model: what it is, what it speaks, what it costs.

    `languages` are ISO 639-1 codes. `sample_rate` is of what it makes. More of a voice than
    `max_reference_seconds` is not listened to.
    """

    id: str
    family: str
    title: str
    licence: str
    parts: tuple[Part, ...]
    languages: tuple[str, ...]
    parameters: int
    download_bytes: int
    sample_rate: int
    max_reference_seconds: float

    @property
    def repository(self) -> str:
        """The repository that gives the model its name."""
        return self.parts[0].repository

    @property
    def revision(self) -> str:
        return self.parts[0].revision

    def to_json(self) -> dict[str, Any]:
        """What `models --json` tells of it, without `available`."""
        return {
            "id": self.id, "title": self.title, "licence": self.licence,
            "repositories": [part.repository for part in self.parts], "revision": self.revision,
            "languages": list(self.languages), "parameters": self.parameters,
            "download_bytes": self.download_bytes,
            "max_reference_seconds": self.max_reference_seconds,
        }
