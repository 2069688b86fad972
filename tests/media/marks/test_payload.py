"""The payload of a watermark: id, keyed check, and the code that brings both through noise."""

from __future__ import annotations

import numpy as np
import pytest

from wan_app.media.marks import payload

KEY = bytes(range(32))
SIZES = [(40, 24), (32, 16)]


def soft_of(coded: np.ndarray, *, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """0 as +1, 1 as -1, with white noise on top."""
    return 1.0 - 2.0 * coded + noise * np.random.default_rng(seed).standard_normal(coded.shape)


@pytest.mark.parametrize("id_bits, check_bits", SIZES)
@pytest.mark.parametrize("identity", [0, 1, 0xDEADBEEF, 2**32 - 1])
def test_what_is_written_is_read(id_bits: int, check_bits: int, identity: int) -> None:
    coded = payload.encode(identity, KEY, id_bits=id_bits, check_bits=check_bits)
    assert coded.dtype == np.uint8 and set(coded.tolist()) <= {0, 1}
    assert coded.shape == (payload.coded_bits(id_bits=id_bits, check_bits=check_bits),)
    assert payload.decode(soft_of(coded), KEY, id_bits=id_bits, check_bits=check_bits) == identity


def test_the_code_is_the_published_one() -> None:
    """The impulse response of K=9 (557, 663, 711): 18 ones, its free distance."""
    sent = payload.encode_bits(np.array([1], np.uint8)).reshape(9, 3)
    assert [int("".join(map(str, column)), 2) for column in sent.T] == [0o557, 0o663, 0o711]
    assert sent.sum() == 18


def test_noise_as_strong_as_the_signal_is_survived() -> None:
    read = 0
    for seed in range(40):
        soft = soft_of(payload.encode(1000 + seed, KEY), noise=1.0, seed=seed)
        read += payload.decode(soft, KEY) == 1000 + seed
    assert read >= 36


def test_lost_bits_are_survived() -> None:
    soft = soft_of(payload.encode(12345, KEY))
    soft[::3], soft[1::9] = np.nan, np.inf
    assert payload.decode(soft, KEY) == 12345


def test_another_key_reads_nothing() -> None:
    soft = soft_of(payload.encode(12345, KEY))
    assert payload.decode(soft, KEY[::-1]) is None
    bits = payload.viterbi(soft, 64)
    assert payload.checked(bits, [KEY[::-1], KEY]) == 12345
    assert payload.checked(bits, []) is None


def test_noise_alone_is_no_id() -> None:
    generator = np.random.default_rng(1)
    assert all(payload.decode(generator.standard_normal(216), KEY) is None for _ in range(200))
    assert payload.decode(np.zeros(216), KEY) is None and payload.decode(np.full(216, np.nan), KEY) is None


def test_a_check_of_other_sizes_is_another_check() -> None:
    long = payload.encode(7, KEY, id_bits=32, check_bits=24)
    short = payload.encode(7, KEY, id_bits=40, check_bits=16)
    assert payload.decode(soft_of(long), KEY, id_bits=40, check_bits=16) is None
    assert payload.decode(soft_of(short), KEY, id_bits=40, check_bits=16) == 7


def test_ids_are_ten_hex_digits() -> None:
    assert str(payload.WatermarkId(255)) == f"{payload.WatermarkId(255)}" == "00000000ff"
    made = {payload.new_id() for _ in range(100)}
    assert len(made) == 100 and all(0 <= identity < 2**40 for identity in made)
    assert max(made) > 2**38


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="40 bits"):
        payload.encode(2**40, KEY)
    with pytest.raises(ValueError, match="216 soft bits"):
        payload.decode(np.zeros(168), KEY)
