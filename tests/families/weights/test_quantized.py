"""int8 and nf4 on tiny checkpoints, on the CPU, and the copies of them on disk.

diffusers refuses to quantize without a card, though bitsandbytes computes on a processor too: that one
check is taken out here. Everything behind it is real.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from tests.families import tiny_wan
from tests.families.conftest import Recorder
from wan_app.errors import ModelUnavailable
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.weights import checkpoints, quantized
from wan_app.families.weights.quantized import QuantizedCopy, fingerprint, prune
from wan_app.types import GenerationRequest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_wan.build_text(tmp_path_factory.mktemp("wan"))


@pytest.fixture(autouse=True)
def without_a_card(monkeypatch):
    from diffusers.quantizers.bitsandbytes import bnb_quantizer

    for kind in (bnb_quantizer.BnB4BitDiffusersQuantizer, bnb_quantizer.BnB8BitDiffusersQuantizer):
        monkeypatch.setattr(kind, "validate_environment", lambda self, *args, **options: None)
        monkeypatch.setattr(kind, "update_device_map", lambda self, device_map: {"": "cpu"})
    # Newer processors have a kernel of their own, for layers of a multiple of 32 only; these are smaller.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


@pytest.fixture
def loads(monkeypatch):
    """Folders that were read."""
    seen = []
    load = checkpoints._load

    def counted(cls, at, *rest, **options):
        seen.append(at)
        return load(cls, at, *rest, **options)

    monkeypatch.setattr(checkpoints, "_load", counted)
    return seen


def transformer(folder, quantization, cache):
    import torch
    from diffusers import WanTransformer3DModel

    return checkpoints.load_component(
        WanTransformer3DModel, folder, "transformer", torch.bfloat16, quantization, cache=cache
    )


def frames(folder, **plan) -> np.ndarray:
    spec = tiny_wan.tiny_spec("wan2.1-t2v-1.3b")
    runner = registry.load(spec, Plan(**plan), folder)
    request = GenerationRequest(mode="text", prompt="a fox", seed=1, num_inference_steps=2, num_frames=5)
    try:
        return runner.generate(spec.resolve(request), Recorder()).frames
    finally:
        runner.close()


@pytest.mark.parametrize("quantization, layer", [("int8", "Linear8bitLt"), ("nf4", "Linear4bit")])
def test_the_copy_is_read_from_then_on_and_is_bit_for_bit_the_same(folder, tmp_path, loads, quantization, layer):
    import torch

    first, second = (transformer(folder, quantization, tmp_path) for _ in range(2))
    assert loads[0] == folder / "transformer" and loads[1].parent == tmp_path / "quantized"
    assert sum(type(one).__name__ == layer for one in second.modules()) > 10
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("quantization, offloads", [("int8", ("none", "model")), ("nf4", ("none", "model", "group"))])
def test_a_quantized_model_makes_the_same_video_under_every_offload(folder, tmp_path, quantization, offloads):
    plain = frames(folder)
    made = [frames(folder, quantization=quantization, offload=one, cache=tmp_path) for one in offloads]
    # Where the processor reads, it reads in bf16: other embeddings, nearly the same video.
    assert np.array_equal(made[0], made[1])
    assert all(np.abs(one.astype(int) - plain).mean() < 12 for one in made)


def test_a_changed_byte_is_found_and_the_copy_made_anew(folder, tmp_path, loads):
    transformer(folder, "int8", tmp_path)
    (file,) = (tmp_path / "quantized").glob("*/*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    transformer(folder, "int8", tmp_path)
    assert [at == folder / "transformer" for at in loads] == [True, True]
    transformer(folder, "int8", tmp_path)
    assert loads[-1].parent == tmp_path / "quantized"


@pytest.mark.parametrize("harm", ["no manifest", "not json", "no file", "empty"])
def test_half_a_copy_is_none(tmp_path, harm):
    source = tmp_path / "source"
    source.mkdir()
    copy = QuantizedCopy(tmp_path, source, "int8")
    copy.folder.mkdir()
    (copy.folder / "a.safetensors").write_bytes(b"x")
    manifest = {"not json": "{", "no file": json.dumps({"sha256": {"b": "1"}}), "empty": '{"sha256": {}}'}
    if harm != "no manifest":
        (copy.folder / "manifest.json").write_text(manifest[harm])
    assert not copy.is_whole()


def test_other_weights_of_the_same_shape_have_another_copy(folder, tmp_path):
    other = shutil.copytree(folder / "transformer", tmp_path / "transformer")
    assert fingerprint(other, "int8") == fingerprint(folder / "transformer", "int8")
    assert fingerprint(other, "int8") != fingerprint(other, "nf4")
    (file,) = other.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert fingerprint(other, "int8") != fingerprint(folder / "transformer", "int8")


def test_without_room_no_copy_is_kept(folder, tmp_path, monkeypatch, loads):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(quantized.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    for _ in range(2):
        transformer(folder, "int8", tmp_path)
    assert loads == [folder / "transformer"] * 2 and not list((tmp_path / "quantized").iterdir())


def test_a_disk_that_fails_leaves_nothing_half(folder, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(quantized, "_hashes", fail)
    transformer(folder, "int8", tmp_path)
    assert not list((tmp_path / "quantized").iterdir())


def test_an_unknown_quantization_is_told(folder, tmp_path):
    with pytest.raises(ModelUnavailable, match="quantization: got 'fp5'"):
        transformer(folder, "fp5", tmp_path)


def old_copy(root: Path, name: str, used: float, *, pid: int | None = None) -> Path:
    """A copy of 1000 bytes or a little more, last used at `used`."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "a.safetensors").write_bytes(b"x" * 1000)
    (folder / "manifest.json").write_text("{}")
    if pid is not None:
        (folder / f"in-use-{pid}").touch()
    os.utime(folder / "manifest.json", (used, used))
    return folder


def test_the_copies_not_used_for_longest_go_first(tmp_path):
    first, second, third = (old_copy(tmp_path, name, used) for name, used in (("c", 1), ("a", 2), ("b", 3)))
    assert prune(tmp_path, 5000) == [] and first.is_dir()
    assert prune(tmp_path, 2100) == [first] and not first.exists() and second.is_dir() and third.is_dir()
    # Half a copy of another process that is at work is not one.
    (tmp_path / ".part-x").mkdir()
    assert prune(tmp_path, 0) == [second, third] and (tmp_path / ".part-x").is_dir()
    assert prune(tmp_path / "nowhere", 0) == []


def test_a_copy_in_use_stays(tmp_path):
    used, free = old_copy(tmp_path, "used", 1, pid=os.getpid()), old_copy(tmp_path, "free", 2, pid=2**22 + 1)
    assert prune(tmp_path, 0) == [free] and used.is_dir()


def test_reading_a_copy_counts_as_use(folder, tmp_path):
    transformer(folder, "int8", tmp_path)
    (copy,) = (tmp_path / "quantized").iterdir()
    os.utime(copy / "manifest.json", (1, 1))
    transformer(folder, "int8", tmp_path)
    assert (copy / "manifest.json").stat().st_mtime > 1 and prune(tmp_path / "quantized", 0) == []
