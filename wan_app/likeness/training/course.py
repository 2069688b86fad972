"""What the timed trainings here share: go on until the time is up, learn from a loss, tell how it goes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import torch
from torch import nn

from wan_app.likeness.training.optim import Average, Optimiser
from wan_app.likeness.training.parallel import Rank


class Clock:
    """How much of `minutes` has passed since it was made."""

    def __init__(self, rank: Rank, minutes: float) -> None:
        self._rank, self._minutes, self._begin = rank, minutes, time.time()

    def progress(self) -> float:
        """The share that has passed, the same number on every rank; 1 and more when time is up."""
        passed = torch.tensor([(time.time() - self._begin) / 60 / max(self._minutes, 1e-6)])
        self._rank.average([passed])
        return float(passed)


class Course:
    """`minutes` of training of `model`:

    for step in course:
        ...
        if course.learn(loss):
            course.tell(...)
    if course.finish(): save
    """

    def __init__(
        self, rank: Rank, model: nn.Module, minutes: float, rate: float, *,
        adam_rate: float | None = None, decay: float = 0.995, tell_every: int = 50,
    ) -> None:
        self._rank, self._model, self._tell_every = rank, model, tell_every
        self._optimiser = Optimiser(model, rate, adam_rate=adam_rate)
        self._average = Average(model, decay)
        self._clock = Clock(rank, minutes)
        self._step, self._progress = 0, 0.0

    def __iter__(self) -> Iterator[int]:
        """Step numbers from 0, until the time is up."""
        for self._step in itertools.count():
            yield self._step
            if self._progress >= 1:
                return

    def learn(self, loss: torch.Tensor) -> bool:
        """One update, averaged over all ranks; True where it is time to tell how it goes."""
        loss.backward()
        self._rank.average_gradients(self._optimiser.parameters)
        self._progress = self._clock.progress()
        self._optimiser.step(self._progress)
        self._average.update(self._model)
        return self._rank.main and self._step % self._tell_every == 0

    def tell(self, name: str, text: str) -> None:
        """A line on the terminal."""
        print(f"{name} {self._progress:5.1%} step {self._step} {text}", flush=True)

    def finish(self) -> bool:
        """Give the model its averaged weights; True on the one rank that saves it."""
        if self._rank.main:
            self._model.load_state_dict(self._average.weights)
        return self._rank.main
