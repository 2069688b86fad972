from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wan_app.errors import InvalidRequest
from wan_app.families import registry
from wan_app.ui.form import build_request, uploaded


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "gradio"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    (folder / "face.png").write_bytes(b"x")
    return folder / "face.png"


def test_fields_go_by_name_and_absent_ones_stay_the_models() -> None:
    request = build_request("text", {"prompt": "p", "size": "160x96", "seconds": 3, "random_seed": False, "seed": 7})
    assert (request.width, request.height, request.seconds, request.seed) == (160, 96, 3, 7)
    assert request.guidance_scale is None and request.model is None


def test_a_new_seed_each_time_ignores_the_one_shown() -> None:
    assert build_request("text", {"prompt": "p", "random_seed": True, "seed": 7}).seed is None


@pytest.mark.parametrize("shape", ["dict", "string", "gallery", "pair"])
def test_pictures_in_every_form_that_gradio_sends(upload: Path, shape: str) -> None:
    given: Any = {
        "dict": {"path": str(upload), "meta": {"_type": "gradio.FileData"}}, "string": str(upload),
        "gallery": {"image": {"path": str(upload)}, "caption": None}, "pair": ({"path": str(upload)}, None),
    }[shape]
    assert uploaded(given, "image") == upload.resolve()


@pytest.mark.parametrize("path", [
    "/etc/passwd", "../../etc/passwd", "", "x\0.png", "\ud800.png", "https://example.org/a.png", "/" * 5000,
])
def test_a_path_that_was_not_uploaded_is_refused(upload: Path, path: str) -> None:
    for given in (path, {"path": path}, {"image": {"path": path}}):
        with pytest.raises(InvalidRequest, match="^image: got "):
            uploaded(given, "image")


def test_a_link_out_of_the_uploads_is_refused(upload: Path) -> None:
    link = upload.with_name("link.png")
    link.symlink_to("/etc/passwd")
    with pytest.raises(InvalidRequest):
        uploaded(str(link), "image")


@pytest.mark.parametrize("value", [5, 1.5, True, {"a": 1}, b"x", [1, 2, 3]])
def test_other_things_are_no_picture(value: object) -> None:
    with pytest.raises(InvalidRequest, match="^image: got "):
        uploaded(value, "image")


def test_slots_become_characters_by_their_number(upload: Path) -> None:
    faces = [{"image": {"path": str(upload)}, "caption": None}]
    request = build_request("reference", {"prompt": "p", "faces1": faces, "faces2": faces, "consent": True})
    assert [one.name for one in request.characters] == ["character1", "character2"]
    assert request.consent is True


@pytest.mark.parametrize("consent", ["true", "no", 1, None, [True], {"a": 1}])
def test_only_a_true_boolean_is_consent(upload: Path, consent: object) -> None:
    request = build_request("reference", {"prompt": "p", "faces": [str(upload)], "consent": consent})
    assert request.consent is False


@pytest.mark.parametrize("people", ["x", [5], [{"faces": []}], [{"name": "a b", "faces": []}], [{"name": 3}]])
def test_misshapen_characters_name_the_field(people: object) -> None:
    with pytest.raises(InvalidRequest, match="^characters: "):
        build_request("reference", {"prompt": "p", "characters": people})


@pytest.mark.parametrize("mode", ["text", "image"])
def test_faces_of_another_mode_are_kept_to_be_refused(upload: Path, mode: str) -> None:
    """Dropped in silence, a posted face would come back as a video without it."""
    assert build_request(mode, {"prompt": "p", "faces": [str(upload)]}).characters


def test_a_voice_makes_a_character_with_or_without_a_face(upload: Path) -> None:
    given = {"path": str(upload)}
    request = build_request("reference", {"prompt": "p", "voice2": given, "faces3": [given], "voice3": given})
    assert [(one.name, len(one.faces), one.voice) for one in request.characters] == [
        ("character2", 0, upload.resolve()), ("character3", 1, upload.resolve()),
    ]
    by_api = {"prompt": "p", "voice": given, "characters": [{"name": "ann", "voice": given}]}
    assert [(one.name, one.voice) for one in build_request("reference", by_api).characters] == [
        ("character1", upload.resolve()), ("ann", upload.resolve()),
    ]


def test_sound_goes_by_name(upload: Path) -> None:
    request = build_request(
        "text", {"prompt": "p", "say": "hi", "soundtrack": {"path": str(upload)}, "soundtrack_mode": "mix"}
    )
    assert (request.say, request.soundtrack, request.soundtrack_mode) == ("hi", upload.resolve(), "mix")
    plain = build_request("text", {"prompt": "p", "say": None, "soundtrack": None, "soundtrack_mode": None})
    assert (plain.say, plain.soundtrack, plain.soundtrack_mode, plain.sound_only) == ("", None, "auto", False)
    with pytest.raises(InvalidRequest, match="^sound_only: got 'true'"):
        registry.get("pocket").resolve(build_request("text", {"prompt": "p", "sound_only": "true"}))


@pytest.mark.parametrize("field", ["voice", "soundtrack"])
def test_a_sound_that_was_not_uploaded_is_refused_as_a_sound(upload: Path, field: str) -> None:
    for given in ("/etc/passwd", {"path": "/etc/passwd"}, 5, ["x"]):
        with pytest.raises(InvalidRequest, match=f"^{field}: got .*WAV"):
            build_request("reference", {"prompt": "p", field: given})
