"""The registry: order, unknown ids, duplicates, faults while loading."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from wan_app.errors import InvalidRequest, ModelUnavailable, OutOfMemory
from wan_app.families import registry
from wan_app.families.base import Plan


def test_the_bundled_model_comes_first_and_is_the_default() -> None:
    assert next(iter(registry.specs())) == "pocket"
    assert registry.get(None).id == "pocket"
    assert {"pocket", "wan2.1-vace-1.3b", "wan2.1-vace-14b"} <= set(registry.specs())


@pytest.mark.parametrize("wrong", ["wan2.6", "", "Pocket", 7, ["pocket"]])
def test_an_unknown_id_is_answered_with_the_known_ones(wrong: object) -> None:
    with pytest.raises(InvalidRequest, match="model: got .*; needed one of pocket, wan2.1-vace-1.3b"):
        registry.get(wrong)  # type: ignore[arg-type]


def test_two_families_with_one_id_are_refused_naming_both() -> None:
    one, two = ModuleType("family_one"), ModuleType("family_two")
    one.SPECS = two.SPECS = (registry.get("pocket"),)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"'pocket' is in both family_one and family_two"):
        registry.collect((one, two))


@pytest.mark.parametrize("spec", registry.specs().values(), ids=lambda spec: spec.id)
def test_the_defaults_of_a_row_can_be_run(spec: object) -> None:
    for shape in spec.shapes:  # type: ignore[attr-defined]
        assert spec._fits(shape.width, shape.height), shape  # type: ignore[attr-defined]
    for frames in (spec.min_frames, spec.max_frames, spec.default_frames):  # type: ignore[attr-defined]
        assert (frames - spec.frame_offset) % spec.frame_step == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (RuntimeError("size mismatch\nfor x"), ModelUnavailable),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (ModelUnavailable("its own words"), ModelUnavailable),
    ],
)
def test_faults_while_loading_become_one_line(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, answer: type[Exception]
) -> None:
    def load(*_: object) -> None:
        raise fault

    monkeypatch.setattr("wan_app.families.vace.load", load)
    with pytest.raises(answer) as caught:
        registry.load(registry.get("wan2.1-vace-1.3b"), Plan(), Path("/nowhere"))
    assert "\n" not in str(caught.value)
