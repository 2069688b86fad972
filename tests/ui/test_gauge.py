"""The plan before the click: what is told, and that the bundled model stays a single line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ui.remembering import MACHINE
from wan_app.devices import Machine
from wan_app.families import registry
from wan_app.families.fit.fitting import fit_request
from wan_app.settings import Settings
from wan_app.types import GenerationRequest
from wan_app.ui.gauge import calm, gauge, state_of
from wan_app.ui.words import rough_time

TITLES = {spec.id: spec.title for spec in registry.specs().values()}
CPU = replace(MACHINE, device="cpu", name="CPU, 2 cores", vram=0, vram_free=0, ram_free=30_000_000_000, tflops=0.1)
SMALL = MACHINE.instead(6, 16)


def found(model: str, machine: Machine, **changes: Any) -> dict[str, Any]:
    """As Services.fit; no weights are here but the bundled ones."""
    spec = registry.get(model)
    request = spec.sized(GenerationRequest(mode=spec.tasks[0], prompt="", model=model))
    settings = Settings(data_dir=Path("nowhere"), weights_dir=Path("nowhere"), device="cpu")
    return {**fit_request(request, settings, machine).to_json(), **changes}


def test_the_bundled_model_is_one_calm_line() -> None:
    shown = gauge(found("pocket", CPU), TITLES)
    assert 'class="fit calm"' in shown and "Fits this computer" in shown and re.search(r">about \d+ s<", shown)
    assert "meter" not in shown and "<p>" not in shown


def test_a_bundled_model_without_room_is_told_aloud() -> None:
    shown = gauge(found("pocket", replace(CPU, ram_free=500_000_000)), TITLES)
    assert "calm" not in shown and "Does not fit" in shown and "meter over" in shown


def test_a_large_model_tells_card_memory_disk_download_and_minutes() -> None:
    one = found("wan2.1-vace-1.3b", MACHINE)
    shown = gauge(one, TITLES)
    assert state_of(one) in ("fits", "offload") and rough_time(one["predicted"]["minutes"]) in shown
    for part in ("Card", "Memory", "Disk", "after a download of 16 GB", "25 GB free", "A prediction for RTX 4090"):
        assert part in shown
    assert "over" not in shown
    assert "From runs on this machine" in gauge({**one, "measured": True}, TITLES)


def test_parts_off_the_card_are_said() -> None:
    one = found("wan2.1-vace-14b", MACHINE)
    assert state_of(one) == "offload" and "Fits, with parts off the card" in gauge(one, TITLES)


def test_hours_are_no_plain_yes() -> None:
    one = found("wan2.1-vace-1.3b", CPU)
    assert one["fits"] and state_of(one) == "slow" and "days" in gauge(one, TITLES)


def test_what_does_not_fit_says_why_and_what_would() -> None:
    one = found("ltx-2", SMALL, instead=["a smaller size: 624x624", "fewer seconds: 3.1",
                                         "a smaller model: minimax-h3", "<b>"])
    shown = gauge(one, TITLES)
    assert state_of(one) == "no" and "Needs at least" in shown and "Does not fit: " not in shown
    for part in ("<b>624 × 624</b>", "<b>3.1</b>", "<b>MiniMax H3</b>", "&lt;b&gt;", "meter over"):
        assert part in shown
    assert 'class="time"' not in shown, "minutes of a video that is not made"


def test_a_download_or_a_full_card_is_never_calm() -> None:
    one = found("pocket", CPU)
    assert calm(one) and not calm({**one, "predicted": {**one["predicted"], "download": 1}})
    assert not calm({**one, "predicted": {**one["predicted"], "ram": 29_000_000_000}})
    assert not calm({**one, "predicted": {**one["predicted"], "minutes": 20}})


def test_names_are_never_markup_and_nothing_is_nothing() -> None:
    one = found("wan2.1-vace-1.3b", replace(MACHINE, name="<img src=x>"))
    assert "<img" not in gauge(one, TITLES) and gauge(None, TITLES) == ""


@pytest.mark.parametrize(("minutes", "said"), [
    (0.001, "about 1 s"), (0.17, "about 10 s"), (1.5, "about 2 min"), (25.4, "about 25 min"), (200, "about 3 hours"),
    (4561, "about 3 days"),
])
def test_predictions_are_no_finer_than_they_are(minutes: float, said: str) -> None:
    assert rough_time(minutes) == said
