"""Restrictive licences: off until accepted in so many words, recorded, and off again when withdrawn."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.families.tiny_vace import tiny_spec
from wan_app import cli
from wan_app.errors import InvalidRequest, ModelUnavailable, StorageError
from wan_app.families import registry
from wan_app.families.weights import licences
from wan_app.families.weights import locate as weights
from wan_app.settings import Settings

H3 = licences.LICENCES["minimax-h3"]
SPEC = replace(tiny_spec(), licence_id=H3.id)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_a_model_with_such_a_licence_is_off_even_with_its_weights_here(
    settings: Settings, tiny_vace_folder: Path
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        weights.locate(SPEC, settings, tiny_vace_folder)
    for part in (SPEC.id, H3.title, H3.limits, H3.url, H3.words):
        assert part in str(caught.value)
    licences.accept(H3.id, H3.words, settings)
    assert weights.locate(SPEC, settings, tiny_vace_folder) == tiny_vace_folder


def test_the_record_says_what_was_said_and_when(settings: Settings) -> None:
    record = licences.accept(H3.id, f"  {H3.words.upper()}. ", settings)
    assert record == licences.read_record(H3, settings)
    assert record["words"] == H3.words and record["accepted_at"].endswith("+00:00")
    assert [file.name for file in (settings.data_dir / "licences").iterdir()] == ["minimax-h3.json"]


@pytest.mark.parametrize("words", ["", "yes", "I accept", H3.words[:-9], "not " + H3.words])
def test_other_words_accept_nothing(settings: Settings, words: str) -> None:
    with pytest.raises(InvalidRequest, match="words: got .*; needed exactly"):
        licences.accept(H3.id, words, settings)
    assert not licences.is_accepted(H3, settings)


def test_an_unknown_licence_is_answered_with_the_known_ones(settings: Settings) -> None:
    with pytest.raises(InvalidRequest, match="one of joyai-echo, minimax-h3"):
        licences.accept("mit", "yes", settings)


def test_one_licence_accepts_no_other(settings: Settings) -> None:
    licences.accept(H3.id, H3.words, settings)
    assert not licences.is_accepted(licences.LICENCES["joyai-echo"], settings)


@pytest.mark.parametrize("content", ["", "[]", '{"words": "I accept"}', "\x00"])
def test_a_record_that_says_something_else_counts_for_nothing(settings: Settings, content: str) -> None:
    licences.accept(H3.id, H3.words, settings)
    (settings.data_dir / "licences" / "minimax-h3.json").write_text(content)
    assert not licences.is_accepted(H3, settings)


def test_an_acceptance_can_be_withdrawn(settings: Settings) -> None:
    licences.withdraw(H3.id, settings)
    licences.accept(H3.id, H3.words, settings)
    licences.withdraw(H3.id, settings)
    assert not licences.is_accepted(H3, settings)


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="licence: got "):
        licences.accept(H3.id, H3.words, Settings(data_dir=tmp_path / "file"))


def test_every_row_names_a_licence_that_there_is() -> None:
    for spec in registry.specs().values():
        licences.needed_by(spec)


def test_the_command_that_the_error_names_accepts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(settings.data_dir))
    with pytest.raises(ModelUnavailable) as caught:
        licences.check(SPEC, settings)
    command = shlex.split(str(caught.value).split("then: ")[1])
    assert command[:3] == ["python", "-m", "wan_app"]
    assert cli.main(["licence", "accept", H3.id, "--words", "yes"]) == 2
    assert "words: got 'yes'" in capsys.readouterr().err
    assert cli.main(["licence", "accept", "nobody's"]) == 2
    assert cli.main(command[3:]) == 0
    assert f"{H3.id}: accepted 20" in capsys.readouterr().out
    licences.check(SPEC, settings)
    assert cli.main(["licence", "withdraw", H3.id, "--json"]) == 0 and not licences.is_accepted(H3, settings)
    assert [row["accepted_at"] for row in json.loads(capsys.readouterr().out)] == [None, None]
