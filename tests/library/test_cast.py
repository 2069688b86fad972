"""The cast: taken in with consent, found by name in a prompt, each owner's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.library.conftest import TEXT, make
from wan_app.consent.ledger import STATEMENT
from wan_app.errors import InvalidRequest
from wan_app.services import Services

GUEST = "visitor:ab12"


@pytest.fixture
def other_face(tmp_path: Path) -> Path:
    path = tmp_path / "other.png"
    Image.new("RGB", (80, 64), (20, 50, 120)).save(path)
    return path


def test_somebody_is_taken_in_with_consent(services: Services, face: Path, voice: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=voice, consent=True, owner="local")
    assert services.library.cast("local") == [mia]
    assert mia.state == "valid" and mia.consent_id and mia.until > "2026"
    assert [file.parent for file in (*mia.faces, mia.voice)] == [services.settings.inputs_dir] * 2  # type: ignore[union-attr]
    assert services.consents()[0].names == ("Mia",)
    assert "png" not in str(mia.to_json())


@pytest.mark.parametrize("name", ["", "Mia Rose", "character1", "Character", "7up", "a" * 41, "Mi\u202ea", "<b>"])
def test_names_that_no_prompt_could_hold(services: Services, face: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="^name: got"):
        services.library.add(name, faces=[face], voice=None, consent=True, owner="local")
    assert not services.settings.inputs_dir.exists()


@pytest.mark.parametrize("consent", [False, None, "yes"])
def test_no_consent_no_cast(services: Services, face: Path, consent: object) -> None:
    with pytest.raises(InvalidRequest, match="^consent: got"):
        services.library.add("Mia", faces=[face], voice=None, consent=consent, owner="local")
    assert services.library.cast("local") == [] and list(services.settings.inputs_dir.iterdir()) == []


def test_a_name_is_given_once(services: Services, face: Path) -> None:
    services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    with pytest.raises(InvalidRequest, match="^name: got mia, who is in your cast already"):
        services.library.add("mia", faces=[face], voice=None, consent=True, owner="local")
    services.library.add("Mia", faces=[face], voice=None, consent=True, owner=GUEST)


def test_a_name_in_a_prompt_makes_a_character(services: Services, face: Path, voice: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=voice, consent=True, owner="local")
    job = services.job(make(services, prompt="Mia waves at the beach"))
    assert job.mode == "reference" and job.request.characters[0].name == "Mia"
    assert job.request.characters[0].faces == mia.faces and job.request.characters[0].voice is None
    assert job.request.consent_id and job.notes == ("Mia is from your cast",)
    spoken = services.job(make(services, prompt='Mia says "hello"'))
    assert spoken.request.characters[0].voice == mia.voice


def test_the_cast_of_others_is_nobody(services: Services, face: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    job = services.job(make(services, prompt="Mia waves", owner=GUEST), owner=GUEST)
    assert job.mode == "text" and job.request.characters == ()
    for forbidden in (
        lambda: services.library.people.get(mia.id, GUEST), lambda: services.library.dismiss(mia.id, GUEST),
        lambda: services.library.change(mia.id, name="Eve", owner=GUEST),
    ):
        with pytest.raises(InvalidRequest, match="^character: got"):
            forbidden()
    assert services.library.cast(GUEST) == [] and services.library.cast("local") == [mia]


def test_withdrawn_consent_shows_and_stops_the_name(services: Services, face: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    services.withdraw_consent(mia.consent_id)
    assert services.library.cast("local")[0].state == "withdrawn"
    with pytest.raises(InvalidRequest, match="^consent: got Mia"):
        services.submit(TEXT.__class__(mode="text", prompt="Mia waves"))
    services.renew_consent(mia.consent_id, STATEMENT)
    assert services.library.cast("local")[0].state == "valid"


def test_a_new_name_needs_no_consent_and_new_pictures_do(
    services: Services, face: Path, other_face: Path, voice: Path
) -> None:
    mia = services.library.add("Mia", faces=[face], voice=voice, consent=True, owner="local")
    maja = services.library.change(mia.id, name="Maja", owner="local")
    assert (maja.id, maja.name, maja.faces, maja.consent_id) == (mia.id, "Maja", mia.faces, mia.consent_id)
    with pytest.raises(InvalidRequest, match="^consent: got no consent"):
        services.library.change(mia.id, faces=[*mia.faces, other_face], owner="local")
    both = services.library.change(mia.id, faces=[*mia.faces, other_face], consent=True, owner="local")
    assert len(both.faces) == 2 and both.state == "valid" and both.consent_id != mia.consent_id
    one = services.library.change(mia.id, faces=both.faces[1:], without_voice=True, owner="local")
    assert one.faces == both.faces[1:] and one.voice is None and one.state == "valid"
    assert list(services.settings.inputs_dir.iterdir()) == list(one.faces)


def test_who_goes_leaves_no_picture_unless_a_video_has_it(services: Services, face: Path, voice: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=voice, consent=True, owner="local")
    job_id = make(services, prompt="Mia waves")
    services.library.dismiss("Mia", "local")
    assert list(services.settings.inputs_dir.iterdir()) == list(mia.faces)
    services.library.delete([job_id], "local")
    assert list(services.settings.inputs_dir.iterdir()) == []


def test_a_deleted_video_leaves_the_cast_whole(services: Services, face: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    services.library.delete([make(services, prompt="Mia waves")], "local")
    assert mia.faces[0].is_file()


def test_likeness_is_the_mean_over_videos_with_these_pictures(
    services: Services, face: Path, other_face: Path
) -> None:
    mia = services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    assert services.library.cast("local")[0].likeness.videos == 0
    for _ in range(2):
        make(services, prompt="Mia waves")
    make(services, prompt="a cat")
    found = services.library.cast("local")[0].likeness
    assert (found.videos, found.identity, found.timbre) == (2, 0.75, None)
    services.library.change(mia.id, name="Maja", owner="local")
    assert services.library.cast("local")[0].likeness == found
    services.library.change(mia.id, faces=[other_face], consent=True, owner="local")
    assert services.library.cast("local")[0].likeness.videos == 0


def test_what_the_form_sends_back_unchanged_is_not_new(
    services: Services, face: Path, voice: Path, tmp_path: Path
) -> None:
    mia = services.library.add("Mia", faces=[face], voice=voice, consent=True, owner="local")
    copies = [tmp_path / f"copy{file.suffix}" for file in (*mia.faces, mia.voice) if file]
    for copy, file in zip(copies, (*mia.faces, mia.voice)):
        copy.write_bytes(file.read_bytes())  # type: ignore[union-attr]
    same = services.library.change(mia.id, name="Maja", faces=copies[:1], voice=copies[1], owner="local")
    assert (same.faces, same.voice, same.consent_id) == (mia.faces, mia.voice, mia.consent_id)


def test_a_small_picture_of_a_face_is_for_its_owner(services: Services, face: Path) -> None:
    mia = services.library.add("Mia", faces=[face], voice=None, consent=True, owner="local")
    thumb = services.library.face(mia.id, 0, "local")
    assert thumb is not None and Image.open(thumb).size == (240, 240)
    assert services.library.face(mia.id, 1, "local") is None
    with pytest.raises(InvalidRequest):
        services.library.face(mia.id, 0, GUEST)
    services.library.dismiss(mia.id, "local")
    assert not thumb.exists()
