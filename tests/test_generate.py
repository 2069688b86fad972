from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.fakes import RATE, FakePipeline, FakeSpeaker, tone
from wan_app import fitted, generate, sounds
from wan_app.errors import Cancelled, ExportFailed, ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Output, Plan
from wan_app.generate import VideoRecipe, generate_video, metadata_of, request_from
from wan_app.media import sound as sound_module
from wan_app.media.loudness import loudness
from wan_app.media.samples import Sound
from wan_app.media.video import read_metadata
from wan_app.runtime.models import ModelManager
from wan_app.settings import Settings
from wan_app.types import Character, Exporting, GenerationRequest, GenerationResult, Loading, Step

REQUEST = GenerationRequest(
    mode="text", prompt="a cat", model="pocket", width=128, height=96, num_frames=5, seconds=0.625,
    num_inference_steps=2, guidance_scale=1.0, seed=3,
)


def test_warming_up_never_drops_a_loaded_model(settings):
    loaded = []
    recipe = VideoRecipe(settings, lambda model_id, *_: loaded.append(model_id) or FakePipeline())
    with recipe._models.lease("wan2.1-vace-14b", Plan()):
        pass
    recipe.warm()
    assert loaded == ["wan2.1-vace-14b"]
    recipe._models.evict()
    recipe.warm()
    recipe.warm()
    assert loaded == ["wan2.1-vace-14b", "pocket"]


class Report:
    def __init__(self, stop_at=None):
        self.events, self.stop_at = [], stop_at

    def __call__(self, event):
        self.check()
        self.events.append(event)

    def check(self):
        if self.stop_at and any(getattr(one, "what", None) == self.stop_at for one in self.events):
            raise Cancelled


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, device="cpu")


def make(settings, report, pipeline=None, *, request=REQUEST, speaker=None, name="clip.mp4", **options):
    models = ModelManager(lambda *_: pipeline or FakePipeline())
    speakers = ModelManager(lambda *_: speaker or FakeSpeaker())
    out = settings.outputs_dir / "job" / name
    return generate_video(
        request, out=out, models=models, speakers=speakers, settings=settings, report=report, **options
    )


def test_the_result_is_measured_and_the_request_is_inside(settings):
    report = Report()
    result = make(settings, report)
    assert (result.num_frames, result.fps, result.seed, result.mode) == (5, 8.0, 3, "text")
    # 96 pixels on the short side are written as 576.
    assert (result.width, result.height) == (768, 576)
    assert set(result.timings) == {"load", "generate", "export", "total"}
    assert result.timings["total"] == pytest.approx(sum(result.timings.values()) / 2, abs=0.05)
    assert [one.name for one in result.checks] == ["frames", "duration", "sound", "picture", "mark"]
    assert all(one.good for one in result.checks)
    assert GenerationResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert read_metadata(result.file)["request"] == REQUEST.to_json()
    kinds = [type(one) for one in report.events]
    assert kinds == [Loading, Loading, Step, Step, Exporting, Exporting]


def test_the_label_is_of_the_request_and_in_the_words_of_the_setting(settings):
    marks = generate.marks_of(replace(REQUEST, label="start"), replace(settings, label_text="Made by AI"))
    assert (marks.label.where, marks.label.text) == ("start", "Made by AI")


def test_cancel_while_writing_leaves_nothing(settings):
    with pytest.raises(Cancelled):
        make(settings, Report(stop_at="Writing the video"))
    assert list((settings.outputs_dir / "job").iterdir()) == []


def test_wrong_frames_leave_nothing(settings):
    class Wrong(FakePipeline):
        def generate(self, request, report):
            return Output(frames=super().generate(request, report).frames.astype("float32"))

    with pytest.raises(Exception, match="uint8"):
        make(settings, Report(), Wrong())
    assert list((settings.outputs_dir / "job").iterdir()) == []


def test_stored_pictures_and_sounds_are_found_again_by_name(settings):
    kept = settings.inputs_dir / "abc.png"
    people = (Character(name="character1", faces=(kept, kept), voice=settings.inputs_dir / "abc.flac"),)
    request = GenerationRequest(
        mode="reference", prompt="x", image=kept, last_image=kept, characters=people, consent=True,
        weights=Path("/models/vace"), say="Hello", soundtrack=settings.inputs_dir / "def.flac",
        soundtrack_mode="mix",
    )
    stored = json.loads(json.dumps(metadata_of(request, settings)))
    assert str(settings.data_dir) not in json.dumps(stored)
    assert request_from(stored, settings) == request


@pytest.mark.parametrize("path", ["/etc/hostname", "../ledger.sqlite3", "sub/voice.flac"])
def test_a_file_from_others_names_nothing_outside_the_store(settings, path):
    people = (Character(name="character1", voice=Path(path)),)
    for request in (replace(REQUEST, characters=people), replace(REQUEST, soundtrack=Path(path))):
        with pytest.raises(ValueError, match="not in the store"):
            request_from({"request": request.to_json()}, settings)


# --- Sound -----------------------------------------------------------------------------------

# 17 frames, 2.125 s.
SAYING = replace(REQUEST, num_frames=17, seconds=2.125, say="one two three four five")


@pytest.fixture
def silent(monkeypatch):
    spec = replace(registry.get("pocket"), native_audio=False)
    monkeypatch.setattr(registry, "get", lambda _: spec)


@pytest.fixture
def native(monkeypatch):
    spec = replace(registry.get("pocket"), native_audio=True, max_voices=1)
    monkeypatch.setattr(registry, "get", lambda _: spec)


@pytest.fixture
def voice(settings):
    return store(settings, "voice.flac", tone(150, 4, 16000), 16000)


@pytest.fixture
def song(settings):
    return store(settings, "song.flac", tone(1000, 1.0, 48000), 48000)


def store(settings, name, samples, rate):
    settings.inputs_dir.mkdir(exist_ok=True)
    soundfile.write(settings.inputs_dir / name, samples, rate)
    return settings.inputs_dir / name


def heard(monkeypatch):
    """The sound that goes into the writer, which tests of its own hold to what it is given."""
    sent = []
    write = generate.export_video

    def export(*args, **options):
        sent.append(Sound(options["audio"], options["sample_rate"]) if options["audio"] is not None else None)
        return write(*args, **options)

    monkeypatch.setattr(generate, "export_video", export)
    return sent


def level(sound, hertz, start=0.0, end=None):
    """How strong a pitch is in a stretch of the first channel, 1.0 for a full-scale tone."""
    rate = sound.sample_rate
    part = sound.samples[0][round(start * rate):end and round(end * rate)]
    return 2 * abs(np.exp(-2j * np.pi * hertz * np.arange(part.size) / rate) @ part) / part.size


def test_words_are_spoken_over_a_silent_clip(settings, silent, monkeypatch):
    sent, speaker = heard(monkeypatch), FakeSpeaker()
    result = make(settings, Report(), request=SAYING, speaker=speaker, notes=("Soundtrack: damaged",))
    assert speaker.spoken == [("one two three four five", None, 3)]
    [sound] = sent
    assert sound.seconds == pytest.approx(2.125)
    assert loudness(sound.samples[:, : RATE // 2], RATE) == pytest.approx(-16, abs=0.5)
    assert level(sound, 200, 0, 0.5) > 0.1 and level(sound, 200, 0.5) < 0.01
    assert result.audio.seconds == pytest.approx(2.125, abs=0.03) and result.audio.sample_rate == 48000
    assert result.notes == (
        "Soundtrack: damaged", "Spoken by Pocket TTS by Kyutai (CC-BY-4.0)",
        "A line without a voice clip is spoken in a voice of the speech model's own",
        "The speech is laid over the picture: lips do not follow it",
    )
    assert set(result.timings) == {"speak", "load", "generate", "export", "total"}


def test_each_character_speaks_in_its_own_voice(settings, silent, voice, monkeypatch):
    sent, speaker = heard(monkeypatch), FakeSpeaker()
    people = (Character(name="Ann", voice=voice), Character(name="Ben", faces=(Path("b.png"),)))
    request = replace(SAYING, mode="reference", characters=people, say="Ann: one two\nBen: three\nAnn: four")
    result = make(settings, Report(), request=request, speaker=speaker)
    assert not any("not heard" in note for note in result.notes)
    assert speaker.spoken == [("one two", 4.0, 3), ("three", None, 4), ("four", 4.0, 5)]
    [sound] = sent
    # Ann's 0.2 s, a pause of 0.25, Ben's 0.1, a pause, Ann's 0.1.
    assert level(sound, 300, 0, 0.2) > 0.1 and level(sound, 200, 0.45, 0.55) > 0.1 and level(sound, 300, 0.8, 0.9) > 0.1
    assert np.abs(sound.samples[0][round(0.21 * RATE):round(0.44 * RATE)]).max() < 1e-3


def test_a_voice_without_a_line_is_told(settings, silent, voice):
    people = (Character(name="Ann", voice=voice), Character(name="Ben", voice=voice))
    result = make(settings, Report(), request=replace(SAYING, mode="reference", characters=people, say="Ben: one"))
    assert "The voice of Ann is not heard: no line is theirs" in result.notes
    assert not any("own" in note for note in result.notes)


def test_words_that_are_too_long_are_cut_and_that_is_said(settings, silent):
    result = make(settings, Report(), request=replace(SAYING, say="word " * 30))
    assert "The words take 3.0 s and the clip is 2.1 s long: their end is not heard" in result.notes
    assert result.audio.seconds == pytest.approx(2.125, abs=0.03)


def test_without_a_speech_model_quotes_stay_unheard_and_scripts_fail(settings, silent):
    class Missing(FakeSpeaker):
        def speak(self, *args, **options):
            raise ModelUnavailable("pocket-tts: weights are not here")

    quoting = replace(SAYING, say="", prompt='a man says "Hello"')
    result = make(settings, Report(), request=quoting, speaker=Missing())
    assert result.audio is None
    assert result.notes == ("The words in quotes are not heard: pocket-tts: weights are not here",)
    with pytest.raises(ModelUnavailable):
        make(settings, Report(), request=SAYING, speaker=Missing())


def test_the_words_come_first_so_that_no_video_is_made_in_vain(settings, silent):
    pipeline = FakePipeline()
    with pytest.raises(RuntimeError):
        make(settings, Report(), pipeline, request=replace(SAYING, say="boom in speaking"))
    with pytest.raises(Cancelled):
        make(settings, Report(stop_at="Speaking the words"), pipeline, request=SAYING)
    assert not pipeline.closed and not (settings.outputs_dir / "job").exists()


@pytest.mark.parametrize("mode, music, speech", [("auto", 0.05, 0.25), ("mix", 0.2, 0.25), ("replace", 0.2, 0.0)])
def test_a_soundtrack_lies_under_speech_or_replaces_it(settings, silent, song, monkeypatch, mode, music, speech):
    sent, speaker = heard(monkeypatch), FakeSpeaker()
    make(settings, Report(), request=replace(SAYING, soundtrack=song, soundtrack_mode=mode), speaker=speaker)
    [sound] = sent
    assert bool(speaker.spoken) == (mode != "replace")
    assert sound.seconds == pytest.approx(2.125) and sound.sample_rate == 48000
    assert level(sound, 1000, 0.55, 0.95) == pytest.approx(music, abs=0.015)
    assert level(sound, 200, 0, 0.5) == pytest.approx(speech, abs=0.02)
    assert level(sound, 1000, 1.05) < 0.01  # it ends after a second


def test_a_soundtrack_is_the_sound_of_a_silent_clip(settings, silent, song, monkeypatch):
    sent = heard(monkeypatch)
    result = make(settings, Report(), request=replace(REQUEST, soundtrack=song))
    [sound] = sent
    assert sound.seconds == pytest.approx(0.625) and level(sound, 1000, 0, 0.5) == pytest.approx(0.2, abs=0.01)
    assert result.notes == () and result.audio is not None


def test_a_soundtrack_from_the_store_may_be_large(settings, silent, song, monkeypatch):
    monkeypatch.setattr(sound_module, "MAX_BYTES", 100)
    assert make(settings, Report(), request=replace(REQUEST, soundtrack=song)).audio is not None


@pytest.mark.parametrize("mode, own, music", [("auto", 0.24, 0.04), ("mix", 0.24, 0.2), ("replace", 0.0, 0.2)])
def test_a_model_with_sound_keeps_it_unless_asked_otherwise(settings, native, song, monkeypatch, mode, own, music):
    sent, speaker = heard(monkeypatch), FakeSpeaker()
    people = (Character(name="character1", faces=(Path("a.png"),)),)
    request = replace(SAYING, mode="reference", characters=people, soundtrack=song, soundtrack_mode=mode)
    result = make(settings, Report(), FakePipeline(sound=True), request=request, speaker=speaker, notes=("first",))
    [sound] = sent
    # Its own sound, at -18 LUFS, is raised to -16.
    assert level(sound, 440, 0, 0.9) == pytest.approx(own, abs=0.02)
    assert level(sound, 1000, 0, 0.9) == pytest.approx(music, abs=0.015)
    assert speaker.spoken == [] and result.notes == ("first", "it hums")
    assert [one.character for one in result.similarity] == ["character1"]


@pytest.mark.parametrize("kind", ["silent", "native"])
def test_the_voice_alone_is_a_wav_file(settings, kind, request):
    request.getfixturevalue(kind)
    pipeline = FakePipeline(sound=kind == "native")
    result = make(
        settings, Report(), pipeline, request=replace(SAYING, sound_only=True), name="voice.wav", notes=("mended",)
    )
    samples, rate = soundfile.read(result.file, dtype="float32", always_2d=True)
    assert (result.width, result.height, result.num_frames, result.fps) == (0, 0, 0, 0)
    assert rate == RATE and result.seconds == result.audio.seconds == len(samples) / rate
    assert len(samples) / rate == pytest.approx(0.5 if kind == "silent" else 2.125)
    assert result.notes[0] == "mended" and ("generate" in result.timings) is (kind == "native")
    assert [one.name for one in result.file.parent.iterdir()] == ["voice.wav"]
    assert [one.name for one in result.checks] == ["sound", "mark"]


@pytest.mark.parametrize("sound_only", [False, True])
def test_only_whole_videos_teach_what_a_video_takes(settings, native, monkeypatch, sound_only):
    learned = []
    monkeypatch.setattr(fitted, "_learn", lambda *args, **ratios: learned.append(ratios))
    monkeypatch.setattr(fitted, "known_costs", lambda *_: (None, True))
    request = replace(SAYING, sound_only=sound_only)
    make(settings, Report(), FakePipeline(sound=True), request=request, name="a.wav" if sound_only else "a.mp4")
    assert bool(learned) != sound_only


def test_a_model_that_makes_nothing_is_our_error(settings, native):
    class Nothing(FakePipeline):
        def generate(self, request, report):
            return Output(frames=None)

    with pytest.raises(ExportFailed, match="no sound"):
        make(settings, Report(), Nothing(), request=replace(SAYING, sound_only=True), name="voice.wav")
    with pytest.raises(ExportFailed, match="no picture"):
        make(settings, Report(), Nothing(), request=SAYING)
    assert list((settings.outputs_dir / "job").iterdir()) == []


def test_speech_keeps_its_own_model_beside_the_videos(settings):
    loaded = []
    recipe = VideoRecipe(settings, lambda *_: loaded.append("video") or FakePipeline(),
                         lambda *_: loaded.append("speech") or FakeSpeaker())
    for _ in range(2):
        with recipe._speakers.lease("pocket-tts", sounds._PLAN), recipe._models.lease("pocket", Plan()):
            pass
    assert loaded == ["speech", "video"]


def test_a_model_that_went_black_fails_the_job_and_leaves_nothing(settings):
    class Black(FakePipeline):
        def generate(self, request, report):
            made = super().generate(request, report)
            return replace(made, frames=np.zeros_like(made.frames))

    with pytest.raises(ExportFailed, match="^every frame that the model made is black"):
        make(settings, Report(), Black())
    assert list((settings.outputs_dir / "job").iterdir()) == []
