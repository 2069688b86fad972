"""Costs of the models with sound of their own. No torch.

Weights and activations of LTX-2 and H3 are traced on meta tensors with diffusers' default configurations,
which are the published ones (tests/families/fit/test_sounding.py). The configurations of LTX-2.5 and Echo
could not be read from where this was written: their transformers are LTX-2's with the gates that diffusers
has for them, and what could not be traced is rounded up.
"""

from __future__ import annotations

from dataclasses import replace

from wan_app.families.fit.costs import Costs, Decoding, Part

_OFFLOADS = ("none", "text_encoder", "model", "group")
# 262,208 embeddings of 3840 stay in bf16.
_GEMMA_12B = Part(parameters=12_200_000_000, kept=1_007_000_000)

LTX_2 = Costs(
    transformer=Part(parameters=18_876_000_000),
    text_encoder=_GEMMA_12B,
    # Connectors 1.43 billion and autoencoder 1.22, in bf16; sound 0.11 in fp32 counts twice.
    rest=Part(parameters=2_870_000_000, kept=2_870_000_000),
    layers=48, width=4096,
    # What makes sound, and the keys of the text, work on few tokens.
    active=13_200_000_000,
    token=(8, 32), token_bytes=178_000, token_bytes_given=368_000,
    # Prompt and negative prompt in one pass; then one with skipped blocks, one of picture and sound apart.
    batch=2, guided_passes=3.0, text_tokens=1024,
    # Tiles of 512 pixels are as long as the clip.
    decode=Decoding(tile=500_000_000, tile_frame=22_500_000, tiled=28.5, area=0, whole=85.5, flop=1.4e6),
    offloads=_OFFLOADS,
)  # fmt: skip
# Connectors of 3.17 billion; sound at 48 kHz.
LTX_2_5 = replace(
    LTX_2, transformer=Part(parameters=18_989_000_000), rest=Part(parameters=4_760_000_000, kept=4_760_000_000)
)
# Every token has its own noise level, always: people in memory are clean. No guidance.
ECHO = replace(LTX_2_5, token_bytes=368_000, token_bytes_given=0, batch=1, guided_passes=1.0)

# Qwen3-VL's embeddings and its last layer, 151,936 of 5120 each, stay in bf16.
H3 = Costs(
    # One of two, but only the one that is asked for is loaded. It and the text encoder take turns, always.
    transformer=Part(parameters=33_123_000_000),
    text_encoder=Part(parameters=33_350_000_000, kept=1_560_000_000),
    # The autoencoder in bf16 but for its encoder; the sound's in fp32.
    rest=Part(parameters=3_100_000_000, kept=3_100_000_000),
    layers=50, width=7168,
    # Modulation, 13 billion, works on three noise levels and not on tokens.
    active=19_300_000_000,
    # 17 frames are five latent ones. A reference picture is 2048 pixels high and wide.
    token=(3.4, 32), token_bytes=185_000, picture_tokens=4096, text_tokens=2048,
    # Always in tiles of 256 pixels. The frames are put together, cross-faded and turned into bytes in bf16.
    decode=Decoding(tile=300_000_000, tiled=14, area=0, whole=0, flop=8.3e6),
    # Streaming the transformer alone would win little: the text encoder is as large, and reads on the card.
    offloads=("model",),
)  # fmt: skip
