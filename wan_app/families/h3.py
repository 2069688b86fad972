"""MiniMax H3: text, keyframes, or people with face and voice; with sound, through diffusers' own blocks."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_app.families.base import Numbers, Output, Pipeline, Plan
from wan_app.families.caches import cached_steps
from wan_app.families.fit.sounding import H3
from wan_app.families.parts.frames import cover, keep_given
from wan_app.families.parts.h3_decode import CANCEL_AT, H3Decoder, latents_of_rows
from wan_app.families.parts.h3_references import character_words, references_of, voices_said
from wan_app.families.parts.prompts import PromptCache
from wan_app.families.parts.residency import OneResident
from wan_app.families.parts.running import Progress, interruptible
from wan_app.families.parts.sounding import numbers_with_sound, prompt_saying
from wan_app.families.parts.speed import Kernels
from wan_app.families.spec import ModelSpec, Shape
from wan_app.families.weights.checkpoints import load_component
from wan_app.families.weights.quantized import fingerprint
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter

if TYPE_CHECKING:
    import torch

SPECS = (
    ModelSpec(
        id="minimax-h3",
        family="h3",
        title="MiniMax H3",
        about="Large model with sound: from words, a first and a last picture, or people with face and voice.",
        licence="MiniMax H3 Community License: not in the EU, the UK, South Korea or the USA",
        licence_id="minimax-h3",
        repository="MiniMaxAI/MiniMax-H3",
        # Not pinned: the hub was out of reach from where this was written, and a commit that does not
        # exist would fail every download.
        revision="main",
        parameters=33_100_000_000,
        # Computed: two transformers of 66.2 GB and Qwen3-VL of 66.7 GB in bf16, autoencoder 10.4 GB and
        # sound 0.6 GB in fp32.
        download_bytes=210_000_000_000,
        # Computed, not measured, for 124 frames of 1344x768: the text encoder or one transformer on the
        # card, never both (67 / 36 / 20 GB), the autoencoder (6 GB), and about 10 GB of activations. The
        # one that waits needs as much of the computer's own memory.
        memory={"none": 83_000_000_000, "int8": 52_000_000_000, "nf4": 36_000_000_000},
        tasks=("text", "image", "reference"),
        fps=24.0,
        frame_step=17,
        frame_offset=5,
        # Five to fifteen seconds: its own limits.
        min_frames=124,
        max_frames=345,
        default_frames=124,
        shapes=(
            Shape("Wide 768p", 1344, 768), Shape("Tall 768p", 768, 1344), Shape("Square", 768, 768),
            Shape("Wide", 960, 544), Shape("Tall", 544, 960),
        ),
        size_multiple=32,
        min_side=256,
        max_area=1344 * 768,
        # The 50 levels of noise that its blocks take by default are 49 steps between them.
        num_inference_steps=49,
        # Guidance is distilled into the weights: there is none to set, nor a negative prompt.
        guidance_scale=1.0,
        max_guidance_scale=1.0,
        max_negative_prompt_characters=0,
        max_reference_images=9,
        max_characters=9,
        max_voices=3,
        native_audio=True,
        takes_last_image=True,
        voice_needs_face=True,
        image_with_reference=False,
        pipeline_class="MiniMaxH3ModularPipeline",
        index_file="modular_model_index.json",
        costs=H3,
        takes_step_cache=True,
    ),
)  # fmt: skip


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The pipeline from a folder in the repository's layout, all but the transformers.

    There are two of 66 GB, for words and keyframes and for references: the one that a request needs
    is loaded with it.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    import torch
    from diffusers import AutoencoderKLMiniMaxH3, AutoencoderKLMiniMaxH3Audio, MiniMaxH3Scheduler
    from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(weights / "tokenizer", local_files_only=True)
    parts = {
        "text_encoder": load_component(
            Qwen3VLForConditionalGeneration, weights, "text_encoder", torch.bfloat16, plan.quantization,
            cache=plan.cache,
        ),
        "vae": load_component(AutoencoderKLMiniMaxH3, weights, "vae", torch.bfloat16).to(plan.device),
        # In bf16 it is 20 dB too quiet.
        "audio_vae": load_component(AutoencoderKLMiniMaxH3Audio, weights, "audio_vae", torch.float32).to(plan.device),
        "scheduler": MiniMaxH3Scheduler.from_pretrained(weights, subfolder="scheduler", local_files_only=True),
        "audio_scheduler": MiniMaxH3Scheduler.from_pretrained(
            weights, subfolder="audio_scheduler", local_files_only=True
        ),
        "tokenizer": tokenizer,
        "processor": PictureProcessor(weights / "processor", tokenizer),
    }
    return H3Runner(spec, plan, weights, parts)


class H3Runner:
    """H3's stages as pipelines of their own, and one of its two transformers at a time.

    Args:
        parts: components by name, without the transformers; the text encoder is placed when it is needed.
    """

    def __init__(self, spec: ModelSpec, plan: Plan, weights: Path, parts: dict[str, Any]) -> None:
        self.spec, self.plan, self.weights, self.parts = spec, plan, weights, parts
        index = json.loads((weights / spec.index_file).read_text(encoding="utf-8"))
        self._settings = {name: value for name, value in index.items() if isinstance(value, (int, float))}
        # Which transformer is here, by the name of its folder, and how it computes on this device.
        self._partition = ""
        self.kernels: Kernels | None = None
        self.residents = OneResident([parts["text_encoder"].model], plan.device)
        self.decoder = H3Decoder(parts["vae"], parts["audio_vae"])
        reader = fingerprint(weights / "text_encoder", plan.quantization) if plan.cache else ""
        self._prompts = PromptCache(plan.cache / "prompts" if plan.cache else None, reader)

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `base.Pipeline.generate`."""
        import torch

        numbers = numbers_with_sound(request, self.spec)
        self._need("transformer_ref" if request.characters else "transformer", report)
        with self._clean(report), torch.no_grad():
            report(Loading("Reading the prompt"))
            state = self._read(request, numbers)
            if request.image is not None or request.characters:
                report(Loading("Looking at the pictures"))
                state = self._stage("encode", request)(state=state)
            latents, audio_latents = self._denoise(request, numbers, state, report)
            report(Exporting("Decoding"))
            frames = None if request.sound_only else keep_given(self.decoder.frames(latents), request)
            audio = self.decoder.sound(audio_latents, self.spec.seconds_of(numbers.num_frames))
        return Output(frames=frames, audio=audio, sample_rate=self.decoder.sample_rate)

    def close(self) -> None:
        """Drop the model; whoever holds the last reference collects the cycles (`runtime.models`)."""
        del self.parts, self.residents, self.decoder, self.kernels

    def _need(self, name: str, report: Reporter) -> None:
        """Have the transformer `name` here, in the place of the other one."""
        import torch
        from diffusers import MiniMaxH3Transformer3DModel

        from wan_app.families.weights.faults import faults_as_ours

        if self._partition == name:
            return
        report(Loading(f"Getting the part of {self.spec.title} for this kind of video"))
        if self._partition:
            self.residents.drop(self.parts.pop(self._partition))
            self._partition, self.kernels = "", None
            gc.collect()
        # What is quantized is packed on the card, where the text encoder is.
        self.residents.rest()
        with faults_as_ours(self.spec.id, self.plan, str(self.weights / name)):
            self.parts[name] = load_component(
                MiniMaxH3Transformer3DModel, self.weights, name, torch.bfloat16, self.plan.quantization,
                cache=self.plan.cache,
            )
        self._partition = name
        self.kernels = Kernels([self.parts[name]], self.plan.device, self.plan.quantization)
        self.residents.add(self.parts[name])

    def _stage(self, what: str, request: GenerationRequest) -> Any:
        """A pipeline of the blocks for one stage of this kind of request, on our components."""
        from diffusers.modular_pipelines import SequentialPipelineBlocks
        from diffusers.modular_pipelines.minimax_h3 import before_encoder, encoders, modular_blocks_minimax_h3

        core = modular_blocks_minimax_h3
        if request.characters:
            read = {"setup": before_encoder.MiniMaxH3Ref2VASetupStep, "text": encoders.MiniMaxH3Ref2VATextEncoderStep}
            encode, denoise = encoders.MiniMaxH3Ref2VAReferenceEncoderStep, core.MiniMaxH3Ref2VACoreDenoiseStep
        elif request.image is not None:
            read = {"setup": before_encoder.MiniMaxH3ResizeStep, "text": encoders.MiniMaxH3FL2VATextEncoderStep}
            encode, denoise = encoders.MiniMaxH3KeyframeVaeEncoderStep, core.MiniMaxH3FL2VACoreDenoiseStep
        else:
            read, encode = {"text": encoders.MiniMaxH3TextEncoderStep}, None
            denoise = core.MiniMaxH3CoreDenoiseStep
        stages = {"read": lambda: SequentialPipelineBlocks.from_blocks_dict(read), "encode": encode, "denoise": denoise}
        pipe = stages[what]().init_pipeline()
        pipe.set_progress_bar_config(disable=True)
        needed = self.parts | self._settings
        known = pipe._component_specs.keys() | pipe._config_specs.keys()
        pipe.update_components(**{name: value for name, value in needed.items() if name in known})
        # Sizes of latents are read off these by blocks that declare no need of them.
        for name in ("vae", "audio_vae"):
            setattr(pipe, name, self.parts[name])
        return pipe

    def _read(self, request: GenerationRequest, numbers: Numbers) -> Any:
        """The state after the text encoder, which sees the pictures too."""
        size = (numbers.width, numbers.height)
        prompt = " ".join([prompt_saying(request, character_words(request)), *voices_said(request)])
        pictures: dict[str, Any] = {}
        if request.characters:
            pictures["references"] = references_of(request, self.decoder.sample_rate)
            pictures["num_frames"] = numbers.num_frames
        elif request.image is not None:
            pictures["image"] = cover(request.image, size)
            pictures["last_image"] = cover(request.last_image, size) if request.last_image else None
        if pictures:
            pictures |= {"width": numbers.width, "height": numbers.height}
        elif (known := self._prompts.get(prompt)) is not None:
            # Spares two moves of tens of gigabytes: the text encoder there, the transformer back.
            return self._as_read(known, request)
        self.residents.bring(self.parts["text_encoder"].model)
        state = self._stage("read", request)(prompt=prompt, **pictures)
        if not pictures:
            self._prompts.put(prompt, state.get("prompt_embeds"))
        return state

    def _as_read(self, embeds: torch.Tensor, request: GenerationRequest) -> Any:
        """The state that reading words alone ends in."""
        import torch
        from diffusers.modular_pipelines import PipelineState

        state = PipelineState()
        state.set("prompt_embeds", embeds.to(self.plan.device), "denoiser_input_fields")
        tag = self._stage("read", request).text_tag
        state.set("text_token_tags", torch.full((embeds.shape[1],), tag, dtype=torch.long))
        return state

    def _denoise(
        self, request: GenerationRequest, numbers: Numbers, state: Any, report: Reporter
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised latents of video (1, C, F, h, w) and sound (2, C, T)."""
        import torch

        transformer = self.parts[self._partition]
        self.residents.bring(transformer)
        faces = sum(len(one.faces) for one in request.characters)
        tokens = H3.tokens(numbers.width, numbers.height, numbers.num_frames, faces)
        if self.kernels:
            self.kernels.compile_for(H3.tflop(tokens) * numbers.num_inference_steps)
        skipping = cached_steps([transformer], request.step_cache)
        with self._watched(numbers, report), skipping, transformer.cache_context("pass"):
            made = self._stage("denoise", request)(
                state=state,
                width=numbers.width,
                height=numbers.height,
                num_frames=numbers.num_frames,
                # It counts levels of noise, the last of them none at all.
                num_inference_steps=numbers.num_inference_steps + 1,
                # On the CPU, so that a seed means the same noise on every device.
                generator=torch.Generator("cpu").manual_seed(numbers.seed),
                output=["latents", "audio_latents"],
            )
        return made["latents"], made["audio_latents"]

    @contextmanager
    def _watched(self, numbers: Numbers, report: Reporter) -> Iterator[None]:
        """Progress after every pass of the transformer, one a step, with a picture of its clean estimate."""
        progress = Progress(report, numbers.num_inference_steps, self.decoder.expected_seconds(numbers))
        done = iter(range(numbers.num_inference_steps))

        def on_pass(module: Any, args: Any, given: dict[str, Any], output: Any) -> None:
            level = float(self.parts["scheduler"].sigmas[next(done)])
            # It predicts the way to the data: added, where others subtract.
            clean = given["hidden_states"][0].float() + level * output[0][0].float()
            latents = latents_of_rows(clean, numbers, self.parts["vae"], module.config.patch_size)
            progress.step(self.decoder.preview.jpeg(latents))

        handle = self.parts[self._partition].register_forward_hook(on_pass, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _clean(self, report: Reporter) -> Iterator[None]:
        """Cancel points on every block."""
        with interruptible(self.spec.id, self.parts.values(), CANCEL_AT, report):
            yield


class PictureProcessor:
    """What H3's blocks use of a Qwen3VLProcessor for pictures.

    The whole processor would want torchvision for its videos, which we never give; and beside a CPU
    build of torch the usual torchvision breaks every import of transformers.
    """

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        self.image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        self._picture = tokenizer.convert_tokens_to_ids("<|image_pad|>")

    def create_mm_token_type_ids(self, batch: list[list[int]]) -> list[list[int]]:
        """1 for a token of a picture, 0 for text."""
        return [[int(one == self._picture) for one in tokens] for tokens in batch]
