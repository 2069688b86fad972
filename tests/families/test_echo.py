"""Echo's own ways: memory slots, voices, the published schedule, and the stock pipeline as the measure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from wan_app.errors import InvalidRequest, ModelUnavailable
from wan_app.families import echo, registry
from wan_app.families.base import Pipeline, Plan, character_words
from wan_app.families.parts import echo_voice
from wan_app.families.parts.frames import cover
from wan_app.families.parts.sounding import prompt_saying
from wan_app.families.weights import locate as weights
from wan_app.settings import Settings
from wan_app.types import Character, GenerationRequest

from . import tiny_echo
from .conftest import Recorder

SPEC = tiny_echo.tiny_spec()
MEL = SimpleNamespace(sample_rate=16000, mel_hop_length=160, mel_bins=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_echo.build(tmp_path_factory.mktemp("echo"))


@pytest.fixture(scope="module")
def runner(folder: Path) -> Iterator[Any]:
    loaded: Pipeline = registry.load(SPEC, Plan(), folder)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A low and a high tone of two seconds."""
    home, moments = tmp_path_factory.mktemp("voices"), np.arange(32000) / 16000
    for pitch in (120, 900):
        soundfile.write(home / f"{pitch}.wav", 0.3 * np.sin(2 * np.pi * pitch * moments), 16000)
    return [home / "120.wav", home / "900.wav"]


def asked(mode: str = "text", **changes: Any) -> GenerationRequest:
    wanted: dict[str, Any] = {"prompt": "a fox walks", "seed": 3, "num_frames": 9, "num_inference_steps": 2}
    return SPEC.resolve(GenerationRequest(mode=mode, **(wanted | changes)))  # type: ignore[arg-type]


def test_it_makes_what_the_stock_pipeline_makes(runner: Any, picture: Path) -> None:
    """In stages, with our own loading, decoding and hooks, and yet bit for bit the same picture."""
    import torch
    from diffusers import EchoBlocks

    people = (Character(name="ann", faces=(picture,)), Character(name="bob", faces=(picture,)))
    request = asked("reference", prompt="ann meets bob", characters=people, image=picture)
    made = runner.generate(request, Recorder())
    stock = EchoBlocks().init_pipeline()
    stock.update_components(**runner.parts)
    stock.set_progress_bar_config(disable=True)
    given = cover(picture, (96, 64))
    wanted = stock(
        prompt=prompt_saying(request, character_words(request)), image=given, memory_images=[given, given],
        width=96, height=64, num_frames=9, frame_rate=25.0, sigmas=echo.sigmas_for(2),
        generator=torch.Generator("cpu").manual_seed(3), output_type="np", output=["videos", "audio"],
    )
    video = (np.asarray(wanted["videos"][0]) * 255).round().astype(np.uint8)
    assert np.abs(made.frames[1:].astype(int) - video[1:]).max() <= 1
    # As long as the clip, the stock sound without its missing end.
    sound = wanted["audio"][0].float().numpy()
    assert np.allclose(made.audio[:, : sound.shape[1]], sound[:, : made.audio.shape[1]], atol=1e-4)


def test_a_voice_changes_the_sound_and_belongs_to_its_slot(
    runner: Any, picture: Path, voices: list[Path]
) -> None:
    def heard(*owned: Path | None) -> np.ndarray:
        people = tuple(
            Character(name=f"character{number}", faces=(picture,), voice=voice)
            for number, voice in enumerate(owned, 1)
        )
        audio = runner.generate(asked("reference", characters=people), Recorder()).audio
        assert audio is not None
        return audio

    low, high = voices
    silent, one, other, swapped = heard(None, None), heard(low, None), heard(high, None), heard(None, low)
    assert np.array_equal(one, heard(low, None))
    for different in (silent, other, swapped):
        assert not np.array_equal(one, different)


def test_every_face_has_a_slot_and_the_voice_goes_with_the_first() -> None:
    a, b, c, voice = (Path(name) for name in ("a.png", "b.png", "c.png", "v.wav"))
    people = (Character(name="ann", faces=(a, b), voice=voice), Character(name="bob", faces=(c,)))
    request = GenerationRequest(mode="reference", prompt="", characters=people)
    assert echo.memory_slots(request) == [(a, voice), (b, None), (c, None)]


def test_a_voice_needs_a_face_unless_only_sound_is_made(runner: Any, voices: list[Path]) -> None:
    people = (Character(name="character1", voice=voices[0]),)
    with pytest.raises(InvalidRequest, match="face: got no picture for character1"):
        asked("reference", characters=people)
    output = runner.generate(asked("reference", characters=people, sound_only=True, say="hello"), Recorder())
    assert output.frames is None and output.audio.any()


def test_eight_people_are_too_many(picture: Path) -> None:
    people = tuple(Character(name=f"c{number}", faces=(picture,)) for number in range(8))
    with pytest.raises(InvalidRequest, match="characters: got 8; needed 1 to 7"):
        asked("reference", characters=people)


def test_a_negative_prompt_is_refused_and_not_dropped() -> None:
    with pytest.raises(InvalidRequest, match="negative_prompt: got 4 characters"):
        asked(negative_prompt="blur")


def test_eight_steps_are_the_published_ones() -> None:
    assert echo.sigmas_for(8) == pytest.approx(list(echo._SIGMAS))
    for steps in (1, 3, 24):
        levels = echo.sigmas_for(steps)
        assert len(levels) == steps + 1 and levels[0] == 1 and levels[-1] == 0
        assert levels == sorted(levels, reverse=True)


def test_it_is_off_until_its_licence_is_accepted(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="echo-1.5: off until its licence is accepted"):
        weights.locate(registry.get("echo-1.5"), Settings(data_dir=tmp_path), folder)


@pytest.mark.parametrize("name", ["text_encoder", "tokenizer", "connectors"])
def test_a_missing_component_is_named_with_where_it_comes_from(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "copy").mkdir()
    for one in folder.iterdir():
        if one.name != name:
            (tmp_path / "copy" / one.name).symlink_to(one)
    with pytest.raises(ModelUnavailable, match=f"{name} is missing; it comes from Echo-Team/JoyAI-Echo"):
        weights.check_folder(SPEC, tmp_path / "copy")


def test_the_mel_peaks_at_the_pitch() -> None:
    moments = np.arange(16000) / 16000
    peaks = []
    for pitch in (250.0, 1000.0, 4000.0):
        mel = echo_voice.loudest_mel(np.sin(2 * np.pi * pitch * moments).astype(np.float32), MEL)
        assert mel.shape == (1, 2, 101, 64)
        peaks.append(int(mel[0, 0].mean(dim=0).argmax()))
    # Slaney's scale is even up to 1 kHz: 64 bands to 8 kHz lie about 45.2 mels / 65 apart.
    assert peaks[0] in (4, 5) and peaks[1] in (20, 21, 22) and peaks[2] in (47, 48, 49)


def test_of_a_long_recording_the_loudest_part_is_remembered() -> None:
    samples = np.random.default_rng(1).normal(0, 0.01, 16000 * 30).astype(np.float32)
    samples[16000 * 18 : 16000 * 27] *= 30
    mel = echo_voice.loudest_mel(samples, MEL)
    assert mel.shape[2] == round(9.62 * 16000) // 160 + 1
    loud = (mel[0, 0].mean(dim=1) > -3).float().mean()
    assert loud > 0.7


def test_a_moment_of_sound_is_filled_up() -> None:
    assert echo_voice.loudest_mel(np.ones(10, np.float32), MEL).shape == (1, 2, 7, 64)
