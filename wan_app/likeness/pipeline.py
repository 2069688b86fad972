"""The bundled model as a diffusers pipeline: text, first (and last) picture, and reference to video.

pipe = LikenessPipeline.from_pretrained("assets/pocket")
frames = pipe("character1 waves on the beach", reference_images=[face]).frames
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from PIL import Image, ImageOps
from transformers import AutoTokenizer, UMT5EncoderModel

from wan_app.likeness.autoencoder import CELL, GROUP, LikenessAutoencoder
from wan_app.likeness.identity import PICTURE, LikenessIdentityEncoder
from wan_app.likeness.text import encode_text
from wan_app.likeness.transformer import LikenessTransformer3DModel

# Latent frames that the transformer was trained on at once: 17 frames, two seconds.
WINDOW = 5
# Latent frames of one window that are given to the next one.
OVERLAP = 2
# The decoder draws at twice the size that the encoder reads.
ENLARGED = 2

OnStep = Callable[[int, int, torch.Tensor], None]


@dataclass
class LikenessOutput:
    """frames: uint8 (num_frames, height, width, 3)."""

    frames: np.ndarray


@dataclass(frozen=True)
class Conditions:
    """What one clip is made from: embeddings, row 0 without guidance where there are two, and identity tokens."""

    text: torch.Tensor
    identity: torch.Tensor | None
    use_identity: torch.Tensor | None
    guidance_scale: float


class LikenessPipeline(DiffusionPipeline):
    """Encode, denoise in windows, decode; see `__call__`."""

    model_cpu_offload_seq = "text_encoder->identity_encoder->transformer->vae"

    def __init__(
        self,
        tokenizer,
        text_encoder: UMT5EncoderModel,
        identity_encoder: LikenessIdentityEncoder,
        transformer: LikenessTransformer3DModel,
        vae: LikenessAutoencoder,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            identity_encoder=identity_encoder,
            transformer=transformer,
            vae=vae,
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
            transformer=LikenessTransformer3DModel.from_pretrained(
                folder / "transformer", torch_dtype=torch_dtype
            ),
            vae=LikenessAutoencoder.from_pretrained(folder / "vae", torch_dtype=torch.float32),
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
        height: int = 128,
        width: int = 128,
        num_frames: int = 17,
        num_inference_steps: int = 16,
        guidance_scale: float = 3.5,
        generator: torch.Generator | None = None,
        on_step: OnStep | None = None,
        on_decode: Callable[[], None] | None = None,
    ) -> LikenessOutput:
        """Make one clip.

        Args:
            image: the first frame, or the first 4k+1 frames of a clip to go on with.
            last_image: where the clip should end.
            reference_images: pictures of one person, called `character1` in the prompt.
            height, width: of the frames made, multiples of 32.
            num_frames: 4k+1; more than 17 are made in windows that each go on from the last.
            on_step: called after each denoising step with its number, the total, and the clean estimate.
            on_decode: called once before decoding.
        """
        cells = (height // (ENLARGED * CELL), width // (ENLARGED * CELL))
        pictures = image if isinstance(image, list) else [image] if image else []
        conditions = self.encode_conditions(prompt, negative_prompt, reference_images, guidance_scale)
        small = (width // ENLARGED, height // ENLARGED)
        given = self.encode_pictures(pictures, small)
        last = self.encode_pictures([last_image] if last_image else [], small)

        windows = list(plan_windows((num_frames - 1) // GROUP + 1))
        total, step = num_inference_steps * len(windows), 0
        latents = None
        for start, stop in windows:
            if latents is not None:
                given = self._carry_over(latents, start)
            known = self._known(given, last if stop == windows[-1][1] else None, cells, latest=stop - start)
            noise = torch.randn(
                (1, self.vae.config.channels, WINDOW, *cells), generator=generator, device="cpu"
            ).to(self.device)
            for clean in self.denoise(noise, known, conditions, num_inference_steps):
                step += 1
                if on_step is not None:
                    on_step(step, total, clean)
            latents = clean if latents is None else torch.cat([latents, clean[:, :, OVERLAP:]], 2)
        if on_decode is not None:
            on_decode()
        return LikenessOutput(self.decode(latents)[:num_frames])

    def encode_conditions(
        self, prompt: str, negative_prompt: str, references: list[Image.Image] | None, guidance_scale: float
    ) -> Conditions:
        """Text and identity, doubled with their absence when there is guidance."""
        guided = guidance_scale > 1
        text = encode_text(
            self.tokenizer, self.text_encoder, [negative_prompt, prompt] if guided else [prompt]
        )
        if not references:
            return Conditions(text, None, None, guidance_scale)
        pictures = torch.cat([pixels(portrait(one)) for one in references]).to(self.device)
        tokens = self.identity_encoder.of_person(pictures).expand(len(text), -1, -1)
        use = torch.tensor([False, True] if guided else [True], device=self.device)
        return Conditions(text, tokens, use, guidance_scale)

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
        self, latents: torch.Tensor, known: torch.Tensor, conditions: Conditions, num_inference_steps: int
    ) -> Iterator[torch.Tensor]:
        """Yields the clean estimate (1, C, f, h, w) after each step, the last one being the result."""
        self.scheduler.set_timesteps(
            sigmas=np.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist()
        )
        self.scheduler.set_begin_index(0)
        given, dtype, rows = known[:, :1], self.transformer.dtype, len(conditions.text)
        for index, timestep in enumerate(self.scheduler.timesteps):
            level = self.scheduler.sigmas[index]
            latents = torch.where(given > 0, known[:, 2:], latents)
            made = self.transformer(
                latents.to(dtype).expand(rows, -1, -1, -1, -1),
                level.to(latents.device, dtype).expand(rows),
                conditions.text.to(dtype),
                None if conditions.identity is None else conditions.identity.to(dtype),
                known.to(dtype).expand(rows, -1, -1, -1, -1),
                conditions.use_identity,
            ).float()
            clean = made[-1:]
            if rows == 2:
                clean = made[:1] + conditions.guidance_scale * (made[1:] - made[:1])
            clean = torch.where(given > 0, known[:, 2:], clean)
            velocity = (latents - clean) / level.to(latents.device)
            latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
            yield clean

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames uint8 (F, H, W, 3), latent frame by latent frame, so that no float copy of a long clip is held."""
        parts = []
        for index in range(latents.shape[2]):
            group = self.vae.decode(latents[:, :, index : index + 1], still=index == 0)
            parts.append(group.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 3, 0))
        return torch.cat(parts).cpu().contiguous().numpy()

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
