"""Wan2.1-VACE: text, image and reference from one checkpoint, through diffusers' WanVACEPipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from wan_app.families.base import Numbers, Pipeline, Plan, character_words, prompt_calling
from wan_app.families.fit.costs import VACE_1_3B, VACE_14B
from wan_app.families.parts.frames import cover, given_frames, on_white
from wan_app.families.parts.hints import hints_in_turn
from wan_app.families.parts.wan_base import (
    AREA_480P,
    SHAPES_480P,
    SHAPES_720P,
    WanRunner,
    load_pipeline,
    shift_by_size,
)
from wan_app.families.spec import ModelSpec
from wan_app.types import GenerationRequest

_SMALL = ModelSpec(
    id="wan2.1-vace-1.3b",
    family="vace",
    title="Wan2.1 VACE 1.3B",
    about="Photographic video at 480p; the smallest open model that does all three tabs.",
    licence="Apache-2.0",
    repository="Wan-AI/Wan2.1-VACE-1.3B-diffusers",
    # Not pinned: the hub was out of reach from where this was written, and a commit that does not
    # exist would fail every download.
    revision="main",
    parameters=2_150_000_000,
    # bf16 transformer 4.3 GB + UMT5-XXL 11.4 GB + autoencoder 0.5 GB, computed from the
    # architecture; a repository that stores some of it in fp32 is larger.
    download_bytes=16_200_000_000,
    # Computed, not measured, for 81 frames of 480p and three pictures with every component on the
    # card, as `load` places them: the weights above and 3 GB beside them.
    memory={"none": 19_200_000_000, "int8": 14_300_000_000, "nf4": 10_700_000_000},
    tasks=("text", "image", "reference"),
    fps=16.0,
    frame_step=4,
    min_frames=5,
    max_frames=81,
    default_frames=81,
    shapes=SHAPES_480P,
    size_multiple=16,
    min_side=256,
    max_area=AREA_480P,
    num_inference_steps=30,
    guidance_scale=5.0,
    # The number of pictures it was trained and is published with.
    max_reference_images=3,
    max_characters=3,
    takes_last_image=True,
    flow_shift=3.0,
    pipeline_class="WanVACEPipeline",
    costs=VACE_1_3B,
    guidance_can_end=True,
    takes_step_cache=True,
    takes_loras=True,
)

SPECS = (
    _SMALL,
    replace(
        _SMALL,
        id="wan2.1-vace-14b",
        title="Wan2.1 VACE 14B",
        about="Photographic video up to 720p from one large open model for all three tabs.",
        repository="Wan-AI/Wan2.1-VACE-14B-diffusers",
        parameters=17_300_000_000,
        download_bytes=46_600_000_000,
        # For its largest shape, 720p; 480p takes about 10 GB less.
        memory={"none": 60_700_000_000, "int8": 45_100_000_000, "nf4": 30_200_000_000},
        shapes=(*SHAPES_480P, *SHAPES_720P),
        max_area=1280 * 720,
        costs=VACE_14B,
    ),
)

# A frame of this grey stands for "nothing given here", as in the model's training.
_NOTHING = (128, 128, 128)


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, placed as the plan says.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    import torch
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    from wan_app.families.weights.checkpoints import load_component

    transformer = load_component(
        WanVACETransformer3DModel, weights, "transformer", torch.bfloat16, plan.quantization, cache=plan.cache
    )
    pipe = load_pipeline(WanVACEPipeline, plan, weights, transformer=transformer)
    return VaceRunner(spec, pipe, plan, weights)


class VaceRunner(WanRunner):
    """A loaded WanVACEPipeline: given frames go in as a masked video, faces as extra latent frames."""

    def __init__(self, spec: ModelSpec, pipe: Any, plan: Plan, weights: Path) -> None:
        super().__init__(spec, pipe, plan, weights)
        if plan.offload != "group":
            hints_in_turn(pipe.transformer)

    def prompt(self, request: GenerationRequest) -> str:
        """The prompt with the characters called in words."""
        return prompt_for_model(request)

    def conditions(self, request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
        """`video` and `mask` of the given frames, `reference_images` of the faces."""
        return video_conditions(request, numbers) | reference_conditions(request, numbers)

    def extra_frames(self, conditions: dict[str, Any]) -> int:
        """One for each face: the pipeline trims them only when it decodes itself."""
        return len(conditions.get("reference_images", [[]])[0])

    def flow_shift(self, numbers: Numbers) -> float:
        """The published shifts: one up to 480p, one above."""
        return shift_by_size(self.spec, numbers)


def prompt_for_model(request: GenerationRequest) -> str:
    """The prompt with `character1` said in words that a text encoder knows."""
    return prompt_calling(request, character_words(request))


def video_conditions(request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
    """`video` and `mask` as VACE wants them: black keeps a frame, white generates it.

    Both are exactly num_frames long and of exactly the request's size: anything else is accepted
    by the pipeline and silently misaligned.
    """
    if request.image is None and request.last_image is None:
        return {}
    size, count = (numbers.width, numbers.height), numbers.num_frames
    video = [Image.new("RGB", size, _NOTHING)] * count
    mask = [Image.new("L", size, 255)] * count
    for index, path in given_frames(request):
        video[index] = cover(path, size)
        mask[index] = Image.new("L", size, 0)
    return {"video": video, "mask": mask}


def reference_conditions(request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
    """`reference_images`: every face of every character, whole, on white."""
    size = (numbers.width, numbers.height)
    faces = [on_white(face, size) for one in request.characters for face in one.faces]
    return {"reference_images": [faces]} if faces else {}
