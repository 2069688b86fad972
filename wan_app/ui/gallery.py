"""The Gallery tab: what was made, to look at, use again, compare, take along, delete."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from wan_app.errors import InvalidRequest, JobNotFound, WanAppError
from wan_app.media.stills import last_frame
from wan_app.ui import card, reuse, shelf
from wan_app.ui.delivery import deliver
from wan_app.ui.files import file_url
from wan_app.ui.handlers import Page, Updates
from wan_app.ui.parts import html
from wan_app.ui.session import job_of, who

if TYPE_CHECKING:
    from wan_app.library.gallery import Kept

_HERE = Path(__file__).resolve().parent
_PAGE = 24
_MOST = 1200  # tiles at a time; who has more, searches
_SHOWS = [("Videos", "videos"), ("Voices", "voices"), ("Pinned", "pinned")]
_BRING = (
    '<label class="bring"><input type="file" accept=".zip,application/zip"><span>Bring in a zip</span></label>'
    '<span class="way" role="status"></span>'
)
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class GalleryTab:
    """Components of the tab; its methods are the event handlers.

    `open_job` is kept in the browser: {"job": id of the result that is open}.
    """

    page: Page = field(init=False)  # `wire` sets it: the tabs are built before the page
    tab: Any = None
    words: Any = None
    show: Any = None
    bring: Any = None
    tiles: Any = None
    space: Any = None
    told: Any = None
    detail: Any = None
    actions: Any = None
    download: Any = None
    use: Any = None
    last_frame: Any = None
    go_on: Any = None
    pin: Any = None
    facts: Any = None
    delete: Any = None
    sure: Any = None
    yes: Any = None
    no: Any = None
    limit_area: Any = None
    limit: Any = None
    limit_save: Any = None
    count: Any = None
    open_job: Any = None

    # --- what an event may change -------------------------------------------------------------

    def looks(self) -> list[Any]:
        """What decides which tiles are shown."""
        return [self.words, self.show, self.count]

    def tile_outputs(self) -> list[Any]:
        return [self.tiles, self.space, self.count, self.told, self.bring, self.limit_area, self.limit]

    def detail_outputs(self) -> list[Any]:
        acts = [self.download, self.last_frame, self.go_on, self.pin]
        return [self.detail, self.actions, *acts, self.sure, self.facts, self.open_job]

    def outputs(self) -> list[Any]:
        return [*self.tile_outputs(), *self.detail_outputs()]

    def use_outputs(self) -> list[Any]:
        """Every form: settings go to the tab they are for."""
        panels = self.page.panels
        forms = [part for panel in panels for part in panel.form]
        uploads = [panel.fields[name] for panel in panels for name in panel.uploads]
        return [self.page.tabs, self.told, *forms, *uploads]

    # --- looking ------------------------------------------------------------------------------

    def on_look(self, words: Any, show: Any, count: Any, opened: Any) -> Updates:
        """The tab is opened, or something else is looked for: the tiles, and what was open before a reload.

        What is in sight already (`_UNSEEN`) stays as it is: somebody may be about to delete it. After a job's
        end, beside which somebody goes on working here, the tiles alone are new.
        """
        if opened == _FRESH:
            tiles = self._tiles(words, show, count)
            return {part: tiles[part] for part in (self.tiles, self.space) if part in tiles}
        updates = self._tiles(words, show, count) | {self.told: ""}
        try:
            return updates | self._opened(self._kept(job_of(opened)))
        except WanAppError:
            return updates

    def on_act(self, event: gr.EventData, words: Any, show: Any, count: Any) -> Updates:
        """Something was pressed among the tiles."""
        act, jobs = shelf.chosen(event._data)
        try:
            if act == "more":
                return self._tiles(words, show, _whole(count) + _PAGE)
            if act == "open" and jobs:
                return self._opened(self._kept(jobs[0])) | {self.told: ""}
            if act == "compare":
                if len(jobs) != 2:
                    raise InvalidRequest("jobs", str(len(jobs)), "two videos")
                return self._closed(shelf.compared(self._kept(jobs[0]), self._kept(jobs[1]))) | {self.told: ""}
            if act == "delete":
                self.page.services.library.delete(jobs, who().owner)
                return self._tiles(words, show, count) | self._closed() | {self.told: _said(f"{len(jobs)} deleted.")}
        except Exception as error:
            return self._tiles(words, show, count) | {self.told: _alert(error)}
        return {self.told: gr.skip()}

    def on_arrived(self, event: gr.EventData, words: Any, show: Any, count: Any) -> Updates:
        """A zip was brought in, or not."""
        data = event._data if isinstance(event._data, dict) else {}
        answer = data.get("answer")
        answer = answer if isinstance(answer, dict) else {}
        if isinstance(answer.get("error"), str):
            return {self.told: _alert(WanAppError(answer["error"][:400]))}
        return self._tiles(words, show, count) | {self.told: shelf.told(answer)}

    # --- one result ---------------------------------------------------------------------------

    def on_pin(self, opened: Any, words: Any, show: Any, count: Any) -> Updates:
        """Pin what is open, or let it go."""
        try:
            kept = self._kept(job_of(opened))
            kept = self.page.services.library.gallery.pin(kept.job.id, who().owner, pinned=not kept.pinned)
        except Exception as error:
            return {self.told: _alert(error)}
        return self._tiles(words, show, count) | {self.pin: _pin_label(kept), self.told: ""}

    def on_ask(self) -> Updates:
        """Delete was pressed: once more, to be sure."""
        return {self.sure: gr.update(visible=True), self.actions: gr.update(visible=False)}

    def on_keep(self) -> Updates:
        """Not after all."""
        return {self.sure: gr.update(visible=False), self.actions: gr.update(visible=True)}

    def on_delete(self, opened: Any, words: Any, show: Any, count: Any) -> Updates:
        """What is open goes for good."""
        try:
            self.page.services.library.delete([job_of(opened)], who().owner)
        except Exception as error:
            return self.on_keep() | {self.told: _alert(error)}
        return self._tiles(words, show, count) | self._closed() | {self.told: _said("Deleted.")}

    def on_use(self, opened: Any) -> Updates:
        """All settings of what is open go into the form that made it."""
        try:
            job = self._kept(job_of(opened)).job
            names = {one.name for one in self.page.services.library.people.players(who().owner)}
            return reuse.into_form(self.page, job, names) | {self.told: ""}
        except Exception as error:
            return {self.told: _alert(error)}

    def on_last_frame(self, opened: Any) -> Updates:
        """The last picture becomes the first of the Image tab."""
        try:
            kept = self._kept(job_of(opened))
            return {self.page.tabs: gr.Tabs(selected="image"), self._image(): self._still(kept), self.told: ""}
        except Exception as error:
            return {self.told: _alert(error)}

    def on_continue(self, opened: Any) -> Updates:
        """The same, with everything that it was made with: the next clip begins where this one ends."""
        try:
            kept = self._kept(job_of(opened))
            request = replace(kept.job.request, mode="image", characters=(), last_image=None, image=None, seed=None)
            updates = reuse.into_form(self.page, replace(kept.job, request=request, mode="image"), set())
            return updates | {self._image(): self._still(kept), self.told: ""}
        except Exception as error:
            return {self.told: _alert(error)}

    def on_limit(self, gigabytes: Any, words: Any, show: Any, count: Any) -> Updates:
        """Another limit of space; for whoever runs the studio."""
        try:
            if not who().manages:
                raise InvalidRequest("quota", "a visitor's wish", "the one who runs this server")
            self.page.services.library.quota.set(gigabytes)
            self.page.services.library.quota.keep()
        except Exception as error:
            return {self.told: _alert(error)}
        return self._tiles(words, show, count) | {self.told: _said("The space is set.")}

    # --- pieces -------------------------------------------------------------------------------

    def _kept(self, job_id: str) -> Kept:
        return self.page.services.library.gallery.get(job_id, who().owner)

    def _still(self, kept: Kept) -> str:
        result = kept.job.result
        if result is None or not kept.there or not result.num_frames:
            raise InvalidRequest("image", "no video", "a finished video")
        return str(last_frame(Path(deliver(kept.job.id, result, kept.job.request))))

    def _image(self) -> Any:
        return next(panel for panel in self.page.panels if panel.mode == "image").fields["image"]

    def _tiles(self, words: Any, show: Any, count: Any) -> Updates:
        library, one = self.page.services.library, who()
        words, count = words if isinstance(words, str) else "", min(_MOST, max(_PAGE, _whole(count)))
        try:
            found = library.gallery.page(one.owner, words=words, show=show, count=count)
            usage = library.quota.usage(one.owner)
        except Exception as error:
            return {self.tiles: _alert(error)}
        return {
            self.tiles: shelf.tiles(found, show=show, words=words), self.count: count,
            self.space: shelf.space(usage, manages=one.manages), self.bring: gr.update(visible=one.manages),
            self.limit_area: gr.update(visible=one.manages), self.limit: (usage.quota or 0) / 1e9,
        }

    def _opened(self, kept: Kept) -> Updates:
        moving = kept.there and not kept.job.request.sound_only
        return {
            self.detail: gr.update(value=shelf.detail(kept), visible=True), self.actions: gr.update(visible=True),
            self.download: gr.update(link=file_url(kept.job, download=True), visible=kept.there),
            self.last_frame: gr.update(visible=moving), self.go_on: gr.update(visible=moving),
            self.pin: _pin_label(kept), self.sure: gr.update(visible=False), self.facts: shelf.table(kept),
            self.open_job: {"job": kept.job.id},
        }

    def _closed(self, instead: str = "") -> Updates:
        return {
            self.detail: gr.update(value=instead, visible=bool(instead)), self.actions: gr.update(visible=False),
            self.sure: gr.update(visible=False), self.facts: "", self.open_job: {"job": None},
        }


def build() -> GalleryTab:
    """The tab's components, within the tabs of the page."""
    one = GalleryTab()
    with gr.Tab("Gallery", id="gallery", elem_id="tab-gallery") as one.tab:
        with gr.Row(elem_classes="gallery-head"):
            one.words = gr.Textbox(
                show_label=False, placeholder="Search in prompts", lines=1, max_lines=1, elem_classes="search",
                container=False, scale=4, min_width=180,
            )
            one.show = gr.Radio(
                _SHOWS, value="videos", show_label=False, container=False, elem_classes="kinds", scale=3,
            )
            one.bring = html(_BRING, js_on_load=_script("bring.js"), elem_classes="bring-in")
        one.told = html("", elem_id="gallery-told")
        with gr.Row(elem_id="gallery"):
            with gr.Column(scale=7, min_width=280):
                one.tiles = html("", js_on_load=_script("gallery.js"), elem_id="tiles")
                one.space = html("", elem_id="space")
                _limit(one)
            with gr.Column(scale=6, min_width=280, elem_id="gallery-detail"):
                one.detail = html("", visible=False, js_on_load=_script("detail.js"), elem_id="detail")
                _actions(one)
                one.facts = html("")
        one.count = gr.State(_PAGE)
    return one


def wire(one: GalleryTab, page: Page, secret: str, quiet: dict[str, Any]) -> None:
    """The events of the tab.

    Args:
        secret: of what the browser keeps; quiet: options of every event.
    """
    one.page = page
    one.open_job = gr.BrowserState({"job": None}, storage_key="wan-app-gallery", secret=secret)
    looks, opened, all_of_it = one.looks(), one.open_job, one.outputs()
    # One event, so that what was asked for last is what is shown. A paste is a change, but no input to Gradio.
    gr.on(
        [one.tab.select, one.words.change, one.show.input, one.tiles.select], one.on_look, [*looks, opened], all_of_it,
        js=_UNSEEN, trigger_mode="always_last", **quiet,
    )
    one.tiles.click(one.on_act, looks, all_of_it, **quiet)
    one.bring.click(one.on_arrived, looks, one.tile_outputs(), **quiet)
    one.pin.click(one.on_pin, [opened, *looks], [*one.tile_outputs(), one.pin], **quiet)
    one.delete.click(one.on_ask, None, [one.sure, one.actions], **quiet)
    one.no.click(one.on_keep, None, [one.sure, one.actions], **quiet)
    one.yes.click(one.on_delete, [opened, *looks], all_of_it, **quiet)
    page.fills.append(one.use.click(one.on_use, opened, one.use_outputs(), **quiet))
    one.last_frame.click(one.on_last_frame, opened, one.use_outputs(), **quiet)
    one.go_on.click(one.on_continue, opened, one.use_outputs(), **quiet)
    one.limit_save.click(one.on_limit, [one.limit, *looks], one.tile_outputs(), preprocess=False, **quiet)


def _actions(one: GalleryTab) -> None:
    with gr.Row(elem_classes="actions", visible=False) as one.actions:
        one.download = gr.Button("Download", link="#", link_target="_self", size="md", min_width=110)
        one.use = gr.Button("Use these settings", size="md", min_width=150)
        one.last_frame = gr.Button("Use last frame", size="md", min_width=120)
        one.go_on = gr.Button("Continue", size="md", min_width=100)
        one.pin = gr.Button("Pin", size="md", min_width=80)
        one.delete = gr.Button("Delete", size="md", min_width=80, elem_classes="delete")
    with gr.Row(elem_classes="actions sure", visible=False) as one.sure:
        html("<p>Delete it for good? File, settings and marks go.</p>")
        one.yes = gr.Button("Delete", size="md", variant="stop", min_width=100)
        one.no = gr.Button("Keep", size="md", min_width=100)


def _limit(one: GalleryTab) -> None:
    with gr.Accordion("Space", open=False, visible=False, elem_classes="limit") as one.limit_area:
        one.limit = gr.Number(
            0, label="Gigabytes for everybody's videos, each", minimum=0, precision=2,
            info="0 for no limit. When it is used up, the oldest videos that are not pinned are deleted.",
        )
        one.limit_save = gr.Button("Set", size="sm", elem_classes="quiet", scale=0, min_width=90)


# With them, a look after a job's end (gallery.js) is told from others.
_FRESH = {"fresh": True}
_UNSEEN = """(words, show, count, opened) => {
  const tiles = document.getElementById('tiles').dataset, fresh = tiles.fresh === 'asked';
  tiles.fresh = fresh ? 'coming' : '';
  return [words, show, count, fresh ? {fresh: true} : document.querySelector('.detail') ? null : opened];
}"""


def _script(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _pin_label(kept: Kept) -> Updates:
    return gr.update(value="Unpin" if kept.pinned else "Pin")


def _said(words: str) -> str:
    return f'<div class="told" role="status"><p>{words}</p></div>'


def _alert(error: Exception) -> str:
    if not isinstance(error, WanAppError):
        log.error("the gallery failed", exc_info=error)
    if isinstance(error, JobNotFound):
        error = WanAppError("It is not in your gallery (any more)")
    return f'<div class="told needs">{card.alert(*card.line_of(error))}</div>'


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else _PAGE
