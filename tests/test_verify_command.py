"""`verify` on the command line, and `Services.checks` behind it: real process, real marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.media.conftest import ffmpeg
from tests.media.marks.test_verify import Install, install
from wan_app import checking, cli
from wan_app.checking import Checking, media_in
from wan_app.consent.ledger import ConsentLedger, Person
from wan_app.errors import InvalidRequest
from wan_app.media.marks import sidecars


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Install:
    return install(tmp_path_factory.mktemp("here"), first=False)


@pytest.fixture
def data(here: Install, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(here.settings.data_dir))
    return here.settings.data_dir


def run(capsys: pytest.CaptureFixture[str], *args: Any) -> tuple[int, str, str]:
    code = cli.main(["verify", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_file_in_lines_and_as_json(here: Install, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, here.made["first"])
    assert code == 0 and out.startswith("first.mp4: made here\n") and "credentials  intact" in out and not err
    code, out, _ = run(capsys, here.made["first"], "--json")
    said = json.loads(out)
    assert code == 0 and said["verdict"] == "made here"
    for mark in ("video_watermark", "audio_watermark", "c2pa"):
        assert {"state", "id"} <= set(said[mark])


@pytest.mark.parametrize(("name", "why"), [
    ("gone.mp4", "No such file"), ("empty.mp4", "an empty file"), ("text.mp4", "text"), ("hollow", "no videos"),
])
def test_what_cannot_be_read_is_one_line_and_code_2(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "hollow").mkdir()
    code, out, err = run(capsys, tmp_path / name)
    assert (code, out) == (2, "") and err.startswith("file: got ") and why in err and err.count("\n") == 1


def test_a_folder_in_one_go(here: Install, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.mp4").write_bytes(here.made["first"].read_bytes())
    (tmp_path / ".hidden.mp4").write_bytes(here.made["first"].read_bytes())
    (tmp_path / "notes.txt").write_text("no film")
    (tmp_path / "link.mp4").symlink_to(here.made["first"])
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:s=64x64", tmp_path / "b.mp4")
    code, out, err = run(capsys, tmp_path)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0 and lines[0] == "no mark found b.mp4" and lines[1].startswith("made here ")
    assert lines[1].endswith("deep/a.mp4") and len(lines) == 2 and "1 made here" in err
    (tmp_path / "c.mp4").write_bytes(here.made["first"].read_bytes()[:500])
    code, out, _ = run(capsys, tmp_path, "--json")
    rows = json.loads(out)
    assert code == 2 and [row["file"] for row in rows] == ["b.mp4", "c.mp4", "deep/a.mp4"] and "error" in rows[1]


def test_only_media_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no videos"):
        media_in(tmp_path)


def test_the_record_of_consent_is_for_its_owner_and_the_keeper(
    here: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    consent_id = ledger.record([Person("ann", ("aa" * 32,))], "visitor:one")
    find = sidecars.find

    def with_consent(folder: Path, identity: str) -> Any:
        found = find(folder, identity)
        if found:
            found.record["consent_id"] = consent_id
        return found

    def read_here(module: str, request: Any, **_: Any) -> dict[str, Any]:
        import io

        said: list[str] = []
        checking_reading.main(io.StringIO(json.dumps(request)), said.append)
        return {name: value for line in said for name, value in json.loads(line).items()}

    from wan_app.media.marks import reading as checking_reading

    monkeypatch.setattr(sidecars, "find", with_consent)
    monkeypatch.setattr(checking, "reading", read_here)
    checks = Checking(here.settings, ledger)
    seen = {who: checks.verify(here.made["first"], owner=who) for who in ("local", "visitor:one", "visitor:two")}
    assert seen["local"].consent and seen["local"].consent["people"][0]["name"] == "ann"
    assert seen["visitor:one"].consent and seen["visitor:one"].consent["state"] == "valid"
    assert seen["visitor:two"].consent is None and seen["visitor:two"].opinion.verdict == "made here"
    assert seen["local"].found.kept[0].file == "first.mp4" and seen["visitor:one"].found.kept[0].file is None
    ledger.withdraw(consent_id)
    withdrawn = checks.verify(here.made["first"]).consent
    assert withdrawn and withdrawn["state"] == "withdrawn"
    (tmp_path / "consent.jsonl").write_text("no record at all\n")
    broken = checks.verify(here.made["first"]).consent
    assert broken and broken["state"] == "unknown"
    checks.close()


def test_a_check_in_the_background_ends_with_the_answer(here: Install, tmp_path: Path) -> None:
    checks = Checking(here.settings, ConsentLedger(tmp_path / "consent.jsonl"))
    view = checks.start(here.made["first"], name="their\u202e name.mp4", owner="me")
    done = checks._checks.wait(view.id, "me")
    assert done.answer.opinion.verdict == "made here" and done.answer.file == "their? name.mp4"
    assert done.found == ("file", "credentials", "kept", "sound", "picture")
    checks.close()
