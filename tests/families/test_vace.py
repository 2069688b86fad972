"""VACE's own ways: what goes into the pipeline, and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wan_app.errors import InvalidRequest, OutOfMemory
from wan_app.families import registry, vace
from wan_app.families.base import Pipeline, Plan, numbers_of
from wan_app.types import Character, GenerationRequest, Loading

from .conftest import Recorder
from .tiny_vace import tiny_spec

SPEC = tiny_spec()


def asked(mode: str = "text", **changes: Any) -> GenerationRequest:
    wanted = {"prompt": "a fox walks", "seed": 3, "num_frames": 5, "num_inference_steps": 2} | changes
    return SPEC.resolve(GenerationRequest(mode=mode, **wanted))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pipeline(tiny_vace_folder: Path) -> Iterator[Pipeline]:
    loaded = registry.load(SPEC, Plan(), tiny_vace_folder)
    yield loaded
    loaded.close()


def test_the_text_encoder_reads_words(pipeline: Pipeline) -> None:
    """A transformers release left this table zero for configurations that say it isn't tied."""
    encoder = pipeline.pipe.text_encoder  # type: ignore[attr-defined]
    assert encoder.encoder.embed_tokens.weight.abs().sum() > 0
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight


@pytest.mark.parametrize(
    ("with_last", "kept"), [(False, [0, 255, 255, 255, 255]), (True, [0, 255, 255, 255, 0])]
)
def test_video_and_mask_are_normalised(picture: Path, with_last: bool, kept: list[int]) -> None:
    request = asked("image", image=picture, last_image=picture if with_last else None)
    conditions = vace.video_conditions(request, numbers_of(request))
    assert [frame.size for frame in conditions["video"] + conditions["mask"]] == [(48, 32)] * 10
    assert {frame.mode for frame in conditions["video"]} == {"RGB"}
    assert [mask.getpixel((0, 0)) for mask in conditions["mask"]] == kept
    assert conditions["video"][1].getpixel((5, 5)) == (128, 128, 128)
    assert conditions["video"][0].getpixel((5, 5)) != (128, 128, 128)


def test_text_gives_no_conditions() -> None:
    assert vace.video_conditions(asked(), numbers_of(asked())) == {}
    assert vace.reference_conditions(asked(), numbers_of(asked())) == {}


def test_every_face_of_every_character_is_given_in_order(tmp_path: Path) -> None:
    faces = []
    for number in range(3):
        faces.append(tmp_path / f"{number}.png")
        Image.new("RGB", (48, 32), (number, 0, 0)).save(faces[-1])
    people = (Character(name="a", faces=(faces[0], faces[1])), Character(name="b", faces=(faces[2],)))
    request = asked("reference", characters=people)
    [given] = vace.reference_conditions(request, numbers_of(request))["reference_images"]
    assert [face.getpixel((24, 16)) for face in given] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_more_faces_than_the_model_takes_are_refused(picture: Path) -> None:
    with pytest.raises(InvalidRequest, match="face: got 4 pictures"):
        asked("reference", characters=(Character(name="character1", faces=(picture,) * 4),))


@pytest.mark.parametrize("size", [(48, 32), (10, 400), (2000, 1), (1, 2000), (64, 64)])
def test_a_reference_is_shown_whole_on_white(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (10, 20, 200)).save(tmp_path / "face.png")
    shown = vace.on_white(tmp_path / "face.png", (48, 32))
    assert shown.size == (48, 32)
    assert (10, 20, 200) in [shown.getpixel((x, y)) for x in (23, 24) for y in (15, 16)]
    assert shown.getpixel((0, 0)) == ((10, 20, 200) if size == (48, 32) else (255, 255, 255))


def test_both_given_frames_come_out_pixel_for_pixel(pipeline: Pipeline, picture: Path) -> None:
    frames = pipeline.generate(asked("image", image=picture, last_image=picture), Recorder()).frames
    given = np.asarray(vace.cover(picture, (48, 32)))
    assert np.array_equal(frames[0], given) and np.array_equal(frames[-1], given)
    assert not np.array_equal(frames[2], given)


def test_the_model_itself_sees_the_picture(pipeline: Pipeline, picture: Path) -> None:
    """Not only the frames put back afterwards: the ones between change too."""
    plain = pipeline.generate(asked(), Recorder()).frames
    guided = pipeline.generate(asked("image", image=picture), Recorder()).frames
    assert not np.array_equal(plain[2], guided[2])


def test_a_reference_and_a_first_picture_combine(pipeline: Pipeline, picture: Path) -> None:
    people = (Character(name="character1", faces=(picture,)),)
    report = Recorder()
    frames = pipeline.generate(asked("reference", characters=people, image=picture), report).frames
    assert frames.shape == (5, 32, 48, 3)
    assert Loading("Looking at the pictures") in report.events
    assert np.array_equal(frames[0], np.asarray(vace.cover(picture, (48, 32))))


@pytest.mark.parametrize(("size", "shift"), [((832, 480), 3.0), ((624, 624), 3.0), ((1280, 720), 5.0)])
def test_the_shift_follows_the_size(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], shift: float
) -> None:
    seen = {}

    class Stop(Exception):
        pass

    def stop(self: Any, **arguments: Any) -> None:
        seen.update(arguments, shift=self.scheduler.config.flow_shift)
        raise Stop

    monkeypatch.setattr(type(pipeline.pipe), "__call__", stop)  # type: ignore[attr-defined]
    request = registry.get("wan2.1-vace-14b").resolve(
        GenerationRequest(mode="text", prompt="a fox", width=size[0], height=size[1])
    )
    with pytest.raises(Stop):
        pipeline.generate(request, Recorder())
    assert seen["shift"] == shift
    assert (seen["num_inference_steps"], seen["guidance_scale"], seen["num_frames"]) == (30, 5.0, 81)


def test_a_full_card_is_said_in_one_line(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore")

    monkeypatch.setattr(type(pipeline.pipe), "__call__", full)  # type: ignore[attr-defined]
    with pytest.raises(OutOfMemory, match="wan2.1-vace-1.3b: CUDA out of memory") as caught:
        pipeline.generate(asked(), Recorder())
    assert caught.value.__cause__ is None and "\n" not in str(caught.value)


def test_every_kind_of_block_is_a_cancel_point(pipeline: Pipeline, picture: Path) -> None:
    report = Recorder()
    pipeline.generate(asked("image", image=picture), report)
    text, pictures, first_step, second_step, decoding = report.checks
    # Two text blocks for each of two prompts; two plain and two VACE blocks for each of two passes,
    # after encoding the picture; a check at each step's end; a block a latent frame to decode.
    assert text == 4
    assert pictures > 8
    assert (first_step, second_step) == (8 + 1, 1)
    assert decoding >= 2


@pytest.mark.parametrize(
    ("names", "prompt", "expected"),
    [
        (["character1"], "Character1 waves at character10", "the character waves at character10"),
        (["ann", "bob"], "bob hugs Ann", "the second character hugs the first character"),
        (["a.b"], "axb and a.b", "axb and the character"),
    ],
)
def test_names_are_said_in_words(picture: Path, names: list[str], prompt: str, expected: str) -> None:
    people = tuple(Character(name=name, faces=(picture,)) for name in names)
    assert vace.prompt_for_model(asked("reference", prompt=prompt, characters=people)) == expected


def test_an_unresolved_request_is_the_callers_mistake(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="not resolved: no width, height"):
        pipeline.generate(GenerationRequest(mode="text", prompt="a fox"), Recorder())
