"""`python -m wan_app gallery` and `cast`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.library.conftest import make
from wan_app import cli
from wan_app.services import Services

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(services.settings.data_dir))


def run(said: Said, *args: str) -> tuple[int, str, str]:
    code = cli.main(list(args))
    out, err = said.readouterr()
    return code, out, err


def test_list_export_delete_import(services: Services, capsys: Said, tmp_path: Path) -> None:
    first, second = make(services), make(services, prompt="a dog at the beach")
    assert [row["id"] for row in json.loads(run(capsys, "gallery", "--json")[1])] == [first, second]
    assert "a dog at the beach" in run(capsys, "gallery", "list", "--search", "beach")[1]
    out = tmp_path / "all.zip"
    assert json.loads(run(capsys, "gallery", "export", "--out", str(out), "--json")[1])["jobs"] == [first, second]
    assert run(capsys, "gallery", "delete", first, second) == (0, "", "")
    code, ids, err = run(capsys, "gallery", "import", str(out))
    assert code == 0 and len(ids.split()) == 2 and "2 brought in, 0 were here already" in err
    assert json.loads(run(capsys, "gallery", "import", str(out), "--json")[1])["known"] == 2


def test_pin(services: Services, capsys: Said) -> None:
    job_id = make(services)
    assert "pinned" in run(capsys, "gallery", "pin", job_id)[1]
    assert json.loads(run(capsys, "gallery", "--json")[1])[0]["pinned"] is True
    assert "pinned" not in run(capsys, "gallery", "unpin", job_id)[1]


def test_cast(services: Services, capsys: Said, face: Path, voice: Path) -> None:
    add = ("cast", "add", "Mia", "--face", str(face), "--voice", str(voice))
    code, out, err = run(capsys, *add)
    assert (code, out) == (2, "") and err.startswith("consent: got no consent")
    assert run(capsys, *add, "--consent")[1].startswith("Mia: 1 picture and a voice, consent valid until 20")
    assert json.loads(run(capsys, "cast", "--json")[1])[0]["name"] == "Mia"
    assert services.job(make(services, prompt="Mia waves")).request.characters[0].name == "Mia"
    assert run(capsys, "cast", "remove", "Mia") == (0, "", "")


@pytest.mark.parametrize(("args", "said"), [
    (["gallery", "delete"], "jobs: got 0"), (["gallery", "delete", "x"], "job: got 'x'"),
    (["gallery", "export"], "out: got nothing"), (["gallery", "import"], "archive: got 0 files"),
    (["gallery", "import", "nowhere.zip"], "archive: got"), (["gallery", "burn"], "invalid choice"),
    (["gallery", "--show", "stars"], "show: got 'stars'"), (["cast", "remove", "Mia"], "character: got 'Mia'"),
    (["cast", "add", "two words", "--face", "x.png"], "name: got 'two words'"),
    (["gallery", "export", "--out", "/nowhere/x.zip"], "out: got"),
])
def test_what_is_wrong_is_one_line(capsys: Said, args: list[str], said: str) -> None:
    code, out, err = run(capsys, *args)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err
