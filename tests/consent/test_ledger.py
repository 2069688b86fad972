"""What a statement covers, how long it holds, and what a withdrawal does."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from wan_app.consent.ledger import STATEMENT, ConsentLedger, Person, public
from wan_app.errors import InvalidRequest
from wan_app.types import Character

ANN, VOICE = Person("ann", ("f1", "f2"), "v1"), Person("ann", (), "v1")
BEN = Person("ben", ("f3",))
VISITOR, OTHER = "secret token of anna's browser", "secret token of ben's browser"


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.time

    def pass_days(self, days: float) -> None:
        self.time += timedelta(days=days)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "consent.jsonl"


@pytest.fixture
def ledger(file: Path, clock: Clock) -> ConsentLedger:
    return ConsentLedger(file, days=365, clock=clock)


def refused(ledger: ConsentLedger, *people: Person, owner: str = VISITOR) -> str:
    with pytest.raises(InvalidRequest) as caught:
        ledger.check(people, owner)
    with pytest.raises(InvalidRequest):
        ledger.record(people, owner)
    assert caught.value.field == "consent" and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_statement_says_who_what_and_until_when(ledger: ConsentLedger, file: Path) -> None:
    consent_id = ledger.record([ANN, BEN], VISITOR)
    [line] = file.read_text().splitlines()
    record = json.loads(line)
    assert record == ledger.find(consent_id) and record["statement"] == STATEMENT and record["version"] == 1
    assert record["people"][0] == {"name": "ann", "faces": ["f1", "f2"], "voice": "v1"}
    assert (record["time"], record["until"]) == ("2026-11-22T12:00:00+00:00", "2027-11-22T12:00:00+00:00")
    assert VISITOR not in line and record["owner"] == public(VISITOR)


def test_secrets_of_browsers_are_not_written_down() -> None:
    assert [public(one) for one in ("local", "api", "guest:a1")] == ["local", "api", "guest:a1"]
    assert public(VISITOR).startswith("visitor:") and public(VISITOR) != public(OTHER)
    assert public(public(VISITOR)) != public(VISITOR)  # who knows the one cannot pass for the other


def test_a_character_is_known_by_the_names_of_its_stored_files() -> None:
    one = Character(name="ann", faces=(Path("/data/inputs/abc.png"),), voice=Path("/data/inputs/def.flac"))
    assert Person.of(one) == Person("ann", ("abc",), "def")


def test_a_withdrawn_face_or_voice_is_refused_for_everybody(ledger: ConsentLedger, clock: Clock) -> None:
    consent_id = ledger.record([ANN], VISITOR)
    clock.pass_days(1)
    [row] = ledger.withdraw(consent_id, owner=VISITOR)
    assert (row.state, row.withdrawn) == ("withdrawn", "2026-11-23T12:00:00+00:00")
    said = refused(ledger, Person("carl", ("new", "f2")))
    assert "carl, for whose picture the consent was withdrawn on 2026-11-23" in said and consent_id in said
    assert "voice the consent was withdrawn" in refused(ledger, VOICE, owner=OTHER)
    assert "withdrawn" in refused(ledger, BEN, ANN, owner="local")
    ledger.check([BEN, Person("ann", ("f9",))], VISITOR)


def test_a_withdrawal_reaches_a_job_that_waits(ledger: ConsentLedger) -> None:
    consent_id = ledger.record([ANN, BEN], VISITOR)
    ledger.check_run(consent_id, [BEN, Person("ann", ("f2", "f1"), "v1")])
    ledger.withdraw(consent_id)
    with pytest.raises(InvalidRequest, match="withdrawn"):
        ledger.check_run(consent_id, [BEN, ANN])


@pytest.mark.parametrize("consent_id, people", [
    (None, [BEN]), ("", [BEN]), ("x" * 20, [BEN]), ("own", [ANN]), ("own", [Person("ben", ("f3",), "v9")]),
    ("own", [Person("ben", ("f3", "f4"))]),
])
def test_a_run_needs_a_statement_about_these_very_people(
    ledger: ConsentLedger, consent_id: str | None, people: list[Person]
) -> None:
    own = ledger.record([BEN], VISITOR)
    with pytest.raises(InvalidRequest, match="of which no statement is recorded"):
        ledger.check_run(own if consent_id == "own" else consent_id, people)


def test_a_statement_runs_out_and_repeating_it_prolongs_nothing(ledger: ConsentLedger, clock: Clock) -> None:
    ledger.record([ANN], VISITOR)
    clock.pass_days(300)
    again = ledger.record([Person("ann", ("f1",), "v2")], VISITOR)
    assert ledger.find(again)["until"] == "2027-11-22T12:00:00+00:00"  # type: ignore[index]
    ledger.check_run(again, [Person("ann", ("f1",), "v2")])
    clock.pass_days(66)
    assert "picture the consent ran out on 2027-11-22" in refused(ledger, ANN)
    with pytest.raises(InvalidRequest, match="ran out"):
        ledger.check_run(again, [Person("ann", ("f1",), "v2")])
    ledger.record([ANN], OTHER)  # who never stated it before


def test_stated_anew_it_holds_again(ledger: ConsentLedger, clock: Clock) -> None:
    consent_id = ledger.record([ANN], VISITOR)
    clock.pass_days(400)
    with pytest.raises(InvalidRequest, match="^words: got 'yes'"):
        ledger.renew(consent_id, "yes", owner=VISITOR)
    [row] = ledger.renew(consent_id, STATEMENT.upper().rstrip("."), owner=VISITOR)
    assert (row.state, row.until[:10], row.owner) == ("valid", "2028-12-26", public(VISITOR))
    ledger.record([ANN], VISITOR)
    ledger.withdraw(row.id, owner=VISITOR)
    refused(ledger, ANN)
    ledger.renew(row.id, STATEMENT)  # at the command line, in the visitor's name
    ledger.record([ANN], VISITOR)
    assert ledger.consents()[-1].owner == public(VISITOR)


def test_one_of_two_people_can_withdraw(ledger: ConsentLedger) -> None:
    ledger.record([ANN, BEN], VISITOR)
    ann, ben = ledger.consents()
    assert (ann.id, ben.id) == (f"{ann.id[:20]}.1", f"{ann.id[:20]}.2")
    ledger.withdraw(ben.id, owner=VISITOR)
    assert [one.state for one in ledger.consents()] == ["valid", "withdrawn"]
    ledger.check([ANN], VISITOR)
    assert ben.id in refused(ledger, ANN, BEN)
    ledger.renew(ben.id, STATEMENT, owner=VISITOR)
    ledger.check([ANN, BEN], VISITOR)


@pytest.mark.parametrize("wrong, owner", [
    ("own", OTHER), ("own", public(VISITOR)), ("", VISITOR), ("own.2", VISITOR), ("own.0", VISITOR), ("own.x", VISITOR),
    (None, "local"), (5, "local"),
])
def test_only_who_stated_it_and_the_keeper_can_take_it_back(
    ledger: ConsentLedger, wrong: str | None, owner: str
) -> None:
    own = ledger.record([ANN], VISITOR)
    wrong = wrong.replace("own", own) if isinstance(wrong, str) else wrong
    with pytest.raises(InvalidRequest, match="^id: got .*the id of a statement of yours"):
        ledger.withdraw(wrong, owner=owner)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="^id: got .*the id of a statement of yours"):
        ledger.renew(wrong, STATEMENT, owner=owner)  # type: ignore[arg-type]
    assert ledger.consents()[0].state == "valid"


def test_what_one_withdrew_no_other_states_anew(ledger: ConsentLedger) -> None:
    consent_id = ledger.record([ANN], VISITOR)
    ledger.withdraw(consent_id)
    with pytest.raises(InvalidRequest, match="somebody else withdrew"):
        ledger.renew(consent_id, STATEMENT, owner=VISITOR)
    ledger.renew(consent_id, STATEMENT)
    ledger.check([ANN], VISITOR)


def test_the_list_has_a_row_for_each_person_and_owner(ledger: ConsentLedger, clock: Clock) -> None:
    ledger.record([ANN], VISITOR)
    ledger.record([BEN], OTHER)
    clock.pass_days(2)
    last = ledger.record([Person("anna", ("f2", "f1"), "v1")], VISITOR)
    rows = ledger.consents()
    assert [(one.names, one.times) for one in rows] == [(("ben",), 1), (("ann", "anna"), 2)]
    assert (rows[1].id, rows[1].stated[:10], rows[1].until[:10]) == (last, "2026-11-22", "2027-11-22")
    assert [one.names for one in ledger.consents(OTHER)] == [("ben",)]
    assert json.loads(json.dumps(rows[0].to_json()))["faces"] == ["f3"]
