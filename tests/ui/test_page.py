"""The page's handlers, called as Gradio calls them, over services that only remember."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from tests.ui.remembering import ME, MINE, RememberingServices
from wan_app.errors import StorageError
from wan_app.families import registry
from wan_app.runtime.job import JobView
from wan_app.settings import Settings
from wan_app.sharing.who import Who
from wan_app.types import Character, GenerationRequest, GenerationResult
from wan_app.ui import about, examples, launch
from wan_app.ui.delivery import public_request
from wan_app.ui.handlers import Page
from wan_app.ui.panel import Catalogue


def values(page: Page, mode: str, **given: Any) -> list[Any]:
    """Values of a tab's fields in order, as the browser would send them untouched but for `given`."""
    panel = next(panel for panel in page.panels if panel.mode == mode)
    return [given.get(name, getattr(component, "value", None)) for name, component in panel.fields.items()]


def test_generate_submits_what_the_tab_says_and_starts_the_clock(page: Page, services: RememberingServices) -> None:
    updates = page.on_generate(page.panels[0])(*values(page, "text", prompt="a fox", size="160x96", seconds=3))
    assert (services.submitted[0].prompt, services.submitted[0].width) == ("a fox", 160)
    assert services.submitted[0].num_frames == 25
    assert updates[page.session] == ME and updates[page.timer].active
    assert updates[page.panels[0].cancel]["visible"] is True


def test_an_error_ends_in_the_card_and_touches_no_field(page: Page, services: RememberingServices) -> None:
    updates = page.on_generate(page.panels[0])(*values(page, "text", prompt=" "))
    assert 'data-field="prompt"' in updates[page.stage.card] and not updates[page.timer].active
    assert not set(updates) & set(page.panels[0].fields.values())


def test_a_fault_of_our_own_ends_in_the_card_too(page: Page, services: RememberingServices) -> None:
    services.submit = lambda *_, **__: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    updates = page.on_generate(page.panels[0])(*values(page, "text", prompt="x"))
    assert "ZeroDivisionError" in updates[page.stage.card]


def test_a_tick_of_a_living_job_changes_the_card_only(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    assert list(page.on_tick(ME)) == [page.stage.card]


def test_a_look_that_fails_leaves_the_clock_running(
    page: Page, services: RememberingServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> JobView:
        raise StorageError("data_dir", "a busy disk", "another try")

    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    monkeypatch.setattr(services, "job", busy)
    updates = page.on_tick(ME)
    assert "busy disk" in updates[page.stage.card] and page.timer not in updates
    loaded = page.on_load(ME, None, None, None)
    assert "busy disk" in loaded[page.stage.card] and loaded[page.timer].active
    monkeypatch.undo()
    assert "card running" in page.on_tick(ME)[page.stage.card]


def test_a_job_that_is_gone_stops_the_clock(page: Page) -> None:
    assert page.on_tick(ME)[page.timer].active is False


def test_a_model_that_came_since_the_start_is_seen_on_load(
    page: Page, services: RememberingServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = page.panels[0]
    vace = next(spec for spec in registry.specs().values() if not spec.bundled)
    form = {"prompt": "typed", "model": vace.id}
    before = page.on_load(None, form, None, None)
    assert "VACE 1.3B (16 GB download)" in str(before[panel.fields["model"]])
    rows = [{**row, "available": True, "reason": None} for row in services.models()]
    monkeypatch.setattr(services, "models", lambda: rows)
    after = page.on_load(None, form, None, None)
    assert after[panel.fields["model"]]["value"] == vace.id
    assert "GB download" not in str(after[panel.fields["model"]])
    assert "<td>no; " in before[page.table] and "<td>no; " not in after[page.table]


@pytest.mark.parametrize("host, local", [("127.0.0.1", True), ("0.0.0.0", False), ("192.168.1.5", False)])
def test_where_it_runs_is_said_as_it_is(host: str, local: bool, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, host=host, device="cpu")
    catalogue = Catalogue(registry.specs(), {})
    for said in (launch._header(settings), about._intro(catalogue, settings), about._privacy(settings)):
        assert ("this computer" in said or "your own machine" in said or str(tmp_path) in said) is local


def test_nobody_sees_a_job_of_another_visitor(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner="somebody else, not me")
    assert "No such video" in page.on_tick(ME)[page.stage.card]


def test_a_finished_job_brings_video_seed_and_details(
    page: Page, services: RememberingServices, tmp_path: Path
) -> None:
    video = tmp_path / "out" / "x.mp4"
    video.parent.mkdir()
    video.write_bytes(b"mp4")
    result = GenerationResult(
        file=video, model="pocket", mode="text", seed=9, width=512, height=512, num_frames=17, fps=8, seconds=2.125,
    )
    request = GenerationRequest(mode="text", prompt="A red Fox!", image=Path("/secret/dir/abc.png"))
    services.put(request, owner=MINE.owner, state="finished", result=result)
    updates = page.on_tick(ME)
    assert updates[page.stage.download]["link"] == "files/job-1/a-red-fox-9.mp4?download"
    assert 'src="files/job-1/a-red-fox-9.mp4"' in updates[page.stage.card]
    assert updates[page.panels[0].fields["seed"]] == 9
    assert str(tmp_path) not in str(updates[page.stage.facts]) and "/secret" not in str(updates[page.stage.facts])


def test_a_video_that_is_gone_is_an_error_and_no_crash(page: Page, services: RememberingServices) -> None:
    result = GenerationResult(
        file=Path("/nowhere/x.mp4"), model="pocket", mode="text", seed=9, width=5, height=5, num_frames=5,
        fps=8, seconds=1,
    )
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner, state="finished", result=result)
    assert "cannot be read" in page.on_tick(ME)[page.stage.card]


def test_cancel_shows_the_end_at_once(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    updates = page.on_cancel(ME)
    assert "Stopped" in updates[page.stage.card] and not updates[page.timer].active


def test_same_settings_new_seed(page: Page, services: RememberingServices) -> None:
    request = GenerationRequest(mode="text", prompt="p", model="pocket", seed=4, guidance_scale=3.0)
    services.put(request, owner=MINE.owner, state="finished")
    page.on_again(ME)
    assert services.submitted[0].guidance_scale == 3.0 and services.submitted[0].seed != 4


def test_the_engine_warms_once(page: Page, services: RememberingServices) -> None:
    for _ in range(2):
        assert page.on_load(None, None, None, None)[page.session] == {"job": None}
    assert services.warmed == 1


def test_another_browser_of_the_same_owner_takes_up_what_runs(
    page: Page, services: RememberingServices, asked_by: Callable[[Who], None]
) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    updates = page.on_load(None, None, None, None)
    assert updates[page.session] == ME and "card running" in updates[page.stage.card]
    asked_by(Who("visitor", "visitor:somebody else"))
    updates = page.on_load(ME, None, None, None)
    assert page.stage.card not in updates


def test_whoever_did_not_come_through_the_gate_gets_nothing(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    LocalContext.request.set(None)
    assert "expired" in page.on_tick(ME)[page.stage.card]
    assert "expired" in page.on_generate(page.panels[0])(*values(page, "text", prompt="a fox"))[page.stage.card]
    assert services.submitted == []


def test_a_click_whose_answer_was_lost_is_taken_up(page: Page, services: RememberingServices) -> None:
    """The browser knows the job before it; that one has ended, and another is in the making."""
    request = GenerationRequest(mode="text", prompt="p")
    services.put(request, owner=MINE.owner, state="cancelled")
    services.jobs_by_id["job-0"] = replace(services.jobs_by_id["job-1"], id="job-0")
    services.put(request, owner=MINE.owner)
    updates = page.on_load({"job": "job-0"}, None, None, None)
    assert updates[page.session] == ME and "card running" in updates[page.stage.card]
    services.jobs_by_id.pop("job-1")
    updates = page.on_load({"job": "job-0"}, None, None, None)
    assert updates[page.session] == {"job": "job-0"} and "card cancelled" in updates[page.stage.card]
    services.put(request, owner=MINE.owner)
    assert page.on_load({"job": "deleted"}, None, None, None)[page.session] == ME


def test_a_click_whose_answer_was_lost_and_that_is_done_by_now(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner, state="cancelled")
    services.jobs_by_id = {"job-0": replace(services.jobs_by_id["job-1"], id="job-0"), **services.jobs_by_id}
    assert page.on_load({"job": "job-0"}, None, None, None)[page.session] == {"job": "job-0"}
    assert page.on_load({"job": "job-0", "asked": True}, None, None, None)[page.session] == ME
    assert page.on_load({"asked": True}, None, None, None)[page.session] == ME


def test_a_reload_says_that_pictures_are_to_be_given_again(page: Page) -> None:
    panel = page.panels[2]
    form = {"model": "pocket", "prompt": "p"}
    assert panel.again not in page.on_load(None, None, None, form)
    assert "Give pictures and recordings again" in page.on_load(None, None, None, {**form, "given": True})[panel.again]
    assert panel.again not in page.on_load(None, None, None, {**form, "given": "x"})
    # Other events of a load set the notice anew.
    assert panel.again not in page.refresh(["pocket"] * 3)


def test_a_reload_brings_advanced_back_as_far_as_the_model_knows_it(page: Page, services: RememberingServices) -> None:
    panel = page.panels[0]
    fields = panel.fields
    form = {"model": "wan2.1-t2v-14b", "preset": "fast", "guidance_until": 0.5, "step_cache": 0.04, "loras": ["gone"],
            "lora_weight": "x", "soundtrack_mode": "replace"}
    updates = page.on_load(None, form, None, None)
    assert updates[fields["preset"]]["value"] == "fast" and updates[fields["guidance_until"]]["value"] == 0.5
    assert updates[fields["step_cache"]]["value"] == 0.04 and updates[fields["soundtrack_mode"]] == "replace"
    assert updates[fields["loras"]]["value"] == [] and updates[fields["lora_weight"]]["value"] == 1.0
    plain = page.on_load(None, {**form, "model": "pocket", "soundtrack_mode": ["x"]}, None, None)
    assert plain[fields["preset"]]["value"] == "quality" and plain[fields["guidance_until"]]["value"] == 1.0
    assert fields["soundtrack_mode"] not in plain
    odd = page.on_load(None, {**form, "preset": ["fast"], "guidance_until": 7, "step_cache": "x"}, None, None)
    assert [odd[fields[name]]["value"] for name in ("preset", "guidance_until", "step_cache")] == ["quality", 1.0, 0.0]


def test_a_reload_finds_the_job_and_the_form(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    form = {"prompt": "typed", "model": "pocket", "size": "96x160", "seconds": 4, "num_inference_steps": 9, "seed": 3}
    updates = page.on_load(ME, form, None, None)
    fields = page.panels[0].fields
    assert updates[page.timer].active and "card running" in updates[page.stage.card]
    assert updates[fields["prompt"]] == "typed" and updates[fields["size"]]["value"] == "96x160"
    assert updates[fields["seconds"]]["value"] == 4 and updates[fields["num_inference_steps"]]["value"] == 9


@pytest.mark.parametrize("form", [
    5, [], {"model": "gone", "prompt": "typed"}, {"model": ["x"]}, {"model": "pocket", "size": 3, "seconds": "x"},
    {"model": "pocket", "num_inference_steps": 1e9, "guidance_scale": None},
])
def test_a_stored_form_that_makes_no_sense_is_no_obstacle(page: Page, form: Any) -> None:
    assert page.session in page.on_load({"job": 5}, form, form, form)


def test_numbers_out_of_range_are_not_brought_back(page: Page) -> None:
    fields = page.panels[0].fields
    form = {"model": "pocket", "num_inference_steps": 1e9, "guidance_scale": 0, "size": "9x9", "seconds": -1}
    updates = page.on_load(None, form, None, None)
    for name, usual in (("num_inference_steps", 16), ("guidance_scale", 3.5)):
        assert updates[fields[name]]["value"] == usual
    assert (updates[fields["size"]]["value"], updates[fields["seconds"]]["value"]) == ("128x128", 2)


def test_limits_follow_the_model(page: Page) -> None:
    panel = page.panels[0]
    vace = next(spec for spec in registry.specs().values() if not spec.bundled)
    updates = page.on_model(panel)(vace.id, "128x128", 2)
    assert updates[panel.fields["size"]]["value"] == f"{vace.shapes[0].width}x{vace.shapes[0].height}"
    assert updates[panel.fields["num_inference_steps"]]["value"] == vace.num_inference_steps
    assert vace.title in updates[panel.notice]
    assert f"at {vace.fps:g} per second" in updates[panel.readout]


def test_every_model_can_be_chosen_on_every_tab(page: Page) -> None:
    for panel in page.panels:
        for spec in page.catalogue.doing(panel.mode):
            updates = page.on_model(panel)(spec.id, "128x128", 2)
            for name in ("seconds", "num_inference_steps", "guidance_scale"):
                given = {key: value for key, value in updates[panel.fields[name]].items() if key != "__type__"}
                # Gradio makes the component anew, and refuses a slider without a way to slide.
                gr.Slider(**{"minimum": 1, "maximum": 20, **given})


def test_every_update_is_for_an_output(page: Page, services: RememberingServices) -> None:
    shown = set(page.stage_outputs())
    services.put(GenerationRequest(mode="reference", prompt="p"), owner=MINE.owner)
    vace = next(spec for spec in registry.specs().values() if not spec.bundled)
    for panel in page.panels:
        assert set(page.on_model(panel)(vace.id, None, None)) <= {*panel.form, *panel.fields.values()}
    assert set(page.on_load(ME, *[{"model": "pocket", "prompt": "x", "seed": 1}] * 3)) <= set(page.load_outputs())
    assert set(page.on_last_frame(ME)) <= set(page.last_frame_outputs())
    assert set(page.on_cancel(ME)) <= shown


def test_a_bad_picture_for_the_last_frame_is_told(page: Page, services: RememberingServices) -> None:
    services.put(GenerationRequest(mode="text", prompt="p"), owner=MINE.owner)
    assert "Got no video" in page.on_last_frame(ME)[page.stage.card]


def test_voices_follow_the_model_and_hidden_ones_are_not_sent(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = next(panel for panel in page.panels if panel.mode == "reference")
    spec = replace(page.catalogue.specs["pocket"], native_audio=True, max_characters=3, max_voices=1)
    monkeypatch.setitem(page.catalogue.specs, "pocket", spec)
    updates = page.on_model(panel)("pocket", None, None)
    assert [updates[area]["visible"] for area in panel.voice_areas][:3] == [True, False, False]
    emptied = {name for name, part in panel.fields.items() if part in updates and updates[part] is None}
    assert {"faces2", "voice2", "voice3"} <= emptied and not {"voice1", "faces1"} & emptied
    monkeypatch.setitem(page.catalogue.specs, "pocket", replace(spec, max_voices=0))
    updates = page.on_model(panel)("pocket", None, None)
    assert not any(updates[area]["visible"] for area in panel.voice_areas) and updates[panel.fields["voice1"]] is None


def test_an_example_leaves_no_voice_of_another(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    one = examples.Example(mode="reference", prompt="p", label="l", file=Path("a.mp4"), faces=(Path("f.png"),))
    monkeypatch.setattr(examples, "of_mode", lambda mode: [one])
    panel = next(panel for panel in page.panels if panel.mode == "reference")
    updates = page.on_example(panel)(SimpleNamespace(_data={"index": 0}))  # type: ignore[arg-type]
    assert updates[panel.fields["faces1"]] == ["f.png"]
    assert updates[panel.fields["voice1"]] is None and updates[panel.fields["say"]] == ""
    assert set(updates) <= set(page.example_outputs(panel))


def test_words_to_say_come_back_and_recordings_are_never_kept(page: Page) -> None:
    for panel in page.panels:
        assert "say" in panel.kept and not set(panel.uploads) & set(panel.kept)
    panel = page.panels[2]
    updates = page.on_load(None, None, None, {"model": "pocket", "prompt": "p", "say": "hello"})
    assert updates[panel.fields["say"]]["value"] == "hello"
    # Who knows no words says so before anything is made.
    assert "babbles" in updates[panel.fields["say"]]["info"]
    assert not {panel.fields[name] for name in panel.uploads} & set(page.load_outputs())


def test_no_path_of_a_sound_is_shown(page: Page, services: RememberingServices, tmp_path: Path) -> None:
    request = GenerationRequest(
        mode="reference", prompt="p", soundtrack=Path("/secret/s.flac"),
        characters=(Character(name="character1", voice=Path("/secret/v.flac")),),
    )
    told = str(public_request(request))
    assert public_request(replace(request, seed=0))["seed"] == 0 and "sound_only" not in told
    assert "/secret" not in told and "s.flac" in told and "v.flac" in told
