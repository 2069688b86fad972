"""Wan2.1-VACE: text, image and reference from one checkpoint, through diffusers' WanVACEPipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from wan_app.errors import OutOfMemory
from wan_app.families.base import Numbers, Output, Pipeline, Plan, cancel_points, numbers_of, prompt_calling
from wan_app.families.previews import LatentPreview, denormalise
from wan_app.families.spec import ModelSpec, Shape
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter, Step

if TYPE_CHECKING:
    import numpy as np
    import torch

_SMALL = ModelSpec(
    id="wan2.1-vace-1.3b",
    family="vace",
    title="Wan2.1 VACE 1.3B",
    about="Photographic video at 480p; the smallest open model that does all three tabs.",
    licence="Apache-2.0",
    repository="Wan-AI/Wan2.1-VACE-1.3B-diffusers",
    revision="main",
    parameters=2_150_000_000,
    # bf16 transformer 4.3 GB + UMT5-XXL 11.4 GB + autoencoder 0.5 GB, computed from the
    # architecture; a repository that stores some of it in fp32 is larger.
    download_bytes=16_200_000_000,
    # Estimated for 81 frames of 480p with every component on the card, as `load` places them:
    # the weights above and 5.7 GB of activations.
    memory={"none": 22_000_000_000},
    tasks=("text", "image", "reference"),
    fps=16.0,
    frame_step=4,
    min_frames=5,
    max_frames=81,
    default_frames=81,
    shapes=(Shape("Wide", 832, 480), Shape("Tall", 480, 832), Shape("Square", 624, 624)),
    size_multiple=16,
    min_side=256,
    max_area=832 * 480,
    num_inference_steps=30,
    guidance_scale=5.0,
    # The number of pictures it was trained and is published with.
    max_reference_images=3,
    max_characters=3,
    takes_last_image=True,
    flow_shift=3.0,
    pipeline_class="WanVACEPipeline",
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
        memory={"none": 66_000_000_000},
        shapes=(
            *_SMALL.shapes,
            Shape("Wide 720p", 1280, 720),
            Shape("Tall 720p", 720, 1280),
            Shape("Square 720p", 960, 960),
        ),
        max_area=1280 * 720,
    ),
)

# The published shift for anything larger than the 480p shapes (`spec.flow_shift` is theirs).
_FLOW_SHIFT_720P = 5.0
_AREA_480P = 832 * 480
_CANCEL_AT = {"UMT5Block", "WanTransformerBlock", "WanVACETransformerBlock", "WanUpBlock", "WanResidualBlock"}
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
# A frame of this grey stands for "nothing given here", as in the model's training.
_NOTHING = (128, 128, 128)


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, placed whole on `plan.device`.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    import torch
    from diffusers import AutoencoderKLWan, WanVACEPipeline, WanVACETransformer3DModel
    from transformers import UMT5EncoderModel

    from wan_app.families.checkpoints import load_component

    pipe = WanVACEPipeline.from_pretrained(
        weights,
        local_files_only=True,
        transformer=load_component(WanVACETransformer3DModel, weights, "transformer", torch.bfloat16),
        text_encoder=load_component(UMT5EncoderModel, weights, "text_encoder", torch.bfloat16),
        # The autoencoder in bf16 shows as banding; in fp32 it is 0.5 GB.
        vae=load_component(AutoencoderKLWan, weights, "vae", torch.float32),
    )
    pipe.set_progress_bar_config(disable=True)
    # Decoding 81 frames of 480p whole peaks at 8.2 GB, in tiles at 1.8.
    pipe.vae.enable_tiling()
    pipe.to(plan.device)
    return VacePipeline(spec, pipe, LatentPreview.fit(pipe.vae))


class VacePipeline:
    """A loaded WanVACEPipeline behind the app's seam."""

    def __init__(self, spec: ModelSpec, pipe: Any, preview: LatentPreview) -> None:
        self.spec, self.pipe, self.preview = spec, pipe, preview
        # Seconds that decoding took per pixel of video, the last time; the tail of the ETA.
        self._decode_rate = 0.0

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `base.Pipeline.generate`."""
        import torch

        numbers = numbers_of(request)
        with self._clean(report), torch.no_grad():
            report(Loading("Reading the prompt"))
            prompt_embeds, negative_prompt_embeds = self.pipe.encode_prompt(
                prompt=prompt_for_model(request),
                negative_prompt=request.negative_prompt,
                do_classifier_free_guidance=numbers.guidance_scale > 1,
                max_sequence_length=512,
            )
            conditions = video_conditions(request, numbers) | reference_conditions(request, numbers)
            if conditions:
                report(Loading("Looking at the pictures"))
            latents = self._denoise(numbers, prompt_embeds, negative_prompt_embeds, conditions, report)
            report(Exporting("Decoding"))
            frames = self._decode(latents)
        return Output(frames=keep_given(frames, request, conditions))

    def close(self) -> None:
        """Drop the model; whoever holds the last reference collects the cycles (`runtime.models`)."""
        self.pipe.remove_all_hooks()
        del self.pipe, self.preview

    def _denoise(
        self,
        numbers: Numbers,
        prompt_embeds: torch.Tensor,
        negative_prompt_embeds: torch.Tensor | None,
        conditions: dict[str, Any],
        report: Reporter,
    ) -> torch.Tensor:
        """Normalised latents (1, 16, F, h/8, w/8), without the references' in front."""
        import torch
        from diffusers import UniPCMultistepScheduler

        large = numbers.width * numbers.height > _AREA_480P
        self.pipe.scheduler = UniPCMultistepScheduler.from_config(
            self.pipe.scheduler.config,
            flow_shift=_FLOW_SHIFT_720P if large else self.spec.flow_shift,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
        )
        references = len(conditions.get("reference_images", [[]])[0])
        latents = self.pipe(
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            width=numbers.width,
            height=numbers.height,
            num_frames=numbers.num_frames,
            num_inference_steps=numbers.num_inference_steps,
            guidance_scale=numbers.guidance_scale,
            # On the CPU, so that a seed means the same noise on every device.
            generator=torch.Generator("cpu").manual_seed(numbers.seed),
            callback_on_step_end=self._on_step(numbers, references, report),
            output_type="latent",
            **conditions,
        ).frames
        return latents[:, :, references:]

    def _on_step(self, numbers: Numbers, references: int, report: Reporter) -> Any:
        """A step callback that reports progress with a picture of the clean-video estimate."""
        total = numbers.num_inference_steps
        decoding = self._decode_rate * numbers.num_frames * numbers.width * numbers.height
        times = [time.monotonic()]

        def on_step(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            done = index + 1
            times.append(time.monotonic())
            # Encoding the pictures counts into the first step, so later ones are measured from its end.
            since = times[1] if done > 1 else times[0]
            eta = (times[-1] - since) / max(1, done - 1) * (total - done) + decoding
            # UniPC keeps its x0 estimate here; the latents themselves are noise until the end.
            clean = pipe.scheduler.model_outputs[-1][:, :, references:]
            report(Step(index=done, total=total, eta=eta, preview=self.preview.jpeg(clean)))
            report.check()
            return tensors

        return on_step

    def _decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames uint8 (num_frames, height, width, 3) of normalised latents."""
        import torch

        vae, started = self.pipe.vae, time.monotonic()
        video = vae.decode(denormalise(vae, latents.to(vae.dtype)), return_dict=False)[0]
        # In place and turned to bytes on the device: a float copy of a clip is gigabytes.
        pixels = video[0].add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        frames = pixels.permute(1, 2, 3, 0).contiguous().cpu().numpy()
        self._decode_rate = (time.monotonic() - started) / (frames.size / 3)
        return frames

    @contextmanager
    def _clean(self, report: Reporter) -> Iterator[None]:
        """Cancel points on every block, and nothing left behind however the run ends."""
        import torch

        parts = (self.pipe.text_encoder, self.pipe.transformer, self.pipe.vae)
        blocks = [m for part in parts for m in part.modules() if type(m).__name__ in _CANCEL_AT]
        try:
            with cancel_points(blocks, report.check):
                yield
        except torch.OutOfMemoryError as error:
            # Not chained: its traceback would keep every tensor of the run alive.
            raise OutOfMemory(f"{self.spec.id}: {str(error).splitlines()[0]}") from None
        finally:
            # After an abort the cache contexts and the autoencoder's frame caches are half full.
            self.pipe.maybe_free_model_hooks()
            self.pipe.vae.clear_cache()


def prompt_for_model(request: GenerationRequest) -> str:
    """The prompt with `character1` said in words that a text encoder knows."""
    if len(request.characters) == 1:
        return prompt_calling(request, ["the character"])
    return prompt_calling(request, [f"the {ordinal} character" for ordinal in _ORDINALS])


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


def given_frames(request: GenerationRequest) -> Iterator[tuple[int, Path]]:
    """(frame index, picture) of the frames that the user gave; the last frame is -1."""
    if request.image is not None:
        yield 0, request.image
    if request.last_image is not None:
        yield -1, request.last_image


def keep_given(frames: np.ndarray, request: GenerationRequest, conditions: dict[str, Any]) -> np.ndarray:
    """`frames` with the given pictures in their places, pixel for pixel, as the user gave them."""
    import numpy as np

    for index, _ in given_frames(request):
        frames[index] = np.asarray(conditions["video"][index])
    return frames


def cover(path: Path, size: tuple[int, int]) -> Image.Image:
    """The picture resized and centre-cropped to exactly `size`."""
    with Image.open(path) as picture:
        return ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)


def on_white(path: Path, size: tuple[int, int]) -> Image.Image:
    """The whole picture, as large as fits, in the middle of a white one of `size`.

    The pipeline does this too, but without smoothing as it shrinks and with sides of 0 pixels
    for a very long picture.
    """
    with Image.open(path) as picture:
        scale = min(size[0] / picture.width, size[1] / picture.height)
        inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.convert("RGB").resize(inner, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size, "white")
    canvas.paste(small, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas
