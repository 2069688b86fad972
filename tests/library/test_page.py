"""The Gallery and Cast tabs: their handlers, over real services, and what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.context import LocalContext

from tests.library.conftest import make
from wan_app.library.cast import Likeness, Member
from wan_app.services import Services
from wan_app.sharing.gate import WHO
from wan_app.sharing.who import OWNER, Who
from wan_app.types import Character
from wan_app.ui import cast as cast_module
from wan_app.ui import castlist, gallery, launch, shelf
from wan_app.ui.cast import CastTab
from wan_app.ui.gallery import GalleryTab
from wan_app.ui.session import MAY_USE

VISITOR = Who("visitor", "visitor:ab12")


@pytest.fixture(autouse=True)
def asked_by() -> Iterator[Callable[[Who], None]]:
    def ask(who: Who) -> None:
        scope = {WHO: who, MAY_USE: lambda path: True}
        LocalContext.request.set(SimpleNamespace(request=SimpleNamespace(scope=scope)))  # type: ignore[arg-type]

    ask(OWNER)
    yield ask
    LocalContext.request.set(None)


@pytest.fixture
def tabs(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[GalleryTab, CastTab]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    made: list[Any] = []
    for module in (gallery, cast_module):
        build = module.build
        monkeypatch.setattr(module, "build", lambda build=build: made.append(build()) or made[-1])
    launch.build(services, services.settings)
    return made[0], made[1]


@pytest.fixture
def tab(tabs: tuple[GalleryTab, CastTab]) -> GalleryTab:
    return tabs[0]


@pytest.fixture
def people(tabs: tuple[GalleryTab, CastTab]) -> CastTab:
    return tabs[1]


def event(**data: Any) -> Any:
    return SimpleNamespace(_data=data)


def act(tab: GalleryTab, act: str, *jobs: Any) -> dict[Any, Any]:
    return tab.on_act(event(act=act, jobs=list(jobs)), "", "videos", 24)


def panel(tab: GalleryTab | CastTab, mode: str) -> Any:
    return next(one for one in tab.page.panels if one.mode == mode)


# --- Gallery -----------------------------------------------------------------------------------


def test_an_empty_gallery_says_what_to_do(tab: GalleryTab) -> None:
    updates = tab.on_look("", "videos", 24, None)
    assert "Make one on the Text, Image or Reference tab" in updates[tab.tiles]
    assert "Nothing was found" in tab.on_look("dog", "videos", 24, None)[tab.tiles]


def test_tiles_and_one_result(tab: GalleryTab, services: Services) -> None:
    job_id = make(services, prompt="<b>a dog</b>")
    tiles = tab.on_look("", "videos", 24, None)[tab.tiles]
    assert f'data-job="{job_id}"' in tiles and "<b>a dog" not in tiles and "&lt;b&gt;a dog" in tiles
    updates = act(tab, "open", job_id)
    assert "<video" in updates[tab.detail]["value"] and updates[tab.actions]["visible"]
    assert "Watermark" in updates[tab.facts] and updates[tab.open_job] == {"job": job_id}
    assert tab.on_look("", "videos", 24, updates[tab.open_job])[tab.detail]["visible"]


@pytest.mark.parametrize("act_name", ["open", "compare", "delete"])
def test_nobody_reaches_the_videos_of_others(
    tab: GalleryTab, services: Services, asked_by: Callable[[Who], None], act_name: str
) -> None:
    job_id = make(services)
    asked_by(VISITOR)
    updates = act(tab, act_name, job_id, job_id)
    assert "not in your gallery" in updates[tab.told] and services.job(job_id).state == "finished"
    assert job_id not in tab.on_look("", "videos", 24, {"job": job_id})[tab.tiles]
    for handler in (tab.on_use, tab.on_last_frame, tab.on_continue):
        assert "not in your gallery" in handler({"job": job_id})[tab.told]
    for change in (tab.on_pin, tab.on_delete):
        assert "not in your gallery" in change({"job": job_id}, "", "videos", 24)[tab.told]


def test_visitors_have_neither_zips_nor_limits(tab: GalleryTab, asked_by: Callable[[Who], None]) -> None:
    asked_by(VISITOR)
    updates = tab.on_look("", "videos", 24, None)
    assert updates[tab.bring]["visible"] is False and updates[tab.limit_area]["visible"] is False
    assert "a visitor" in tab.on_limit(1, "", "videos", 24)[tab.told]
    assert tab.page.services.library.quota.limit is None


@pytest.mark.parametrize("data", [None, "x", {"act": 7}, {"act": "open"}, {"act": "open", "jobs": [{}]}, {"jobs": "x"}])
def test_events_that_are_none(tab: GalleryTab, data: Any) -> None:
    updates = tab.on_act(SimpleNamespace(_data=data), None, "x", "many")  # type: ignore[arg-type]
    assert list(updates) == [tab.told]
    assert tab.on_arrived(SimpleNamespace(_data=data), None, None, None)[tab.told] == ""  # type: ignore[arg-type]


def test_compare_tells_the_difference(tab: GalleryTab, services: Services) -> None:
    both = make(services, seed=1), make(services, seed=2)
    updates = act(tab, "compare", *both)
    html = updates[tab.detail]["value"]
    assert html.count("<video") == 2 and "<th>Seed</th><td>1</td><td>2</td>" in html and "<th>Prompt" not in html
    assert "jobs" in act(tab, "compare", both[0])[tab.told].lower()


def test_delete_asks_and_then_deletes(tab: GalleryTab, services: Services) -> None:
    job_id = make(services)
    assert tab.on_ask()[tab.sure]["visible"] and not tab.on_keep()[tab.sure]["visible"]
    updates = tab.on_delete({"job": job_id}, "", "videos", 24)
    assert services.jobs() == [] and updates[tab.open_job] == {"job": None}
    first, second = make(services), make(services)
    assert "2 deleted" in act(tab, "delete", first, second)[tab.told] and services.jobs() == []


def test_pin_and_let_go(tab: GalleryTab, services: Services) -> None:
    opened = {"job": make(services)}
    pinned = tab.on_pin(opened, "", "videos", 24)
    assert pinned[tab.pin]["value"] == "Unpin" and 'class="pin"' in pinned[tab.tiles]
    assert tab.on_pin(opened, "", "videos", 24)[tab.pin]["value"] == "Pin"


def test_settings_go_back_into_their_form(tab: GalleryTab, services: Services, face: Path) -> None:
    who = (Character(name="Ann", faces=(face,)),)
    job_id = make(
        services, mode="reference", characters=who, consent=True, prompt="Ann waves to Anna", width=160, height=96,
        negative_prompt="hat", seed=7, num_frames=25,
    )
    updates, fields = tab.on_use({"job": job_id}), panel(tab, "reference").fields
    assert updates[tab.page.tabs].selected == "reference"
    assert updates[fields["prompt"]] == "character1 waves to Anna" and updates[fields["negative_prompt"]] == "hat"
    assert updates[fields["size"]]["value"] == "160x96" and updates[fields["seconds"]]["value"] == 25 / 8
    assert updates[fields["seed"]] == 7 and updates[fields["random_seed"]] is False
    lent = Path(updates[fields["faces1"]][0])
    assert lent.is_relative_to(services.settings.data_dir.parent / "gradio") and lent.is_file()
    assert updates[fields["voice1"]] is None and updates[fields["soundtrack"]] is None
    assert set(updates) <= set(tab.use_outputs())


def test_who_is_in_the_cast_needs_no_pictures_in_the_form(tab: GalleryTab, services: Services, face: Path) -> None:
    services.library.add("Ann", faces=[face], voice=None, consent=True, owner="local")
    updates = tab.on_use({"job": make(services, prompt="Ann waves")})
    fields = panel(tab, "reference").fields
    assert updates[fields["prompt"]] == "Ann waves" and updates[fields["faces1"]] is None


def test_the_last_frame_begins_the_next_clip(tab: GalleryTab, services: Services) -> None:
    opened = {"job": make(services, prompt="a boat", seed=7)}
    fields = panel(tab, "image").fields
    last = tab.on_last_frame(opened)
    assert Path(last[fields["image"]]).suffix == ".png" and last[tab.page.tabs].selected == "image"
    assert fields["prompt"] not in last
    on = tab.on_continue(opened)
    assert on[fields["prompt"]] == "a boat" and Path(on[fields["image"]]).is_file()
    assert on[fields["random_seed"]] is True and set(on) <= set(tab.use_outputs())


def test_what_an_import_did_is_told(tab: GalleryTab) -> None:
    answer = {"jobs": ["a"], "known": 2, "left_out": ["<x>: no"]}
    said = tab.on_arrived(event(answer=answer), "", "videos", 24)[tab.told]
    assert "1 brought in, 2 were here already, 1 left out" in said and "&lt;x&gt;" in said
    assert "too large" in tab.on_arrived(event(answer={"error": "too large"}), "", "videos", 24)[tab.told]
    assert shelf.told({"jobs": 7}) == ""


def test_a_limit_is_set_and_kept(tab: GalleryTab, services: Services) -> None:
    make(services)
    said = tab.on_limit(5, "", "videos", 24)
    assert services.library.quota.limit == 5_000_000_000 and "of 5.0 GB" in said[tab.space]
    assert "quota" in tab.on_limit("many", "", "videos", 24)[tab.told].lower()


# --- Cast --------------------------------------------------------------------------------------


@pytest.fixture
def mia(services: Services, face: Path, voice: Path) -> Member:
    return services.library.add("Mia", faces=[face], voice=voice, consent=True, owner="local")


def pressed(people: CastTab, act: str, member_id: str, prompt: str = "") -> dict[Any, Any]:
    return people.on_act(event(act=act, id=member_id), prompt)


def test_an_empty_cast_says_what_to_do(people: CastTab) -> None:
    updates = people.on_look()
    assert "Mia waves at the beach" in updates[people.people] and updates[people.page.panels[0].cast] == ""


def upload(tmp_path: Path, file: Path) -> dict[str, str]:
    """A file as the browser posts it."""
    target = tmp_path / "gradio" / file.name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(file.read_bytes())
    return {"path": str(target)}


def test_somebody_is_added_changed_and_gone(
    people: CastTab, services: Services, face: Path, voice: Path, tmp_path: Path
) -> None:
    faces, sound = [{"image": upload(tmp_path, face)}], upload(tmp_path, voice)
    refused = people.on_save("Mia", faces, sound, False, "")
    assert 'data-field="consent"' in refused[people.told] and people.name not in refused
    added = people.on_save("Mia", faces, sound, True, "")
    assert "Mia is in your cast" in added[people.told] and added[people.name] == ""
    assert all('data-name="Mia"' in added[one.cast] for one in people.page.panels)
    [mia] = services.library.cast("local")
    filled = pressed(people, "edit", mia.id)
    assert filled[people.editing] == mia.id and filled[people.name] == "Mia" and Path(filled[people.voice]).is_file()
    lent = [{"image": {"path": path}} for path in filled[people.faces]]
    saved = people.on_save("Maja", lent, {"path": filled[people.voice]}, False, mia.id)
    assert "Maja is in your cast" in saved[people.told]
    assert [(one.id, one.voice) for one in services.library.cast("local")] == [(mia.id, mia.voice)]
    people.on_save("Maja", lent, None, False, mia.id)
    assert services.library.cast("local")[0].voice is None
    assert "Maja is gone" in pressed(people, "remove", mia.id)[people.told] and services.library.cast("local") == []


def test_use_puts_the_name_into_the_reference_prompt(people: CastTab, mia: Member) -> None:
    prompt = panel(people, "reference").fields["prompt"]
    assert pressed(people, "use", mia.id, "waves to")[prompt] == "waves to Mia"
    assert pressed(people, "use", mia.id, "Mia waves")[prompt] == "Mia waves"


def test_a_voice_is_heard_and_stopped(people: CastTab, services: Services, mia: Member) -> None:
    updates = pressed(people, "hear", mia.id)
    job = services.job(updates[people.heard]["job"])
    assert job.request.sound_only and job.request.characters[0].voice == mia.voice and updates[people.timer].active
    list(services.watch(job.id))
    assert not people.on_tick(updates[people.heard])[people.timer].active
    assert people.on_tick(None)[people.heard_card] == ""


def test_nobody_reaches_the_cast_of_others(
    people: CastTab, services: Services, mia: Member, asked_by: Callable[[Who], None]
) -> None:
    asked_by(VISITOR)
    for act in ("use", "edit", "hear", "remove"):
        assert "alert" in pressed(people, act, mia.id)[people.told]
    assert "alert" in people.on_save("Eve", [], None, True, mia.id)[people.told]
    assert "Nobody" in people.on_look()[people.people] and services.library.cast("local")[0].name == "Mia"


@pytest.mark.parametrize("data", [None, 7, {"act": "use"}, {"act": [], "id": {}}])
def test_presses_that_are_none(people: CastTab, data: Any) -> None:
    assert list(people.on_act(SimpleNamespace(_data=data), None)) == [people.told]  # type: ignore[arg-type]


def test_a_card_tells_consent_and_likeness(mia: Member) -> None:
    from dataclasses import replace

    assert f"Consent until {mia.until[:10]}" in castlist.cards([mia]) and "Hear the voice" in castlist.cards([mia])
    said = castlist.cards([replace(mia, state="withdrawn", likeness=Likeness(videos=2, identity=0.826, timbre=0.9))])
    assert "was withdrawn" in said and "83\u00a0% like the pictures, voice 90\u00a0% alike, over 2 videos" in said
    assert "No consent is recorded" in castlist.cards([replace(mia, state="expired", until="")])
