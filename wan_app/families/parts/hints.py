"""VACE's hints made in turn: each just before the block that takes it, and added by that block."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any


def hints_in_turn(transformer: Any) -> None:
    """Let each hint of a WanVACETransformer3DModel be made when its block has run; the result is the same to the bit.

    diffusers makes all of them first and adds them between the blocks. That keeps all in memory at once (0.8 GB
    each for 14B at 720p, and there are eight), and a cache that skips blocks adds them a second time to what it
    remembered. To be called when nothing will wrap these forwards for good any more: what streams blocks
    through the card takes its wrapping off again, and this with it.
    """
    hints = _Hints()
    transformer.forward = hints.within(transformer.forward)
    for block in transformer.vace_blocks:
        block.forward = hints.later(block.forward)
    for layer in transformer.config.vace_layers:
        block = transformer.blocks[layer]
        block.forward = hints.with_hint(block.forward)


class _Hints:
    """The hints of one forward pass that are still to be made, in the order of the blocks that take them."""

    def __init__(self) -> None:
        self._begin(())

    def _begin(self, scales: Any) -> None:
        self._scales = deque(scales)
        self._waiting: deque[Callable[..., Any]] = deque()
        # What the hint blocks pass on from one to the next.
        self._control: Any = None

    def within(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The transformer's forward, which begins anew and leaves nothing behind."""

        def run(*args: Any, control_hidden_states_scale: Any = None, **kwargs: Any) -> Any:
            scale = control_hidden_states_scale
            self._begin(() if scale is None else scale.unbind())
            try:
                return forward(*args, control_hidden_states_scale=scale, **kwargs)
            finally:
                self._begin(())

        return run

    def later(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """A hint block's forward, put off; for now the hint is 0, which the transformer may add."""

        def wait(hidden: Any, words: Any, control: Any, *rest: Any) -> tuple[Any, Any]:
            if not self._waiting:
                self._control = control
            self._waiting.append(partial(self._make, forward, hidden, words, rest))
            return hidden.new_zeros(()), control

        return wait

    def _make(self, forward: Callable[..., Any], hidden: Any, words: Any, rest: tuple[Any, ...]) -> Any:
        hint, self._control = forward(hidden, words, self._control, *rest)
        return hint

    def with_hint(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """A block's forward with its hint added."""

        def run(*args: Any, **kwargs: Any) -> Any:
            out = forward(*args, **kwargs)
            hint = self._waiting.popleft()()
            return out + (hint * self._scales.popleft() if self._scales else hint)

        return run
