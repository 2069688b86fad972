"""Verify on real files: as written, re-encoded, tampered with, put together, from elsewhere, and hostile ones."""

from __future__ import annotations

import io
import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.marking import marks_in
from tests.media.conftest import ffmpeg, voice
from wan_app.errors import InvalidRequest
from wan_app.media.footage import frames, open_footage
from wan_app.media.marks import credentials, reading
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.manifest import Facts
from wan_app.media.marks.marking import Marks
from wan_app.media.marks.verify import Verification, verify
from wan_app.media.video import export_video
from wan_app.media.wav import write_wav
from wan_app.settings import Settings

RATE = 16_000


class Install(NamedTuple):
    """A data folder with keys, and videos made there by name."""

    settings: Settings
    keys: InstallKeys
    made: dict[str, Path]

    def check(self, file: Path) -> Verification:
        return verify(file, self.keys, self.settings.sidecars_dir)

    def marks(self) -> Marks:
        """Of a new file."""
        return replace(marks_in(self.settings.sidecars_dir), keys=self.keys)


def film(seed: int, count: int = 24) -> np.ndarray:
    """uint8 (count, 256, 320, 3): coloured patches that drift."""
    from PIL import Image

    patches = np.random.default_rng(seed).integers(60, 190, (8, 11, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(patches).resize((320 + 2 * count, 256), Image.Resampling.BICUBIC))
    return np.stack([wide[:, 2 * index : 2 * index + 320] for index in range(count)])


def install(folder: Path, **films: bool) -> Install:
    """A new install with videos of these names, with sound or without."""
    one = Install(Settings(data_dir=folder), InstallKeys.open(folder / "keys"), {})
    for seed, (name, sounding) in enumerate(films.items()):
        audio = {"audio": voice(3.0, f0=110.0 + 60 * seed)[None], "sample_rate": RATE} if sounding else {}
        one.made[name] = folder / f"{name}.mp4"
        export_video(film(seed), one.made[name], fps=8, metadata={}, marks=one.marks(), **audio)  # type: ignore[arg-type]
    return one


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Install:
    return install(tmp_path_factory.mktemp("here"), first=True, second=True, silent=False)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Install:
    return install(tmp_path_factory.mktemp("elsewhere"), first=True)


def id_of(one: Install, name: str) -> str:
    """By its sidecar, which knows the file's name."""
    for file in one.settings.sidecars_dir.glob("*.json"):
        if json.loads(file.read_text())["file"] == f"{name}.mp4":
            return file.stem
    raise AssertionError(name)


def test_as_it_was_written(here: Install) -> None:
    said = here.check(here.made["first"]).to_json()
    identity = id_of(here, "first")
    assert said["verdict"] == "made here" and "nothing in it was changed" in said["summary"]
    for mark, state in (("video_watermark", "ours"), ("audio_watermark", "ours"), ("c2pa", "valid")):
        assert (said[mark]["state"], said[mark]["id"]) == (state, identity)
    assert said["c2pa"]["ours"] and said["c2pa"]["by_ai"] and not said["disagreements"]
    assert said["kept_here"][0]["file"] == "first.mp4"
    json.dumps(said)


def test_a_silent_one(here: Install) -> None:
    said = here.check(here.made["silent"]).to_json()
    assert (said["verdict"], said["audio_watermark"]["state"]) == ("made here", "absent") and not said["disagreements"]


def test_re_encoded_and_mirrored_it_leads_back_to_its_credentials(here: Install, tmp_path: Path) -> None:
    ffmpeg("-i", here.made["first"], "-vf", "hflip", "-crf", "26", "-b:a", "64k", tmp_path / "a.mp4")
    said = here.check(tmp_path / "a.mp4").to_json()
    assert said["verdict"] == "made here" and said["c2pa"]["state"] == "none"
    assert said["video_watermark"]["id"] == said["audio_watermark"]["id"] == said["kept_here"][0]["id"]
    assert any("mirrored" in line for line in said["likely"])


def test_a_changed_byte_is_invalid(here: Install, tmp_path: Path) -> None:
    data = bytearray(here.made["first"].read_bytes())
    data[data.find(b"mdat") + 3000] ^= 1
    (tmp_path / "a.mp4").write_bytes(data)
    said = here.check(tmp_path / "a.mp4").to_json()
    assert said["c2pa"]["state"] == "invalid" and not said["c2pa"]["ours"]
    assert said["verdict"] == "made here" and any("changed after it was signed" in line for line in said["proven"])


def test_of_another_install_it_is_not_ours(here: Install, elsewhere: Install, tmp_path: Path) -> None:
    said = here.check(elsewhere.made["first"]).to_json()
    assert said["verdict"] == "made by another install"
    assert said["video_watermark"]["state"] == "other" and said["video_watermark"]["id"] is None
    assert said["audio_watermark"]["state"] == "unreadable" and not said["c2pa"]["ours"]
    ffmpeg("-i", elsewhere.made["first"], "-crf", "24", tmp_path / "a.mp4")
    assert here.check(tmp_path / "a.mp4").to_json()["verdict"] == "made by another install"
    assert elsewhere.check(tmp_path / "a.mp4").to_json()["verdict"] == "made here"


def test_a_swapped_soundtrack(here: Install, tmp_path: Path) -> None:
    pieces = ("-i", here.made["first"], "-i", here.made["second"], "-map", "0:v", "-map", "1:a", "-c", "copy")
    ffmpeg(*pieces, tmp_path / "a.mp4")
    said = here.check(tmp_path / "a.mp4").to_json()
    assert said["verdict"] == "made here, but the marks disagree" and "swapped" in said["disagreements"][0]
    assert said["video_watermark"]["id"] == id_of(here, "first")
    assert said["audio_watermark"]["id"] == id_of(here, "second")


def test_credentials_of_another_video(here: Install, tmp_path: Path) -> None:
    ffmpeg("-i", here.made["first"], "-c", "copy", tmp_path / "a.mp4")
    facts = Facts(watermark_id=id_of(here, "second"), created="", model="pocket", model_title="P", mode="text")
    credentials.sign(tmp_path / "a.mp4", "video/mp4", facts, here.keys, sound_marked=True)
    said = here.check(tmp_path / "a.mp4").to_json()
    assert said["c2pa"]["state"] == "valid" and said["verdict"] == "made here, but the marks disagree"
    assert "credentials are those of another video" in said["disagreements"][0]


def test_the_sound_alone_and_a_still(here: Install, tmp_path: Path) -> None:
    ffmpeg("-i", here.made["first"], "-vn", "-b:a", "96k", tmp_path / "a.mp3")
    said = here.check(tmp_path / "a.mp3").to_json()
    assert (said["verdict"], said["audio_watermark"]["id"]) == ("made here", id_of(here, "first"))
    ffmpeg("-i", here.made["first"], "-frames:v", "1", tmp_path / "a.png")
    said = here.check(tmp_path / "a.png").to_json()
    assert said["about"]["still"] and said["video_watermark"]["state"] in ("ours", "unreadable", "none")
    assert said["audio_watermark"]["state"] == "absent"


def test_a_voice_alone_as_it_was_written(here: Install, tmp_path: Path) -> None:
    write_wav(voice()[None], RATE, tmp_path / "a.wav", marks=here.marks())
    said = here.check(tmp_path / "a.wav").to_json()
    assert said["verdict"] == "made here" and said["video_watermark"]["state"] == "absent"
    assert said["summary"].startswith("This sound was made here") and said["c2pa"]["ours"]


def test_what_was_never_marked(here: Install, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:s=256x256:r=8", "-pix_fmt", "yuv420p", tmp_path / "a.mp4")
    said = here.check(tmp_path / "a.mp4").to_json()
    assert said["verdict"] == "no mark found" and "proves nothing" in said["summary"] and not said["kept_here"]


def test_a_film_in_parts(here: Install, tmp_path: Path) -> None:
    """Three seconds of ours in twenty: the rest must not be called ours."""
    blank = ("-f", "lavfi", "-i", "testsrc=d=17:s=640x512:r=8")
    join = ("-filter_complex", "[0:v]format=yuv420p,setsar=1[a];[1:v]format=yuv420p,setsar=1[b];[a][b]concat=n=2[v]")
    ffmpeg("-i", here.made["silent"], *blank, *join, "-map", "[v]", "-r", "8", tmp_path / "a.mp4")
    said = here.check(tmp_path / "a.mp4").to_json()
    seen, of = said["video_watermark"]["places"]
    assert said["verdict"] == "made here in part" and 0 < seen < of and f"{seen} of {of}" in said["summary"]


def test_padding_of_four_gigabytes_is_no_obstacle(here: Install, tmp_path: Path) -> None:
    shutil.copy(here.made["silent"], tmp_path / "a.mp4")
    with (tmp_path / "a.mp4").open("r+b") as file:
        file.seek(0, 2)
        file.write(struct.pack(">I4sQ", 1, b"free", 4 << 30))
        file.truncate(file.tell() + (4 << 30) - 16)
    assert here.check(tmp_path / "a.mp4").to_json()["verdict"] == "made here"


def test_a_strangers_manifest_cannot_pass_for_ours(here: Install, elsewhere: Install, tmp_path: Path) -> None:
    """Its text is told, cut short and without control characters; its ids open nothing that is kept here."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:s=256x256:r=8", "-pix_fmt", "yuv420p", tmp_path / "a.mp4")
    facts = Facts(
        watermark_id=id_of(here, "first"), created="x" * 5000, model="<img src=x onerror=alert(1)>\u202e\x1b[31m",
        model_title="P", mode="text", consent_id="c0ffee", faces=("aa" * 32,),
    )
    credentials.sign(tmp_path / "a.mp4", "video/mp4", facts, elsewhere.keys, sound_marked=True)
    one = here.check(tmp_path / "a.mp4")
    said = one.to_json()
    assert said["verdict"] == "made by another install" and said["kept_here"] == [] and one.consent_id is None
    assert len(said["c2pa"]["created"]) == 200 and said["c2pa"]["model"] == "<img src=x onerror=alert(1)>??[31m"


def test_places_cover_a_film(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reading._places(4.0, 6.0, 2.0) == [(0.0, 4.0)]
    for seconds in (7.0, 16.0, 60.0, 36_000.0):
        places = reading._places(seconds, 6.0, 2.0)
        assert 2 <= len(places) <= 8 and min(start for start, _ in places) == 0
        assert max(start + span for start, span in places) == pytest.approx(seconds)
    assert len(reading._places(0.0, 6.0, 2.0)) == 8  # a length that it does not tell


def test_the_process_answers_in_lines_and_one_error(here: Install, tmp_path: Path) -> None:
    said: list[str] = []
    asked = {"path": str(here.made["silent"]), "data_dir": str(here.settings.data_dir)}
    reading.main(io.StringIO(json.dumps(asked) + "\n"), said.append)
    names = [next(iter(json.loads(line))) for line in said]
    assert names == ["file", "credentials", "kept", "sound", "kept", "picture", "kept"]
    said.clear()
    (tmp_path / "a.mp4").write_text("no film")
    reading.main(io.StringIO(json.dumps({**asked, "path": str(tmp_path / "a.mp4")}) + "\n"), said.append)
    assert len(said) == 1 and json.loads(said[0])["error"]["field"] == "file"


def test_no_secret_is_in_an_answer(here: Install) -> None:
    said = json.dumps(here.check(here.made["silent"]).to_json())
    assert here.keys.mark_key.hex() not in said and "PRIVATE" not in said and str(here.settings.data_dir) not in said


def test_noise_and_nothing(here: Install, tmp_path: Path) -> None:
    """Constant frames and silence: no warning, no NaN, no mark."""
    quiet = ("-f", "lavfi", "-i", "anullsrc", "-t", "2")
    ffmpeg("-f", "lavfi", "-i", "color=black:d=2:s=256x256:r=8", *quiet, "-pix_fmt", "yuv420p", tmp_path / "a.mp4")
    said = here.check(tmp_path / "a.mp4").to_json()
    assert said["verdict"] == "no mark found" and said["video_watermark"]["strength"] < 7.5
    assert next(frames(open_footage(tmp_path / "a.mp4"), 0, 1, 1, 20)).max() < 5


def test_what_cannot_be_opened_is_one_line(here: Install, tmp_path: Path) -> None:
    cut = tmp_path / "a.mp4"
    cut.write_bytes(here.made["first"].read_bytes()[:3000])
    try:
        said: Any = here.check(cut).to_json()
    except InvalidRequest as error:
        assert "\n" not in str(error)
    else:
        assert said["c2pa"]["state"] in ("invalid", "none") and said["verdict"] != "made by another install"
