"""Verify: is this file from here, from another install, or from anywhere?

    reading (a process of its own): file -> findings      verdict: findings -> words      here: both as one answer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_app.media.marks import findings
from wan_app.media.marks.findings import CredentialsFound, Findings, MarkFound
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.verdict import Opinion, opinion, sound_made_here
from wan_app.media.storage import shown


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer for one file. `consent` is the statement that was recorded here for it, if the one who asks may
    see it. `seconds` is how long the check took."""

    file: str
    found: Findings
    opinion: Opinion
    consent: Mapping[str, Any] | None = None
    seconds: float = 0.0

    @property
    def consent_id(self) -> str | None:
        """Of the statement of consent, by what is kept here or signed here; a stranger's file is not believed."""
        own = self.found.credentials
        ids = [one.consent_id for one in self.found.kept] + [own.consent_id if own.ours else None]
        return next(filter(None, ids), None)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types, the object `verify --json` prints."""
        one, said = self.found, self.opinion
        stated = findings.to_json(one.credentials)
        return {
            "file": self.file, "verdict": said.verdict, "summary": said.summary,
            "video_watermark": _mark(one.picture, one.picture.id),
            "audio_watermark": _mark(one.sound, sound_made_here(one) or one.sound.id), "c2pa": stated,
            "disagreements": list(said.disagreements), "proven": list(said.proven), "likely": list(said.likely),
            "unknown": list(said.unknown), "kept_here": [findings.to_json(kept) for kept in one.kept],
            "consent": dict(self.consent) if self.consent else None, "consent_id": self.consent_id,
            "about": findings.to_json(one.file) if one.file else None, "seconds": round(self.seconds, 2),
        }


def verify(path: Path, keys: InstallKeys, sidecars: Path) -> Verification:
    """Check a file in this process, without any limit of time; see `reading`.

    Raises:
        InvalidRequest: naming `file`: there is no such file, or nothing to see or hear in it.
    """
    from wan_app.media.marks.reading import read

    found: dict[str, Any] = {}
    for name, value in read(path, keys, sidecars):
        found[name] = tuple(value) if isinstance(value, list) else value
    return concluded(path.name, Findings(**found))


def concluded(name: str, found: Findings, seconds: float = 0.0) -> Verification:
    """Findings with the words for them."""
    return Verification(file=shown(name), found=found, opinion=opinion(found), seconds=seconds)


def mark_in_words(one: MarkFound, *, name: bool = True) -> str:
    """A mark's state in a few words, with its id unless `name` is off."""
    said = {
        "ours": f"this install's mark{f', id {one.id}' if name else ''}", "other": "a mark of another install",
        "unreadable": "a mark that cannot be read", "none": "no mark found", "absent": "none in this file",
        "unread": "could not be checked",
    }
    return said[one.state]


def signature_in_words(one: CredentialsFound) -> str:
    """Content Credentials in a few words."""
    said = {
        "valid": "intact, signed by this install" if one.ours else "intact, signed by someone else",
        "invalid": "broken: they do not fit this file", "none": "none in this file", "unread": "could not be checked",
    }
    return said[one.state]


def _mark(one: MarkFound, identity: str | None) -> dict[str, Any]:
    return {**findings.to_json(one), "id": identity}
