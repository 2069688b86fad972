"""JoyAI-Echo 1.5: people with a face and a voice each, and sound in one pass, through diffusers' Echo blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from wan_app.families.base import Numbers, Output, Pipeline, Plan, character_words
from wan_app.families.fit.sounding import ECHO
from wan_app.families.parts.echo_voice import voice_latents
from wan_app.families.parts.frames import cover, keep_given
from wan_app.families.parts.gemma_words import GemmaWords
from wan_app.families.parts.ltx_base import CANCEL_AT, Decoder, fit_preview, ltx_parts, place, unpacked
from wan_app.families.parts.residency import OneResident
from wan_app.families.parts.running import Progress, interruptible
from wan_app.families.parts.sounding import numbers_with_sound, prompt_saying
from wan_app.families.spec import ModelSpec, Shape
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter

if TYPE_CHECKING:
    import torch

SPECS = (
    ModelSpec(
        id="echo-1.5",
        family="echo",
        title="JoyAI-Echo 1.5",
        about="Up to seven people with a face and a voice each, speaking in one video with its own sound.",
        licence="JoyAI-Echo: academic and non-commercial use only; and LTX-2 Community License",
        licence_id="joyai-echo",
        repository="Echo-Team/JoyAI-Echo",
        # Not pinned: the hub was out of reach from where this was written, and a commit that does not
        # exist would fail every download.
        revision="main",
        parameters=19_000_000_000,
        # Computed in bf16: transformer 38 GB, Gemma 3 24.4 GB, connectors 6.3 GB, autoencoder 1.5 GB,
        # sound 0.4 GB.
        download_bytes=70_600_000_000,
        # Computed, not measured, for 241 frames of 1280x736 and seven people with every component on the
        # card: the above (sound in fp32) and about 12 GB of activations.
        memory={"none": 83_000_000_000, "int8": 52_700_000_000, "nf4": 38_200_000_000},
        tasks=("text", "image", "reference"),
        fps=25.0,
        frame_step=8,
        min_frames=9,
        max_frames=241,
        default_frames=241,
        shapes=(
            Shape("Wide", 704, 512), Shape("Tall", 512, 704), Shape("Square", 608, 608),
            Shape("Wide 720p", 1280, 736), Shape("Tall 720p", 736, 1280),
        ),
        size_multiple=32,
        min_side=256,
        max_area=1280 * 736,
        # What it was distilled to; without guidance, so that a negative prompt has nowhere to go.
        num_inference_steps=8,
        guidance_scale=1.0,
        max_inference_steps=24,
        max_guidance_scale=1.0,
        max_negative_prompt_characters=0,
        max_reference_images=7,
        max_characters=7,
        max_voices=7,
        native_audio=True,
        voice_needs_face=True,
        pipeline_class="EchoModularPipeline",
        index_file="modular_model_index.json",
        costs=ECHO,
    ),
)  # fmt: skip

# The published noise levels of its eight steps.
_SIGMAS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
# Stands in a slot for a voice whose face is not shown, when only sound is made.
_NOBODY = (128, 128, 128)


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, placed as the plan says.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    from transformers import AutoTokenizer

    index = json.loads((weights / spec.index_file).read_text(encoding="utf-8"))
    # Not `load_components`, which only logs what fails to load and goes on without it.
    parts = ltx_parts(index, plan, weights)
    parts["tokenizer"] = AutoTokenizer.from_pretrained(weights / "tokenizer", local_files_only=True)
    words = GemmaWords(
        spec.id, plan, weights, tokenizer=parts["tokenizer"], cls=index["text_encoder"][1],
        encoder=parts["text_encoder"],
    )
    return EchoRunner(spec, parts, words, place(parts, plan))


class EchoRunner:
    """Echo's stages as pipelines of their own, so that each can be reported, cancelled and cached.

    Args:
        parts: components by name, placed as the plan says.
        residents: what makes room for the text encoder and the decoder, where the plan has none to spare.
    """

    def __init__(
        self, spec: ModelSpec, parts: dict[str, Any], words: GemmaWords, residents: OneResident | None
    ) -> None:
        from diffusers.modular_pipelines.echo.encoders import EchoVaeEncoderStep
        from diffusers.modular_pipelines.echo.modular_blocks_echo import EchoDenoiseStep

        self.spec, self.parts, self.words, self.residents = spec, parts, words, residents
        self.looking = self._stage(EchoVaeEncoderStep())
        self.denoising = self._stage(EchoDenoiseStep())
        self.preview = fit_preview(parts["vae"])
        self.decoder = Decoder(self.denoising)

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `base.Pipeline.generate`."""
        import torch

        numbers = numbers_with_sound(request, self.spec)
        with self._clean(report), torch.no_grad():
            report(Loading("Reading the prompt"))
            self._make_room()
            conditions = self._read(request, report)
            if request.image is not None or request.characters:
                report(Loading("Looking at the pictures"))
                conditions |= self._memory(request, numbers)
            latents, audio_latents = self._denoise(numbers, conditions, report)
            report(Exporting("Decoding"))
            self._make_room()
            frames = None if request.sound_only else keep_given(self.decoder.frames(latents), request)
            audio = self.decoder.sound(audio_latents, self.spec.seconds_of(numbers.num_frames))
        return Output(frames=frames, audio=audio, sample_rate=self.decoder.sample_rate)

    def close(self) -> None:
        """Drop the model; whoever holds the last reference collects the cycles (`runtime.models`)."""
        del self.parts, self.words, self.residents, self.looking, self.denoising, self.preview, self.decoder

    def _make_room(self) -> None:
        if self.residents is not None:
            self.residents.rest()

    def _read(self, request: GenerationRequest, report: Reporter) -> dict[str, Any]:
        """What the connectors make of the prompt, by the names of the stages after them."""
        words = self.words.read([prompt_saying(request, character_words(request))], report)[0]
        names = ("connector_prompt_embeds", "connector_audio_prompt_embeds", "connector_attention_mask")
        return dict(zip(names, self.parts["connectors"](*words, padding_side="left")))

    def _stage(self, blocks: Any) -> Any:
        """A pipeline of some of Echo's blocks on our components."""
        pipe = blocks.init_pipeline()
        pipe.set_progress_bar_config(disable=True)
        # Decoding is ours, and so the sound's latent sizes must be known to the blocks before it.
        needed = {name: part for name, part in self.parts.items() if name in pipe._component_specs}
        pipe.update_components(**needed)
        for name in ("vae", "audio_vae", "vocoder"):
            if name not in needed:
                setattr(pipe, name, self.parts[name])
        return pipe

    def _memory(self, request: GenerationRequest, numbers: Numbers) -> dict[str, Any]:
        """Latents of the first frame, and of face and voice in every slot."""
        slots = memory_slots(request)
        size = (numbers.width, numbers.height)
        pictures = [Image.new("RGB", size, _NOBODY) if face is None else cover(face, size) for face, _ in slots]
        seen = self.looking(
            image=cover(request.image, size) if request.image else None,
            memory_images=pictures,
            width=numbers.width,
            height=numbers.height,
            output=["first_frame_latents", "memory_video_latents"],
        )
        voices = [None if voice is None else voice_latents(self.parts["audio_vae"], voice) for _, voice in slots]
        # All silent is not the same as no voices: then there are no slots of sound at all.
        return seen | {"memory_audio_latents": voices if any(one is not None for one in voices) else None}

    def _denoise(
        self, numbers: Numbers, conditions: dict[str, Any], report: Reporter
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of video (1, C, F, h, w) and sound (1, C, T, bins), ready for their decoders."""
        import torch

        if self.residents is not None:
            # Its device is where the stage makes its noise.
            self.residents.bring(self.parts["transformer"])
        with self._watched(numbers, report):
            made = self.denoising(
                **conditions,
                width=numbers.width,
                height=numbers.height,
                num_frames=numbers.num_frames,
                frame_rate=self.spec.fps,
                sigmas=sigmas_for(numbers.num_inference_steps),
                # On the CPU, so that a seed means the same noise on every device.
                generator=torch.Generator("cpu").manual_seed(numbers.seed),
                output=["latents", "audio_latents"],
            )
        return self._denormalised(made["latents"].float(), made["audio_latents"].float())

    def _denormalised(
        self, latents: torch.Tensor, audio_latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        vae, audio_vae = self.parts["vae"], self.parts["audio_vae"]
        mean, std = (one.float().view(1, -1, 1, 1, 1) for one in (vae.latents_mean, vae.latents_std))
        # The sound's statistics are stored flat, by channel and then by pitch.
        flat = (1, audio_latents.shape[1], 1, audio_latents.shape[3])
        audio_mean, audio_std = (one.float().view(flat) for one in (audio_vae.latents_mean, audio_vae.latents_std))
        return latents * std / vae.config.scaling_factor + mean, audio_latents * audio_std + audio_mean

    @contextmanager
    def _watched(self, numbers: Numbers, report: Reporter) -> Iterator[None]:
        """Progress after every pass of the transformer, one a step, with a picture of its clean estimate."""
        transformer = self.parts["transformer"]
        progress = Progress(report, numbers.num_inference_steps, self.decoder.expected_seconds(numbers))
        scale = float(transformer.config.timestep_scale_multiplier)

        def on_pass(module: Any, args: Any, given: dict[str, Any], output: Any) -> None:
            # The people in memory stand in front of the video's own tokens.
            clean = given["hidden_states"].float() - output[0].float() * given["timestep"].unsqueeze(-1) / scale
            own = clean.shape[1] - tokens_of(numbers, self.parts["vae"])
            progress.step(self.preview.jpeg(unpacked(clean[:, own:], numbers, self.parts["vae"])))

        handle = transformer.register_forward_hook(on_pass, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _clean(self, report: Reporter) -> Iterator[None]:
        """Cancel points on every block."""
        with interruptible(self.spec.id, self.parts.values(), CANCEL_AT, report):
            yield


def memory_slots(request: GenerationRequest) -> list[tuple[Path | None, Path | None]]:
    """(face, voice) of every slot in order: one for each face, the voice with its character's first."""
    slots: list[tuple[Path | None, Path | None]] = []
    for one in request.characters:
        faces: list[Path | None] = list(one.faces) or [None]
        slots += zip(faces, [one.voice, *[None] * (len(faces) - 1)])
    return slots


def sigmas_for(steps: int) -> list[float]:
    """Noise levels of `steps` steps along the published ones, which they are for 8; the last is 0."""
    import numpy as np

    return np.interp(np.linspace(0, len(_SIGMAS) - 1, steps + 1), range(len(_SIGMAS)), _SIGMAS).tolist()


def tokens_of(numbers: Numbers, vae: Any) -> int:
    """How many tokens the video itself is."""
    cells = (numbers.width // vae.spatial_compression_ratio) * (numbers.height // vae.spatial_compression_ratio)
    return cells * ((numbers.num_frames - 1) // vae.temporal_compression_ratio + 1)
