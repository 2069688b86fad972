"""What all trainings here share: Muon on matrices, AdamW on the rest, warm-up and cosine decay, the average of
the weights, and a start from weights that are there."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

# Embeddings and the first and last maps gain nothing from orthogonal updates.
_NOT_MUON = (
    "embed",
    "shared",
    "proj_in",
    "proj_out",
    "linear_in",
    "linear_out",
    "head",
    "queries",
)


class Optimiser:
    """`step(progress)` with progress in [0, 1]; gradients are clipped to norm 1 and then cleared."""

    def __init__(self, model: nn.Module, rate: float, *, adam_rate: float | None = None) -> None:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if p.ndim == 2 and not any(word in n for word in _NOT_MUON)]
        chosen = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in chosen]
        self.parameters = [p for _, p in named]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if matrices:
            muon = torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
            self._parts.append((muon, rate))
        adam = adam_rate or rate
        self._parts.append((torch.optim.AdamW(others, lr=adam, weight_decay=0.0, betas=(0.9, 0.98)), adam))

    def step(self, progress: float, *, warm: float = 0.02, floor: float = 0.03) -> None:
        """One update at the point `progress` of the schedule."""
        factor = min(1.0, (progress + 1e-4) / warm)
        factor *= floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser, rate in self._parts:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [optimiser.state_dict() for optimiser, _ in self._parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for (optimiser, _), state in zip(self._parts, states):
            optimiser.load_state_dict(state)


class Average:
    """Exponential moving average of a model's weights; what is shipped."""

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.weights = {name: value.detach().float().clone() for name, value in model.state_dict().items()}
        self.count = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.count += 1
        # Early on the average follows quickly, or it would remember the random start for long.
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                self.weights[name].lerp_(value.float(), 1 - decay)
            else:
                self.weights[name].copy_(value)


def load_what_fits(model: nn.Module, folder: Path) -> None:
    """Start from the weights in `folder` if there are any; parts they lack, or have in another shape, stay new."""
    path = folder / "diffusion_pytorch_model.safetensors"
    if not path.exists():
        return
    own = model.state_dict()
    kept = {n: v for n, v in load_file(path).items() if n in own and own[n].shape == v.shape}
    model.load_state_dict(kept, strict=False)
