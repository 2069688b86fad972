"""What the tick states, and the list of statements with its ways to take them back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from wan_app.consent.ledger import STATEMENT, ConsentLedger, Person
from wan_app.settings import Settings
from wan_app.sharing.who import OWNER, Who
from wan_app.ui import card
from wan_app.ui.consent import People, Statements, listing, stating
from wan_app.ui.handlers import Page

ANNA, BEN = Who("guest", "guest:a1", "Anna"), Who("visitor", "visitor:" + "b" * 32)
FACE = "a" * 64
TODAY = datetime(2026, 11, 22, tzinfo=timezone.utc)


class Services:
    """The ledger part of `services.Services`."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder)
        self.ledger = ConsentLedger(self.settings.consent_file)

    def consents(self, *, owner: str) -> Any:
        return self.ledger.consents(None if owner == "local" else owner)

    def withdraw_consent(self, consent_id: str, *, owner: str) -> None:
        self.ledger.withdraw(consent_id, owner=owner)

    def renew_consent(self, consent_id: str, words: str, *, owner: str) -> None:
        self.ledger.renew(consent_id, words, owner=owner)


@pytest.fixture
def people(tmp_path: Path) -> People:
    services = Services(tmp_path)
    services.settings.inputs_dir.mkdir()
    Image.new("RGB", (300, 200), (200, 120, 60)).save(services.settings.inputs_dir / f"{FACE}.png")
    return People(services=services, parts=Statements("list", "words", "told"))  # type: ignore[arg-type]


def click(people: People, act: str, consent_id: str, *, ticked: Any = False) -> Any:
    return people.on_click(ticked, SimpleNamespace(_data={"act": act, "id": consent_id}))  # type: ignore[arg-type]


def test_who_what_and_until_when_are_said() -> None:
    settings = Settings(data_dir=Path("x"), consent_days=30)
    given = {"faces1": [{"image": {}}, {"image": {}}], "voice1": {"path": "v"}, "faces2": [{}], "voice2": None}
    said = stating(given, settings, OWNER, TODAY)
    assert "<b>character1</b> (2 pictures and a voice) and <b>character2</b> (a picture)" in said
    assert "22 December 2026" in said and "you, whose studio this is" in said
    nobody = stating({}, settings, ANNA, TODAY)
    assert "the guest “Anna”" in nobody and "nobody yet" in nobody
    assert "a visitor of this page" in stating({}, settings, BEN, TODAY)


@pytest.mark.parametrize("junk", ["x", 5, {"a": 1}, [], None])
def test_junk_is_nobody(junk: Any) -> None:
    said = stating({"faces1": junk, "voice1": None}, Settings(data_dir=Path("x")), OWNER, TODAY)
    assert "nobody yet" in said


def test_a_guests_name_is_text() -> None:
    said = stating({}, Settings(data_dir=Path("x")), Who("guest", "guest:a1", "<b onclick=x>"), TODAY)
    assert "<b onclick" not in said


def test_the_list_shows_ones_own_and_the_keeper_all(people: People, asked_by: Callable[[Who], None]) -> None:
    ledger = people.services.ledger  # type: ignore[attr-defined]
    ledger.record([Person("anna", (FACE,), "v1")], ANNA.owner)
    ledger.record([Person("<i>ben</i>", ("gone",))], BEN.owner)
    for one, shown, hidden in ((ANNA, "anna", "ben"), (BEN, "ben", "anna")):
        asked_by(one)
        said = people.on_look()["list"]
        assert shown in said and hidden not in said and " by " not in said
    asked_by(OWNER)
    said = people.on_look()["list"]
    assert "anna" in said and "&lt;i&gt;ben" in said and "<i>" not in said and "by guest:a1" in said
    assert BEN.owner not in said, "a browser's token opens its videos"
    assert said.count("data:image/jpeg") == 1 and said.count('class="nobody"') == 1


def test_withdraw_and_state_anew(people: People, asked_by: Callable[[Who], None]) -> None:
    asked_by(ANNA)
    consent_id = people.services.ledger.record([Person("anna", (FACE,))], ANNA.owner)  # type: ignore[attr-defined]
    updates = click(people, "withdraw", consent_id)
    assert 'data-state="withdrawn"' in updates["list"] and "State anew" in updates["list"] and updates["told"] == ""
    assert updates["words"]["visible"] is False
    for ticked in (False, None, "yes", 1):
        updates = click(people, "renew", consent_id, ticked=ticked)
        assert updates["words"]["visible"] is True and 'role="alert"' in updates["told"]
        assert 'data-state="withdrawn"' in updates["list"]
    updates = click(people, "renew", consent_id, ticked=True)
    assert 'data-state="valid"' in updates["list"] and updates["words"] == {**updates["words"], "value": False}
    assert updates["words"]["visible"] is False


@pytest.mark.parametrize(("act", "consent_id"), [("withdraw", "theirs"), ("renew", "theirs"), ("withdraw", "x" * 999),
                                                 ("burn", "theirs"), (None, None)])
def test_nobody_touches_the_statements_of_others(
    people: People, asked_by: Callable[[Who], None], act: Any, consent_id: Any
) -> None:
    theirs = people.services.ledger.record([Person("anna", (FACE,))], ANNA.owner)  # type: ignore[attr-defined]
    asked_by(BEN)
    updates = click(people, act, theirs if consent_id == "theirs" else consent_id, ticked=True)
    assert 'role="alert"' in updates["told"] and "Nobody yet" in updates["list"]
    assert people.services.ledger.consents()[0].state == "valid"  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", [None, 5, [], "withdraw", {"act": ["withdraw"], "id": {}}])
def test_a_raw_post_of_nonsense_is_told(people: People, data: Any) -> None:
    updates = people.on_click(True, SimpleNamespace(_data=data))  # type: ignore[arg-type]
    assert 'role="alert"' in updates["told"]


def test_a_changed_record_is_told_in_its_place(people: People) -> None:
    ledger = people.services.ledger  # type: ignore[attr-defined]
    ledger.record([Person("anna", (FACE,))], "local")
    file = people.services.settings.consent_file
    file.write_bytes(file.read_bytes()[:-40])
    updates = people.on_look()
    assert "changed by other hands" in updates["told"] and updates["list"] == ""


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    ledger.record([Person(f"p{number}", (f"f{number}",)) for number in range(103)], "local")
    said = listing(ledger.consents(), tmp_path, keeper=True)
    assert said.count("<li") == 100 and "And 3 older ones" in said and said.index("p102") < said.index("p101")


def test_the_page_names_no_command_and_keeps_the_tick_out_of_its_store(page: Page, tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    ledger.withdraw(ledger.record([Person("ann", (FACE,))], "local"))
    with pytest.raises(Exception) as caught:
        ledger.check([Person("ann", (FACE,))], "local")
    assert "python -m" in str(caught.value)
    told = card.alert(*card.line_of(caught.value))  # type: ignore[arg-type]
    assert "python" not in told and "made anew (About, People)" in told
    panel = next(panel for panel in page.panels if panel.mode == "reference")
    assert panel.fields["consent"].label == STATEMENT
    assert panel.fields["consent"] not in page.load_outputs() and "consent" not in panel.kept
