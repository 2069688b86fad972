"""How the models on LTX-2's networks read prompts: each one once, by a Gemma that is there only while it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wan_app.devices import free_memory
from wan_app.families.base import Plan
from wan_app.families.parts.prompts import PromptCache
from wan_app.families.parts.running import interruptible
from wan_app.families.weights.checkpoints import load_component
from wan_app.families.weights.faults import faults_as_ours
from wan_app.families.weights.quantized import fingerprint
from wan_app.types import Reporter

if TYPE_CHECKING:
    import torch

# What the text encoder was trained with.
MAX_TOKENS = 1024
_LAYERS = {"Gemma3DecoderLayer", "Gemma4TextDecoderLayer", "Gemma4UnifiedTextDecoderLayer"}


class Words(NamedTuple):
    """States of all layers side by side (1, tokens, layers * channels), and which tokens are words (1, tokens)."""

    states: torch.Tensor
    mask: torch.Tensor


def load_gemma(cls: str, plan: Plan, weights: Path) -> Any:
    """The text encoder as the plan wants it.

    Args:
        cls: name of its class in transformers, as the index of the folder has it.
    Raises:
        ModelUnavailable: it lacks tensors.
    """
    import torch
    import transformers

    return load_component(
        getattr(transformers, cls), weights, "text_encoder", torch.bfloat16, _quantization(plan), cache=plan.cache
    )


class GemmaWords:
    """Prompts to states for the connectors.

    Args:
        tokenizer: of the model; the words stand at its right end.
        cls: as in `load_gemma`.
        encoder: one that stays; without it one is loaded for unread prompts and freed again.
    """

    def __init__(
        self, model_id: str, plan: Plan, weights: Path, *, tokenizer: Any, cls: str, encoder: Any = None
    ) -> None:
        self._model_id, self._plan, self._weights = model_id, plan, weights
        self._tokenizer, self._cls, self._encoder = tokenizer, cls, encoder
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        reader = fingerprint(weights / "text_encoder", _quantization(plan)) if plan.cache else ""
        self._cache = PromptCache(plan.cache / "prompts" if plan.cache else None, reader)

    def read(self, prompts: Sequence[str], report: Reporter) -> list[Words]:
        """On the plan's device, for each prompt. Words beyond the 1024th token are not read.

        Raises:
            errors.Cancelled: from `report`.
            OutOfMemory, ModelUnavailable: the text encoder does not fit, or does not load.
        """
        known = {one: states for one in prompts if (states := self._cache.get(one)) is not None}
        if unread := [one for one in dict.fromkeys(prompts) if one not in known]:
            with self._reader(report) as encoder:
                for one in unread:
                    known[one] = self._states(encoder, one)
                    self._cache.put(one, known[one])
            free_memory()
        return [self._words(known[one]) for one in prompts]

    def _states(self, encoder: Any, prompt: str) -> torch.Tensor:
        """The words first and zeros behind them, which is the other way round than they are used."""
        import torch

        tokens = self._tokenizer(
            [prompt.strip()], padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
        ).to(encoder.device)
        found = encoder(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, output_hidden_states=True
        ).hidden_states
        states = torch.stack(found, dim=-1).flatten(2, 3)
        # The connectors look at no state that is not of a word; as zeros they need no room on disk.
        return (states * tokens.attention_mask.unsqueeze(-1).to(states.dtype)).flip(1)

    def _words(self, states: torch.Tensor) -> Words:
        turned = states.flip(1).to(self._plan.device)
        return Words(turned, turned.ne(0).any(dim=-1).long())

    @contextmanager
    def _reader(self, report: Reporter) -> Iterator[Any]:
        """The text encoder for as long as it reads."""
        if self._encoder is not None:
            # Its layers are the runner's to watch.
            yield self._encoder
            return
        with faults_as_ours(self._model_id, self._plan, str(self._weights / "text_encoder")):
            encoder = load_gemma(self._cls, self._plan, self._weights)
            if self._plan.offload == "model" and not getattr(encoder, "quantization_method", None):
                encoder.to(self._plan.device)
        with interruptible(self._model_id, [encoder], _LAYERS, report):
            yield encoder


def _quantization(plan: Plan) -> str:
    """On the processor it reads in bf16: quantized layers are many times slower there."""
    return "none" if plan.offload in ("text_encoder", "group") else plan.quantization
