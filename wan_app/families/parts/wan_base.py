"""What all Wan families share: loading the parts, encode -> denoise -> decode, previews, cancel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.families.base import Numbers, Output, Plan, numbers_of
from wan_app.families.caches import cached_steps
from wan_app.families.fit.costs import costs_of
from wan_app.families.parts.frames import keep_given
from wan_app.families.parts.loras import applied
from wan_app.families.parts.previews import LatentPreview, denormalise
from wan_app.families.parts.residency import OneResident, stream_blocks
from wan_app.families.parts.running import Progress, interruptible
from wan_app.families.parts.speed import Kernels, lay_out
from wan_app.families.parts.wan_words import WanWords, load_text_encoder
from wan_app.families.spec import ModelSpec, Shape
from wan_app.families.weights.checkpoints import load_component
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter

if TYPE_CHECKING:
    import numpy as np
    import torch

# The largest of the 480p shapes; anything larger is 720p to the flow shift.
AREA_480P = 832 * 480
SHAPES_480P = (Shape("Wide", 832, 480), Shape("Tall", 480, 832), Shape("Square", 624, 624))
SHAPES_720P = (
    Shape("Wide 720p", 1280, 720),
    Shape("Tall 720p", 720, 1280),
    Shape("Square 720p", 960, 960),
)
# The published shift for 720p where a row's own `flow_shift` is the one for 480p.
FLOW_SHIFT_720P = 5.0
_CANCEL_AT = {
    "UMT5Block", "CLIPEncoderLayer", "WanTransformerBlock", "WanVACETransformerBlock",
    "WanUpBlock", "WanResidualUpBlock", "WanResidualBlock",
}  # fmt: skip


def load_pipeline(cls: Any, plan: Plan, weights: Path, **parts: Any) -> Any:
    """A Wan pipeline of class `cls`, with the `parts` given and the rest read from the folder.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    import torch
    from diffusers import AutoencoderKLWan

    pipe = cls.from_pretrained(
        weights,
        local_files_only=True,
        # Under any offload it comes when there is something to read, and goes again.
        text_encoder=load_text_encoder(plan, weights) if plan.offload == "none" else None,
        # The autoencoder in bf16 shows as banding; in fp32 it is 0.5 GB (2.8 GB for Wan2.2's own).
        vae=load_component(AutoencoderKLWan, weights, "vae", torch.float32),
        **parts,
    )
    pipe.set_progress_bar_config(disable=True)
    # Decoding 81 frames of 480p whole peaks at 8.2 GB, in tiles at 1.8.
    if plan.vae_tiling:
        pipe.vae.enable_tiling()
    if plan.device.startswith("cuda"):
        lay_out(pipe.vae)
    return pipe


def place(pipe: Any, plan: Plan) -> OneResident | None:
    """Put each part where the plan wants it; what takes turns on the device, if something does."""
    import torch

    large = transformers_of(pipe)
    for part in pipe.components.values():
        # What bitsandbytes quantized is on the card already.
        quantized = getattr(part, "quantization_method", None)
        if isinstance(part, torch.nn.Module) and part not in large and not quantized:
            part.to(plan.device)
    if plan.offload == "group":
        for one in large:
            stream_blocks(one, plan.device)
        return None
    if len(large) > 1 or plan.offload == "model":
        return OneResident(large, plan.device)
    large[0].to(plan.device)
    return None


def transformers_of(pipe: Any) -> list[Any]:
    """The one transformer, or both experts in the order of their work."""
    return [getattr(pipe, name) for name in ("transformer", "transformer_2") if getattr(pipe, name, None)]


class WanRunner:
    """A loaded Wan pipeline behind the app's seam; what differs by family are the small methods.

    Args:
        pipe: a diffusers Wan pipeline of `load_pipeline`; it is placed on its device here.
        weights: the folder it is from.
    """

    def __init__(self, spec: ModelSpec, pipe: Any, plan: Plan, weights: Path) -> None:
        self.spec, self.pipe, self.plan = spec, pipe, plan
        self.kernels = Kernels(transformers_of(pipe), plan.device, plan.quantization)
        self.residents = place(pipe, plan)
        self.words = WanWords(spec.id, pipe, plan, weights)
        self.preview = LatentPreview.fit(pipe.vae)
        # Seconds that decoding took per pixel of video, the last time; the tail of the ETA.
        self._decode_rate = 0.0

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `base.Pipeline.generate`."""
        import torch

        numbers = numbers_of(request)
        with self._clean(report), torch.no_grad():
            report(Loading("Reading the prompt"))
            self._make_room()
            embeds = self._read(request, numbers, report)
            conditions = self.conditions(request, numbers)
            if conditions:
                report(Loading("Looking at the pictures"))
            parts, cache = transformers_of(self.pipe), 0.0 if self._streams else request.step_cache
            with applied(request.loras, parts, self.plan.device), cached_steps(parts, cache):
                latents = self._denoise(request, embeds, conditions, report)
            report(Exporting("Decoding"))
            self._make_room()
            frames = self._decode(latents)
        notes = () if cache == request.step_cache else ("No steps were skipped: the model streams through the card.",)
        return Output(frames=keep_given(frames, request), notes=notes)

    def close(self) -> None:
        """Drop the model; whoever holds the last reference collects the cycles (`runtime.models`)."""
        self.pipe.remove_all_hooks()
        del self.pipe, self.preview, self.residents, self.words, self.kernels

    # --- What a family may change ------------------------------------------------------------

    def prompt(self, request: GenerationRequest) -> str:
        """The prompt in the model's own words."""
        return request.prompt

    def conditions(self, request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
        """Arguments of the pipeline which speak of pictures; empty for text alone."""
        return {}

    def extra_frames(self, conditions: dict[str, Any]) -> int:
        """Latent frames that the pipeline puts in front of the clip's own."""
        return 0

    def flow_shift(self, numbers: Numbers) -> float:
        """Where the schedule spends its steps: higher is earlier, on composition."""
        return self.spec.flow_shift

    def run(self, conditions: dict[str, Any], **arguments: Any) -> torch.Tensor:
        """Call the pipeline; latents (1, C, F, h, w)."""
        return self.pipe(**conditions, **arguments).frames

    # --- What is the same for all --------------------------------------------------------------

    @property
    def _streams(self) -> bool:
        """Whether blocks are fetched in the order of the first pass; skipping some would upset that."""
        return self.plan.offload == "group"

    def _read(self, request: GenerationRequest, numbers: Numbers, report: Reporter) -> dict[str, Any]:
        """The embeddings of both prompts, by the pipeline's argument names."""
        prompts = [self.prompt(request)] + ([request.negative_prompt] if numbers.guidance_scale > 1 else [])
        return dict(zip(("prompt_embeds", "negative_prompt_embeds"), self.words.read(prompts, report)))

    def _make_room(self) -> None:
        """Put the transformer away where the plan has room for one part at a time."""
        if self.residents is not None and self.plan.offload == "model":
            self.residents.rest()

    def _denoise(
        self, request: GenerationRequest, embeds: dict[str, Any], conditions: dict[str, Any], report: Reporter
    ) -> torch.Tensor:
        """Normalised latents (1, C, F, h, w), without the extra frames in front."""
        import torch
        from diffusers import UniPCMultistepScheduler

        numbers = numbers_of(request)
        few = self.spec.fast if request.preset == "fast" else None
        self.pipe.scheduler = UniPCMultistepScheduler.from_config(
            self.pipe.scheduler.config,
            flow_shift=few.flow_shift if few else self.flow_shift(numbers),
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
        )
        extra = self.extra_frames(conditions)
        # Each LoRA is other code for the compiler, block by block.
        self.kernels.compile_for(0.0 if request.loras else self._tflop(numbers, extra))
        latents = self.run(
            conditions,
            **embeds,
            width=numbers.width,
            height=numbers.height,
            num_frames=numbers.num_frames,
            num_inference_steps=numbers.num_inference_steps,
            guidance_scale=numbers.guidance_scale,
            # On the CPU, so that a seed means the same noise on every device.
            generator=torch.Generator("cpu").manual_seed(numbers.seed),
            callback_on_step_end=self._on_step(numbers, extra, report),
            output_type="latent",
        )
        return latents[:, :, extra:]

    def _on_step(self, numbers: Numbers, extra: int, report: Reporter) -> Any:
        """A step callback that reports progress with a picture of the clean-video estimate."""
        decoding = self._decode_rate * numbers.num_frames * numbers.width * numbers.height
        progress = Progress(report, numbers.num_inference_steps, decoding)
        guided = numbers.guided_steps

        def on_step(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # UniPC keeps its x0 estimate here; the latents themselves are noise until the end.
            progress.step(self.preview.jpeg(pipe.scheduler.model_outputs[-1][:, :, extra:]))
            if index + 1 >= guided:
                # Read anew for every step: above 1 it also passes the negative prompt.
                pipe._guidance_scale = 1.0
            return tensors

        return on_step

    def _tflop(self, numbers: Numbers, extra: int) -> float:
        """Arithmetic of the whole run, in 10^12 operations."""
        costs = costs_of(self.spec)
        tokens = costs.tokens(numbers.width, numbers.height, numbers.num_frames, extra)
        passes = numbers.num_inference_steps + (numbers.guided_steps if numbers.guidance_scale > 1 else 0)
        return costs.tflop(tokens) * passes

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
        try:
            with interruptible(self.spec.id, self.pipe.components.values(), _CANCEL_AT, report):
                yield
        finally:
            # After an abort the cache contexts and the autoencoder's frame caches are half full.
            self.pipe.maybe_free_model_hooks()
            self.pipe.vae.clear_cache()


def shift_by_size(spec: ModelSpec, numbers: Numbers) -> float:
    """The row's `flow_shift` up to the 480p shapes, the published one for 720p above."""
    return FLOW_SHIFT_720P if numbers.width * numbers.height > AREA_480P else spec.flow_shift
