"""Which files of a repository are taken, on the layouts that real ones have."""

from __future__ import annotations

import pytest

from wan_app.families.weights.needed import components, files_of

SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
OTHER_SHARDS = [f"diffusion_pytorch_model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
INDEX, OTHER_INDEX = "model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"

# Files of one component, its library, and those that are taken.
LAYOUTS = {
    "one file": (["config.json", "model.safetensors"], "transformers", ["config.json", "model.safetensors"]),
    "shards and their sum": ([INDEX, *SHARDS, "model.safetensors"], "transformers", [INDEX, *SHARDS]),
    "two libraries' shards": ([INDEX, *SHARDS, OTHER_INDEX, *OTHER_SHARDS], "transformers", [INDEX, *SHARDS]),
    "two libraries' files": (["diffusion_pytorch_model.safetensors", "model.safetensors"], "transformers",
                             ["model.safetensors"]),
    "one's file, another's shards": ([OTHER_INDEX, *OTHER_SHARDS, "model.safetensors"], "transformers",
                                     ["model.safetensors"]),
    "a pipeline's own class": ([OTHER_INDEX, *OTHER_SHARDS], "ltx2", [OTHER_INDEX, *OTHER_SHARDS]),
    "variants": (["model.safetensors", "model.fp16.safetensors", "model.safetensors.index.fp16.json",
                  "model.fp16-00001-of-00002.safetensors"], "ltx2", ["model.safetensors"]),
    "shards without an index": (SHARDS, "transformers", []),
    "a tokenizer": (["spiece.model", "tokenizer.json", "merges.txt", "chat_template.jinja", "tok.bin", "flax.msgpack"],
                    "transformers", ["chat_template.jinja", "merges.txt", "spiece.model", "tokenizer.json"]),
    "deeper folders": (["config.json", "onnx/model.safetensors", "onnx/config.json"], "diffusers", ["config.json"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("folder", ["part", ""])
def test_one_set_of_weights_and_the_configs(layout: str, folder: str) -> None:
    names, library, wanted = LAYOUTS[layout]
    prefix = f"{folder}/" if folder else ""
    beside = ["partly/config.json", "config.json"] if folder else []
    assert files_of([prefix + name for name in names] + beside, folder, library) == [prefix + name for name in wanted]


def test_components_are_named_by_the_index_and_may_lie_elsewhere() -> None:
    index = {
        "_class_name": "P", "boundary_ratio": 0.9, "expand": [1, 2, 3, 4], "nothing": [None, None],
        "vae": ["diffusers", "V", {"pretrained_model_name_or_path": "a/own", "subfolder": "vae"}],
        "tokenizer": ["transformers", "T", {"pretrained_model_name_or_path": "b/other", "revision": "r1"}],
        "transformer": ["diffusers", "X"],
    }
    found = {one.name: one.source for one in components(index, "a/own")}
    assert found == {"vae": None, "tokenizer": ("b/other", "r1", ""), "transformer": None}
