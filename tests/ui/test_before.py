"""Licences, downloads and gauges of the page, over services that only remember."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.ui.remembering import RememberingServices
from wan_app.families import registry
from wan_app.families.weights.licences import LICENCES
from wan_app.runtime.downloads import DownloadView
from wan_app.sharing.who import Role, Who
from wan_app.types import Downloaded, Failed
from wan_app.ui import about
from wan_app.ui.before import Before
from wan_app.ui.handlers import Page
from wan_app.ui.panel import Panel

VACE, ECHO = "wan2.1-vace-1.3b", "echo-1.5"


class Timer:
    """In place of a gr.Timer, which needs a page around it."""


@pytest.fixture
def before(page: Page) -> Before:
    return Before(page=page, timer=Timer())


def forms(page: Page, model: str, **given: Any) -> list[Any]:
    """What the browser sends of every tab, with a model chosen on the first."""
    values = []
    for panel in page.panels:
        form = {name: getattr(one, "value", None) for name, one in panel.costing.items()}
        values += {**form, **(given | {"model": model} if panel is page.panels[0] else {})}.values()
    return values


def slot(panel: Panel, updates: dict[Any, Any]) -> tuple[str, bool, bool, bool]:
    """(html, words to tick, download button, stop button)."""
    one = panel.shelf
    seen = (updates[part]["visible"] for part in (one.words, one.download, one.stop))
    return (updates[one.card], *seen)  # type: ignore[return-value]


def test_a_model_that_is_here_needs_nothing(before: Before) -> None:
    panel = before.page.panels[0]
    updates = before.on_model(panel)("pocket")
    assert updates[panel.shelf.area]["visible"] is False and not any(slot(panel, updates)[1:])


def test_a_download_is_offered_shown_stopped_and_gone_on_with(before: Before, services: RememberingServices) -> None:
    panel, values = before.page.panels[0], forms(before.page, VACE)
    offered = before.on_model(panel)(VACE)
    assert "Not on this computer yet" in offered[panel.shelf.card]
    assert offered[panel.shelf.download]["value"] == "Download 16 GB" and not services.fetching
    begun = before.on_download(panel)(*values)
    told, _, offers, stops = slot(panel, begun)
    assert "3.2 GB of 16 GB · about 4 min left" in told and 'aria-valuenow="20"' in told
    assert stops and not offers and begun[before.timer].active
    assert set(begun) <= set(before.outputs())
    ticked = before.on_tick(*values)
    assert panel.shelf.card in ticked and panel.shelf.words in ticked and before.page.panels[1].shelf.card not in ticked
    stopped = before.on_stop(panel)(*values)
    assert "what came so far stays" in stopped[panel.shelf.card] and not stopped[before.timer].active
    assert stopped[panel.shelf.download]["value"] == "Go on with the download"


def test_a_tick_leaves_a_licence_that_is_being_read_alone(before: Before, services: RememberingServices) -> None:
    services.download(VACE)
    updates = before.on_tick(*forms(before.page, ECHO))
    assert updates and before.page.panels[0].shelf.words not in updates


def test_a_download_that_failed_says_why(before: Before, services: RememberingServices) -> None:
    panel = before.page.panels[0]
    services.fetching[VACE] = DownloadView(VACE, Failed("download: got 3 GB free; needed <16> GB", "StorageError", 2))
    updates = before.on_tick(*forms(before.page, VACE))
    assert "Got 3 GB free; needed &lt;16&gt; GB" in updates[panel.shelf.card]
    assert updates[panel.shelf.download] == {"visible": True, "value": "Try again", "__type__": "update"}


def test_a_model_that_came_is_offered_at_once(
    before: Before, services: RememberingServices, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    panel, values = before.page.panels[0], forms(before.page, VACE)
    done = Downloaded(model=VACE, repository="r", commit=None, folder=tmp_path)
    services.fetching = {VACE: DownloadView(VACE, done), "other": services.download("wan2.1-vace-14b")}
    rows = [{**row, "available": row["available"] or row["id"] == VACE} for row in services.models()]
    monkeypatch.setattr(services, "models", lambda: rows)
    updates = before.on_tick(*values)
    assert ("Wan2.1 VACE 1.3B", VACE) in updates[panel.fields["model"]]["choices"]
    assert updates[panel.shelf.area]["visible"] is False and updates[before.timer].active


def test_a_licence_is_ticked_in_its_own_words_and_never_beforehand(
    before: Before, services: RememberingServices
) -> None:
    panel, values = before.page.panels[0], forms(before.page, ECHO)
    licence = LICENCES["joyai-echo"]
    shown = before.on_model(panel)(ECHO)
    assert panel.shelf.words.value is False and shown[panel.shelf.words]["value"] is False
    assert shown[panel.shelf.words]["label"] == licence.words and shown[panel.shelf.download]["visible"] is False
    assert licence.limits in shown[panel.shelf.card] and f'href="{licence.url}"' in shown[panel.shelf.card]
    for ticked in (False, None, "false", "yes", 1):
        refused = before.on_accept(panel)(ticked, *values)
        assert "a tick at the sentence" in refused[panel.shelf.card] and services.accepted == {}
    taken = before.on_accept(panel)(True, *values)
    assert services.accepted == {"joyai-echo": licence.words}
    assert taken[panel.shelf.download]["visible"] and not taken[panel.shelf.words]["visible"]
    assert "licence accepted 2026-11-22" in taken[before.page.table] and set(taken) <= set(before.outputs())


def test_nothing_is_fetched_while_its_licence_is_not_accepted(before: Before, services: RememberingServices) -> None:
    before.on_download(before.page.panels[0])(*forms(before.page, ECHO))
    assert services.fetching == {}


@pytest.mark.parametrize("role", ["visitor", "guest"])
def test_neither_visitors_nor_guests_fetch_or_accept(
    before: Before, page: Page, services: RememberingServices, asked_by: Callable[[Who], None], role: Role
) -> None:
    asked_by(Who(role, f"{role}:1"))
    panel = page.panels[0]
    for model, command in ((VACE, f"python -m wan_app download {VACE}"), (ECHO, "licence accept joyai-echo")):
        told, *buttons = slot(panel, before.on_model(panel)(model))
        assert command in told and not any(buttons)
        assert "runs this server" in before.on_download(panel)(*forms(page, model))[panel.shelf.card]
        assert "runs this server" in before.on_accept(panel)(True, *forms(page, model))[panel.shelf.card]
    assert services.fetching == {} and services.accepted == {}


def only_speech_is_missing(services: RememberingServices, monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    """All models are here, but not the one that speaks for the silent ones."""
    speech = {"id": "pocket-tts", "title": title, "licence": "CC", "download_bytes": 438_000_000, "available": False}
    rows = [{**row, "available": True, "speech": None if row["native_audio"] else speech} for row in services.models()]
    monkeypatch.setattr(services, "models", lambda: rows)


def test_the_speech_model_of_a_silent_one_is_offered_too(
    before: Before, services: RememberingServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_speech_is_missing(services, monkeypatch, "A <speaker>")
    panel = before.page.panels[0]
    updates = before.on_load(*forms(before.page, VACE))
    assert "A &lt;speaker&gt;" in updates[panel.shelf.card]
    before.on_download(panel)(*forms(before.page, VACE))
    assert list(services.fetching) == ["pocket-tts"]


LARGE = "wan2.1-t2v-14b"


@pytest.fixture
def large_is_here(services: RememberingServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what its preset fast needs."""
    rows = [{**row, "available": row["available"] or row["id"] == LARGE} for row in services.models()]
    monkeypatch.setattr(services, "models", lambda: rows)


def test_what_fast_needs_is_offered_shown_and_stopped(
    before: Before, services: RememberingServices, large_is_here: None
) -> None:
    panel = before.page.panels[0]
    offered = before.on_load(*forms(before.page, LARGE))
    assert "4 steps in place of 50, with a LoRA of 0.6 GB (Apache-2.0)" in offered[panel.shelf.card]
    assert offered[panel.shelf.download]["value"] == "Download 0.6 GB"
    begun = before.on_download(panel)(*forms(before.page, LARGE))
    assert list(services.fetching) == [f"{LARGE}+fast"] and slot(panel, begun)[1:] == (False, False, True)
    assert begun[before.timer].active and "3.2 GB of 16 GB" in begun[panel.shelf.card]
    stopped = before.on_stop(panel)(*forms(before.page, LARGE))
    assert stopped[panel.shelf.download]["value"] == "Go on with the download"


def test_fast_comes_along_with_a_model_that_is_not_here_if_it_is_chosen(
    before: Before, services: RememberingServices
) -> None:
    panel = before.page.panels[0]
    labels = [before.on_model(panel)(LARGE, one)[panel.shelf.download]["value"] for one in ("quality", "fast", None)]
    assert labels == ["Download 80 GB", "Download 81 GB", "Download 80 GB"]
    before.on_download(panel)(*forms(before.page, LARGE))
    running = before.on_model(panel)(LARGE, "fast")
    assert running[panel.shelf.stop]["visible"], "one download of a model at a time: that one is shown"
    before.on_stop(panel)(*forms(before.page, LARGE, preset="fast"))
    assert list(services.fetching) == [LARGE] and services.fetching[LARGE].state == "cancelled"
    before.on_download(panel)(*forms(before.page, LARGE, preset="fast"))
    assert list(services.fetching) == [LARGE, f"{LARGE}+fast"]


def test_what_is_chosen_is_needed_first(
    before: Before, services: RememberingServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_speech_is_missing(services, monkeypatch, "Speaker")
    panel = before.page.panels[0]
    assert "Speaker" in before.on_load(*forms(before.page, LARGE))[panel.shelf.card]
    assert "Fast preset" in before.on_load(*forms(before.page, LARGE, preset="fast"))[panel.shelf.card]
    # A model without one keeps the choice of the model before for a moment.
    assert "Fast preset" not in before.on_model(panel)(VACE, "fast")[panel.shelf.card]


def test_what_fast_needed_is_asked_for_no_more_once_it_is_here(
    before: Before, services: RememberingServices, large_is_here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    panel, values = before.page.panels[0], forms(before.page, LARGE)
    before.on_load(*values)
    services.fetching = {
        f"{LARGE}+fast": DownloadView(
            f"{LARGE}+fast", Downloaded(model=LARGE, repository="r", commit=None, folder=tmp_path)
        ),
        "other": services.download(VACE),
    }
    rows = [{**row, "fast": row["fast"] and {**row["fast"], "available": True}} for row in services.models()]
    monkeypatch.setattr(services, "models", lambda: rows)
    updates = before.on_tick(*values)
    assert updates[panel.shelf.area]["visible"] is False and before.page.catalogue.slow == {}


def test_guests_are_told_the_command_of_fast(
    before: Before, services: RememberingServices, asked_by: Callable[[Who], None], large_is_here: None
) -> None:
    before.on_load(*forms(before.page, LARGE))
    asked_by(Who("guest", "guest:1"))
    told, *buttons = slot(before.page.panels[0], before.on_model(before.page.panels[0])(LARGE, "fast"))
    assert f"python -m wan_app download {LARGE} --preset fast" in told and not any(buttons)


def test_a_broken_folder_is_told_without_the_command(before: Before, services: RememberingServices) -> None:
    catalogue = before.page.catalogue
    catalogue.missing[VACE] = "x: shard 2 of 3 is cut off; python -m wan_app download x fetches what is missing"
    told = before.on_model(before.page.panels[0])(VACE)[before.page.panels[0].shelf.card]
    assert "shard 2 of 3 is cut off" in told and "python" not in told


def test_the_gauge_follows_the_form(before: Before) -> None:
    panel = before.page.panels[2]
    form = {name: getattr(one, "value", None) for name, one in panel.costing.items()}
    read = before.on_form(panel)
    assert 'class="fit calm"' in read(*form.values())
    small = read(*{**form, "model": VACE, "size": "832x480", "seconds": 1, "num_inference_steps": 30}.values())
    large = read(*{**form, "model": VACE, "size": "832x480", "seconds": 5, "num_inference_steps": 30,
                   "faces1": [{"path": "/x"}] * 3}.values())
    assert small != large and " min<" in large
    # Sizes of the model before are taken for the new one's default until its own have come.
    assert "Card" in read(*{**form, "model": VACE, "size": "128x128"}.values())


@pytest.mark.parametrize("given", [
    {"seconds": None, "size": None}, {"seconds": "x"}, {"seconds": 1e9}, {"num_inference_steps": [1]},
    {"guidance_scale": -1}, {"model": ["x"]}, {"model": "no such"}, {"faces1": "x"},
])
def test_nonsense_in_the_form_is_no_crash(before: Before, given: dict[str, Any]) -> None:
    panel = before.page.panels[2]
    form = {name: getattr(one, "value", None) for name, one in panel.costing.items()}
    assert isinstance(before.on_form(panel)(*{**form, **given}.values()), str)


def test_the_list_of_models_has_those_at_hand_first_and_licences_last(page: Page) -> None:
    labels = [label for label, _ in page.catalogue.choices("reference")]
    assert labels[0] == "Pocket" and all("(licence to accept, " in label for label in labels[-2:])
    assert not any("licence" in label for label in labels[:-2]) and all(len(label) < 60 for label in labels)


def test_a_memory_figure_says_what_it_is_for(page: Page) -> None:
    row = about._row(page.catalogue, registry.get(VACE))
    assert re.search(r"\d\d GB in full \(bf16\)<br>\d\d GB in 8 bits<br>\d\d GB in 4 bits<", row)
    assert "no card needed" in about._row(page.catalogue, registry.get("pocket"))
