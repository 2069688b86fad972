"""No way through the app yields a file without its marks, and none shows the keys. Fake model, real files."""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests import fakes
from tests.marking import picture_id, sound_id
from tests.test_photographs import HereWorker
from wan_app import services as services_module
from wan_app.errors import InvalidRequest
from wan_app.generate import VideoRecipe
from wan_app.media.marks.credentials import read_credentials
from wan_app.media.marks.keys import InstallKeys
from wan_app.media.marks.sidecars import find
from wan_app.services import Services
from wan_app.settings import Settings
from wan_app.types import Character, Finished, GenerationRequest, GenerationResult

ROOT = Path(__file__).resolve().parent.parent
TEXT = GenerationRequest(mode="text", prompt="a cat in the park", num_inference_steps=1, seconds=1.0, seed=3)
# Its words can't be too few: a hum of half a second carries no mark.
SPOKEN = replace(TEXT, say=" ".join(["word"] * 40))


class HummingPipeline(fakes.FakePipeline):
    """A model with sound of its own."""

    def __init__(self) -> None:
        super().__init__(sound=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", device="cpu")


@pytest.fixture(autouse=True)
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services_module.weights, "locate", lambda *_: tmp_path)
    monkeypatch.setattr(services_module.speech_weights, "locate", lambda *_: ())


@pytest.fixture
def face(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), (200, 150, 120)).save(tmp_path / "face.png")
    return tmp_path / "face.png"


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    recipe = VideoRecipe(settings, lambda *_: HummingPipeline(), lambda *_: fakes.FakeSpeaker())
    one = Services(settings, worker=HereWorker(recipe))
    yield one
    one.close()


def made(services: Services, request: GenerationRequest, **options: object) -> GenerationResult:
    last = list(services.watch(services.submit(request, **options)))[-1]  # type: ignore[arg-type]
    assert isinstance(last, Finished), last
    return last.result


def check_marks(file: Path, watermark_id: str | None, settings: Settings) -> None:
    """The picture (if any) and the credentials of a file name this id, and so does a sidecar."""
    assert watermark_id and len(watermark_id) == 10
    keys = InstallKeys.of(settings)
    read = read_credentials(file, keys)
    assert (read.state, read.ours, read.by_ai, read.watermark_id) == ("valid", True, True, watermark_id)
    assert find(settings.sidecars_dir, watermark_id)
    if file.suffix == ".mp4":
        assert picture_id(file, keys) == watermark_id


def test_by_the_services(services: Services, settings: Settings, tmp_path: Path) -> None:
    seen = set()
    for out in (None, tmp_path / "mine.mp4"):
        result = made(services, TEXT, out=out)
        check_marks(result.file, result.watermark_id, settings)
        seen.add(result.watermark_id)
    assert len(seen) == 2  # the same request twice is two files


def test_with_a_person(services: Services, settings: Settings, face: Path) -> None:
    people = (Character(name="Maria Rossi", faces=(face,)),)
    result = made(services, replace(TEXT, mode="reference", characters=people, consent=True))
    check_marks(result.file, result.watermark_id, settings)
    read = read_credentials(result.file, InstallKeys.of(settings))
    assert read.consent_id and read.consent_id == result.consent_id
    stored, = settings.inputs_dir.glob("*.png")
    said = json.dumps(read.manifest)
    assert stored.stem in said and "Maria" not in said and "cat in the park" not in said


@pytest.mark.parametrize("model", ["pocket", "wan2.1-vace-1.3b"])
def test_the_voice_alone(services: Services, settings: Settings, model: str) -> None:
    result = made(services, replace(SPOKEN, model=model, sound_only=True))
    assert result.file.suffix == ".wav" and result.width == 0 and result.watermark_id
    check_marks(result.file, result.watermark_id, settings)
    assert sound_id(result.file, InstallKeys.of(settings)) == result.watermark_id[2:]
    # Whose voice it is: the model's own, or that of the one who speaks for it.
    maker = "pocket" if model == "pocket" else "pocket-tts"
    assert read_credentials(result.file, InstallKeys.of(settings)).model == maker


def test_a_job_that_another_process_takes_up(settings: Settings) -> None:
    """A studio that ended before it could begin; the next one goes on with what it left."""
    waiting = fakes.ScriptedWorker()
    first = Services(settings, worker=waiting, lasting=True)
    first.submit(replace(TEXT, prompt="wait"))
    job_id = first.submit(TEXT)
    first.close()
    recipe = VideoRecipe(settings, lambda *_: HummingPipeline())
    second = Services(settings, worker=HereWorker(recipe), lasting=True)
    try:
        last = list(second.watch(job_id))[-1]
        assert isinstance(last, Finished)
        check_marks(last.result.file, last.result.watermark_id, settings)
    finally:
        second.close()


def test_by_the_command_line_and_nothing_tells_the_keys(settings: Settings, tmp_path: Path) -> None:
    environment = {**os.environ, "WAN_APP_DATA_DIR": str(settings.data_dir), "WAN_APP_DEVICE": "cpu"}
    command = [
        sys.executable, "-m", "tests.fakes", "generate", "text", "--prompt", "a cat in the park", "--seconds", "1",
        "--num-inference-steps", "1", "--json", "--out", str(tmp_path / "a.mp4"),
    ]
    said = [subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)]
    assert said[0].returncode == 0, said[0].stderr
    check_marks(tmp_path / "a.mp4", json.loads(said[0].stdout)["watermark_id"], settings)
    failing = [word.replace("a cat in the park", "boom in decoding") for word in command]
    said.append(subprocess.run(failing, cwd=ROOT, env=environment, capture_output=True, timeout=120))
    assert said[1].returncode == 1
    said.append(subprocess.run(
        [sys.executable, "-m", "tests.fakes", "jobs", "--json"], cwd=ROOT, env=environment, capture_output=True
    ))
    told = [one for done in said for one in (done.stdout, done.stderr)]
    files = [one for one in tmp_path.rglob("*") if one.is_file() and settings.keys_dir not in one.parents]
    assert any(one.suffix == ".log" for one in files)
    for text in [*told, *(one.read_bytes() for one in files)]:
        assert not any(secret in text for secret in secrets_of(settings))


def secrets_of(settings: Settings) -> list[bytes]:
    """The keys, in every form in which they might slip out."""
    keys = InstallKeys.of(settings)
    body = b"".join(keys.signing.private_key.splitlines()[1:-1])
    assert keys.signing.private_key.startswith(b"-----BEGIN PRIVATE KEY")
    # Of the PKCS#8 wrapping, the last bytes but for the public key are the private number.
    number = base64.b64decode(body)[36:68]
    forms = [form for secret in (keys.mark_key, number) for form in (
        secret, secret.hex().encode(), base64.b64encode(secret)[:40], repr(secret).encode()[2:-1]
    )]
    return [*forms, body[:64], b"PRIVATE KEY"]


def test_an_own_certificate_that_cannot_sign_is_told_before_anything_is_queued(
    services: Services, settings: Settings, tmp_path: Path
) -> None:
    services.settings = replace(services.settings, sign_cert=tmp_path / "none.pem", sign_key=tmp_path / "none.key")
    with pytest.raises(InvalidRequest, match="^WAN_APP_SIGN_CERT: got "):
        services.submit(TEXT)
    assert services.jobs() == []


def test_only_the_two_writers_write() -> None:
    """What encodes video or sound into a file lies in two modules, which take no file without marks."""
    users: dict[str, set[str]] = {"Encoder": set(), "soundfile.write": set()}
    for file in (ROOT / "wan_app").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in users:
                users[called].add(str(file.relative_to(ROOT / "wan_app")))
    assert users["Encoder"] == {"media/video.py"}
    # The store of inputs keeps what users gave.
    assert users["soundfile.write"] == {"media/wav.py", "media/inputs.py"}
