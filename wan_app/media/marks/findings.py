"""What a check of a file finds, before anybody says what it means. Plain values, for they come from another process.

    file | credentials | sound | picture | kept (what this install knows of the ids that were read)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

# ours: id and check hold under this install's key. other: read in full, not of this install. unreadable: a mark is
# there, its id is not. none: nothing found. absent: the file has no picture, or no sound. unread: it could not be
# looked at, or not in time.
MarkState = Literal["ours", "other", "unreadable", "none", "absent", "unread"]
CredentialsState = Literal["valid", "invalid", "none", "unread"]


@dataclass(frozen=True, kw_only=True)
class FileFound:
    """`kind` in words; `still` for a picture; width and height 0 without one; seconds 0 where they are unknown."""

    kind: str
    still: bool = False
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    sound: bool = False


@dataclass(frozen=True, kw_only=True)
class MarkFound:
    """An invisible or inaudible mark.

    id: in hexadecimal, 10 digits of a picture's, 8 of a sound's (the low ones); only of ours. others: more ids of
    ours, elsewhere in the same file. places: at how many it was read, of how many that were looked at.
    remark: on how it was found, or why not, for people.
    """

    state: MarkState
    id: str | None = None
    others: tuple[str, ...] = ()
    strength: float | None = None
    places: tuple[int, int] = (0, 0)
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class CredentialsFound:
    """Content Credentials, as `credentials.CredentialsReading`; `id` is the watermark id that they state.

    this_app: they state that this app wrote them, here or elsewhere. sound_bound: the id that they state for the
    sound's mark, None if it was not marked.
    """

    state: CredentialsState
    ours: bool = False
    id: str | None = None
    signer: str | None = None
    created: str | None = None
    app: str | None = None
    model: str | None = None
    consent_id: str | None = None
    by_ai: bool = False
    this_app: bool = False
    sound_bound: str | None = None
    reasons: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What this install kept of a file that it made: its sidecar. `file` is the name it was first written under."""

    id: str
    created: str | None = None
    model: str | None = None
    mode: str | None = None
    file: str | None = None
    consent_id: str | None = None
    sound_bound: str | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it. What is missing was not reached."""

    file: FileFound | None = None
    credentials: CredentialsFound = field(default_factory=lambda: CredentialsFound(state="unread"))
    sound: MarkFound = field(default_factory=lambda: MarkFound(state="unread"))
    picture: MarkFound = field(default_factory=lambda: MarkFound(state="unread"))
    kept: tuple[Kept, ...] = ()

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Findings:
        """What `to_json` of each part made, by name; unknown names are left out."""
        made: dict[str, Any] = {
            name: _made(kind, parts[name])
            for name, kind in (("file", FileFound), ("credentials", CredentialsFound), ("sound", MarkFound),
                               ("picture", MarkFound)) if parts.get(name)
        }
        return cls(**made, kept=tuple(_made(Kept, one) for one in parts.get("kept", ())))


def to_json(part: Any) -> dict[str, Any]:
    """A part as JSON types."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(part).items()}


def _made(kind: Any, data: Mapping[str, Any]) -> Any:
    known = {one.name for one in fields(kind)}
    return kind(**{
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items() if name in known
    })
