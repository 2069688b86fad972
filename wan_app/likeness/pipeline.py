"""The bundled model as a diffusers pipeline: text, first (and last) picture, face and voice to video with sound.

pipe = LikenessPipeline.from_pretrained("assets/pocket")
clip = pipe("character1 talks on the beach", reference_images=[face], voice=samples)
clip.frames, clip.audio
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from PIL import Image, ImageOps
from transformers import AutoTokenizer, UMT5EncoderModel

from wan_app.likeness.audio import LikenessAudioAutoencoder, sounds_before, sounds_of
from wan_app.likeness.autoencoder import CELL, GROUP, LikenessAutoencoder, sound_by_frame
from wan_app.likeness.identity import PICTURE, LikenessIdentityEncoder
from wan_app.likeness.noise import clip_noise, shared_noise
from wan_app.likeness.revoicing import revoiced
from wan_app.likeness.text import encode_text
from wan_app.likeness.transformer import LikenessTransformer3DModel
from wan_app.likeness.vocoder import HOP, SAMPLE_RATE, synthesise
from wan_app.likeness.voice import KINDS, LikenessVoiceEncoder, VoiceTokens

# Latent frames that the transformer was trained on at once: 17 frames, two seconds.
WINDOW = 5
# Latent frames of one window that are given to the next one.
OVERLAP = 2
# The decoder draws at twice the size that the encoder reads.
ENLARGED = 2
# Samples of a recording that the voice encoder hears at once, about as long as in training.
STRETCH = 3 * SAMPLE_RATE
# Share of the video's guidance that sound gets: pushed as hard, pitch leaves the voice.
AUDIO_GUIDANCE = 0.3

OnStep = Callable[[int, int, torch.Tensor], None]


@dataclass
class LikenessOutput:
    """frames: uint8 (num_frames, height, width, 3), None if only sound was asked for; audio: float32
    (1, samples) in [-1, 1] at `sample_rate`, exactly as long as the frames."""

    frames: np.ndarray | None
    audio: np.ndarray
    sample_rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Conditions:
    """What one clip is made from: embeddings, row 0 without guidance where there are two; identity and voice
    tokens, None for nobody in particular, and the rows which read them."""

    text: torch.Tensor
    identity: torch.Tensor | None
    voice: torch.Tensor | None
    use: torch.Tensor
    guidance_scale: float


class Latents(NamedTuple):
    """video (1, C, f, h, w) and audio (1, Ca, n) of one window or of the whole clip."""

    video: torch.Tensor
    audio: torch.Tensor


class LikenessPipeline(DiffusionPipeline):
    """Encode, denoise in windows, decode; see `__call__`."""

    model_cpu_offload_seq = "text_encoder->identity_encoder->voice_encoder->transformer->vae->audio_vae"

    def __init__(
        self,
        tokenizer,
        text_encoder: UMT5EncoderModel,
        identity_encoder: LikenessIdentityEncoder,
        voice_encoder: LikenessVoiceEncoder,
        transformer: LikenessTransformer3DModel,
        vae: LikenessAutoencoder,
        audio_vae: LikenessAudioAutoencoder,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            identity_encoder=identity_encoder,
            voice_encoder=voice_encoder,
            transformer=transformer,
            vae=vae,
            audio_vae=audio_vae,
            scheduler=scheduler,
        )

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, torch_dtype: torch.dtype = torch.float32, **_
    ) -> LikenessPipeline:
        """Load a folder written by `save_pretrained`; only the transformer takes `torch_dtype`, the rest is tiny."""
        folder = Path(folder)
        return cls(
            tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
            text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
            identity_encoder=LikenessIdentityEncoder.from_pretrained(
                folder / "identity_encoder", torch_dtype=torch.float32
            ),
            voice_encoder=LikenessVoiceEncoder.from_pretrained(folder / "voice_encoder", torch_dtype=torch.float32),
            transformer=LikenessTransformer3DModel.from_pretrained(
                folder / "transformer", torch_dtype=torch_dtype
            ),
            vae=LikenessAutoencoder.from_pretrained(folder / "vae", torch_dtype=torch.float32),
            audio_vae=LikenessAudioAutoencoder.from_pretrained(folder / "audio_vae", torch_dtype=torch.float32),
            scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        )

    @torch.no_grad()
    def __call__(  # noqa: PLR0913 - diffusers' calling convention, the same names in the same meaning
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        image: Image.Image | list[Image.Image] | None = None,
        last_image: Image.Image | None = None,
        reference_images: list[Image.Image] | None = None,
        voice: np.ndarray | None = None,
        height: int = 128,
        width: int = 128,
        num_frames: int = 17,
        num_inference_steps: int = 16,
        guidance_scale: float = 3.5,
        sound_only: bool = False,
        generator: torch.Generator | None = None,
        on_step: OnStep | None = None,
        on_decode: Callable[[], None] | None = None,
        on_window: Callable[[Latents], None] | None = None,
        made: Latents | None = None,
    ) -> LikenessOutput:
        """Make one clip.

        Args:
            image: the first frame, or the first 4k+1 frames of a clip to go on with.
            last_image: where the clip should end.
            reference_images: pictures of one person, called `character1` in the prompt.
            voice: a recording of that person, float32 (samples,) at 16 kHz, at least half a second.
            height, width: of the frames made, multiples of 32.
            num_frames: 4k+1; more than 17 are made in windows that each go on from the last.
            sound_only: leave out the decoding of frames.
            on_step: called after each denoising step with its number, the total, and the clean video estimate.
            on_decode: called once before decoding.
            on_window: called with the clip so far after each window that another follows.
            made: the clip so far of an earlier call with the same arguments and the same seed: its windows are not
                made again, and the clip will be the same.
        """
        cells = (height // (ENLARGED * CELL), width // (ENLARGED * CELL))
        pictures = image if isinstance(image, list) else [image] if image else []
        conditions = self.encode_conditions(
            prompt, negative_prompt, references=reference_images, voice=voice, guidance_scale=guidance_scale
        )
        small = (width // ENLARGED, height // ENLARGED)
        given = self.encode_pictures(pictures, small)
        last = self.encode_pictures([last_image] if last_image else [], small)

        windows = list(plan_windows((num_frames - 1) // GROUP + 1))
        total, step = num_inference_steps * len(windows), 0
        whole = made
        shared = shared_noise(self._shape(cells), generator)
        for start, stop in windows:
            # Drawn also for a window that is there, so that the others get theirs.
            noise = self._noise(cells, shared, generator)
            if whole is not None and whole.video.shape[2] >= stop:
                step += num_inference_steps
                continue
            if whole is not None:
                given = self._carry_over(whole.video, start)
            known = Latents(
                self._known(given, last if stop == windows[-1][1] else None, cells, latest=stop - start),
                self._known_sound(None if whole is None else whole.audio[:, :, sounds_before(GROUP * start) :]),
            )
            for clean in self.denoise(noise, known, conditions, num_inference_steps):
                step += 1
                if on_step is not None:
                    on_step(step, total, clean.video)
            whole = joined(whole, clean)
            if on_window is not None and stop != windows[-1][1]:
                on_window(whole)
        assert whole is not None  # there is at least one window
        if on_decode is not None:
            on_decode()
        frames = None if sound_only else self.decode(whole.video, whole.audio)[:num_frames]
        return LikenessOutput(frames, self.decode_sound(whole.audio, num_frames, generator, voice))

    def encode_conditions(
        self,
        prompt: str,
        negative_prompt: str = "",
        *,
        references: list[Image.Image] | None = None,
        voice: np.ndarray | None = None,
        guidance_scale: float = 1.0,
    ) -> Conditions:
        """Text, identity and voice, doubled with their absence when there is guidance."""
        guided = guidance_scale > 1
        text = encode_text(
            self.tokenizer, self.text_encoder, [negative_prompt, prompt] if guided else [prompt]
        )
        use = torch.tensor([False, True] if guided else [True], device=self.device)
        identity = self.encode_person(references).expand(len(text), -1, -1) if references else None
        spoken = None if voice is None else self.encode_voice(voice).stacked().expand(len(text), -1, -1)
        return Conditions(text, identity, spoken, use, guidance_scale)

    def encode_person(self, references: list[Image.Image]) -> torch.Tensor:
        """Identity tokens (1, I, dim) of one person from pictures."""
        return self.identity_encoder.of_person(
            torch.cat([pixels(portrait(one)) for one in references]).to(self.device)
        )

    def encode_voice(self, samples: np.ndarray) -> VoiceTokens:
        """Timbre, pitch and rhythm tokens of a recording (samples,) at 16 kHz: the mean over stretches of it.

        Raises:
            ValueError: it is shorter than half a second.
        """
        if len(samples) < SAMPLE_RATE // 2:
            raise ValueError(f"voice: got {len(samples) / SAMPLE_RATE:.2f} s; needed at least 0.5 s")
        size = min(len(samples), STRETCH) // HOP * HOP
        starts = range(0, len(samples) - size + 1, size)
        parts = torch.stack([torch.from_numpy(np.asarray(samples[i : i + size], np.float32)) for i in starts])
        tokens = self.voice_encoder(parts.to(self.device))
        return VoiceTokens(*(getattr(tokens, kind).mean(0, keepdim=True) for kind in KINDS))

    def encode_pictures(self, pictures: list[Image.Image], size: tuple[int, int]) -> torch.Tensor | None:
        """Latents (1, C, k, h, w) of the first 4k-3 pictures, each cut to `size`; None for no pictures."""
        if not pictures:
            return None
        usable = pictures[: 1 + (len(pictures) - 1) // GROUP * GROUP]
        video = torch.cat(
            [pixels(ImageOps.fit(one.convert("RGB"), size, Image.Resampling.LANCZOS)) for one in usable]
        )
        return self.vae.encode(video.transpose(0, 1)[None].to(self.device))

    def denoise(
        self, noise: Latents, known: Latents, conditions: Conditions, num_inference_steps: int
    ) -> Iterator[Latents]:
        """Yields the clean estimate after each step, the last one being the result.

        known: masks and known latents, video (1, C + 2, f, h, w) and audio (1, Ca + 1, n).
        """
        self.scheduler.set_timesteps(
            sigmas=np.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist()
        )
        sigmas = self.scheduler.sigmas.tolist()
        dtype, rows = self.transformer.dtype, len(conditions.text)
        given = Latents(known.video[:, :1], known.audio[:, :1])
        fixed = Latents(known.video[:, 2:], known.audio[:, 1:])
        scales = Latents(conditions.guidance_scale, 1 + AUDIO_GUIDANCE * (conditions.guidance_scale - 1))

        def doubled(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else tensor.to(dtype).expand(rows, *[-1] * (tensor.ndim - 1))

        current = noise
        for level, following in pairwise(sigmas):
            current = Latents(*(torch.where(g > 0, f, x) for g, f, x in zip(given, fixed, current)))
            made = self.transformer(
                doubled(current.video),
                torch.full((rows,), level, device=self.device, dtype=dtype),
                conditions.text.to(dtype),
                identity_hidden_states=doubled(conditions.identity),
                voice_hidden_states=doubled(conditions.voice),
                known=doubled(known.video),
                audio_hidden_states=doubled(current.audio),
                known_audio=doubled(known.audio),
                use_identity=conditions.use,
                use_voice=conditions.use,
            )
            clean = Latents(
                *(
                    torch.where(g > 0, f, guided(part.float(), scale))
                    for part, scale, g, f in zip(made, scales, given, fixed)
                )
            )
            # Euler's step along the velocity that points from the clean estimate to the noise.
            current = Latents(*(x + (following - level) * (x - c) / level for x, c in zip(current, clean)))
            yield clean

    def decode(self, latents: torch.Tensor, audio: torch.Tensor | None = None) -> np.ndarray:
        """Frames uint8 (F, H, W, 3), latent frame by latent frame, so that no float copy of a long clip is held.

        audio: latents of the sound (1, Ca, 2 F), which opens the mouths.
        """
        heard = None if audio is None else sound_by_frame(audio)
        parts = []
        for index in range(latents.shape[2]):
            stop = 1 + GROUP * index
            sound = None if heard is None else heard[:, max(0, stop - GROUP) : stop]
            group = self.vae.decode(latents[:, :, index : index + 1], still=index == 0, sound=sound)
            parts.append(group.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 3, 0))
        return torch.cat(parts).cpu().contiguous().numpy()

    def decode_sound(
        self,
        latents: torch.Tensor,
        num_frames: int,
        generator: torch.Generator | None,
        voice: np.ndarray | None = None,
    ) -> np.ndarray:
        """Sound float32 (1, samples) in [-1, 1] as long as `num_frames` frames; `generator` draws its noise.

        voice: the recording to whose pitch and colour speech is brought.
        """
        controls = self.audio_vae.decode_controls(latents[:, :, : sounds_before(num_frames)])
        samples = synthesise(controls if voice is None else revoiced(controls, voice), generator)
        return samples.clamp(-1, 1).cpu().numpy().astype(np.float32)

    def _shape(self, cells: tuple[int, int]) -> tuple[int, ...]:
        """Of the video latents of one window."""
        return (1, self.vae.config.channels, WINDOW, *cells)

    def _noise(self, cells: tuple[int, int], shared: torch.Tensor, generator: torch.Generator | None) -> Latents:
        """The noise that one window starts from; `shared` is the clip's."""
        video = clip_noise(self._shape(cells), generator, shared)
        audio = torch.randn((1, self.audio_vae.config.channels, sounds_of(WINDOW)), generator=generator)
        return Latents(video.to(self.device), audio.to(self.device))

    def _carry_over(self, latents: torch.Tensor, start: int) -> torch.Tensor:
        """What the window that begins at latent frame `start` is given: a still, and the whole groups after it."""
        still = self.vae.decode(latents[:, :, start : start + 1], enlarge=False, still=start == 0)[:, :, -1:]
        return torch.cat([self.vae.encode(still), latents[:, :, start + 1 :]], 2)

    def _known(
        self, given: torch.Tensor | None, last: torch.Tensor | None, cells: tuple[int, int], *, latest: int
    ) -> torch.Tensor:
        """Masks and known latents (1, C + 2, WINDOW, h, w); `last` is hinted at in latent frame `latest` - 1."""
        known = torch.zeros(1, self.vae.config.channels + 2, WINDOW, *cells, device=self.device)
        if given is not None:
            count = min(given.shape[2], WINDOW)
            known[:, 0, :count] = 1
            known[:, 2:, :count] = given[:, :, :count]
        if last is not None:
            known[:, 1, latest - 1] = 1
            known[:, 2:, latest - 1] = last[:, :, 0]
        return known

    def _known_sound(self, before: torch.Tensor | None) -> torch.Tensor:
        """Mask and known audio latents (1, Ca + 1, n) of a window that begins with the sound `before`."""
        channels = self.audio_vae.config.channels
        known = torch.zeros(1, channels + 1, sounds_of(WINDOW), device=self.device)
        if before is not None:
            known[:, 0, : before.shape[2]] = 1
            known[:, 1:, : before.shape[2]] = before
        return known


def guided(made: torch.Tensor, scale: float) -> torch.Tensor:
    """The last row (1, ...), pushed away from the first where there are two."""
    return made[-1:] if len(made) == 1 else made[:1] + scale * (made[1:] - made[:1])


def joined(whole: Latents | None, window: Latents) -> Latents:
    """The clip so far, and the part of the next window that goes beyond it."""
    if whole is None:
        return window
    return Latents(
        torch.cat([whole.video, window.video[:, :, OVERLAP:]], 2),
        torch.cat([whole.audio, window.audio[:, :, sounds_of(OVERLAP) :]], 2),
    )


def plan_windows(latent_frames: int) -> Iterator[tuple[int, int]]:
    """(start, stop) latent frames of each window; every one after the first begins OVERLAP before the last's end."""
    start = 0
    while True:
        stop = min(start + WINDOW, latent_frames)
        yield start, stop
        if stop == latent_frames:
            return
        start = stop - OVERLAP


def portrait(picture: Image.Image) -> Image.Image:
    """The square that the identity encoder looks at: faces are rather in the upper part of a picture."""
    return ImageOps.fit(
        picture.convert("RGB"), (PICTURE, PICTURE), Image.Resampling.LANCZOS, centering=(0.5, 0.35)
    )


def pixels(picture: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
