"""LoRAs over the tiny checkpoints: what they add, whom they fit, and that nothing stays behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.families import tiny_vace, tiny_wan
from tests.families.conftest import Recorder
from tests.families.tiny_parts import wan_transformer
from wan_app.errors import InvalidRequest, ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Pipeline, Plan
from wan_app.families.fit.costs import WAN_1_3B
from wan_app.families.parts import loras
from wan_app.families.spec import Fast, ModelSpec
from wan_app.settings import Settings
from wan_app.types import GenerationRequest, Lora

WIDTH, RANK = 24, 4
AUTHORS = {"attn1.to_q": "self_attn.q", "attn2.to_k": "cross_attn.k", "ffn.net.2": "ffn.2"}


def tensors(width: int = WIDTH, blocks: int = 2, strength: float = 1.0) -> dict[str, Any]:
    """A LoRA in the layout of Wan's authors and most trainers."""
    import torch

    random = torch.Generator().manual_seed(2)
    made = {}
    for block in range(blocks):
        for name, (inner, outer) in {
            "self_attn.q": (width, width), "cross_attn.k": (width, width), "ffn.2": (32, width)
        }.items():
            at = f"diffusion_model.blocks.{block}.{name}"
            made[f"{at}.lora_down.weight"] = torch.randn(RANK, inner, generator=random)
            made[f"{at}.lora_up.weight"] = torch.randn(outer, RANK, generator=random) * strength
            made[f"{at}.alpha"] = torch.tensor(2.0)
    return made


def write(file: Path, content: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    from safetensors.torch import save_file

    save_file(content, file, metadata=metadata)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "style.safetensors", tensors())


def spec(model_id: str = "wan2.1-t2v-1.3b") -> ModelSpec:
    """The tiny row, and as wide as the tiny checkpoint."""
    return replace(tiny_wan.tiny_spec(model_id), costs=replace(WAN_1_3B, width=WIDTH))


def given() -> dict[str, Any]:
    import torch

    random = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(1, 16, 2, 4, 6, generator=random), "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 8, 16, generator=random), "return_dict": False,
    }  # fmt: skip


def test_a_lora_is_the_product_of_its_two_halves_added_to_the_weights(file: Path) -> None:
    import torch

    model, merged = wan_transformer().eval(), wan_transformer().eval()
    merged.load_state_dict(model.state_dict())
    stored = tensors()
    for block in range(2):
        for ours, theirs in AUTHORS.items():
            at = f"diffusion_model.blocks.{block}.{theirs}"
            change = stored[f"{at}.lora_up.weight"] @ stored[f"{at}.lora_down.weight"] * (2.0 / RANK) * 0.5
            merged.blocks[block].get_submodule(ours).weight.data += change
    with torch.no_grad():
        plain, wanted = model(**given())[0], merged(**given())[0]
        with loras.applied([Lora(file, 0.5)], [model], "cpu"):
            found = model(**given())[0]
        after = model(**given())[0]
    # The file is read in bf16.
    assert (found - wanted).norm() < 0.02 * (wanted - plain).norm()
    assert torch.equal(after, plain)


def test_two_loras_add_up_and_a_weight_of_zero_changes_nothing(file: Path) -> None:
    import torch

    model = wan_transformer().eval()
    with torch.no_grad():
        plain = model(**given())[0]
        with loras.applied([Lora(file, 1.0), Lora(file, -1.0)], [model], "cpu"):
            assert torch.allclose(model(**given())[0], plain, atol=1e-3)
        with loras.applied([Lora(file, 0.0)], [model], "cpu"):
            assert torch.allclose(model(**given())[0], plain, atol=1e-6)


@pytest.mark.parametrize("layout", ["diffusers", "peft", "bare"])
def test_other_layouts_come_to_the_same(file: Path, tmp_path: Path, layout: str) -> None:
    import json

    import torch

    wanted = loras.read(Lora(file))
    metadata = None
    if layout == "diffusers":
        stored = {}
        for name, (down, up, _) in loras.read(Lora(file)).items():
            stored[f"transformer.{name}.lora_A.weight"] = down.contiguous()
            stored[f"transformer.{name}.lora_B.weight"] = up.contiguous() / 2
        metadata = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 8, "transformer.r": 4})}
    else:
        front = "base_model.model." if layout == "peft" else ""
        default = ".default." if layout == "peft" else "."
        stored = {
            front + name.removeprefix("diffusion_model.").replace(".weight", f"{default}weight"): tensor
            for name, tensor in tensors().items()
        }
    found = loras.read(Lora(write(tmp_path / "other.safetensors", stored, metadata)))
    assert found.keys() == wanted.keys()
    for name in wanted:
        up, down = (found[name][1].float(), found[name][0].float())
        assert torch.allclose(up @ down, wanted[name][1].float() @ wanted[name][0].float(), rtol=0.02, atol=0.05)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tensors(width=32), r"style.safetensors, a LoRA for another model \(blocks.0.attn1.to_q: 32 to 32\)"),
        (tensors(blocks=3), "blocks.2.attn1.to_q.*needed one for this model .no such layer"),
        ({"diffusion_model.blocks.0.mystery.lora_down.weight": None}, "style.safetensors, whose layers are not known"),
    ],
)
def test_a_lora_for_another_model_is_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    import torch

    whole = {name: torch.zeros(2, 2) if one is None else one for name, one in content.items()}
    model = wan_transformer()
    with pytest.raises(InvalidRequest, match=message):
        with loras.applied([Lora(write(tmp_path / "style.safetensors", whole))], [model], "cpu"):
            pass
    assert not any(module._forward_hooks for module in model.modules())


def test_what_cannot_be_a_lora_for_the_model_is_told_before_anything_loads(tmp_path: Path, file: Path) -> None:
    import torch

    loras.check([Lora(file), Lora(file, -0.5)], spec())
    plain = write(tmp_path / "plain.safetensors", {"blocks.0.weight": torch.zeros(2)})
    words = tmp_path / "words.safetensors"
    words.write_text("not tensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    pickled = tmp_path / "old.pt"
    torch.save({"lora_A.weight": torch.zeros(2)}, pickled)
    for wrong, message in {
        write(tmp_path / "big.safetensors", tensors(width=5120, blocks=1)): "width 5120; needed one for .*width 24",
        plain: "plain.safetensors, which holds no LoRA", words: "not safetensors", cut: "is cut short",
        pickled: "old.pt, which is a pickle", tmp_path: "a folder", tmp_path / "no": "not there",
    }.items():
        with pytest.raises(InvalidRequest, match=f"lora: got .*{message}"):
            loras.check([Lora(wrong)], spec())
    for weight in (float("nan"), 5, "1"):
        with pytest.raises(InvalidRequest, match="lora: got weight"):
            loras.check([Lora(file, weight)], spec())  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="5 files"):
        loras.check([Lora(file)] * 5, spec())
    with pytest.raises(InvalidRequest, match="pocket takes no LoRAs"):
        loras.check([Lora(file)], registry.get("pocket"))


def load(model: ModelSpec, folder: Path) -> Pipeline:
    return registry.load(model, Plan(), folder)


def test_a_run_with_a_lora_differs_and_the_next_one_does_not(tmp_path: Path, file: Path) -> None:
    runner = load(tiny_vace.tiny_spec(), tiny_vace.build(tmp_path / "vace"))
    plain = tiny_vace.tiny_spec().resolve(GenerationRequest(mode="text", prompt="a fox", seed=3, num_frames=5))
    before = runner.generate(plain, Recorder()).frames
    changed = runner.generate(replace(plain, loras=(Lora(file),)), Recorder()).frames
    after = runner.generate(plain, Recorder()).frames
    assert (before != changed).any() and (before == after).all()


def test_each_expert_gets_the_file_with_its_name(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}_noise_model.safetensors", tensors()) for name in ("high", "low")]
    both = write(tmp_path / "highlands.safetensors", tensors())
    experts = [wan_transformer(), wan_transformer()]

    def touched(file: Path) -> list[bool]:
        with loras.applied([Lora(file)], experts, "cpu"):
            return [any(module._forward_hooks for module in one.modules()) for one in experts]

    assert [touched(file) for file in (*files, both)] == [[True, False], [False, True], [True, True]]


# --- The fast preset -------------------------------------------------------------------------------


def fast_spec() -> ModelSpec:
    return replace(spec(), fast=Fast(repository="someone/Fast", files=("few/steps.safetensors",), download_bytes=10**9))


def test_fast_is_few_steps_without_guidance_and_its_lora(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, weights_dir=tmp_path)
    request = fast_spec().resolve(GenerationRequest(mode="text", prompt="a fox", seed=3, num_frames=5, preset="fast"))
    assert (request.num_inference_steps, request.guidance_scale) == (4, 1.0)
    with pytest.raises(ModelUnavailable, match=r"someone/Fast \(1.0 GB, Apache-2.0\), .*download \S+ --preset fast"):
        loras.with_preset(request, fast_spec(), settings)
    (tmp_path / "someone" / "Fast" / "few").mkdir(parents=True)
    file = write(tmp_path / "someone" / "Fast" / "few" / "steps.safetensors", tensors())
    own = Lora(tmp_path / "own.safetensors", 0.3)
    full = loras.with_preset(replace(request, loras=(own,)), fast_spec(), settings)
    assert full.loras == (Lora(file), own)
    runner = load(fast_spec(), tiny_wan.build_text(tmp_path / "weights"))
    calls: list[float] = []
    runner.pipe.transformer.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda module, args, kwargs: calls.append(float(kwargs["timestep"].flatten()[0])), with_kwargs=True
    )
    runner.generate(replace(full, loras=full.loras[:1]), Recorder())
    # The noise levels which the LoRAs were distilled for.
    assert [round(level) for level in calls] == pytest.approx([999, 937, 833, 625], abs=1)


def test_there_is_no_fast_preset_where_none_was_published() -> None:
    with pytest.raises(InvalidRequest, match="preset: got fast; needed quality: there is no fast one for wan2.1-t2v"):
        registry.get("wan2.1-t2v-1.3b").resolve(GenerationRequest(mode="text", prompt="a fox", preset="fast"))
    with pytest.raises(InvalidRequest, match="preset: got 'turbo'; needed one of quality, fast"):
        registry.get("pocket").resolve(GenerationRequest(mode="text", prompt="a fox", preset="turbo"))  # type: ignore[arg-type]
    fast = [row.id for row in registry.specs().values() if row.fast]
    assert fast == [
        "wan2.1-t2v-14b", "wan2.1-i2v-14b-480p", "wan2.1-i2v-14b-720p", "wan2.2-t2v-a14b", "wan2.2-i2v-a14b"
    ]


def test_presets_and_loras_survive_the_ledger(file: Path) -> None:
    request = GenerationRequest(mode="text", prompt="a fox", preset="fast", loras=(Lora(file, 0.5),))
    assert GenerationRequest.from_json(request.to_json()) == request
