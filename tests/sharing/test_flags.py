"""The flags of whoever opens the studio, and `guests`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import app
from wan_app import cli
from wan_app.errors import InvalidRequest
from wan_app.settings import Settings, Sharing
from wan_app.sharing.door import check_sharing


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path))
    return tmp_path


def test_flags_overrule_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_APP_PASSWORD", "from the environment")
    monkeypatch.setenv("WAN_APP_HOSTS", "a.example, b.example")
    settings = app.parse_settings([])
    assert settings.sharing.password == "from the environment" and settings.sharing.hosts == ("a.example", "b.example")
    assert settings.local and "environment" not in repr(settings)
    file = home / "password"
    file.write_text("from a file\n")
    given = ["--share", "--password-file", str(file), "--trusted-proxy", "10.0.0.0/8", "--allow-host", "c.example",
             "--root-path", "/studio", "--new-password"]
    settings = app.parse_settings(given)
    assert settings.sharing == Sharing(
        share=True, password="from a file", trusted_proxies=("10.0.0.0/8",), hosts=("c.example",), root_path="/studio",
        new_password=True,
    )
    assert not settings.local


@pytest.mark.parametrize("path", ["studio", "//x", "/a b", "/x?y", '/"><script>'])
def test_a_root_path_that_is_none_is_named(home: Path, path: str) -> None:
    with pytest.raises(InvalidRequest, match="root_path"):
        check_sharing(Settings(data_dir=home, sharing=Sharing(root_path=path)))


def test_a_password_file_that_cannot_be_read_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--password-file", str(home / "none")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("password: got ") and said.count("\n") == 1


def test_links_are_made_listed_and_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["guests", "create", "--label", "Ann", "--jobs", "3", "--url", "http://s/", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["link"].startswith("http://s/guest/") and made["jobs"] == 3 and made["state"] == "open"
    assert cli.main(["guests", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in listed] == [made["id"]] and "link" not in listed[0]
    assert cli.main(["guests", "revoke", made["id"]]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(("args", "said"), [
    (["guests", "revoke", "nope"], "guest: got 'nope'"), (["guests", "create", "--days", "-1"], "days: got -1"),
    (["guests", "create", "--jobs", "many"], "--jobs"), (["guests", "steal"], "steal"),
])
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    assert cli.main(args) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
