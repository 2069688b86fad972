"""Attention as two matrix products, for training on CPUs.

The fused attention of torch 2.13 runs forward well, but its backward pass on a CPU reaches 7 GFLOP/s in bf16
(measured: 131 ms against 9 ms for 40 x 8 heads of 64 x 64 x 32), where plain products use the matrix units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttention


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Softmax attention over (B, heads, L, D); plain products on a CPU that trains, fused otherwise."""
    if q.device.type == "cpu" and torch.is_grad_enabled():
        weights = torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5
        return torch.matmul(weights.softmax(-1).to(v.dtype), v)
    return F.scaled_dot_product_attention(q, k, v)


class LikenessAttnProcessor:
    """WanAttnProcessor's computation with `attention` inside and rotary angles applied without copies."""

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """(B, L, dim) attending to itself, or to `encoder_hidden_states` (B, S, dim); no mask is supported."""
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key = attn.norm_k(attn.to_k(source)).unflatten(2, (attn.heads, -1))
        value = attn.to_v(source).unflatten(2, (attn.heads, -1))
        if rotary_emb is not None:
            query, key = _rotate(query, *rotary_emb), _rotate(key, *rotary_emb)
        query, key, value = (part.type_as(value).transpose(1, 2) for part in (query, key, value))
        return attn.to_out[0](attention(query, key, value).transpose(1, 2).flatten(2))


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Wan's rotary embedding of (B, L, heads, D): neighbouring channels are the two axes of a plane."""
    x1, x2 = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    c, s = cos[..., 0::2], sin[..., 1::2]
    return torch.stack((x1 * c - x2 * s, x1 * s + x2 * c), -1).flatten(3)
