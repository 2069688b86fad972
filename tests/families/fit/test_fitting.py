"""A request against this machine: sound alone, and what the fast preset still has to fetch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.families.fit.test_plan import CPU
from wan_app.families import registry
from wan_app.families.fit.fitting import fit_request, uncorrected, work_of
from wan_app.families.parts.sounding import numbers_with_sound
from wan_app.settings import Settings
from wan_app.types import GenerationRequest


@pytest.mark.parametrize("model_id", ["ltx-2", "echo-1.5", "minimax-h3"])
def test_sound_alone_is_planned_at_the_size_it_is_made(model_id: str, tmp_path: Path) -> None:
    spec, settings = registry.get(model_id), Settings(data_dir=tmp_path)
    whole = spec.resolve(GenerationRequest(mode="text", prompt="a fox", say="hello"))
    alone = replace(whole, sound_only=True)
    work, numbers = work_of(alone, spec), numbers_with_sound(alone, spec)
    assert (work.width, work.height) == (numbers.width, numbers.height) < (whole.width, whole.height)
    machine = CPU.instead(80, 256)
    plan = fit_request(alone, settings, machine).plan
    costs = [uncorrected(one, settings, machine, plan, loaded=True) for one in (alone, whole)]
    assert costs[0].vram < costs[1].vram and costs[0].minutes < costs[1].minutes


def test_fit_tells_what_the_fast_preset_lacks(tmp_path: Path) -> None:
    settings, spec = Settings(data_dir=tmp_path, weights_dir=tmp_path), registry.get("wan2.1-t2v-14b")
    plain = spec.resolve(GenerationRequest(mode="text", prompt="a fox"))
    fast = spec.resolve(GenerationRequest(mode="text", prompt="a fox", preset="fast"))
    machine = CPU.instead(80, 256)
    found = {one.preset: fit_request(one, settings, machine) for one in (plain, fast)}
    assert spec.fast is not None
    more = found["fast"].predicted.download - found["quality"].predicted.download
    assert more == spec.fast.download_bytes
    # Four steps without guidance in place of fifty with it.
    assert found["fast"].predicted.minutes < found["quality"].predicted.minutes / 5
    for name in spec.fast.files:
        file = tmp_path / spec.fast.repository / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    assert fit_request(fast, settings, machine).predicted.download == found["quality"].predicted.download
    full = replace(machine, disk_free=spec.download_bytes + 1)
    assert not fit_request(replace(fast, preset="fast", weights=None), Settings(data_dir=tmp_path), full).fits
