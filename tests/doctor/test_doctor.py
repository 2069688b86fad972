"""The doctor: each thing that can be amiss is found, named in one line, with what to do; nothing is changed."""

from __future__ import annotations

import json
import socket
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wan_app import cli
from wan_app.devices import Machine
from wan_app.doctor import machine, models, software
from wan_app.doctor.found import Found, looked_at
from wan_app.errors import StorageError
from wan_app.families import registry
from wan_app.media.marks.credentials import ready_keys
from wan_app.settings import Settings, Sharing

CARD = Machine(
    device="cuda", name="RTX 4090", vram=25_769_803_776, vram_free=25_000_000_000, ram=64_000_000_000,
    ram_free=58_000_000_000, disk_free=400_000_000_000, tflops=165.2,
)
NO_CARD = replace(CARD, device="cpu", name="CPU, 2 cores", vram=0, vram_free=0)
QUICK = 'print(\'{"version": "2.13.0", "cuda": null, "card": null, "bf16": false, "mps": false}\')'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", device="cpu")


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line on a folder of the test's, with a torch that answers at once."""
    monkeypatch.setenv("WAN_APP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WAN_APP_DEVICE", "cpu")
    monkeypatch.setattr(software, "_ASK_TORCH", QUICK)


@pytest.mark.usefixtures("quick")
def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for name in ("python", "ffmpeg", "fonts", "folder", "keys", "ledger", "memory", "card", "torch", "models"):
        assert f"ok   {name} " in said, name
    for spec in registry.specs():
        assert f"\n  {spec} " in said
    assert said.endswith("Everything that is needed is here.\n")
    assert not (tmp_path / "data").exists(), "looking makes nothing"


@pytest.mark.usefixtures("quick")
def test_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True and {one["state"] for one in told["checks"]} <= {"ok", "warn"}
    assert [row["id"] for row in told["models"]] == list(registry.specs())
    assert next(row for row in told["models"] if row["id"] == "pocket")["standing"] == "here"
    monkeypatch.setattr(software, "_ASK_TORCH", "raise ImportError('libcudart.so is missing')")
    assert cli.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    torch = next(one for one in told["checks"] if one["name"] == "torch")
    assert told["ok"] is False and torch["state"] == "fail" and "libcudart.so is missing" in torch["said"]


@pytest.mark.usefixtures("quick")
def test_a_failure_is_told_in_one_line_with_advice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "version_of", lambda name: None if name == "diffusers" else "2.13.0")
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr()
    assert "FAIL packages   missing: diffusers\n                -> make run installs" in said.out
    assert "1 thing to put right" in said.out and "Traceback" not in said.out + said.err


def test_a_look_that_fails_is_a_finding() -> None:
    def broken() -> Found:
        raise ZeroDivisionError("by\nnought")

    def refused() -> Found:
        raise StorageError("data_dir", "/x (Read-only file system)", "a disk that can be written to")

    assert looked_at("x", broken).said == "cannot be looked at: ZeroDivisionError: by nought"
    found = looked_at("x", refused)
    assert (found.state, found.advice) == ("fail", "Needed: a disk that can be written to")
    assert found.said == "data_dir: got /x (Read-only file system)"


def test_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("# all\ntorch==2.13.0   # engine\nftfy>=6.3 # prompts\npytest>=8\n")
    monkeypatch.setattr(software, "REQUIREMENTS", tmp_path / "r.txt")
    have: dict[str, Any] = {"torch": "2.13.0+cu130", "ftfy": "6.4"}
    monkeypatch.setattr(software, "version_of", have.get)
    assert software.packages().state == "ok"
    have["torch"] = "2.9.1"
    assert software.packages() == Found(
        name="packages", said="other versions: torch 2.9.1 (needed ==2.13.0)", state="warn", advice=software._INSTALL
    )
    del have["ftfy"]
    assert (software.packages().state, software.packages().said) == ("warn", "missing: ftfy")


def test_an_ffmpeg_that_cannot_write_what_we_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert software.ffmpeg().state == "ok"
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\necho "ffmpeg version 4.0 Copyright"\necho " A....D aac  AAC"\n')
    fake.chmod(0o700)
    monkeypatch.setattr(software, "binary", lambda: str(fake))
    found = software.ffmpeg()
    assert found.state == "fail" and found.said == "4.0, without libx264" and "imageio-ffmpeg" in found.advice


def test_a_label_that_cannot_be_drawn(settings: Settings) -> None:
    found = software.fonts(replace(settings, label_text="由AI生成"))
    assert found.state == "warn" and found.said.isascii()


def test_a_card_that_torch_does_not_see() -> None:
    told = {"version": "2.13.0+cpu", "cuda": None, "card": None, "bf16": False, "mps": False}
    found = software._engine(told, CARD)
    assert found.state == "warn" and "RTX 4090 is here: it is the build for CPUs" in found.said and found.advice
    assert software._engine(told, NO_CARD).state == "ok"
    seen = software._engine({**told, "cuda": "13.0", "card": "RTX 4090", "bf16": True}, CARD)
    assert seen.state == "ok" and "sees RTX 4090 (CUDA 13.0, bf16)" in seen.said


def test_a_torch_that_hangs() -> None:
    found = software.torch(NO_CARD, timeout=0.0)
    assert found.state == "fail" and "did not answer" in found.said


def test_a_folder_that_cannot_be_written_to(settings: Settings) -> None:
    found = looked_at("folder", lambda: machine.folder(replace(settings, data_dir=Path("/proc/nowhere/data"))))
    assert found.state == "fail" and "/proc/doctor" in found.said and found.advice.startswith("Needed: ")


def test_keys_that_others_may_read(settings: Settings) -> None:
    assert machine.keys(settings).said.startswith("none yet") and not settings.keys_dir.exists()
    ready_keys(settings)
    assert machine.keys(settings).state == "ok"
    settings.keys_dir.chmod(0o755)
    other = settings.keys_dir / "sharing.sqlite3"
    other.touch(0o644)
    found = machine.keys(settings)
    assert found.state == "warn" and "sharing.sqlite3" in found.said and found.advice.startswith("chmod")
    assert stat.S_IMODE(settings.keys_dir.stat().st_mode) == 0o755, "looking mends nothing"
    (settings.keys_dir / "install" / "mark.key").write_bytes(b"short")
    assert looked_at("keys", lambda: machine.keys(settings)).state == "fail"


def test_a_damaged_ledger(settings: Settings) -> None:
    settings.data_dir.mkdir()
    with sqlite3.connect(settings.ledger_file) as made:
        made.execute("CREATE TABLE jobs (id TEXT)")
        made.execute("INSERT INTO jobs VALUES ('a')")
    made.close()
    assert machine.ledger(settings).said == "1 job, in order"
    settings.ledger_file.write_bytes(b"not a database at all" * 100)
    assert looked_at("ledger", lambda: machine.ledger(settings)).state == "fail"


def test_a_record_of_consent_that_was_changed(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.consent_file.write_text('{"id": "made up"}\n')
    found = looked_at("consent", lambda: machine.consent(settings))
    assert found.state == "fail" and "\n" not in found.said


def test_memory_card_and_network(settings: Settings) -> None:
    assert machine.memory(replace(CARD, ram_free=500_000_000)).state == "warn"
    assert machine.card(CARD).state == "ok" and machine.card(NO_CARD).state == "ok"
    assert machine.card(replace(CARD, vram_free=10**9)).state == "warn"
    shared = replace(settings, host="0.0.0.0", sharing=Sharing())
    assert "behind a password" in machine.network(shared).said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = machine.network(replace(settings, port=taken.getsockname()[1]))
    assert found.state == "warn" and "is taken" in found.said and "--port" in found.advice


def test_what_would_run(settings: Settings) -> None:
    rows = {row.id: row for row in models.outlooks(settings, CARD)}
    assert rows["pocket"].standing == "here"
    assert rows["wan2.1-t2v-1.3b"].standing == "download" and "GB to fetch" in rows["wan2.1-t2v-1.3b"].how
    assert rows["echo-1.5"].standing in ("licence", "small")
    tiny = replace(NO_CARD, ram=10**8, ram_free=10**8)
    none = models.outlooks(settings, tiny)
    assert {row.standing for row in none} == {"small"} and models.any_runs(none).state == "fail"
    assert all("\n" not in row.line() for row in none)


