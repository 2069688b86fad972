"""How Wan models read prompts: each one once, by a text encoder that is there only as long as the plan allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_MAX_TOKENS = 512


def load_text_encoder(plan: Plan, weights: Path) -> Any:
    """UMT5 as the plan wants it.

    Raises:
        ModelUnavailable: it lacks tensors.
    """
    import torch
    from transformers import UMT5EncoderModel

    return load_component(
        UMT5EncoderModel, weights, "text_encoder", torch.bfloat16, _quantization(plan), cache=plan.cache
    )


class WanWords:
    """Prompts to embeddings.

    Args:
        pipe: a Wan pipeline; without a text encoder in it, one is loaded for unread prompts and freed again.
    """

    def __init__(self, model_id: str, pipe: Any, plan: Plan, weights: Path) -> None:
        self._model_id, self._pipe, self._plan, self._weights = model_id, pipe, plan, weights
        reader = fingerprint(weights / "text_encoder", _quantization(plan)) if plan.cache else ""
        self._cache = PromptCache(plan.cache / "prompts" if plan.cache else None, reader)

    def read(self, prompts: Sequence[str], report: Reporter) -> list[torch.Tensor]:
        """An embedding (1, tokens, channels) on the plan's device for each prompt.

        Raises:
            errors.Cancelled: from `report`.
            OutOfMemory, ModelUnavailable: the text encoder does not fit, or does not load.
        """
        known = {one: embeds for one in prompts if (embeds := self._cache.get(one)) is not None}
        # Each once, in their order.
        if unread := [one for one in dict.fromkeys(prompts) if one not in known]:
            with self._encoder(report):
                for one in unread:
                    embeds, _ = self._pipe.encode_prompt(
                        prompt=one, do_classifier_free_guidance=False, max_sequence_length=_MAX_TOKENS
                    )
                    known[one] = embeds
                    self._cache.put(one, embeds)
            free_memory()
        return [known[one].to(self._plan.device) for one in prompts]

    @contextmanager
    def _encoder(self, report: Reporter) -> Iterator[None]:
        """A text encoder in the pipeline for as long as it reads."""
        if self._pipe.text_encoder is not None:
            yield
            return
        with faults_as_ours(self._model_id, self._plan, str(self._weights / "text_encoder")):
            encoder = load_text_encoder(self._plan, self._weights)
            if self._plan.offload == "model" and not getattr(encoder, "quantization_method", None):
                encoder.to(self._plan.device)
        self._pipe.text_encoder = encoder
        try:
            # The blocks of one that stays are the runner's to watch.
            with interruptible(self._model_id, [encoder], {"UMT5Block"}, report):
                yield
        finally:
            self._pipe.text_encoder = None
            del encoder


def _quantization(plan: Plan) -> str:
    """On the processor it reads in bf16: quantized layers are many times slower there."""
    return "none" if plan.offload in ("text_encoder", "group") else plan.quantization
