"""MiniMax H3's own ways: references, one transformer at a time, and the stock blocks as the measure."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from wan_app.errors import Cancelled, InvalidRequest, ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Numbers, Plan
from wan_app.families.caches import cached_steps
from wan_app.families.fit.sounding import H3
from wan_app.families.parts import h3_decode, h3_references
from wan_app.families.parts.frames import cover
from wan_app.families.parts.sounding import prompt_saying
from wan_app.families.parts.speed import compile_blocks
from wan_app.families.weights import locate as weights
from wan_app.settings import Settings
from wan_app.types import Character, GenerationRequest, Loading, Step

from . import tiny_h3
from .conftest import Recorder

SPEC = tiny_h3.tiny_spec()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_h3.build(tmp_path_factory.mktemp("h3"))


@pytest.fixture(scope="module")
def runner(folder: Path) -> Iterator[Any]:
    loaded = registry.load(SPEC, Plan(), folder)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voices") / "voice.wav"
    soundfile.write(path, 0.3 * np.sin(np.arange(32000) * 0.1), 16000)
    return path


def asked(mode: str = "text", **changes: Any) -> GenerationRequest:
    wanted: dict[str, Any] = {"prompt": "a fox walks", "seed": 3, "num_inference_steps": 2}
    return SPEC.resolve(GenerationRequest(mode=mode, **(wanted | changes)))  # type: ignore[arg-type]


def stock(runner: Any, workflow: str, **inputs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Frames and sound of diffusers' own pipeline on the same components."""
    import torch
    from diffusers import MiniMaxH3Blocks

    pipe = MiniMaxH3Blocks().get_workflow(workflow).init_pipeline()
    pipe.update_components(**{name: part for name, part in runner.parts.items() if name in pipe._component_specs})
    if workflow == "ref2va":
        pipe.update_components(reference_image_short_edge=64)
    state = pipe(
        **inputs, width=96, height=64, num_frames=124, num_inference_steps=3, output_type="np",
        generator=torch.Generator("cpu").manual_seed(3),
    )  # fmt: skip
    frames = (np.asarray(state.get("videos")[0]) * 255).round().astype(np.uint8)
    return frames, state.get("audio")[0].numpy()


def same(output: Any, frames: np.ndarray, audio: np.ndarray) -> None:
    assert np.abs(output.frames[1:-1].astype(int) - frames[1:-1]).max() <= 1
    length = min(audio.shape[1], output.audio.shape[1])
    assert np.allclose(output.audio[:, :length], np.clip(audio[:, :length], -1, 1), atol=1e-5)


def test_words_make_what_the_stock_blocks_make(runner: Any) -> None:
    same(runner.generate(asked(), Recorder()), *stock(runner, "t2va", prompt="a fox walks"))


def test_words_are_read_once_also_after_a_restart_and_pictures_every_time(
    folder: Path, picture: Path, tmp_path: Path, runner: Any
) -> None:
    words, keyframe = asked(), asked("image", image=picture)
    wanted, shown = (runner.generate(one, Recorder()) for one in (words, keyframe))
    # Loaded anew, it reads no words; what the text encoder sees of a picture is not kept.
    for words_read in (1, 0):
        loaded: Any = registry.load(SPEC, Plan(cache=tmp_path), folder)
        reads: list[int] = []
        loaded.parts["text_encoder"].model.register_forward_pre_hook(lambda *_, reads=reads: reads.append(1))
        for _ in range(2):
            made = loaded.generate(words, Recorder())
            assert np.array_equal(made.frames, wanted.frames) and np.array_equal(made.audio, wanted.audio)
        assert np.array_equal(loaded.generate(keyframe, Recorder()).frames, shown.frames)
        assert len(reads) == words_read + 1
        loaded.close()
    files = list((tmp_path / "prompts").iterdir())
    assert len(files) == 1 and b"fox" not in files[0].read_bytes()


def test_keyframes_make_what_the_stock_blocks_make(runner: Any, picture: Path) -> None:
    output = runner.generate(asked("image", image=picture, last_image=picture), Recorder())
    given = cover(picture, (96, 64))
    same(output, *stock(runner, "fl2va", prompt="a fox walks", image=given, last_image=given))


def test_its_blocks_can_be_compiled_for_long_runs(folder: Path) -> None:
    loaded: Any = registry.load(SPEC, Plan(), folder)
    plain = loaded.generate(asked(), Recorder()).frames
    assert loaded.kernels.attention == "native"
    blocks = compile_blocks(loaded.parts["transformer"], backend="eager")
    work: list[float] = []
    loaded.kernels.compile_for = work.append
    assert np.array_equal(loaded.generate(asked(), Recorder()).frames, plain)
    # Two layers, and one that refines the words.
    assert len(blocks) == 3 and all(block._compiled not in (None, block.plain) for block in blocks)
    assert work == [2 * H3.tflop(H3.tokens(96, 64, 124))]
    loaded.close()


def test_a_step_like_the_last_one_is_skipped_and_is_right(runner: Any, picture: Path) -> None:
    """The inputs are those of the first step with a face, in fp32: rounding of bf16 could hide a fault."""
    import copy

    import torch

    people = (Character(name="character1", faces=(picture,)),)
    seen: list[dict[str, Any]] = []
    runner.generate(asked("reference", characters=people), Recorder())
    used = runner.parts["transformer_ref"]
    hook = used.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True)
    runner.generate(asked("reference", characters=people), Recorder())
    hook.remove()
    transformer = copy.deepcopy(used).float()
    inputs = {
        key: one.float() if isinstance(one, torch.Tensor) and one.is_floating_point() else one
        for key, one in seen[0].items()
    }
    ran: list[int] = []
    transformer.transformer_blocks[-1].register_forward_hook(lambda *_: ran.append(1))
    inside: list[int] = []
    transformer.transformer_blocks[-1].ff.register_forward_hook(lambda *_: inside.append(1))
    with torch.no_grad():
        plain = transformer(**inputs)
        with cached_steps([transformer], 0.08), transformer.cache_context("pass"):
            first, again = transformer(**inputs), transformer(**inputs)
        after = transformer(**inputs)
    # The last block was called four times and worked three times.
    assert len(ran) == 4 and len(inside) == 3
    for whole, one, skipped, last in zip(plain, first, again, after):
        assert torch.equal(whole, one) and torch.equal(whole, last)
        assert (skipped - whole).norm() < 1e-5 * whole.norm()


def test_skipped_steps_begin_anew_with_each_run_also_after_a_cancel(runner: Any) -> None:
    ran: list[int] = []

    def made(step_cache: float, report: Any = None) -> Any:
        ran.clear()
        return runner.generate(asked(num_inference_steps=8, step_cache=step_cache), report or Recorder()).frames

    plain = made(0.0)
    hook = runner.parts["transformer"].transformer_blocks[-1].ff.register_forward_hook(lambda *_: ran.append(1))
    assert (made(0.0) == plain).all() and len(ran) == 8
    first, few = made(0.3), len(ran)
    assert few < 8
    with pytest.raises(Cancelled):
        made(0.3, Recorder(stop_after=Step))
    assert (made(0.3) == first).all() and len(ran) == few
    assert (made(0.0) == plain).all() and len(ran) == 8
    hook.remove()


def test_people_make_what_the_stock_blocks_make(runner: Any, picture: Path, voice: Path) -> None:
    people = (Character(name="ann", faces=(picture,), voice=voice), Character(name="bob", faces=(picture,)))
    request = asked("reference", prompt="ann meets bob", characters=people)
    output = runner.generate(request, Recorder())
    said = "the person in <Picture 1> meets the person in <Picture 2> "
    said += "The voice of the person in <Picture 1> is that of <Audio 1>."
    references = h3_references.references_of(request, 8000)
    assert [one.kind for one in references] == ["image", "audio", "image"]
    same(output, *stock(runner, "ref2va", prompt=said, references=references))


def test_a_voice_changes_the_sound(runner: Any, picture: Path, voice: Path) -> None:
    silent = (Character(name="character1", faces=(picture,)),)
    heard = (Character(name="character1", faces=(picture,), voice=voice),)
    one, other = (runner.generate(asked("reference", characters=cast), Recorder()).audio for cast in (silent, heard))
    assert not np.array_equal(one, other)


def test_one_transformer_is_here_at_a_time(runner: Any, picture: Path) -> None:
    runner.generate(asked(), Recorder())
    before = weakref.ref(runner.parts["transformer"])
    report = Recorder()
    runner.generate(asked("reference", characters=(Character(name="character1", faces=(picture,)),)), report)
    gc.collect()
    assert before() is None and "transformer" not in runner.parts and "transformer_ref" in runner.parts
    assert report.events[0] == Loading("Getting the part of MiniMax H3 for this kind of video")
    again = Recorder()
    runner.generate(asked("reference", characters=(Character(name="character1", faces=(picture,)),)), again)
    assert again.events[0] == Loading("Reading the prompt")


def test_a_broken_transformer_is_one_line_and_the_other_still_works(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = copy / "transformer_ref" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_layers": 3}))
    Image.new("RGB", (64, 64)).save(tmp_path / "face.png")
    loaded = registry.load(SPEC, Plan(), copy)
    people = (Character(name="character1", faces=(tmp_path / "face.png",)),)
    with pytest.raises(ModelUnavailable, match="transformer_ref") as caught:
        loaded.generate(asked("reference", characters=people), Recorder())
    assert "\n" not in str(caught.value)
    assert loaded.generate(asked(), Recorder()).frames is not None


@pytest.mark.parametrize("size", [(100, 80), (10, 100), (900, 20), (1, 1)])
def test_long_pictures_are_put_on_white(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "blue").save(tmp_path / "long.png")
    shown = h3_references.not_too_long(tmp_path / "long.png")
    assert max(shown.size) <= 4 * min(shown.size)
    assert shown.getpixel((shown.width // 2, shown.height // 2)) == (0, 0, 255)


def test_a_first_picture_beside_faces_is_refused(picture: Path) -> None:
    people = (Character(name="character1", faces=(picture,)),)
    with pytest.raises(InvalidRequest, match="image: got a picture beside faces"):
        asked("reference", characters=people, image=picture)


def test_its_lengths_are_the_models_own() -> None:
    row = registry.get("minimax-h3")
    assert [row.frames_for(seconds) for seconds in (5, 10, 14.4)] == [124, 243, 345]
    assert row.min_seconds >= 5 and row.max_seconds <= 15


def test_what_is_said_is_in_the_prompt(picture: Path) -> None:
    people = (Character(name="ann", faces=(picture, picture)), Character(name="bob", faces=(picture,)))
    request = GenerationRequest(mode="reference", prompt="they meet", say="bob: Hello.", characters=people)
    assert h3_references.character_words(request) == ["the person in <Picture 1>", "the person in <Picture 3>"]
    assert prompt_saying(request, h3_references.character_words(request)).endswith(
        'The person in <Picture 3> says: "Hello."'
    )


def test_it_is_off_until_its_licence_is_accepted(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="minimax-h3: off until its licence is accepted"):
        weights.locate(registry.get("minimax-h3"), Settings(data_dir=tmp_path), folder)


def test_rows_of_conditions_are_no_part_of_the_preview(runner: Any) -> None:
    import torch

    numbers = Numbers(96, 64, 124, 1, 1.0, 1)
    latents = torch.randn(1, 4, 37, 4, 6)
    from diffusers.modular_pipelines.minimax_h3.before_denoise import patchify_video_latents

    rows = torch.cat([torch.zeros(7, 16), patchify_video_latents(latents, (1, 2, 2))])
    assert torch.equal(h3_decode.latents_of_rows(rows, numbers, runner.parts["vae"], (1, 2, 2)), latents)
