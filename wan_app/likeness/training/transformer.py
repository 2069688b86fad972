"""Train the transformer: flow matching with clean-latent prediction, all modes in one model."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, UMT5EncoderModel

from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.identity import LikenessIdentityEncoder
from wan_app.likeness.text import encode_text
from wan_app.likeness.training.data import Batch, Finished, Pool
from wan_app.likeness.training.encoders import shared_progress
from wan_app.likeness.training.optim import Average, Optimiser
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.transformer import LikenessTransformer3DModel

SAVE_EVERY_MINUTES = 4.0
STILLS_FOR_A_CLIP = 4


def flow_loss(
    model: Callable[..., torch.Tensor], text: torch.Tensor, batch: Batch, generator: torch.Generator
) -> torch.Tensor:
    """Velocity-weighted error of the clean latents at random noise levels, over the frames not given.

    Noise levels are logit-normal around the noisy side, where layout and person are decided.
    """
    clean = batch.latents
    device = clean.device
    level = torch.sigmoid(0.5 + 1.2 * torch.randn(len(clean), generator=generator)).to(device)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    given = batch.known[:, :1]
    t = level[:, None, None, None, None]
    noisy = (1 - t) * clean + t * noise
    # Given frames are shown clean, as they will be when generating.
    noisy = torch.where(given > 0, clean, noisy)
    made = model(noisy, level, text, batch.identity, batch.known, batch.use_identity).float()
    error = (made - clean).square() / t.clamp(min=0.08).square()
    return (error * (1 - given)).mean() / (1 - given).mean()


class Trainer:
    """Everything one rank needs to take a step, save and resume."""

    def __init__(self, rank: Rank, folder: Path, *, rate: float, capacity: int, seed: int) -> None:
        self.rank, self.folder = rank, folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder").to(rank.device)
        self.identity_encoder = LikenessIdentityEncoder.from_pretrained(folder / "identity_encoder").to(
            rank.device
        )
        self.vae = LikenessAutoencoder.from_pretrained(folder / "vae").to(rank.device).requires_grad_(False)
        torch.manual_seed(seed)
        self.transformer = LikenessTransformer3DModel().to(rank.device)
        load_what_fits(self.transformer, folder / "transformer")
        # The recogniser of people has learned its subject; the words learn on with what they are to steer:
        # frozen, they left the colour of a shirt at chance.
        self.identity_encoder.requires_grad_(False)
        self.model = nn.ModuleDict({"transformer": self.transformer, "text_encoder": self.text_encoder})
        self.optimiser, self.average = (
            Optimiser(self.model, rate, adam_rate=rate * 0.5),
            Average(self.model),
        )
        self.pool = Pool(rank, Finished(self.vae, self.identity_encoder), capacity, seed)
        self.generator = torch.Generator().manual_seed(seed * 77 + rank.index)
        self.spent, self.step, self.samples = 0.0, 0, 0
        self.resume()
        for block in self.transformer.blocks:
            block.compile(dynamic=False)

    def take_step(self, size: int, progress: float) -> float:
        """One update, from `size` clips or four times as many stills in turn; returns the loss."""
        if self.step % 2:
            batch = self.pool.stills(STILLS_FOR_A_CLIP * size)
        else:
            batch = self.pool.batch(size, (0, 0, 1, 2)[self.step // 2 % 4])
        with self.rank.autocast():
            text = encode_text(self.tokenizer, self.text_encoder, batch.captions)
            loss = flow_loss(self.transformer, text, batch, self.generator)
        loss.backward()
        self.rank.average_gradients(self.optimiser.parameters)
        self.optimiser.step(progress)
        self.average.update(self.model)
        self.step += 1
        self.samples += len(batch.captions) * self.rank.count
        return float(loss.detach())

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


def load_what_fits(model: nn.Module, folder: Path) -> None:
    """Start from the weights in `folder` if there are any; parts they lack, or have in another shape, stay new."""
    path = folder / "diffusion_pytorch_model.safetensors"
    if not path.exists():
        return
    own = model.state_dict()
    kept = {n: v for n, v in load_file(path).items() if n in own and own[n].shape == v.shape}
    model.load_state_dict(kept, strict=False)


def train_transformer(
    rank: Rank,
    folder: Path,
    minutes: float,
    batch: int = 24,
    rate: float = 2e-3,
    clips: int = 2000,
    seed: int = 0,
) -> None:
    """Train for `minutes` of wall time in all, over all resumed runs; `clips` is the pool a rank starts with."""
    trainer = Trainer(rank, folder, rate=rate, capacity=4 * clips, seed=seed)
    trainer.pool.fill(clips)
    begin, last_save, started_with = time.time(), time.time(), trainer.spent
    log = (folder / "training.jsonl").open("a") if rank.main else None
    losses: list[float] = []
    progress = started_with / minutes
    while progress < 1:
        losses.append(trainer.take_step(batch, progress))
        if trainer.step % 2 == 0:
            bucket = trainer.pool.buckets[(0, 0, 1, 2)[trainer.step // 2 % 4]]
            bucket.add(8, trainer.pool.generator)
        progress = started_with / minutes + shared_progress(rank, begin, minutes)
        trainer.spent = progress * minutes
        if log is not None and trainer.step % 50 == 0:
            row = {
                "progress": round(progress, 4),
                "step": trainer.step,
                "samples": trainer.samples,
                "loss": round(sum(losses) / len(losses), 4),
                "minutes": round(trainer.spent, 2),
            }
            print(json.dumps(row), file=log, flush=True)
            losses.clear()
        if time.time() - last_save > 60 * SAVE_EVERY_MINUTES:
            trainer.save()
            last_save = time.time()
    trainer.save()
