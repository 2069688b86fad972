"""What a watermark says, as bits that survive: an id, a keyed check, and a code against errors.

    id (40 bits) | HMAC check (24 bits) | 8 zeros -> K=9, rate-1/3 convolutional code -> 216 coded bits

The check is keyed per install: only with the key can a mark be made that reads as ours, and noise passes
it once in 2 ** check_bits decodes. The code is the one of CDMA2000 (generators 557, 663, 711 octal, free
distance 18), read by a soft Viterbi decoder: a carrier that was nearly wiped out counts nearly nothing.
Errors must reach the decoder scattered, so carriers take the coded bits in a shuffled order.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence

import numpy as np

ID_BITS = 40
CHECK_BITS = 24

_MEMORY = 8
_STATES = 1 << _MEMORY
_GENERATORS = (0o557, 0o663, 0o711)
RATE = len(_GENERATORS)


def _signs() -> np.ndarray:
    """float32 (register, 3): what each of the 512 registers (newest bit highest) sends, 0 as +1, 1 as -1."""
    registers = np.arange(2 * _STATES)
    parity = [[bin(register & generator).count("1") & 1 for generator in _GENERATORS] for register in registers]
    return 1 - 2 * np.array(parity, np.float32)


_SIGNS = _signs()


class WatermarkId(int):
    """A 40-bit id, printed as 10 hex digits: `str(WatermarkId(255)) == "00000000ff"`."""

    def __str__(self) -> str:
        return f"{int(self):010x}"


def new_id() -> WatermarkId:
    """A random 40-bit id; at a million files, two share one with a chance of a half."""
    return WatermarkId(secrets.randbits(ID_BITS))


def coded_bits(*, id_bits: int = ID_BITS, check_bits: int = CHECK_BITS) -> int:
    """How many coded bits `encode` makes of such a payload."""
    return RATE * (id_bits + check_bits + _MEMORY)


def encode(
    identity: int, key: bytes, *, id_bits: int = ID_BITS, check_bits: int = CHECK_BITS
) -> np.ndarray:
    """Coded bits, uint8 (coded_bits,), of `identity` with its check under `key`.

    Raises:
        ValueError: `identity` does not fit into `id_bits`.
    """
    if not 0 <= identity < 1 << id_bits:
        raise ValueError(f"an id of {id_bits} bits is needed, got {identity:#x}")
    check = _check(identity, key, id_bits, check_bits)
    return encode_bits(_bits_of(identity << check_bits | check, id_bits + check_bits))


def decode(
    soft: np.ndarray, key: bytes, *, id_bits: int = ID_BITS, check_bits: int = CHECK_BITS
) -> WatermarkId | None:
    """The id in `soft`, float (coded_bits,), positive for 0, the surer the larger; None if `key` is not its.

    What is not finite counts as lost.

    Raises:
        ValueError: `soft` has not the length that `coded_bits` tells.
    """
    return checked(viterbi(soft, id_bits + check_bits), [key], id_bits=id_bits, check_bits=check_bits)


def checked(
    bits: np.ndarray, keys: Sequence[bytes], *, id_bits: int = ID_BITS, check_bits: int = CHECK_BITS
) -> WatermarkId | None:
    """The id in decoded `bits`, uint8 (id_bits + check_bits,), if its check holds with one of the `keys`."""
    word = int("".join(map(str, bits.tolist())), 2)
    identity, check = word >> check_bits, word & ((1 << check_bits) - 1)
    fits = [check == _check(identity, key, id_bits, check_bits) for key in keys]
    return WatermarkId(identity) if any(fits) else None


def encode_bits(bits: np.ndarray) -> np.ndarray:
    """The convolutional code alone: uint8 (count,) -> uint8 (3 * (count + 8),), ending where it began."""
    register, sent = 0, []
    for bit in [*bits.tolist(), *[0] * _MEMORY]:
        register = (register | bit << _MEMORY + 1) >> 1
        sent.append(_SIGNS[register] < 0)
    return np.concatenate(sent).astype(np.uint8)


def viterbi(soft: np.ndarray, count: int) -> np.ndarray:
    """The `count` bits, uint8, whose code agrees best with `soft`, float (3 * (count + 8),)."""
    steps = count + _MEMORY
    if soft.shape != (RATE * steps,):
        raise ValueError(f"needed {RATE * steps} soft bits, got an array of {soft.shape}")
    clean = np.nan_to_num(soft.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    # A register is a state (the 8 bits before) with the new bit in front; without its oldest bit it is
    # the next state. So registers 2s and 2s+1 lead to state s, out of states 2s and 2s+1 (mod 256).
    gains = (clean.reshape(steps, RATE) @ _SIGNS.T).reshape(steps, _STATES, 2)
    best = np.full(_STATES, -np.inf, np.float32)
    best[0] = 0.0
    oldest = np.empty((steps, _STATES), np.uint8)
    for step in range(steps):
        paths = np.tile(best.reshape(_STATES // 2, 2), (2, 1)) + gains[step]
        oldest[step] = paths[:, 1] > paths[:, 0]
        best = paths.max(axis=1)
    state, bits = 0, np.empty(steps, np.uint8)
    for step in reversed(range(steps)):
        bits[step] = state >> _MEMORY - 1
        state = (state << 1 | int(oldest[step, state])) & (_STATES - 1)
    return bits[:count]


def _check(identity: int, key: bytes, id_bits: int, check_bits: int) -> int:
    # The sizes are part of it: a check of the sound's says nothing about the picture's.
    message = f"wan-app mark {id_bits}+{check_bits} {identity:x}".encode()
    return int.from_bytes(hmac.digest(key, message, "sha256"), "big") >> 256 - check_bits


def _bits_of(word: int, count: int) -> np.ndarray:
    return np.array([word >> place & 1 for place in reversed(range(count))], np.uint8)
