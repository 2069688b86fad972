"""What findings mean, in plain words: what is proven, what is likely, what stays unknown, where the marks disagree.

The words keep to what each mark can show. An id with its check under this install's key is there by chance once in
millions of files. Credentials show who signed and that nothing changed since, and not who the signer is. No mark
shows nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from wan_app.media.marks.findings import CredentialsFound, Findings, Kept, MarkFound

Verdict = Literal[
    "made here", "made here in part", "made here, but the marks disagree", "made by another install",
    "marked, id unreadable", "no mark found",
]
# Not strftime's, which speak the server's language.
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """`verdict` in three or four words, `summary` in a sentence or two; the others are lists of sentences."""

    verdict: Verdict
    summary: str
    proven: tuple[str, ...] = ()
    likely: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()


def opinion(found: Findings) -> Opinion:
    """All that can be said."""
    return _Case(found).opinion()


def sound_made_here(found: Findings) -> str | None:
    """The whole id of the video whose sound this is, where that is sure: its digits belong to a file made here."""
    if found.sound.state != "ours" or not found.sound.id:
        return None
    known = [*(one.id for one in found.kept), *_ids(found.picture)]
    return next((one for one in known if one.endswith(found.sound.id)), None)


def _ids(mark: MarkFound) -> tuple[str, ...]:
    return (mark.id, *mark.others) if mark.state == "ours" and mark.id else ()


class _Case:
    """Findings, and what follows from several of them together."""

    def __init__(self, found: Findings) -> None:
        self.found = found
        self.picture, self.sound, self.credentials = found.picture, found.sound, found.credentials
        self.seen, self.heard = _ids(found.picture), sound_made_here(found)
        self.signed_here = self.credentials.state == "valid" and self.credentials.ours
        self.here = bool(self.seen or self.heard or self.signed_here)
        self.what = "picture" if found.file and found.file.still else "video" if self._seeable else "sound"

    @property
    def _seeable(self) -> bool:
        return self.picture.state != "absent"

    def opinion(self) -> Opinion:
        disagreements = tuple(self._disagreements())
        verdict = self._verdict(disagreements)
        return Opinion(
            verdict=verdict, summary=self._summary(verdict), proven=tuple(self._proven()),
            likely=tuple(self._likely(verdict)), unknown=tuple(self._unknown(verdict)), disagreements=disagreements,
        )

    def kept(self, identity: str | None) -> Kept | None:
        return next((one for one in self.found.kept if one.id == identity), None)

    # --- in short ---------------------------------------------------------------------------

    def _verdict(self, disagreements: tuple[str, ...]) -> Verdict:
        if self.here:
            if disagreements:
                return "made here, but the marks disagree"
            return "made here in part" if self._partly else "made here"
        signed_elsewhere = self.credentials.state == "valid" and self.credentials.this_app
        if self.picture.state == "other" or signed_elsewhere:
            return "made by another install"
        if "unreadable" in (self.picture.state, self.sound.state) or self.sound.state == "ours":
            return "marked, id unreadable"
        return "no mark found"

    @property
    def _partly(self) -> bool:
        """Whether the mark was missed at some of the places of a picture that is not as it was written."""
        seen, of = self.picture.places
        return bool(self.seen) and seen < of and not self.signed_here

    def _summary(self, verdict: Verdict) -> str:
        found, of = self.picture.places
        said = {
            "made here": self._made_here,
            "made here in part": lambda: (
                f"Part of this {self.what} was made here, by AI: its mark was read at {found} of {of} places looked at."
            ),
            "made here, but the marks disagree": lambda: (
                "Something in it was made here, by AI, but its marks disagree: it is not as it was written."
            ),
            "made by another install": lambda: (
                f"This {self.what} was made by AI with this app, but not by this install: its marks are of another one."
            ),
            "marked, id unreadable": lambda: (
                f"This {self.what} was made by AI with this app: it carries a mark, which is too worn to be read. "
                "Which install made it cannot be told."
            ),
            "no mark found": self._no_mark,
        }
        return said[verdict]()

    def _made_here(self) -> str:
        when = _when(self.kept(self.seen[0] if self.seen else self.heard or self.credentials.id))
        if self.signed_here:
            return f"This {self.what} was made here{when}, by AI, and nothing in it was changed since."
        return f"This {self.what} was made here{when}, by AI. It was copied, re-encoded or edited since."

    def _no_mark(self) -> str:
        if self._nothing_read:
            return f"Nothing of this {self.what} could be checked. This says nothing about how it was made."
        other = " It has Content Credentials of another maker." if self.credentials.state == "valid" else ""
        return (
            f"No mark of this app was found.{other} That proves nothing: marks can be lost, and most files never had "
            "one."
        )

    @property
    def _nothing_read(self) -> bool:
        return {self.picture.state, self.sound.state} <= {"unread", "absent"}

    # --- proven -----------------------------------------------------------------------------

    def _proven(self) -> Iterator[str]:
        for one in self.seen:
            yield f"The picture carries the invisible mark of this install, id {one}.{_facts(self.kept(one))}"
        if self.heard and self.heard in self.seen:
            yield "The sound carries the same id."
        elif self.heard:
            yield f"The sound carries the mark of this install, id {self.heard}.{_facts(self.kept(self.heard))}"
        if self.picture.state == "other":
            yield "The picture carries a mark of this app that was not made with this install's key."
        elif self.picture.state == "unreadable":
            yield "The picture carries a mark of this app."
        if self.sound.state == "unreadable":
            yield "The sound carries a mark of this app that does not read as this install's."
        yield from self._proven_by_signature()

    def _proven_by_signature(self) -> Iterator[str]:
        one = self.credentials
        if self.signed_here:
            yield "Its Content Credentials were signed by this install, and no byte of picture or sound changed since."
        elif one.state == "valid":
            yield f"Nothing in it changed since it was signed in the name of “{one.signer or 'nobody'}”."
        elif one.state == "invalid":
            yield (
                "It was changed after it was signed, or its Content Credentials were damaged: they do not fit this "
                "file."
            )

    # --- likely -----------------------------------------------------------------------------

    def _likely(self, verdict: Verdict) -> Iterator[str]:
        one = self.credentials
        if self.sound.state == "ours" and not self.heard:
            yield (
                f"The sound seems to carry this install's mark, ending in {self.sound.id}, but no file kept here has "
                "such an id. A sound's short check is passed by chance once in tens of thousands."
            )
        if verdict in ("made here", "made here in part") and not self.signed_here:
            yield "It was re-encoded, cut or edited after it was made; what exactly was changed cannot be told."
        if verdict == "made by another install":
            yield "It was made with this app on another computer, or here before this install's keys were made anew."
        if one.state == "valid" and not one.ours and one.by_ai:
            yield "It was made by AI: its signer states so."
        yield from filter(None, (self.picture.remark if self.picture.state == "ours" else "",
                                 self.sound.remark if self.sound.state == "ours" else ""))
        if self.here and one.state == "none":
            yield (
                "Its Content Credentials were dropped on the way, as most programs and messengers do"
                + ("; those it was written with are kept here." if self.found.kept else ".")
            )

    # --- unknown ----------------------------------------------------------------------------

    def _unknown(self, verdict: Verdict) -> Iterator[str]:
        if verdict == "no mark found":
            yield "Whether it was made by AI, by this app, or filmed with a camera."
        if verdict == "marked, id unreadable":
            yield "Which install made it, and when: too much of the mark was lost."
        if self.credentials.state == "valid" and not self.credentials.ours:
            yield "Who the signer is: anybody can make a certificate in any name, and nobody was asked on the network."
        if self.credentials.state == "invalid":
            yield "Whether what its Content Credentials state is true of this file."
        if self.here and not self.signed_here:
            yield "Whether it was edited by someone skilled: a mark can be copied onto another video with some effort."
        if self._partly:
            yield "Where the rest comes from: there the mark is too faint to be read, or there is none."
        yield from self._unread()

    def _unread(self) -> Iterator[str]:
        for name, mark in (("picture", self.picture), ("sound", self.sound)):
            if mark.state == "unread":
                yield f"Whether the {name} is marked. {mark.remark or 'It could not be read in the time allowed.'}"
            elif name == "picture" and mark.state == "none" and self.signed_here:
                yield "Why the picture's own mark was not found: very small pictures carry none."
            elif mark.state == "none" and mark.remark:
                yield f"The rest of the {name}. {mark.remark}"
        if self.credentials.state == "unread":
            yield "Whether it has Content Credentials: they could not be read in the time allowed."
        elif self.credentials.state == "none" and self.credentials.remark:
            yield f"What its Content Credentials say: they are {self.credentials.remark}."

    # --- where the marks disagree -----------------------------------------------------------

    def _disagreements(self) -> Iterator[str]:
        if len(self.seen) > 1:
            yield f"The picture is put together from several videos made here: {', '.join(self.seen)}."
        yield from self._of_sound()
        stated = self.credentials.id
        if stated and self.seen and stated not in self.seen:
            yield (
                f"The credentials are those of another video ({stated}); the picture is from {self.seen[0]}. "
                "They were copied from one file to the other, or the picture was replaced."
            )
        elif stated and self.heard and not self.seen and stated != self.heard:
            yield f"The credentials are those of another file ({stated}); the sound is from {self.heard}."
        elif self.credentials.ours and self.credentials.state == "valid" and self.picture.state == "other":
            yield "The credentials are of this install, but the mark in the picture is not."

    def _of_sound(self) -> Iterator[str]:
        if self.picture.state in ("unread", "absent") or self.sound.state == "unread":
            return
        picture, sound = self.picture.state, self.sound.state
        if self.seen and self.heard and self.heard not in self.seen:
            yield (
                f"The sound is from another file made here ({self.heard}) than the picture ({self.seen[0]}): it was "
                "swapped."
            )
        elif self.seen and sound == "unreadable":
            yield "The sound carries a mark that is not this install's: it was replaced, or is badly worn."
        elif self.seen and sound == "absent" and self._sounded:
            yield "The picture was made here with sound, and this file has none: it was removed."
        elif self.seen and sound == "none" and self._sounded:
            yield "The picture was made here with a marked sound; this sound has none: it was replaced, or is worn."
        elif self.heard and picture == "none" and not self._faceless:
            yield f"The sound is from a file made here ({self.heard}); the picture has no mark, and is another one."
        elif self.heard and picture == "other":
            yield f"The sound is from a file made here ({self.heard}), the picture from another install."

    @property
    def _sounded(self) -> bool:
        """Whether the sound was marked when the picture was made."""
        one = self.kept(self.seen[0])
        own: CredentialsFound = self.credentials
        return bool(one and one.sound_bound) or (own.ours and own.id in self.seen and bool(own.sound_bound))

    @property
    def _faceless(self) -> bool:
        """Whether this very file is as it was written: a picture so small that it carries no mark."""
        return self.signed_here and self.credentials.id == self.heard


def _when(one: Kept | None) -> str:
    """ " on 22 November 2026", by what is kept."""
    try:
        day = date.fromisoformat((one.created or "")[:10]) if one else None
    except ValueError:
        day = None
    return f" on {day.day} {_MONTHS[day.month - 1]} {day.year}" if day else ""


def _facts(one: Kept | None) -> str:
    """A sentence on what is kept of a file."""
    if one is None:
        return ""
    model = f" with the model {one.model}" if one.model else ""
    return f" A file of this id was made here{_when(one)}{model}."
