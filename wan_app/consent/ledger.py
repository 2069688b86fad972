"""What was stated for whom, until when, and what was taken back.

A statement names every person of a request by the hashes of their pictures and voice, as the store of
inputs computes them over pixels and samples. It holds for a year (`Settings.consent_days`) from when its
owner first made it: the same statement made again meanwhile is recorded, but prolongs nothing. A hash
that was withdrawn, by whomever, is refused for everybody; one that ran out is refused for its owner. Both
need a new statement in so many words (`renew`), for a tick alone would outlive any withdrawal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

from wan_app.consent.chain import Chain, Record
from wan_app.errors import InvalidRequest
from wan_app.types import Character

# A change of the words is a new version; records keep the words that were said.
VERSION = 1
STATEMENT = (
    "I am the person in these pictures and recordings, or everyone in them has agreed to be seen and heard in "
    "generated video. None of them is a child without a guardian's consent."
)
# The one at this machine's own command line, who may act on everybody's statements.
KEEPER = "local"
ConsentState = Literal["valid", "expired", "withdrawn"]


@dataclass(frozen=True)
class Person:
    """A character by name, and by the content hashes of its pictures and voice."""

    name: str
    faces: tuple[str, ...] = ()
    voice: str | None = None

    @property
    def hashes(self) -> tuple[str, ...]:
        return (*self.faces, self.voice) if self.voice else self.faces

    @property
    def key(self) -> tuple[frozenset[str], str | None]:
        """The same for the same pictures and voice, whatever their order and the name."""
        return frozenset(self.faces), self.voice

    @classmethod
    def of(cls, character: Character) -> Person:
        """From a character whose files lie in the store of inputs, which names them by content."""
        faces = tuple(face.stem for face in character.faces)
        return cls(character.name, faces, character.voice.stem if character.voice else None)


@dataclass(frozen=True, kw_only=True)
class Consent:
    """One person as one owner stated it, `times` so often. Points in time are UTC, ISO 8601.

    `id` is the latest statement's; where that is about several people, with a dot and the person's number.
    """

    id: str
    names: tuple[str, ...]
    faces: tuple[str, ...]
    voice: str | None
    owner: str
    stated: str
    until: str
    state: ConsentState
    withdrawn: str | None
    times: int
    statement: str
    version: int

    @property
    def given(self) -> str:
        """ "2 pictures and a voice"."""
        return counted(len(self.faces), bool(self.voice))

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return asdict(self) | {"names": list(self.names), "faces": list(self.faces)}


@dataclass
class _Book:
    """All records read in order: until when each owner's statement on a hash holds, and which are withdrawn."""

    until: dict[tuple[str, str], str] = field(default_factory=dict)  # (owner, hash)
    withdrawn: dict[str, Record] = field(default_factory=dict)  # hash -> the withdrawal
    statements: dict[str, Record] = field(default_factory=dict)  # id

    @classmethod
    def of(cls, records: Iterable[Record]) -> _Book:
        book = cls()
        for one in records:
            book.read(one)
        return book

    def last(self, owner: str, digest: str) -> str:
        """Id of the owner's latest statement on a hash that is in `until`."""
        return next(
            _id_of(one, number) for one in reversed(self.statements.values()) if one["owner"] == owner
            for number, person in enumerate(people_of(one), 1) if digest in person.hashes
        )

    def read(self, record: Record) -> None:
        for person in people_of(record):
            for digest in person.hashes:
                if record["kind"] == "withdrawal":
                    self.withdrawn[digest] = record
                    continue
                if record["kind"] == "renewal":
                    self.withdrawn.pop(digest, None)
                self.until[record["owner"], digest] = record["until"]
        if record["kind"] != "withdrawal":
            self.statements[record["id"]] = record


class ConsentLedger:
    """The record of consent in `file`; see `chain` for how it is kept. Thread-safe.

    Args:
        days: how long a new statement holds.
        clock: the time, for tests.
    """

    def __init__(
        self, file: Path, *, days: int = 365, clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    ) -> None:
        self._chain, self._days, self._clock = Chain(file), days, clock

    def check(self, people: Iterable[Person], owner: str) -> None:
        """Refuse people whose consent was withdrawn, or whose statement by this owner has run out.

        Raises:
            InvalidRequest: naming `consent`, the character, since when, and what can be done.
            StorageError: the record was changed by other hands.
        """
        if people := tuple(people):
            _check(_Book.of(self._chain.records()), people, public(owner), self._now())

    def record(self, people: Iterable[Person], owner: str) -> str:
        """Write down that `owner` states STATEMENT for `people`; the id. Raises as `check`."""
        people, owner = tuple(people), public(owner)
        with self._chain.writing() as (records, append):
            book, now = _Book.of(records), self._now()
            _check(book, people, owner, now)
            known = [book.until[owner, one] for person in people for one in person.hashes if (owner, one) in book.until]
            return append(self._statement("statement", people, owner, now, min([*known, self._later()])))["id"]

    def check_run(self, consent_id: str | None, people: Iterable[Person]) -> None:
        """Before a model runs: the statement is here, about these very people, and still holds.

        Raises:
            InvalidRequest, StorageError: as `check`.
        """
        book, people = _Book.of(self._chain.records()), tuple(people)
        found = book.statements.get(consent_id or "")
        if found is None or not {one.key for one in people} <= {one.key for one in people_of(found)}:
            got = f"a run with {' and '.join(one.name for one in people)} of which no statement is recorded"
            raise InvalidRequest("consent", got, "the request anew, with the statement of consent")
        _check(book, people, found["owner"], self._now())

    def withdraw(self, consent_id: str, *, owner: str = KEEPER) -> list[Consent]:
        """Take a statement back: its faces and voices are refused from now on, for everybody.

        Args:
            consent_id: of a statement, for all of its people; or of one row of `consents`.
        Raises:
            InvalidRequest: naming `id`: no such statement, or that of another owner.
        """
        with self._chain.writing() as (records, append):
            found, people = _found(_Book.of(records), consent_id, public(owner))
            append({
                "kind": "withdrawal", "time": self._now(), "owner": public(owner), "of": consent_id,
                "people": [asdict(one) for one in people],
            })
        return self._rows_of(found["owner"], people)

    def renew(self, consent_id: str, words: str, *, owner: str = KEEPER) -> list[Consent]:
        """State anew, in the words of STATEMENT, for people whose consent was withdrawn or ran out.

        The new statement is its owner's as before; whoever is at the command line may make it for them.

        Raises:
            InvalidRequest: as `withdraw`; somebody else withdrew it; other `words` than STATEMENT (case,
                spaces and a full stop aside).
        """
        if _plain(words) != _plain(STATEMENT):
            raise InvalidRequest("words", repr(words)[:160], f'exactly "{STATEMENT}"')
        with self._chain.writing() as (records, append):
            book = _Book.of(records)
            found, people = _found(book, consent_id, public(owner))
            _check_own(book, people, public(owner))
            made = self._statement("renewal", people, found["owner"], self._now(), self._later())
            append({**made, "of": consent_id, "by": public(owner)})
        return self._rows_of(found["owner"], people)

    def consents(self, owner: str | None = None) -> list[Consent]:
        """One row a person and owner (or of one owner only), newest statement last. Raises StorageError."""
        records, now = self._chain.records(), self._now()
        book = _Book.of(records)
        rows: dict[Any, Consent] = {}
        for record in records:
            if record["kind"] == "withdrawal" or (owner is not None and record["owner"] != public(owner)):
                continue
            for number, person in enumerate(people_of(record), 1):
                key = record["owner"], person.key
                rows[key] = _row(book, record, number, rows.pop(key, None), now)
        return list(rows.values())

    def find(self, consent_id: str) -> Record | None:
        """The statement of this id, None if it is not here."""
        return _Book.of(self._chain.records()).statements.get(consent_id)

    def verify(self) -> int:
        """Read the whole record and hold every line against its hash; how many. Raises StorageError."""
        return self._chain.check()

    def _rows_of(self, owner: str, people: Iterable[Person]) -> list[Consent]:
        keys = {one.key for one in people}
        return [row for row in self.consents() if row.owner == owner and Person("", row.faces, row.voice).key in keys]

    def _statement(self, kind: str, people: Iterable[Person], owner: str, now: str, until: str) -> Record:
        return {
            "kind": kind, "time": now, "owner": owner, "people": [asdict(one) for one in people],
            "statement": STATEMENT, "version": VERSION, "until": until,
        }

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")

    def _later(self) -> str:
        return (self._clock() + timedelta(days=self._days)).isoformat(timespec="seconds")


def counted(faces: int, voice: bool) -> str:
    """ "2 pictures and a voice", "a picture", "a voice": what stands for a person."""
    pictures = "a picture" if faces == 1 else f"{faces} pictures"
    return " and ".join([pictures] * (faces > 0) + ["a voice"] * voice)


def people_of(record: Record) -> tuple[Person, ...]:
    """The people that a record is about."""
    return tuple(Person(one["name"], tuple(one["faces"]), one["voice"]) for one in record["people"])


def public(owner: str) -> str:
    """An owner as written down: a browser's token is the right to its videos, and must be told to nobody."""
    if owner in (KEEPER, "api") or owner.startswith("guest:"):
        return owner
    return f"visitor:{hashlib.sha256(owner.encode()).hexdigest()[:12]}"


def _check(book: _Book, people: Iterable[Person], owner: str, now: str) -> None:
    for person in people:
        for digest in person.hashes:
            what = "voice" if digest == person.voice else "picture"
            if withdrawal := book.withdrawn.get(digest):
                raise _refusal(person, what, f"was withdrawn on {withdrawal['time'][:10]}", withdrawal["of"])
            if book.until.get((owner, digest), now) < now:
                raise _refusal(person, what, f"ran out on {book.until[owner, digest][:10]}", book.last(owner, digest))


def _refusal(person: Person, what: str, why: str, consent_id: str) -> InvalidRequest:
    return InvalidRequest(
        "consent", f"{person.name}, for whose {what} the consent {why}",
        "other pictures and voices, or the statement made anew (About, People); "
        f"on the command line: python -m wan_app consent renew {consent_id}",
    )


def _found(book: _Book, consent_id: str, owner: str) -> tuple[Record, tuple[Person, ...]]:
    """The statement of an id, and those of its people whom the id means."""
    statement, _, number = str(consent_id).partition(".")
    found = book.statements.get(statement)
    people = people_of(found) if found and owner in (KEEPER, found["owner"]) else ()
    if number:
        people = people[int(number) - 1:int(number)] if number.isdigit() and number.isascii() and int(number) else ()
    if found is None or not people:
        raise InvalidRequest("id", repr(consent_id)[:60], "the id of a statement of yours, as the list shows it")
    return found, people


def _check_own(book: _Book, people: Iterable[Person], owner: str) -> None:
    """What one withdrew, no other may state anew: but for the keeper of the machine."""
    others = [book.withdrawn[one]["owner"] for person in people for one in person.hashes if one in book.withdrawn]
    if owner != KEEPER and set(others) - {owner}:
        raise InvalidRequest(
            "id", "a consent that somebody else withdrew", "whoever withdrew it, or the keeper of this machine"
        )


def _id_of(record: Record, number: int) -> str:
    """The id of one person, counted from 1, of a statement."""
    return record["id"] if len(record["people"]) == 1 else f"{record['id']}.{number}"


def _row(book: _Book, record: Record, number: int, before: Consent | None, now: str) -> Consent:
    people = people_of(record)
    person, renewed = people[number - 1], record["kind"] == "renewal"
    withdrawal = next((book.withdrawn[one] for one in person.hashes if one in book.withdrawn), None)
    until = min(book.until[record["owner"], one] for one in person.hashes)
    state: ConsentState = "withdrawn" if withdrawal else "expired" if until < now else "valid"
    return Consent(
        id=_id_of(record, number),
        names=tuple(dict.fromkeys((*(before.names if before else ()), person.name))),
        faces=person.faces, voice=person.voice, owner=record["owner"],
        stated=before.stated if before and not renewed else record["time"], until=until, state=state,
        withdrawn=withdrawal["time"] if withdrawal else None,
        times=(before.times if before else 0) + 1, statement=record["statement"], version=record["version"],
    )


def _plain(words: Any) -> str:
    return " ".join(str(words).lower().split()).rstrip(".")
