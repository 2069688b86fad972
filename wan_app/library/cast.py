"""The cast: people by name, with faces, a voice and the statement of consent, each owner's own."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

from wan_app.consent.ledger import Consent, ConsentLedger, ConsentState, Person
from wan_app.errors import InvalidRequest
from wan_app.library.casting import Player
from wan_app.library.store import Store
from wan_app.media.inputs import Checked, InputStore
from wan_app.runtime.job import now
from wan_app.types import Character, GenerationResult

MAX_FACES = 6
# One word, as it is found in a prompt: letters of any script, then also digits, - and '.
_NAME = re.compile(r"[^\W\d_][\w'’-]{0,39}")
_SLOT = re.compile(r"character\d*", re.IGNORECASE)
_COLUMNS = "id, name, faces, voice, consent, created"


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How alike somebody came out, on average over `videos`; None where nothing was measured."""

    videos: int = 0
    identity: float | None = None
    timbre: float | None = None


@dataclass(frozen=True, kw_only=True)
class Member:
    """Somebody of a cast. `until` and `state` are those of the statement of consent."""

    id: str
    name: str
    faces: tuple[Path, ...]
    voice: Path | None
    consent_id: str
    until: str
    state: ConsentState
    created: str
    likeness: Likeness = Likeness()

    @property
    def player(self) -> Player:
        return Player(name=self.name, faces=self.faces, voice=self.voice)

    def to_json(self) -> dict[str, Any]:
        """A row of `cast list --json`, without the server's paths."""
        return {
            "id": self.id, "name": self.name, "faces": len(self.faces), "voice": self.voice is not None,
            "consent_id": self.consent_id, "until": self.until, "consent": self.state, "created": self.created,
            "videos": self.likeness.videos, "identity": self.likeness.identity, "timbre": self.likeness.timbre,
        }


class Cast:
    """All casts of a data folder; each call says whose. Pictures and voices lie in the store of inputs."""

    def __init__(self, store: Store, inputs: InputStore, consent: ConsentLedger) -> None:
        self._store, self._inputs, self._consent = store, inputs, consent

    def members(self, owner: str) -> list[Member]:
        """The people of an owner, by name. Raises StorageError."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM people WHERE owner = ? ORDER BY folded", (owner,))
        stated = self._consent.consents(owner) if rows else []
        return [self._member(row, stated) for row in rows]

    def players(self, owner: str) -> list[Player]:
        """The same as far as prompts need it."""
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM people WHERE owner = ?", (owner,))
        return [self._member(row, ()).player for row in rows]

    def get(self, member_id: str, owner: str) -> Member:
        """Somebody by id or by name. Raises InvalidRequest, also for another owner's."""
        wanted = str(member_id)
        for one in self.members(owner):
            if wanted in (one.id, one.name):
                return one
        raise InvalidRequest("character", repr(wanted)[:60], "somebody of your cast")

    def add(
        self, name: str, *, faces: Sequence[Path], voice: Path | None, consent: bool, owner: str
    ) -> Member:
        """Take somebody into the cast, and record the statement of consent.

        Raises:
            InvalidRequest: the name, a file, or the consent; nothing was kept.
            StorageError: it cannot be written.
        """
        name = checked_name(name)
        self._check_free(name, owner, None)
        inputs = self._read(faces, voice, ())
        member_id = secrets.token_hex(6)
        with self._inputs.keeping(inputs):
            stated = self._stated(name, inputs, consent, owner)
            self._write(
                "INSERT INTO people (name, folded, faces, voice, consent, id, owner, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*_values(name, inputs, stated), member_id, owner, now()), name,
            )
        return self.get(member_id, owner)

    def change(
        self, member_id: str, *, name: str | None = None, faces: Sequence[Path] | None = None,
        voice: Path | None = None, without_voice: bool = False, consent: bool = False, owner: str,
    ) -> Member:
        """Change somebody; None leaves a thing as it is. Pictures or a voice that are new need consent anew.

        Raises:
            InvalidRequest, StorageError: as `add`; nothing was changed.
        """
        one = self.get(member_id, owner)
        name = one.name if name is None else checked_name(name)
        self._check_free(name, owner, one.id)
        kept_voice = None if without_voice else one.voice
        inputs = self._read(one.faces if faces is None else faces, voice or kept_voice, (*one.faces, one.voice))
        known = {*one.faces, one.voice}
        with self._inputs.keeping(inputs):
            fresh = any(item.path not in known for item in inputs)
            stated = self._stated(name, inputs, consent, owner) if fresh else one.consent_id
            self._write(
                "UPDATE people SET name = ?, folded = ?, faces = ?, voice = ?, consent = ? WHERE id = ? AND owner = ?",
                (*_values(name, inputs, stated), one.id, owner), name,
            )
        return self.get(one.id, owner)

    def remove(self, member_id: str, owner: str) -> Member:
        """Take somebody out of the cast; who it was. Their videos and the record of consent stay."""
        one = self.get(member_id, owner)
        self._store.change("DELETE FROM people WHERE id = ? AND owner = ?", (one.id, owner))
        return one

    def uses(self, path: Path) -> bool:
        """Whether anybody's cast has this picture or voice."""
        found = self._store.rows(
            "SELECT 1 FROM people WHERE instr(faces, ?1) OR instr(coalesce(voice, ''), ?1) LIMIT 1", (path.name,)
        )
        return bool(found)

    def _read(self, faces: Sequence[Path], voice: Path | None, known: Iterable[Path | None]) -> list[Checked]:
        """Everything read and checked; what is kept already is not read again."""
        kept = {path for path in known if path}
        if not faces and not voice:
            raise InvalidRequest("face", "no picture and no voice", "at least one face picture, or a voice")
        if len(faces) > MAX_FACES:
            raise InvalidRequest("face", f"{len(faces)} pictures", f"at most {MAX_FACES}")
        read = [_as_kept(face, "face") if face in kept else self._inputs.picture(face, "face") for face in faces]
        if voice:
            read.append(_as_kept(voice, "voice") if voice in kept else self._inputs.voice(voice))
        return list({one.path: one for one in read}.values())

    def _stated(self, name: str, inputs: Sequence[Checked], consent: bool, owner: str) -> str:
        if consent is not True:
            raise InvalidRequest(
                "consent", "no consent", "the statement that this is yourself, or somebody who agrees"
            )
        return self._consent.record([_person(name, inputs)], owner)

    def _check_free(self, name: str, owner: str, own_id: str | None) -> None:
        found = self._store.rows("SELECT id FROM people WHERE owner = ? AND folded = ?", (owner, name.casefold()))
        if found and found[0][0] != own_id:
            raise InvalidRequest("name", f"{name}, who is in your cast already", "another name")

    def _write(self, statement: str, values: tuple[Any, ...], name: str) -> None:
        try:
            self._store.change(statement, values)
        except sqlite3.IntegrityError:  # somebody else was quicker with the name
            raise InvalidRequest("name", f"{name}, who is in your cast already", "another name") from None

    def _member(self, row: tuple[Any, ...], stated: Sequence[Consent]) -> Member:
        member_id, name, faces, voice, consent_id, created = row
        folder = self._inputs.folder
        one = Member(
            id=member_id, name=name, faces=tuple(folder / face for face in json.loads(faces)),
            voice=folder / voice if voice else None, consent_id=consent_id, until="", state="expired", created=created,
        )
        key = Person.of(Character(name=name, faces=one.faces, voice=one.voice))
        found = [row for row in stated if set(key.hashes) <= {*row.faces, row.voice}]
        if not found:
            return one
        best = min(found, key=lambda row: (row.state != "valid", row.state != "expired", row.until))
        return replace(one, until=best.until, state=best.state)


def checked_name(name: str) -> str:
    """A name that can stand in a prompt. Raises InvalidRequest."""
    clean = normalize("NFC", " ".join(str(name).split()))
    if not _NAME.fullmatch(clean):
        raise InvalidRequest("name", repr(clean)[:60], "one word of letters, such as Mia")
    if _SLOT.fullmatch(clean):
        raise InvalidRequest("name", clean, "another name: character1 and so on are those of the form")
    return clean


def likeness_of(one: Member, results: Iterable[tuple[Sequence[Character], GenerationResult]]) -> Likeness:
    """How alike a member came out in results that were made with pictures or the voice that they have now.

    Whatever they were called then.
    """
    identities, timbres, videos = [], [], 0
    own = {*one.faces, one.voice} - {None}
    for characters, result in results:
        names = {person.name for person in characters if own & {*person.faces, person.voice}}
        videos += bool(names) and result.num_frames > 0
        for said in result.similarity:
            if said.character in names:
                identities += [said.identity] if said.identity is not None else []
                timbres += [said.timbre] if said.timbre is not None else []
    return Likeness(videos=videos, identity=_mean(identities), timbre=_mean(timbres))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _values(name: str, inputs: Sequence[Checked], consent_id: str) -> tuple[Any, ...]:
    faces = [one.path.name for one in inputs if one.field == "face"]
    voice = next((one.path.name for one in inputs if one.field == "voice"), None)
    return name, name.casefold(), json.dumps(faces), voice, consent_id


def _person(name: str, inputs: Sequence[Checked]) -> Person:
    faces = tuple(one.path.stem for one in inputs if one.field == "face")
    return Person(name, faces, next((one.path.stem for one in inputs if one.field == "voice"), None))


def _as_kept(path: Path, field: str) -> Checked:
    """A file of the store itself: it is there, and its name is its hash."""
    return Checked(path, field, path.read_bytes)
