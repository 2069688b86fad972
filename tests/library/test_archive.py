"""Results as a zip: there and back again, and what zips of strangers can do, which is nothing."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.library.conftest import make
from wan_app.errors import InvalidRequest, StorageError
from wan_app.library import archive as archive_module
from wan_app.services import Services
from wan_app.types import Character


@pytest.fixture
def made(services: Services, face: Path) -> str:
    people = (Character(name="character1", faces=(face,)),)
    return make(services, mode="reference", characters=people, consent=True, prompt="character1 waves", seed=7)


def exported(services: Services, to: Path, *job_ids: str, **options: bool) -> Path:
    to.write_bytes(b"".join(services.library.export(job_ids, "local", **options)))
    return to


def changed(source: Path, to: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The same zip with other members."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(to, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return to


def manifest_with(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        data = json.loads(members["gallery.json"])
        data["results"][0] |= changes
        members["gallery.json"] = json.dumps(data).encode()

    return change


def test_there_and_back_again(services: Services, elsewhere: Services, made: str, tmp_path: Path) -> None:
    file = exported(services, tmp_path / "x.zip", made, with_inputs=True)
    arrived = elsewhere.library.take_in(file, "local")
    assert arrived.left_out == () and arrived.known == 0
    old, new = services.job(made), elsewhere.job(arrived.jobs[0])
    assert old.result and new.result and old.file and new.file
    assert new.file.read_bytes() == old.file.read_bytes() and new.file.is_relative_to(elsewhere.settings.outputs_dir)
    assert (new.request.prompt, new.request.seed, new.created) == (old.request.prompt, 7, old.created)
    assert new.result.watermark_id == old.result.watermark_id and new.result.similarity == old.result.similarity
    assert new.request.characters[0].faces[0].name == old.request.characters[0].faces[0].name
    assert new.request.characters[0].faces[0].parent == elsewhere.settings.inputs_dir
    assert new.result.timings == {} and "made in 2 s there" in new.result.notes[-1]


def test_neither_keys_nor_consent_nor_folders_travel(services: Services, made: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported(services, tmp_path / "x.zip", made, with_inputs=True)) as archive:
        assert sorted(name.split("/")[0] for name in archive.namelist()) == ["gallery.json", "inputs", "results"]
        manifest = archive.read("gallery.json").decode()
    assert str(services.settings.data_dir) not in manifest
    row = json.loads(manifest)["results"][0]
    assert row["request"]["consent"] is False and row["request"]["consent_id"] is None
    assert "consent_id" not in row["result"] and "file" not in row["result"]


def test_whoever_brings_a_face_states_consent_anew(
    services: Services, elsewhere: Services, made: str, tmp_path: Path
) -> None:
    new = elsewhere.library.take_in(exported(services, tmp_path / "x.zip", made, with_inputs=True), "local").jobs[0]
    assert elsewhere.job(new).request.consent is False and elsewhere.consents() == []
    with pytest.raises(InvalidRequest, match="^consent: got no consent"):
        elsewhere.duplicate(new)


def test_pictures_stay_at_home_unless_they_are_wished(
    services: Services, elsewhere: Services, made: str, tmp_path: Path
) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    assert not any(name.startswith("inputs/") for name in zipfile.ZipFile(file).namelist())
    job = elsewhere.job(elsewhere.library.take_in(file, "local").jobs[0])
    assert job.request.characters[0].faces == () and job.result


def test_what_is_here_already_does_not_come_twice(services: Services, made: str, tmp_path: Path) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    assert services.library.take_in(file, "local").known == 1 and len(services.jobs()) == 1
    services.library.delete([made], "local")
    assert len(services.library.take_in(file, "local").jobs) == 1


def test_copies_of_one_video_share_its_sidecar(services: Services, made: str, tmp_path: Path) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    copy = services.library.take_in(file, "other").jobs[0]
    services.library.delete([made], "local")
    assert len(list(services.settings.sidecars_dir.iterdir())) == 2
    services.library.delete([copy], "other")
    assert list(services.settings.sidecars_dir.iterdir()) == []


def test_guests_bring_nothing_in(services: Services, made: str, tmp_path: Path) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    for owner in ("guest:1", "visitor:2"):
        with pytest.raises(InvalidRequest, match="^archive: got a guest's zip"):
            services.library.take_in(file, owner)


def test_a_video_that_was_changed_is_left_out(
    services: Services, elsewhere: Services, made: str, tmp_path: Path
) -> None:
    def change(members: dict[str, bytes]) -> None:
        name = next(one for one in members if one.startswith("results/"))
        data = bytearray(members[name])
        place = data.find(b"mdat") + 4000  # inside the picture
        data[place : place + 8] = bytes(8)
        members[name] = bytes(data)
        manifest_with(sha256=hashlib.sha256(members[name]).hexdigest())(members)

    arrived = elsewhere.library.take_in(
        changed(exported(services, tmp_path / "x.zip", made), tmp_path / "y.zip", change), "local"
    )
    assert arrived.jobs == () and "no valid Content Credentials" in arrived.left_out[0]
    assert elsewhere.jobs() == [] and list(elsewhere.settings.outputs_dir.iterdir()) == []


def test_the_list_is_held_against_the_file(services: Services, elsewhere: Services, made: str, tmp_path: Path) -> None:
    wild = {
        "seed": "1", "width": 9, "num_frames": 10**9, "similarity": [{"character": "x" * 99}, {"identity": "high"}, 7],
        "notes": ["fine", 3, "x" * 9999], "timings": {"total": float("inf")}, "audio": {"offset": "late"},
        "watermark_id": "ffffffffff", "file": "/etc/passwd", "model": "../../x",
    }
    change = manifest_with(result=wild, request={"mode": "dance", "prompt": "a lie"}, created="yesterday")
    file = changed(exported(services, tmp_path / "x.zip", made), tmp_path / "y.zip", change)
    arrived = elsewhere.library.take_in(file, "local")
    job = elsewhere.job(arrived.jobs[0])
    assert job.request.prompt == "character1 waves" and job.created > "2026" and job.result and job.file
    assert (job.result.width, job.result.num_frames, job.result.seed) == (services.job(made).result.width, 9, 7)  # type: ignore[union-attr]
    assert job.result.similarity == () and job.result.notes[0] == "fine" and job.model == "pocket"
    assert job.result.watermark_id != "ffffffffff" and job.file.is_relative_to(elsewhere.settings.outputs_dir)


@pytest.mark.parametrize("name", [
    "../../evil.mp4", "/etc/cron.d/x", "results/../../x.mp4", "results/0001-a.mp4/../../x", "results\\0001-a.mp4",
    "C:/x.mp4", "inputs/" + "a" * 64 + ".svg", "results/0001-a.mp4/", "results/0001-a.MP4", "keys/mark.key",
    "results/0001-A.mp4",
])
def test_no_name_leads_out_of_the_zip(services: Services, made: str, tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    whole = exported(services, tmp_path / "x.zip", made)
    file = changed(whole, tmp_path / "y.zip", lambda members: members.update({name: b"evil"}))
    with pytest.raises(InvalidRequest, match="^archive: got"):
        services.library.take_in(file, "local")
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "x.zip", file} and len(services.jobs()) == 1


def test_a_zip_that_unpacks_to_a_thousand_times_its_size_is_not_unpacked(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("results/0001-a.mp4", bytes(50_000_000))
        archive.writestr("gallery.json", "{}")
    with pytest.raises(InvalidRequest, match="which unpacks to 50 MB"):
        services.library.take_in(file, "local")


def test_a_member_that_lies_about_its_size_ends_where_it_said(
    services: Services, made: str, tmp_path: Path
) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    data = bytearray(file.read_bytes())
    central = data.rfind(b"PK\x01\x02", 0, data.rfind(b"PK\x01\x02"))  # of the video: the list comes last
    data[central + 24 : central + 28] = (100).to_bytes(4, "little")  # its size when unpacked
    file.write_bytes(data)
    arrived = services.library.take_in(file, "other")
    assert arrived.jobs == () and len(arrived.left_out) == 1


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_says_so(services: Services, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(data)
    with pytest.raises(InvalidRequest, match="^archive: got .*; needed a zip that the gallery exported"):
        services.library.take_in(file, "local")


@pytest.mark.parametrize("text", [
    "{}", "[]", "null", "{", '{"format": "wan-app-gallery", "version": 1, "results": 7}', "[" * 100_000,
    '{"format": "wan-app-gallery", "version": 1, "results": [{"file": "../x"}]}',
    '{"format": "wan-app-gallery", "version": true, "results": []}',
])
def test_a_list_that_is_none(services: Services, tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("gallery.json", text)
    with pytest.raises(InvalidRequest, match="^archive: got"):
        services.library.take_in(file, "local")


def test_a_damaged_zip_leaves_nothing(services: Services, elsewhere: Services, made: str, tmp_path: Path) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    data = bytearray(file.read_bytes())
    data[2000:2100] = bytes(100)
    file.write_bytes(data)
    arrived = elsewhere.library.take_in(file, "local")
    assert arrived.jobs == () and "damaged" in arrived.left_out[0] and elsewhere.jobs() == []


def test_a_full_disk_is_told_before_it_is_full(
    services: Services, elsewhere: Services, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported(services, tmp_path / "x.zip", made)
    monkeypatch.setattr(archive_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert "that much free space" in elsewhere.library.take_in(file, "local").left_out[0]


def test_a_data_folder_that_takes_nothing_ends_the_import(
    services: Services, elsewhere: Services, made: str, tmp_path: Path
) -> None:
    elsewhere.settings.outputs_dir.write_text("in the way")
    with pytest.raises(StorageError):
        elsewhere.library.take_in(exported(services, tmp_path / "x.zip", made), "local")


def test_a_file_that_is_gone_is_left_out_of_the_zip(services: Services, made: str, tmp_path: Path) -> None:
    gone = make(services)
    services.job(gone).file.unlink()  # type: ignore[union-attr]
    with zipfile.ZipFile(io.BytesIO(b"".join(services.library.export([gone, made], "local")))) as archive:
        assert len(json.loads(archive.read("gallery.json"))["results"]) == 1 and archive.testzip() is None
