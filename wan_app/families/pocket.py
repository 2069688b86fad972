"""The bundled model `pocket`: our own small reference-to-video model (see `wan_app.likeness`)."""

from __future__ import annotations

from pathlib import Path

from wan_app.families.base import Pipeline, Plan
from wan_app.families.spec import ModelSpec, Shape

SPECS = (
    ModelSpec(
        id="pocket",
        family="pocket",
        title="Pocket",
        about="A small cartoon model trained by this project: drawn characters in seven places, not photographs.",
        licence="Apache-2.0",
        repository="bundled",
        revision="1",
        parameters=10_000_000,
        download_bytes=0,
        memory={"none": 1_000_000_000},
        tasks=("text", "image", "reference"),
        fps=8.0,
        frame_step=4,
        min_frames=5,
        max_frames=41,
        default_frames=17,
        shapes=(Shape("Square", 128, 128), Shape("Wide", 160, 96), Shape("Tall", 96, 160)),
        size_multiple=16,
        min_side=96,
        max_area=128 * 128,
        num_inference_steps=16,
        guidance_scale=2.0,
        max_inference_steps=50,
        max_guidance_scale=8.0,
        max_reference_images=4,
        max_characters=1,
        takes_last_image=True,
        bundled=True,
    ),
)


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The loaded pipeline from a folder written by `PocketPipeline.save_pretrained`."""
    from wan_app.likeness.runner import PocketRunner

    return PocketRunner.from_folder(weights, device=plan.device)
