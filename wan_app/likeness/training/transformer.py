"""Train the transformer: flow matching with clean-latent prediction, all modes in one model."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, UMT5EncoderModel

from wan_app.likeness.audio import LikenessAudioAutoencoder
from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.identity import LikenessIdentityEncoder
from wan_app.likeness.noise import clip_noise
from wan_app.likeness.text import encode_text
from wan_app.likeness.training.course import Clock
from wan_app.likeness.training.data import Batch, Finished, Pool
from wan_app.likeness.training.optim import Average, Optimiser, load_what_fits
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.transformer import Clean, LikenessTransformer3DModel
from wan_app.likeness.voice import LikenessVoiceEncoder

SAVE_EVERY_MINUTES = 4.0
STILLS_FOR_A_CLIP = 4
# One step in so many is on single frames.
STILLS_EVERY = 4


# Sound has a tenth of the tokens and is heard all the same.
AUDIO_WEIGHT = 0.6


def flow_loss(
    model: Callable[..., Clean], text: torch.Tensor, batch: Batch, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Velocity-weighted errors of the clean latents of video and sound at random noise levels, where not given.

    Noise levels are logit-normal around the noisy side, where layout and person are decided; picture and sound
    of a clip have the same.
    """
    clean = batch.latents
    level = torch.sigmoid(0.5 + 1.2 * torch.randn(len(clean), generator=generator)).to(clean.device)
    given = batch.known[:, :1]
    noisy_audio, given_audio = None, None
    if batch.audio is not None and batch.known_audio is not None:
        given_audio = batch.known_audio[:, :1]
        noise = torch.randn(batch.audio.shape, generator=generator)
        noisy_audio = noised(batch.audio, noise, level, batch.known_audio[:, 1:], given_audio)
    made = model(
        noised(clean, clip_noise(clean.shape, generator), level, batch.known[:, 2:], given),
        level,
        text,
        identity_hidden_states=batch.identity,
        voice_hidden_states=batch.voice,
        known=batch.known,
        audio_hidden_states=noisy_audio,
        known_audio=batch.known_audio,
        use_identity=batch.use_identity,
        use_voice=batch.use_voice,
    )
    seen = missed(made.video, clean, level, given)
    if made.audio is None or batch.audio is None or given_audio is None:
        return seen, torch.zeros_like(seen)
    return seen, missed(made.audio, batch.audio, level, given_audio)


def noised(
    clean: torch.Tensor, noise: torch.Tensor, level: torch.Tensor, known: torch.Tensor, given: torch.Tensor
) -> torch.Tensor:
    """Clean latents (B, ...) at noise levels (B,); what is given is shown as it is known, as when generating."""
    t = level.view(-1, *[1] * (clean.ndim - 1))
    return torch.where(given > 0, known, (1 - t) * clean + t * noise.to(clean.device))


def missed(made: torch.Tensor, clean: torch.Tensor, level: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Mean error of the velocity that `made` stands for, over what is not given."""
    t = level.view(-1, *[1] * (clean.ndim - 1)).clamp(min=0.08)
    error = ((made.float() - clean) / t).square()
    return (error * (1 - given)).mean() / (1 - given).mean()


class Trainer:
    """Everything one rank needs to take a step, save and resume."""

    def __init__(self, rank: Rank, folder: Path, *, rate: float, capacity: int, seed: int) -> None:
        self.rank, self.folder = rank, folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder").to(rank.device)
        torch.manual_seed(seed)
        self.transformer = LikenessTransformer3DModel().to(rank.device)
        load_what_fits(self.transformer, folder / "transformer")
        # The words learn on with what they are to steer: frozen, they left the colour of a shirt at chance.
        self.model = nn.ModuleDict({"transformer": self.transformer, "text_encoder": self.text_encoder})
        self.optimiser, self.average = (
            Optimiser(self.model, rate, adam_rate=rate * 0.5),
            Average(self.model),
        )
        self.pool = Pool(rank, finished_networks(folder, rank.device), capacity, seed)
        self.generator = torch.Generator().manual_seed(seed * 77 + rank.index)
        self.spent, self.step, self.samples = 0.0, 0, 0
        self.resume()
        for block in self.transformer.blocks:
            block.compile(dynamic=False)

    @property
    def bucket(self) -> int:
        """The number of the bucket whose turn it is: square twice, it is the default."""
        return (0, 0, 1, 2)[self.step // STILLS_EVERY % 4]

    def take_step(self, size: int, progress: float) -> tuple[float, float]:
        """One update, from `size` clips or now and then four times as many stills; the losses of video and sound."""
        if (self.step + 1) % STILLS_EVERY == 0:
            batch = self.pool.stills(STILLS_FOR_A_CLIP * size, self.bucket)
        else:
            batch = self.pool.batch(size, self.bucket)
        with self.rank.autocast():
            text = encode_text(self.tokenizer, self.text_encoder, batch.captions)
            seen, heard = flow_loss(self.transformer, text, batch, self.generator)
        (seen + AUDIO_WEIGHT * heard).backward()
        self.rank.average_gradients(self.optimiser.parameters)
        self.optimiser.step(progress)
        self.average.update(self.model)
        self.step += 1
        self.samples += len(batch.captions) * self.rank.count
        return float(seen.detach()), float(heard.detach())

    def save(self) -> None:
        """The averaged networks, ready for use, and the state to resume from; by the first rank."""
        if not self.rank.main:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.weights,
            "average_count": self.average.count,
            "optimiser": self.optimiser.state_dict(),
            "spent": self.spent,
            "step": self.step,
            "samples": self.samples,
        }
        # Written aside first: a kill in the middle must not cost the last good checkpoint.
        torch.save(state, self.folder / "training.tmp")
        (self.folder / "training.tmp").replace(self.folder / "training.pt")
        self.write()

    def write(self) -> None:
        """Write the averaged weights as `transformer/` and `text_encoder/`."""
        averaged = copy.deepcopy(self.model)
        averaged.load_state_dict(self.average.weights)
        averaged["transformer"].save_pretrained(self.folder / "transformer")
        averaged["text_encoder"].save_pretrained(self.folder / "text_encoder")

    def resume(self) -> None:
        """Go on from the last checkpoint in the folder, if there is one."""
        path = self.folder / "training.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.rank.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.weights, self.average.count = state["average"], state["average_count"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.spent, self.step, self.samples = state["spent"], state["step"], state["samples"]


def finished_networks(folder: Path, device: str) -> Finished:
    """The networks that have learned their subjects and make the data."""
    kinds = {
        "vae": LikenessAutoencoder,
        "identity_encoder": LikenessIdentityEncoder,
        "audio_vae": LikenessAudioAutoencoder,
        "voice_encoder": LikenessVoiceEncoder,
    }
    return Finished(
        **{
            name: kind.from_pretrained(folder / name).to(device).requires_grad_(False)
            for name, kind in kinds.items()
        }
    )


def train_transformer(
    rank: Rank,
    folder: Path,
    minutes: float,
    batch: int = 64,
    rate: float = 2e-3,
    clips: int = 1000,
    seed: int = 0,
) -> None:
    """Train for `minutes` of wall time in all, over all resumed runs; `clips` is the pool a rank starts with."""
    trainer = Trainer(rank, folder, rate=rate, capacity=6 * clips, seed=seed)
    trainer.pool.fill(clips)
    clock, last_save, started_with = Clock(rank, minutes), time.time(), trainer.spent
    log = (folder / "training.jsonl").open("a") if rank.main else None
    losses: list[tuple[float, float]] = []
    progress = started_with / minutes
    while progress < 1:
        losses.append(trainer.take_step(batch, progress))
        if trainer.step % STILLS_EVERY:
            trainer.pool.buckets[trainer.bucket].add(6, trainer.pool.generator)
        progress = started_with / minutes + clock.progress()
        trainer.spent = progress * minutes
        if log is not None and trainer.step % 50 == 0:
            sounding = sum(heard > 0 for _, heard in losses)  # stills are silent
            row = {
                "progress": round(progress, 4),
                "step": trainer.step,
                "samples": trainer.samples,
                "loss": round(sum(seen for seen, _ in losses) / len(losses), 4),
                "audio_loss": round(sum(heard for _, heard in losses) / max(1, sounding), 4),
                "minutes": round(trainer.spent, 2),
            }
            print(json.dumps(row), file=log, flush=True)
            losses.clear()
        if time.time() - last_save > 60 * SAVE_EVERY_MINUTES:
            trainer.save()
            last_save = time.time()
    trainer.save()
