"""Counting the bytes of a forward pass on meta tensors: exact shapes, no memory, no arithmetic."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Flash(TorchFunctionMode):
    """Attention that keeps no matrix of scores, as the kernels on a card; on meta it would be formed."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            query, value = (args[0], args[2]) if args else (kwargs["query"], kwargs["value"])
            return query.new_empty((*query.shape[:-1], value.shape[-1]))
        return func(*args, **kwargs)


class _Live(TorchDispatchMode):
    """Bytes of all tensors alive that were made inside, and their peak."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._sizes = {one.untyped_storage()._cdata: 0 for one in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "meta":
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)


def on_meta(build: Callable[[], torch.nn.Module], dtype: torch.dtype = torch.bfloat16) -> torch.nn.Module:
    """A module of true shapes without memory."""
    with torch.device("meta"):
        return build().to(dtype).eval()


def weight_bytes(module: torch.nn.Module) -> int:
    """Bytes of the parameters."""
    return sum(one.numel() * one.element_size() for one in module.parameters())


def activation_bytes(module: torch.nn.Module, call: Callable[[], Any]) -> int:
    """Peak bytes of what `call` makes, beside the module's own weights."""
    live = _Live([*module.parameters(), *module.buffers()])
    with torch.no_grad(), _Flash(), live:
        call()
    return live.peak
