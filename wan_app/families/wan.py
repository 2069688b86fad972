"""Wan2.1: text to video (1.3B, 14B) and image to video (14B), through diffusers' own pipelines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_app.families.base import Numbers, Pipeline, Plan
from wan_app.families.fit.costs import WAN_1_3B, WAN_14B, WAN_14B_IMAGE
from wan_app.families.parts.frames import cover
from wan_app.families.parts.wan_base import (
    AREA_480P,
    SHAPES_480P,
    SHAPES_720P,
    WanRunner,
    load_pipeline,
    shift_by_size,
)
from wan_app.families.spec import Fast, ModelSpec
from wan_app.types import GenerationRequest

# 4 steps without guidance, distilled by the lightx2v authors; published for the 14B models only.
_FAST_TEXT = Fast(
    repository="lightx2v/Wan2.1-T2V-14B-StepDistill-CfgDistill-Lightx2v",
    files=("loras/Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank64.safetensors",),
    download_bytes=630_000_000,
)
_FAST_IMAGE = Fast(
    repository="lightx2v/Wan2.1-I2V-14B-480P-StepDistill-CfgDistill-Lightx2v",
    files=("loras/Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64.safetensors",),
    download_bytes=740_000_000,
)

_TEXT_SMALL = ModelSpec(
    id="wan2.1-t2v-1.3b",
    family="wan2.1",
    title="Wan2.1 Text 1.3B",
    about="Photographic video at 480p from words alone; the smallest of the Wan models.",
    licence="Apache-2.0",
    repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    # Not pinned, here and below: the hub was out of reach from where this was written, and a commit
    # that does not exist would fail every download.
    revision="main",
    parameters=1_420_000_000,
    # As stored, in fp32: transformer 5.7 GB, UMT5-XXL 22.7 GB, autoencoder 0.5 GB.
    download_bytes=28_900_000_000,
    # Computed, not measured, for 81 frames of 480p with every component on the card in bf16, the
    # autoencoder in fp32 and tiled: the estimate with the text encoder elsewhere (6 / 5 / 4 GB) and
    # the text encoder (11.4 / 7.7 / 6.0 GB).
    memory={"none": 17_400_000_000, "int8": 12_700_000_000, "nf4": 10_000_000_000},
    tasks=("text",),
    fps=16.0,
    frame_step=4,
    min_frames=5,
    max_frames=81,
    default_frames=81,
    shapes=SHAPES_480P,
    size_multiple=16,
    min_side=256,
    max_area=AREA_480P,
    num_inference_steps=50,
    # Both as its authors recommend for the 1.3B.
    guidance_scale=6.0,
    flow_shift=8.0,
    pipeline_class="WanPipeline",
    costs=WAN_1_3B,
    guidance_can_end=True,
    takes_loras=True,
    takes_step_cache=True,
)

_IMAGE_480P = replace(
    _TEXT_SMALL,
    id="wan2.1-i2v-14b-480p",
    title="Wan2.1 Image 14B 480p",
    about="Sets a picture in motion at 480p.",
    repository="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
    parameters=16_400_000_000,
    # Computed from the architecture, stored in fp32 as the text models are: transformer 65.6 GB,
    # UMT5-XXL 22.7 GB, CLIP 2.5 GB, autoencoder 0.5 GB.
    download_bytes=91_300_000_000,
    # Computed for 480p: 34 / 20 / 13 GB of a 14B text model, its picture attention (4.2 / 2.1 / 1.1),
    # CLIP in fp32 (2.5) and the text encoder.
    memory={"none": 52_100_000_000, "int8": 32_300_000_000, "nf4": 22_600_000_000},
    tasks=("image",),
    num_inference_steps=40,
    guidance_scale=5.0,
    flow_shift=3.0,
    pipeline_class="WanImageToVideoPipeline",
    costs=WAN_14B_IMAGE,
    fast=_FAST_IMAGE,
)

SPECS = (
    _TEXT_SMALL,
    replace(
        _TEXT_SMALL,
        id="wan2.1-t2v-14b",
        title="Wan2.1 Text 14B",
        about="Photographic video up to 720p from words alone.",
        repository="Wan-AI/Wan2.1-T2V-14B-Diffusers",
        parameters=14_300_000_000,
        # As stored, in fp32: transformer 57.2 GB, UMT5-XXL 22.7 GB, autoencoder 0.5 GB.
        download_bytes=80_400_000_000,
        # Computed for its largest shape, 720p: 39 / 24 / 18 GB and the text encoder.
        memory={"none": 50_400_000_000, "int8": 31_700_000_000, "nf4": 24_000_000_000},
        shapes=(*SHAPES_480P, *SHAPES_720P),
        max_area=1280 * 720,
        guidance_scale=5.0,
        flow_shift=5.0,
        costs=WAN_14B,
        fast=_FAST_TEXT,
    ),
    _IMAGE_480P,
    replace(
        _IMAGE_480P,
        id="wan2.1-i2v-14b-720p",
        title="Wan2.1 Image 14B 720p",
        about="Sets a picture in motion up to 720p.",
        repository="Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
        # As the 480p row, with the 39 / 24 / 18 GB of 720p.
        memory={"none": 57_100_000_000, "int8": 36_300_000_000, "nf4": 27_600_000_000},
        shapes=(*SHAPES_720P, *SHAPES_480P),
        max_area=1280 * 720,
        fast=replace(_FAST_IMAGE, repository="lightx2v/Wan2.1-I2V-14B-720P-StepDistill-CfgDistill-Lightx2v"),
    ),
)


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, placed as the plan says.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    import torch
    from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
    from transformers import CLIPVisionModel

    from wan_app.families.weights.checkpoints import load_component

    parts = {
        "transformer": load_component(
            WanTransformer3DModel, weights, "transformer", torch.bfloat16, plan.quantization, cache=plan.cache
        )
    }
    if spec.tasks == ("text",):
        return WanRunner(spec, load_pipeline(WanPipeline, plan, weights, **parts), plan, weights)
    # In fp32, as published: what it sees of the picture goes into every block.
    parts["image_encoder"] = load_component(CLIPVisionModel, weights, "image_encoder", torch.float32)
    pipe = load_pipeline(WanImageToVideoPipeline, plan, weights, **parts)
    return ImageRunner(spec, pipe, plan, weights)


class ImageRunner(WanRunner):
    """A loaded WanImageToVideoPipeline."""

    def conditions(self, request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
        """`image`, cropped to the request's size: the pipeline would stretch it."""
        return image_conditions(request, numbers)

    def flow_shift(self, numbers: Numbers) -> float:
        """The published shifts: one up to 480p, one above."""
        return shift_by_size(self.spec, numbers)


def image_conditions(request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
    """`image` and, where one was given, `last_image`, both of exactly the request's size."""
    size = (numbers.width, numbers.height)
    given = {"image": request.image, "last_image": request.last_image}
    return {name: cover(path, size) for name, path in given.items() if path is not None}
