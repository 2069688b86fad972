"""LTX-2 and LTX-2.5: video and its sound in one pass, through diffusers' LTX2 pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.families.base import Numbers, Output, Pipeline, Plan
from wan_app.families.fit.sounding import LTX_2, LTX_2_5
from wan_app.families.parts.frames import cover, given_frames, keep_given
from wan_app.families.parts.gemma_words import GemmaWords
from wan_app.families.parts.ltx_base import CANCEL_AT, Decoder, fit_preview, ltx_parts, place, unpacked
from wan_app.families.parts.residency import OneResident
from wan_app.families.parts.running import Progress, interruptible
from wan_app.families.parts.sounding import numbers_with_sound, prompt_saying
from wan_app.families.parts.stills import as_video_still
from wan_app.families.spec import ModelSpec, Shape
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter

if TYPE_CHECKING:
    import torch

_LTX2 = ModelSpec(
    id="ltx-2",
    family="ltx",
    title="LTX-2",
    about="Video with its own sound, speech included, up to ten seconds.",
    licence="LTX-2 Community License",
    repository="Lightricks/LTX-2",
    # Not pinned, here and below: the hub was out of reach from where this was written, and a commit
    # that does not exist would fail every download.
    revision="main",
    parameters=18_900_000_000,
    # Computed in bf16, for the folders that the pipeline reads: transformer 37.8 GB, Gemma 3 24.4 GB,
    # connectors 2.9 GB, autoencoder 2.4 GB, sound 0.2 GB. The repository holds much more beside them.
    download_bytes=67_700_000_000,
    # Computed, not measured, for 121 frames of 1216x704 with every component on the card: the above and
    # about 6 GB of activations; int8 and nf4 are for the transformer and the text encoder, whose
    # embeddings (2 GB) stay as they are.
    memory={"none": 73_700_000_000, "int8": 43_600_000_000, "nf4": 29_100_000_000},
    tasks=("text", "image"),
    fps=24.0,
    frame_step=8,
    min_frames=9,
    max_frames=257,
    default_frames=121,
    shapes=(
        Shape("Wide", 768, 512), Shape("Tall", 512, 768), Shape("Square", 640, 640),
        Shape("Wide 720p", 1216, 704), Shape("Tall 720p", 704, 1216),
    ),
    size_multiple=32,
    min_side=256,
    max_area=1280 * 704,
    num_inference_steps=40,
    guidance_scale=3.0,
    native_audio=True,
    takes_last_image=True,
    pipeline_class="LTX2Pipeline",
    costs=LTX_2,
)  # fmt: skip

SPECS = (
    _LTX2,
    replace(
        _LTX2,
        id="ltx-2.5",
        title="LTX-2.5",
        about="Video with its own sound at 48 kHz, speech included, up to ten seconds.",
        licence="LTX-2.x Community License (the hub asks for your agreement before it sends the files)",
        repository="Lightricks/LTX-2.5-Diffusers",
        # Transformer 18.9 billion and connectors 3.2, computed from the architecture.
        parameters=22_100_000_000,
        # Computed in bf16: transformer 37.8 GB, Gemma 4 24 GB, connectors 6.3 GB, autoencoder 2.4 GB,
        # sound 0.4 GB.
        download_bytes=70_900_000_000,
        memory={"none": 77_100_000_000, "int8": 47_400_000_000, "nf4": 32_900_000_000},
        num_inference_steps=30,
        costs=LTX_2_5,
    ),
)

# What the authors publish for each generation: the block whose skipping guides (one number), whether
# sound and picture see each other's noise level, and the compression of the pictures it learned from.
_OF_ITS_OWN = {
    "ltx-2": {"spatio_temporal_guidance_blocks": [29], "use_cross_timestep": False},
    "ltx-2.5": {"spatio_temporal_guidance_blocks": [28], "use_cross_timestep": True},
}
_IMAGE_CRF = {"ltx-2": 33, "ltx-2.5": 18}
# Beside the request's own: guidance of the sound, of skipped blocks, and of picture and sound alone.
_GUIDANCE = {
    "stg_scale": 1.0, "modality_scale": 3.0, "guidance_rescale": 0.7, "audio_guidance_scale": 7.0,
    "audio_stg_scale": 1.0, "audio_modality_scale": 3.0, "audio_guidance_rescale": 0.7,
}  # fmt: skip
_NO_GUIDANCE = {
    "stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0, "audio_guidance_scale": 1.0,
    "audio_stg_scale": 0.0, "audio_modality_scale": 1.0, "audio_guidance_rescale": 0.0,
}  # fmt: skip


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, placed as the plan says.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    from diffusers import LTX2Pipeline

    index = LTX2Pipeline.load_config(weights, local_files_only=True)
    parts = ltx_parts(index, plan, weights)
    # Helpers that write longer prompts and guess durations: gigabytes for what is not used here.
    unused = {"prompt_enhancer": None, "processor": None, "duration_head": None}
    pipe = LTX2Pipeline.from_pretrained(weights, local_files_only=True, **parts, **unused)
    pipe.set_progress_bar_config(disable=True)
    words = GemmaWords(
        spec.id, plan, weights, tokenizer=pipe.tokenizer, cls=index["text_encoder"][1], encoder=pipe.text_encoder
    )
    return LtxRunner(spec, pipe, words, place(parts, plan))


class LtxRunner:
    """A loaded LTX2 pipeline behind the app's seam.

    Args:
        pipe: an LTX2Pipeline, placed as the plan says.
        residents: what makes room for the text encoder and the decoder, where the plan has none to spare.
    """

    def __init__(self, spec: ModelSpec, pipe: Any, words: GemmaWords, residents: OneResident | None) -> None:
        from diffusers import LTX2ConditionPipeline

        self.spec, self.pipe, self.words, self.residents = spec, pipe, words, residents
        # The same components behind the pipeline that takes given frames.
        self.image_pipe = LTX2ConditionPipeline(**pipe.components)
        self.image_pipe.set_progress_bar_config(disable=True)
        self.preview, self.decoder = fit_preview(pipe.vae), Decoder(pipe)

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `base.Pipeline.generate`."""
        import torch

        numbers = numbers_with_sound(request, self.spec)
        with self._clean(report), torch.no_grad():
            report(Loading("Reading the prompt"))
            self._make_room()
            embeds = self._read(request, numbers, report)
            if given := list(given_frames(request)):
                report(Loading("Looking at the pictures"))
            conditions = [self._condition(path, index, numbers) for index, path in given]
            latents, audio_latents = self._denoise(numbers, embeds, conditions, report)
            report(Exporting("Decoding"))
            self._make_room()
            frames = None if request.sound_only else keep_given(self.decoder.frames(latents), request)
            audio = self.decoder.sound(audio_latents, self.spec.seconds_of(numbers.num_frames))
        return Output(frames=frames, audio=audio, sample_rate=self.decoder.sample_rate)

    def close(self) -> None:
        """Drop the model; whoever holds the last reference collects the cycles (`runtime.models`)."""
        self.pipe.remove_all_hooks()
        del self.pipe, self.image_pipe, self.words, self.residents, self.preview, self.decoder

    def _make_room(self) -> None:
        if self.residents is not None:
            self.residents.rest()

    def _read(self, request: GenerationRequest, numbers: Numbers, report: Reporter) -> dict[str, Any]:
        """The text encoder's states of prompt and negative prompt, by the pipeline's argument names."""
        guided = numbers.guidance_scale > 1
        prompts = [prompt_saying(request), *([request.negative_prompt] if guided else [])]
        names = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
        return dict(zip(names, (one for words in self.words.read(prompts, report) for one in words)))

    def _condition(self, path: Path, index: int, numbers: Numbers) -> Any:
        """A given frame, compressed as those were that the model learned from."""
        from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

        picture = cover(path, (numbers.width, numbers.height))
        # crf=0: done here with the ffmpeg that is here, where diffusers would ask for PyAV.
        return LTX2VideoCondition(as_video_still(picture, _IMAGE_CRF[self.spec.id]), index=index, crf=0)

    def _denoise(
        self, numbers: Numbers, embeds: dict[str, Any], conditions: list[Any], report: Reporter
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of video (1, C, F, h, w) and sound (1, C, T, bins), ready for their decoders."""
        import torch

        guidance = _GUIDANCE if numbers.guidance_scale > 1 else _NO_GUIDANCE
        arguments = embeds | guidance | _OF_ITS_OWN[self.spec.id]
        if conditions:
            arguments["conditions"] = conditions
        pipe = self.image_pipe if conditions else self.pipe
        return pipe(
            **arguments,
            width=numbers.width,
            height=numbers.height,
            num_frames=numbers.num_frames,
            frame_rate=self.spec.fps,
            num_inference_steps=numbers.num_inference_steps,
            guidance_scale=numbers.guidance_scale,
            # On the CPU, so that a seed means the same noise on every device.
            generator=torch.Generator("cpu").manual_seed(numbers.seed),
            callback_on_step_end=self._on_step(numbers, report),
            output_type="latent",
            return_dict=False,
        )

    def _on_step(self, numbers: Numbers, report: Reporter) -> Any:
        """A step callback that reports progress with a picture of the clean-video estimate."""
        progress = Progress(report, numbers.num_inference_steps, self.decoder.expected_seconds(numbers))
        before: list[torch.Tensor] = []

        def on_step(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            clean = clean_estimate(pipe.scheduler.sigmas[index : index + 2], before, tensors["latents"])
            progress.step(None if clean is None else self.preview.jpeg(unpacked(clean, numbers, self.pipe.vae)))
            return tensors

        return on_step

    @contextmanager
    def _clean(self, report: Reporter) -> Iterator[None]:
        """Cancel points on every block, and nothing left behind however the run ends."""
        try:
            with interruptible(self.spec.id, self.pipe.components.values(), CANCEL_AT, report):
                yield
        finally:
            self.pipe.maybe_free_model_hooks()


def clean_estimate(
    sigmas: torch.Tensor, before: list[torch.Tensor], latents: torch.Tensor
) -> torch.Tensor | None:
    """The clean video as the last Euler step saw it, from the latents before and after that step.

    Args:
        sigmas: noise levels before and after the step.
        before: holds the latents of the step before, or nothing at the first step; `latents` replace them.
    """
    level, after = (float(one) for one in sigmas)
    earlier = before.pop() if before else None
    before.append(latents)
    if after == 0:
        return latents
    if earlier is None or level == after:
        return None
    return latents - after * (latents - earlier) / (after - level)
