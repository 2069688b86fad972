"""`python -m wan_app consent`: what was stated, taken back, and stated anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wan_app import cli
from wan_app.consent.ledger import STATEMENT, ConsentLedger, Person
from wan_app.settings import Settings

ANN, BEN = Person("ann", ("f1", "f2"), "v1"), Person("ben", ("f3",))


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConsentLedger:
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path))
    return ConsentLedger(Settings(data_dir=tmp_path).consent_file)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.main(["consent", *args])
    out, err = capsys.readouterr()
    return code, out, err


def test_nobody_stated_anything(ledger: ConsentLedger, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys) == (0, "", "") and run(capsys, "list", "--json") == (0, "[]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_list_revoke_renew(ledger: ConsentLedger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.record([ANN, BEN], "a visitor's secret")
    ann, ben = json.loads(run(capsys, "list", "--json")[1])
    assert (ann["names"], ann["state"], ann["times"], ann["withdrawn"]) == (["ann"], "valid", 1, None)
    said = run(capsys)[1].splitlines()
    assert ben["id"] in said[1] and "valid until" in said[1] and "ben (a picture; stated" in said[1]
    assert "secret" not in "".join(said)
    [gone] = json.loads(run(capsys, "revoke", ben["id"], "--json")[1])
    assert gone["state"] == "withdrawn" and gone["withdrawn"]
    assert [row["state"] for row in json.loads(run(capsys, "--json")[1])] == ["valid", "withdrawn"]
    assert "withdrawn 20" in run(capsys)[1]
    code, out, err = run(capsys, "renew", ben["id"], "--words", STATEMENT)
    assert (code, err) == (0, "") and "valid until" in out


@pytest.mark.parametrize(("args", "said"), [
    (["revoke"], "id: got ''"), (["revoke", "abc"], "id: got 'abc'; needed the id of a statement"),
    (["renew", "abc"], "words: got ''; needed exactly"), (["renew", "abc", "--words", STATEMENT], "id: got 'abc'"),
    (["forget", "abc"], "invalid choice: 'forget'"),
])
def test_what_is_wrong_is_one_line(
    ledger: ConsentLedger, capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    code, out, err = run(capsys, *args)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err


def test_a_changed_record_is_told(ledger: ConsentLedger, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ledger.record([BEN], "local")
    file = tmp_path / "consent.jsonl"
    file.write_bytes(file.read_bytes().replace(b"ben", b"bob"))
    code, out, err = run(capsys, "list")
    assert (code, out) == (2, "") and "changed by other hands" in err and err.count("\n") == 1


def test_a_list_of_a_name_with_a_line_break_stays_one_line(
    ledger: ConsentLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.record([Person("a\nb\x1b[31m", ("f1",))], "local")
    assert run(capsys)[1].count("\n") == 1 and "\x1b" not in run(capsys)[1]
