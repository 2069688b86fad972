"""Wan2.2: TI2V 5B (text and image in one), and the A14B models of two experts each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.errors import ModelUnavailable
from wan_app.families.base import Numbers, Pipeline, Plan
from wan_app.families.fit.costs import WAN_5B, WAN_A14B
from wan_app.families.parts.wan_base import SHAPES_480P, SHAPES_720P, WanRunner, load_pipeline
from wan_app.families.spec import Fast, ModelSpec, Shape
from wan_app.families.wan import image_conditions
from wan_app.types import GenerationRequest

if TYPE_CHECKING:
    import torch

# One file for each expert, told apart by their names.
_EXPERTS = ("high_noise_model.safetensors", "low_noise_model.safetensors")
_FAST_TEXT = Fast(
    repository="lightx2v/Wan2.2-Lightning",
    files=tuple(f"Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1/{name}" for name in _EXPERTS),
    download_bytes=2_450_000_000,
)
_FAST_IMAGE = replace(
    _FAST_TEXT, files=tuple(f"Wan2.2-I2V-A14B-4steps-lora-rank64-Seko-V1/{name}" for name in _EXPERTS)
)

_TI2V = ModelSpec(
    id="wan2.2-ti2v-5b",
    family="wan2.2",
    title="Wan2.2 Text and Image 5B",
    about="720p at 24 frames a second from words or a picture, from a model of middle size.",
    licence="Apache-2.0",
    repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    # Not pinned, here and below: the hub was out of reach from where this was written, and a commit
    # that does not exist would fail every download.
    revision="main",
    parameters=5_000_000_000,
    # Computed: transformer 20.0 GB if stored in fp32 as its siblings are, UMT5-XXL 11.4 GB in bf16,
    # autoencoder 2.8 GB.
    download_bytes=34_200_000_000,
    # Computed, not measured, for 121 frames of 720p with every component on the card: transformer
    # 10.0 / 5.0 / 2.6 GB, text encoder 11.4 / 7.7 / 6.0 GB, autoencoder 2.8 GB, activations about 6 GB.
    memory={"none": 30_200_000_000, "int8": 21_500_000_000, "nf4": 17_400_000_000},
    tasks=("text", "image"),
    fps=24.0,
    frame_step=4,
    min_frames=5,
    max_frames=121,
    default_frames=121,
    # Its autoencoder shrinks 16 times and the transformer twice more: 704, not 720.
    shapes=(Shape("Wide 720p", 1280, 704), Shape("Tall 720p", 704, 1280), Shape("Square", 928, 928)),
    size_multiple=32,
    min_side=256,
    max_area=1280 * 704,
    num_inference_steps=50,
    guidance_scale=5.0,
    flow_shift=5.0,
    pipeline_class="WanPipeline",
    costs=WAN_5B,
    guidance_can_end=True,
    takes_loras=True,
    takes_step_cache=True,
)

_TEXT_A14B = replace(
    _TI2V,
    id="wan2.2-t2v-a14b",
    title="Wan2.2 Text A14B",
    about="Photographic video up to 720p from words; two experts of 14B, one after the other.",
    repository="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    # Both experts; one of them works at a time.
    parameters=28_600_000_000,
    # As stored: two experts in fp32 of 57.2 GB, UMT5-XXL in bf16 11.4 GB, autoencoder 0.5 GB.
    download_bytes=126_300_000_000,
    # Computed for 81 frames of 720p with one expert on the card: 39 / 24 / 18 GB and the text encoder;
    # the other expert (28.6 / 14.3 / 7.4 GB) waits in the computer's own memory.
    memory={"none": 50_400_000_000, "int8": 31_700_000_000, "nf4": 24_000_000_000},
    tasks=("text",),
    fps=16.0,
    max_frames=81,
    default_frames=81,
    shapes=(*SHAPES_480P, *SHAPES_720P),
    size_multiple=16,
    max_area=1280 * 720,
    num_inference_steps=40,
    guidance_scale=4.0,
    flow_shift=12.0,
    costs=WAN_A14B,
    fast=_FAST_TEXT,
)

SPECS = (
    _TI2V,
    _TEXT_A14B,
    replace(
        _TEXT_A14B,
        id="wan2.2-i2v-a14b",
        title="Wan2.2 Image A14B",
        about="Sets a picture in motion up to 720p, to a last picture if one is given; two experts of 14B.",
        repository="Wan-AI/Wan2.2-I2V-A14B-Diffusers",
        tasks=("image",),
        takes_last_image=True,
        guidance_scale=3.5,
        flow_shift=5.0,
        pipeline_class="WanImageToVideoPipeline",
        fast=_FAST_IMAGE,
    ),
)

# Guidance of the low-noise expert over that of the high-noise one, as published (3.0 and 4.0 for
# text, 3.5 and 3.5 for image).
_LOW_NOISE_GUIDANCE = {"wan2.2-t2v-a14b": 0.75}


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, placed as the plan says; of two experts one works.

    Raises:
        ModelUnavailable: a component lacks tensors, or the folder is of another Wan model.
    """
    import torch
    from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel

    from wan_app.families.weights.checkpoints import load_component

    experts = ("transformer",) if spec.id == _TI2V.id else ("transformer", "transformer_2")
    # Each lives in model_index.json; without it the run is noise and not an error.
    setting = "expand_timesteps" if len(experts) == 1 else "boundary_ratio"
    if not WanPipeline.load_config(weights, local_files_only=True).get(setting):
        raise ModelUnavailable(
            f"{spec.id}: {weights} sets no {setting} in model_index.json; needed: {spec.repository}"
        )
    parts = {
        name: load_component(
            WanTransformer3DModel, weights, name, torch.bfloat16, plan.quantization, cache=plan.cache
        )
        for name in experts
    }
    cls = WanPipeline if "text" in spec.tasks else WanImageToVideoPipeline
    pipe = load_pipeline(cls, plan, weights, **parts)
    runner = TextAndImageRunner if len(experts) == 1 else ExpertsRunner
    return runner(spec, pipe, plan, weights)


class TextAndImageRunner(WanRunner):
    """TI2V: one checkpoint behind two pipelines, for words and for a picture."""

    def __init__(self, spec: ModelSpec, pipe: Any, plan: Plan, weights: Path) -> None:
        super().__init__(spec, pipe, plan, weights)
        from diffusers import WanImageToVideoPipeline

        # Not `from_pipe`, which casts bf16 to fp32; this shares the very same components.
        names = ("tokenizer", "text_encoder", "vae", "scheduler", "transformer")
        parts = {name: getattr(pipe, name) for name in names}
        self.image_pipe = WanImageToVideoPipeline(**parts, expand_timesteps=True)
        self.image_pipe.set_progress_bar_config(disable=True)

    def conditions(self, request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
        """`image`, cropped to the request's size."""
        return image_conditions(request, numbers)

    def run(self, conditions: dict[str, Any], **arguments: Any) -> torch.Tensor:
        """Call the pipeline for a picture if there is one."""
        pipe = self.image_pipe if conditions else self.pipe
        pipe.scheduler = self.pipe.scheduler
        return pipe(**conditions, **arguments).frames

    def close(self) -> None:
        """Drop both pipelines."""
        super().close()
        del self.image_pipe


class ExpertsRunner(WanRunner):
    """A14B: the first expert for the noisy steps, the second for the rest."""

    def conditions(self, request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
        """`image` and `last_image`, cropped to the request's size."""
        return image_conditions(request, numbers)

    def run(self, conditions: dict[str, Any], **arguments: Any) -> torch.Tensor:
        """Call the pipeline with the guidance of each expert."""
        low = arguments["guidance_scale"] * _LOW_NOISE_GUIDANCE.get(self.spec.id, 1.0)
        return self.pipe(**conditions, **arguments, guidance_scale_2=max(1.0, low)).frames
