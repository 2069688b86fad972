"""The bundled model `pocket`: our own small reference-to-video model (see `wan_app.likeness`)."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from wan_app.families.base import Numbers, Output, Pipeline, Plan, cancel_points, numbers_of, prompt_calling
from wan_app.families.parts import windows
from wan_app.families.parts.recording import Recording
from wan_app.families.spec import ModelSpec, Shape
from wan_app.families.speech.lines import spoken_lines
from wan_app.types import Exporting, GenerationRequest, Loading, Reporter, Similarity, Step

if TYPE_CHECKING:
    import numpy as np
    import torch

SPECS = (
    ModelSpec(
        id="pocket",
        family="pocket",
        title="Pocket",
        about="A small cartoon model trained by this project: drawn people, not photographs, who wave, talk, sit, "
        "walk, jump or dance on a beach, in a forest, a city, snow, a desert, a room or on the moon, and babble in the "
        "voice you give. Who stands still comes out best; after five seconds looks slowly change.",
        licence="Apache-2.0",
        repository="bundled",
        revision="2",
        parameters=14_430_000,
        download_bytes=0,
        # Resident memory of the worker after a clip, torch and diffusers included.
        memory={"none": 900_000_000},
        tasks=("text", "image", "reference"),
        fps=8.0,
        frame_step=4,
        min_frames=5,
        max_frames=81,
        default_frames=17,
        shapes=(Shape("Square", 128, 128), Shape("Wide", 160, 96), Shape("Tall", 96, 160)),
        size_multiple=32,
        min_side=96,
        max_area=128 * 128,
        num_inference_steps=16,
        guidance_scale=3.5,
        max_inference_steps=50,
        max_guidance_scale=8.0,
        max_reference_images=4,
        max_characters=1,
        max_voices=1,
        native_audio=True,
        takes_last_image=True,
        speaks_words=False,
        bundled=True,
        pipeline_class="LikenessPipeline",
    ),
)

_CANCEL_AT = {"LikenessTransformerBlock", "UMT5Block", "VitBlock", "Enlarger", "CellHead"}
# Words by which a prompt says already that somebody speaks.
_SPEAKS = re.compile(r"\b(talk|speak|say|said|sing|chat|tell|babbl)", re.IGNORECASE)
_QUOTES = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“]*“")
_BABBLES = "Pocket has a voice but knows no words: it babbles in the rhythm of speech"
# Words of `likeness.world.captions.PLACE` that name a place.
_PLACES = re.compile(
    r"\b(beach|seaside|sea|ocean|shore|forest|woods|trees|city|town|street|road|skyscrapers|downtown|moon|space|planet|snow\w*|"
    r"winter|ice|desert|cactus|cacti|room|home|indoors|house)\b", re.IGNORECASE,
)
_NO_PLACE = (
    "Pocket found no place that it knows in the prompt, and chose one: it knows the beach, forest, city, moon, snow, "
    "desert and a room"
)
_JPEG_QUALITY = 80
_PREVIEW_SCALE = 4


def load(spec: ModelSpec, plan: Plan, weights: Path) -> Pipeline:
    """The loaded pipeline from a folder written by `LikenessPipeline.save_pretrained`.

    Raises:
        ModelUnavailable: a component lacks tensors.
    """
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler
    from transformers import AutoTokenizer, UMT5EncoderModel

    from wan_app.families.weights.checkpoints import load_component
    from wan_app.likeness.audio import LikenessAudioAutoencoder
    from wan_app.likeness.autoencoder import LikenessAutoencoder
    from wan_app.likeness.identity import LikenessIdentityEncoder
    from wan_app.likeness.pipeline import LikenessPipeline
    from wan_app.likeness.transformer import LikenessTransformer3DModel
    from wan_app.likeness.voice import LikenessVoiceEncoder

    # Only the transformer is worth computing in bf16; the rest is tiny.
    fast = torch.bfloat16 if plan.device != "cpu" or _fast_bf16() else torch.float32
    pipe = LikenessPipeline(
        tokenizer=AutoTokenizer.from_pretrained(weights / "tokenizer"),
        text_encoder=load_component(UMT5EncoderModel, weights, "text_encoder", torch.float32),
        identity_encoder=load_component(LikenessIdentityEncoder, weights, "identity_encoder", torch.float32),
        voice_encoder=load_component(LikenessVoiceEncoder, weights, "voice_encoder", torch.float32),
        transformer=load_component(LikenessTransformer3DModel, weights, "transformer", fast),
        vae=load_component(LikenessAutoencoder, weights, "vae", torch.float32),
        audio_vae=load_component(LikenessAudioAutoencoder, weights, "audio_vae", torch.float32),
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(weights / "scheduler"),
    )
    pipe.to(plan.device)
    return PocketPipeline(pipe)


class PocketPipeline:
    """A loaded `LikenessPipeline` behind the app's seam: progress, previews, cancel in every block."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        # Seconds that decoding took a frame, the last time; the tail of the ETA.
        self._decode_seconds = 0.02

    def generate(self, request: GenerationRequest, report: Reporter) -> Output:
        """Encode, denoise, decode; see `base.Pipeline.generate`."""
        import torch

        numbers = numbers_of(request)
        faces = [picture for one in request.characters for path in one.faces if (picture := _open(path))]
        voice = next((Recording.read(one.voice).samples for one in request.characters if one.voice), None)
        times = [time.monotonic()]

        def on_step(index: int, total: int, clean: torch.Tensor) -> None:
            times.append(time.monotonic())
            # Encoding the pictures counts into the first step, so later ones are measured from its end. A clip that
            # is taken up begins in the middle.
            done = len(times) - 1
            each = (times[-1] - times[1 if done > 1 else 0]) / max(1, done - 1)
            eta = each * (total - index) + self._decode_seconds * numbers.num_frames
            report(Step(index=index, total=total, eta=eta, preview=self._preview(clean)))
            report.check()

        def on_decode() -> None:
            times.append(time.monotonic())
            report(Exporting("Decoding"))

        with cancel_points(self._blocks(), report.check):
            report(Loading("Reading the prompt"))
            made = self.pipe(
                prompt_for(request),
                negative_prompt=request.negative_prompt,
                image=_open(request.image),
                last_image=_open(request.last_image),
                reference_images=faces,
                voice=voice,
                height=numbers.height,
                width=numbers.width,
                num_frames=numbers.num_frames,
                num_inference_steps=numbers.num_inference_steps,
                guidance_scale=numbers.guidance_scale,
                sound_only=request.sound_only,
                # On the CPU, so that a seed means the same noise on every device.
                generator=torch.Generator("cpu").manual_seed(numbers.seed),
                on_step=on_step,
                on_decode=on_decode,
                on_window=lambda whole: windows.keep(report.windows, **whole._asdict()),
                made=self._made_before(report.windows, numbers),
            )
        if made.frames is not None:
            self._decode_seconds = (time.monotonic() - times[-1]) / numbers.num_frames
        return Output(
            frames=made.frames,
            audio=made.audio,
            sample_rate=made.sample_rate,
            similarity=self._similarity(request, faces, voice, made),
            notes=((_BABBLES,) if spoken_lines(request) else ()) + notes_on_place(request),
        )

    def _similarity(
        self, request: GenerationRequest, faces: list[Image.Image], voice: np.ndarray | None, made: Any
    ) -> tuple[Similarity, ...]:
        """The character held against its references, by the pipeline's own encoders."""
        import torch

        from wan_app.likeness.similarity import identity_agreement, voice_agreement

        if not faces and voice is None:
            return ()
        pipe, identity, spoken = self.pipe, None, None
        if faces and made.frames is not None:
            with torch.no_grad():
                identity = identity_agreement(pipe.identity_encoder, pipe.encode_person(faces), made.frames)
        if voice is not None:
            spoken = voice_agreement(pipe.voice_encoder, voice, made.audio[0])
        return (
            Similarity(
                character=request.characters[0].name,
                identity=identity,
                timbre=spoken.timbre if spoken else None,
                pitch=spoken.pitch if spoken else None,
            ),
        )

    def _made_before(self, file: Path | None, numbers: Numbers) -> Any:
        """The `Latents` that an earlier try of this job had finished, if they fit."""
        from wan_app.likeness.autoencoder import CELL
        from wan_app.likeness.pipeline import ENLARGED, Latents

        found = windows.kept(file)
        if found.keys() != set(Latents._fields):
            return None
        cells = (numbers.height // (ENLARGED * CELL), numbers.width // (ENLARGED * CELL))
        latents = Latents(**{name: one.to(self.pipe.device) for name, one in found.items()})
        return latents if latents.video.shape[3:] == cells else None

    def close(self) -> None:
        """Drop the model."""
        del self.pipe

    def _blocks(self) -> list[Any]:
        import torch

        parts = (part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module))
        return [module for part in parts for module in part.modules() if type(module).__name__ in _CANCEL_AT]

    def _preview(self, clean: torch.Tensor) -> bytes:
        """A frame from the middle of the clean estimate as a JPEG, really decoded: that takes milliseconds."""
        import torch

        middle = clean.shape[2] // 2
        with torch.no_grad():
            group = self.pipe.vae.decode(clean[:, :, middle : middle + 1], enlarge=False, still=False)
        pixels = group[0, :, 0].add(1).mul(127.5).clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        shown = Image.fromarray(pixels)
        size = (shown.width * _PREVIEW_SCALE, shown.height * _PREVIEW_SCALE)
        out = io.BytesIO()
        shown.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=_JPEG_QUALITY)
        return out.getvalue()


def notes_on_place(request: GenerationRequest) -> tuple[str, ...]:
    """A line for people where the prompt names no place of the model's world; a first picture shows one."""
    if request.image is not None or request.sound_only or _PLACES.search(request.prompt):
        return ()
    return (_NO_PLACE,)


def prompt_for(request: GenerationRequest) -> str:
    """The prompt in words of the model's world: its one character's name, no quotes, and who has a voice talks."""
    prompt = prompt_calling(request, ["character1"])
    spoken = bool(spoken_lines(request)) or any(one.voice for one in request.characters)
    words = _QUOTES.sub(" ", prompt).strip() or "a person"
    return f"{words} and talks" if spoken and not _SPEAKS.search(words) else words


def _open(path: Path | None) -> Image.Image | None:
    if path is None:
        return None
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware; others are much slower with it than with fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
