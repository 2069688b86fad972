"""Every way to put a Wan model on a machine makes the same video, and frees what it says it frees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.families import tiny_wan
from tests.families.conftest import Recorder
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.parts import wan_words
from wan_app.families.parts.wan_base import WanRunner
from wan_app.types import GenerationRequest

SPECS = {"one": ("wan2.1-t2v-1.3b", tiny_wan.build_text), "two": ("wan2.2-t2v-a14b", tiny_wan.build_text_experts)}


@pytest.fixture(scope="module", params=SPECS)
def checkpoint(request, tmp_path_factory):
    model_id, build = SPECS[request.param]
    return tiny_wan.tiny_spec(model_id), build(tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def plain(checkpoint):
    """The frames with everything on the device."""
    return frames(checkpoint, Plan())


def frames(checkpoint, plan: Plan, *prompts: str) -> np.ndarray:
    """The last video of a model loaded anew."""
    spec, folder = checkpoint
    runner = registry.load(spec, plan, folder)
    try:
        for prompt in prompts or ("a fox walks",):
            made = runner.generate(asked(spec, prompt), Recorder()).frames
        return made
    finally:
        runner.close()


def asked(spec, prompt: str, **changes) -> GenerationRequest:
    return spec.resolve(
        GenerationRequest(mode="text", prompt=prompt, seed=1, num_inference_steps=2, num_frames=5, **changes)
    )


@pytest.mark.parametrize("offload", ["text_encoder", "model", "group"])
def test_the_video_is_the_same(checkpoint, plain, offload):
    # Twice: what the first run put away must come back.
    again = frames(checkpoint, Plan(offload=offload), "a fox walks", "a fox walks")
    assert np.array_equal(again, plain)


def test_the_text_encoder_is_there_only_while_it_reads(checkpoint, monkeypatch):
    spec, folder = checkpoint
    loaded = count_loads(monkeypatch)
    runner = registry.load(spec, Plan(offload="text_encoder"), folder)
    assert not loaded and runner.pipe.text_encoder is None
    runner.generate(asked(spec, "a fox"), Recorder())
    assert len(loaded) == 1 and runner.pipe.text_encoder is None
    runner.close()


def test_each_prompt_is_read_once_also_after_a_restart(checkpoint, plain, monkeypatch, tmp_path):
    spec, folder = checkpoint
    loaded, read = count_loads(monkeypatch), count_reads(monkeypatch)
    plan = Plan(offload="text_encoder", cache=tmp_path)
    for _ in range(2):
        assert np.array_equal(frames(checkpoint, plan, "a fox walks", "a fox walks"), plain)
    # The prompt and the empty negative prompt.
    assert len(loaded) == 1 and sorted(read) == ["", "a fox walks"]
    files = list((tmp_path / "prompts").iterdir())
    assert len(files) == 2 and not any(b"fox" in file.read_bytes() for file in files)


def test_without_guidance_only_the_prompt_is_read(checkpoint, monkeypatch, tmp_path):
    spec, folder = checkpoint
    read = count_reads(monkeypatch)
    runner = registry.load(spec, Plan(cache=tmp_path), folder)
    runner.generate(asked(spec, "a fox", guidance_scale=1.0), Recorder())
    runner.close()
    assert read == ["a fox"]


def test_a_broken_embedding_is_read_anew(checkpoint, plain, tmp_path):
    plan = Plan(offload="text_encoder", cache=tmp_path)
    frames(checkpoint, plan)
    for file in (tmp_path / "prompts").iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    assert np.array_equal(frames(checkpoint, plan), plain)


def test_other_weights_have_other_embeddings(checkpoint, tmp_path):
    spec, folder = checkpoint
    runner = registry.load(spec, Plan(cache=tmp_path), folder)
    runner.words._cache.put("a fox", runner.words.read(["a fox"], Recorder())[0])
    other = WanRunner(spec, runner.pipe, replace(runner.plan, offload="none"), folder)
    other.words._cache.reader = "another text encoder"
    assert runner.words._cache.get("a fox") is not None and other.words._cache.get("a fox") is None
    runner.close()


def test_one_part_at_a_time_puts_the_transformer_away(checkpoint, monkeypatch):
    spec, folder = checkpoint
    runner = registry.load(spec, Plan(offload="model"), folder)
    seen = {}
    read, decode = runner.words.read, runner._decode
    monkeypatch.setattr(runner.words, "read", lambda *a: seen.update(read=runner.residents.resident) or read(*a))
    monkeypatch.setattr(runner, "_decode", lambda *a: seen.update(decode=runner.residents.resident) or decode(*a))
    runner.generate(asked(spec, "a fox"), Recorder())
    assert seen == {"read": None, "decode": None}
    runner.close()


@pytest.mark.parametrize("tiling", [True, False])
def test_the_plan_decides_on_tiles(checkpoint, tiling):
    spec, folder = checkpoint
    runner = registry.load(spec, Plan(vae_tiling=tiling), folder)
    assert runner.pipe.vae.use_tiling is tiling
    runner.close()


def count_loads(monkeypatch) -> list[Path]:
    loaded: list[Path] = []
    load = wan_words.load_text_encoder
    monkeypatch.setattr(wan_words, "load_text_encoder", lambda plan, at: loaded.append(at) or load(plan, at))
    return loaded


def count_reads(monkeypatch) -> list[str]:
    from diffusers import WanPipeline

    read: list[str] = []
    encode = WanPipeline.encode_prompt

    def counted(self, prompt=None, **options):
        if options.get("prompt_embeds") is None:
            read.append(prompt)
        return encode(self, prompt=prompt, **options)

    monkeypatch.setattr(WanPipeline, "encode_prompt", counted)
    return read
