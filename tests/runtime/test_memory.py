"""Models that are loaded in turn leave nothing behind: real pipelines, in this process."""

from __future__ import annotations

import shutil
import weakref

import psutil
import pytest

from tests.families import tiny_vace, tiny_wan
from tests.families.conftest import Recorder
from tests.families.tiny_parts import change
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.runtime.models import ModelManager
from wan_app.types import GenerationRequest

# Words of the text encoder: 26 MB in bf16, so that ten kept copies cannot hide in the libraries' memory.
WORDS = 800_000


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    text = tiny_wan.build_text(tmp_path_factory.mktemp("text"))
    vace = tiny_vace.build(tmp_path_factory.mktemp("vace"))
    for folder in (text, vace):
        enlarge(folder / "text_encoder")
    return {"a": (tiny_wan.tiny_spec("wan2.1-t2v-1.3b"), text), "b": (tiny_vace.tiny_spec(), vace)}


def enlarge(folder):
    import torch
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config.from_pretrained(folder, vocab_size=WORDS)
    shutil.rmtree(folder)
    UMT5EncoderModel(config).to(torch.bfloat16).save_pretrained(folder)
    change(folder / "config.json", tie_word_embeddings=False)


@pytest.mark.slow
def test_a_b_a_ten_times_leaves_memory_flat(checkpoints):
    loads = []

    def load(name, plan, _):
        loads.append(name)
        return registry.load(checkpoints[name][0], plan, checkpoints[name][1])

    manager, held = ModelManager(load), []
    alive: list[weakref.ref] = []
    for _ in range(10):
        for name in "aba":
            spec = checkpoints[name][0]
            request = spec.resolve(
                GenerationRequest(mode="text", prompt="a fox", seed=1, num_inference_steps=1, num_frames=5)
            )
            with manager.lease(name, Plan()) as runner:
                runner.generate(request, Recorder())
                alive.append(weakref.ref(runner.pipe.text_encoder))
            del runner
        held.append(psutil.Process().memory_info().rss)
    # The last model of a turn is the first of the next.
    assert loads == ["a", *"ba" * 10]
    assert len({id(one()) for one in alive if one() is not None}) == 1, "only the leased one lives"
    # The first turns bring in libraries.
    assert max(held[3:]) <= 1.05 * held[2], [round(one / 2**20) for one in held]
    manager.evict()
    assert all(one() is None for one in alive)
