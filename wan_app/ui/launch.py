"""Building the page and serving it."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import closing
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount

from wan_app import devices
from wan_app.errors import InvalidRequest
from wan_app.settings import Settings
from wan_app.ui import (
    about,
    api,
    cast,
    consent,
    examples,
    gallery,
    image,
    reference,
    sharing,
    stage,
    text,
    theme,
    verify,
)
from wan_app.ui.about import About
from wan_app.ui.before import Before
from wan_app.ui.consent import People
from wan_app.ui.faults import tamed
from wan_app.ui.handlers import Page
from wan_app.ui.hear import Hearing
from wan_app.ui.pages import Pages
from wan_app.ui.panel import GIVEN, Catalogue, Panel
from wan_app.ui.parts import html
from wan_app.ui.session import ASKING, who
from wan_app.ui.sharing import SharingTab
from wan_app.ui.waiting import Waiting

if TYPE_CHECKING:
    from wan_app.services import Services

TITLE = "Local Video Studio"
MAX_UPLOAD = 40_000_000
# Cached copies live two hours after their last use; the originals stay under data_dir.
_DELETE_CACHE = (600, 7200)
# BrowserState encrypts with this; it guards against nothing but a curious look, so it may be known.
_BROWSER_SECRET = "wan-app-browser-state"
# Seconds between looks at a living job; each costs the server 8 ms of CPU (measured).
_TICK = 0.5
_DOWNLOAD_TICK = _QUEUE_TICK = 1.0
# For every event of the page: not part of the public API, no queue of Gradio's, no spinner of its own.
_QUIET: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}


def build(services: Services, settings: Settings) -> gr.Blocks:
    """The studio as Blocks, ready for `launch`."""
    catalogue = Catalogue.of(services.models())
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_DELETE_CACHE, fill_width=True) as demo:
        session = gr.BrowserState(
            {"job": None}, storage_key="wan-app-session", secret=_BROWSER_SECRET
        )
        checking = verify.remembered(_BROWSER_SECRET)
        with gr.Row(elem_id="top"):
            html(_header(settings), elem_id="header")
            me = html("", elem_id="me")
        with gr.Row(elem_id="studio"):
            with gr.Column(elem_id="inputs", scale=5, min_width=320):
                with gr.Tabs(elem_id="tabs") as tabs:
                    panels = [module.build(catalogue) for module in (text, image, reference)]
                    kept, people = gallery.build(), cast.build()
                    verifying = verify.build(services, *checking)
                    told = about.build(catalogue, settings)
                    shared = sharing.build(services, settings, me)
            shown = stage.build()
        page = Page(
            services=services, catalogue=catalogue, panels=panels, stage=shown, tabs=tabs, session=session,
            timer=gr.Timer(_TICK, active=False), table=told.table, queue_timer=gr.Timer(_QUEUE_TICK, active=False),
        )
        gallery.wire(kept, page, _BROWSER_SECRET, _QUIET)
        _wire(page, demo)
        cast.wire(people, page, demo, secret=_BROWSER_SECRET, quiet=_QUIET)
        _wire_consent(page, told, demo)
        _wire_sharing(shared, demo)
        verify.wire(verifying, demo, _QUIET)
        api.build(services)
    return demo


def serve(settings: Settings, *, as_json: bool = False) -> None:
    """Run the studio until Ctrl+C or SIGTERM; prints the URL when it answers, or {"url": ...}."""
    from wan_app.ui.studio import Studio

    if settings.port is not None and not 1 <= settings.port <= 65535:
        raise InvalidRequest("port", str(settings.port), "a whole number from 1 to 65535")
    with closing(Studio(settings)) as studio:
        studio.open()
        print(json.dumps(studio.told()) if as_json else "\n".join(studio.lines()), flush=True)
        _wait_for_stop()


def mounted(demo: gr.Blocks, settings: Settings) -> FastAPI:
    """Gradio's application around the page, as `Blocks.launch` would serve it."""
    # The job queue is ours: Gradio's must let everything through. What takes it must not be called past it.
    demo.queue(default_concurrency_limit=None, api_open=False)
    tamed(demo)
    outer = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None), demo, "/",
        ssr_mode=False, run_history=False, enable_monitoring=False, pwa=False, show_error=True,
        footer_links=["api", "settings"], root_path=settings.sharing.root_path,
        allowed_paths=[str(examples.FOLDER)] if examples.stored() else [],
        max_file_size=MAX_UPLOAD, favicon_path=str(theme.FAVICON), theme=theme.theme(), css=theme.css(),
        js=theme.js(),
    )
    # `Blocks.close` ends the streams of this one.
    demo.app = next(route.app for route in outer.routes if isinstance(route, Mount))
    demo.app.state_holder = Pages()
    demo.app.state_holder.set_blocks(demo)
    return outer


def _wire(page: Page, demo: gr.Blocks) -> None:
    session, shown = page.session, page.stage_outputs()
    forms = [_wire_panel(page, panel) for panel in page.panels]
    page.timer.tick(page.on_tick, session, shown, trigger_mode="once", **_QUIET)
    _wire_voices(page, demo)
    _wire_waiting(page, demo)
    page.stage.again.click(None, session, session, js=ASKING, api_visibility="private")
    page.stage.again.click(page.on_again, session, [session, *shown], **_QUIET)
    page.stage.last_frame.click(page.on_last_frame, session, page.last_frame_outputs(), **_QUIET)
    loaded = demo.load(page.on_load, [session, *forms], page.load_outputs(), preprocess=False, **_QUIET)
    _wire_before(page, loaded)


def _wire_panel(page: Page, panel: Panel) -> Any:
    """The events of a tab; returns the browser's store of its form."""
    fields, session, shown = panel.fields, page.session, page.stage_outputs()
    shape = [fields["model"], fields["size"], fields["seconds"]]
    hidden = [fields[name] for name in panel.uploads if name not in ("image", "soundtrack", "faces1")]
    panel.generate.click(None, session, session, js=ASKING, api_visibility="private")
    panel.generate.click(
        page.on_generate(panel), list(fields.values()), [session, *shown], preprocess=False, **_QUIET
    )
    panel.cancel.click(page.on_cancel, session, shown, **_QUIET)
    other = fields["model"].input(page.on_model(panel), shape, [*panel.form, *hidden], preprocess=False, **_QUIET)
    gr.on(
        [fields["size"].change, fields["seconds"].change], page.on_size, shape, panel.readout,
        preprocess=False, trigger_mode="always_last", **_QUIET,
    )
    if panel.add_slot is not None:
        panel.add_slot.click(page.on_add_slot(panel), [panel.opened, fields["model"]], panel.form, **_QUIET)
    if panel.examples is not None:
        example = panel.examples.click(page.on_example(panel), None, page.example_outputs(panel), **_QUIET)
        page.fills += [example] if panel.slots else []
    page.empties += [other] if panel.slots else []
    return _keep(panel)


def _wire_before(page: Page, loaded: Any) -> None:
    """Gauges, licences and downloads, with a clock of their own for downloads."""
    before = Before(page=page, timer=gr.Timer(_DOWNLOAD_TICK, active=False))
    known, shown = before.inputs(), before.outputs()
    raw: dict[str, Any] = {"preprocess": False, **_QUIET}
    for panel in page.panels:
        one, model = panel.shelf, panel.fields["model"]
        # The last word counts: what was shown for a slider on its way is of no interest.
        gr.on(
            [part.change for part in panel.costing.values()], before.on_form(panel), list(panel.costing.values()),
            panel.gauge, trigger_mode="always_last", **raw,
        )
        for filled in page.fills if panel.slots else []:
            filled.then(before.on_form(panel), list(panel.costing.values()), panel.gauge, **raw)
        chosen = [model, panel.fields["preset"]]
        gr.on(
            [one.change for one in chosen], before.on_model(panel), chosen, before.slot_outputs(panel),
            trigger_mode="always_last", **raw,
        )
        one.accept.click(before.on_accept(panel), [one.words, *known], shown, **raw)
        one.download.click(before.on_download(panel), known, shown, **raw)
        one.stop.click(before.on_stop(panel), known, shown, **raw)
    before.timer.tick(before.on_tick, known, shown, trigger_mode="once", **raw)
    # After the form has come back: what it says is what is weighed.
    loaded.then(before.on_load, known, shown, **raw)


def _wire_voices(page: Page, demo: gr.Blocks) -> None:
    """The events of "Hear this voice", with a clock of their own: a video may be in the making, too."""
    panel = next(panel for panel in page.panels if panel.voices)
    heard = gr.BrowserState(None, storage_key="wan-app-heard", secret=_BROWSER_SECRET)
    hearing = Hearing(services=page.services, panel=panel, heard=heard, timer=gr.Timer(_TICK, active=False))
    known, shown = [heard], hearing.outputs()
    for slot, one in enumerate(panel.voices, 1):
        one.hear.click(hearing.on_hear(slot), hearing.inputs(slot), shown, preprocess=False, **_QUIET)
        one.cancel.click(hearing.on_cancel, known, shown, **_QUIET)
        # What was heard belongs to the recording that was there.
        panel.fields[f"voice{slot}"].change(None, None, one.card, js="() => ''", api_visibility="private")
    hearing.timer.tick(hearing.on_tick, known, shown, trigger_mode="once", **_QUIET)
    demo.load(hearing.on_load, known, shown, **_QUIET)


def _wire_waiting(page: Page, demo: gr.Blocks) -> None:
    """The events of the list of what waits."""
    queue = Waiting(page=page, listed=page.stage.waiting, living=page.stage.living, timer=page.queue_timer)
    page.queue_timer.tick(queue.on_tick, page.session, queue.outputs(), trigger_mode="once", **_QUIET)
    queue.listed.click(queue.on_click, page.session, queue.click_outputs(), **_QUIET)
    demo.load(queue.on_tick, page.session, queue.outputs(), **_QUIET)


def _wire_sharing(tab: SharingTab, demo: gr.Blocks) -> None:
    """The events of guest links; every handler asks who it is."""
    raw: dict[str, Any] = {"preprocess": False, **_QUIET}
    demo.load(tab.on_load, None, tab.outputs(), **raw)
    tab.make.click(tab.on_make, list(tab.fields.values()), tab.outputs(), **raw)
    tab.revoke.click(tab.on_revoke, tab.open_links, tab.outputs(), **raw)


def _wire_consent(page: Page, told: About, demo: gr.Blocks) -> None:
    """The tick, which is about what was given when it was made; and the list of what was stated."""
    panel = next(panel for panel in page.panels if panel.stating is not None)
    given = {name: panel.fields[name] for name in panel.uploads if name.startswith(("faces", "voice"))}

    def stating(*values: Any) -> str:
        return consent.stating(dict(zip(given, values)), page.services.settings, who())

    changed = [one.change for one in given.values()]
    gr.on(changed, None, None, panel.fields["consent"], js=consent.UNTICK, api_visibility="private")
    gr.on(
        [demo.load, *changed], stating, list(given.values()), panel.stating, preprocess=False,
        trigger_mode="always_last", **_QUIET,
    )
    for filled in page.fills:
        filled.then(None, None, panel.fields["consent"], js=consent.UNTICK, api_visibility="private")
    for one in page.fills + page.empties:
        one.then(stating, list(given.values()), panel.stating, preprocess=False, **_QUIET)
    people = People(services=page.services, parts=told.statements)
    told.tab.select(people.on_look, None, people.outputs(), **_QUIET)
    told.statements.listed.click(people.on_click, told.statements.words, people.outputs(), **_QUIET)


def _keep(panel: Panel) -> Any:
    """Store the form in the browser as it is typed, without asking the server."""
    kept = gr.BrowserState(None, storage_key=f"wan-app-{panel.mode}", secret=_BROWSER_SECRET)
    names, parts = ", ".join(panel.kept), list(panel.kept.values())
    uploads = [panel.fields[name] for name in panel.uploads]
    # A paste is a change but no input to Gradio's text boxes; the click is for whatever else slips by.
    typed = [panel.kept[name].change for name in ("prompt", "negative_prompt", "say") if name in panel.kept]
    gr.on(
        [*(one.input for one in parts), *typed, *(one.upload for one in uploads), panel.generate.click], None,
        [*parts, *uploads], kept, api_visibility="private",
        js=f"({names}, ...files) => ({{{names}, {GIVEN}: files.some((one) => one && one.length !== 0)}})",
    )
    gr.on([one.upload for one in uploads], None, None, panel.again, js="() => ''", api_visibility="private")
    return kept


def _header(settings: Settings) -> str:
    where = "this computer" if settings.local else "the server that shows this page"
    return (
        f"<header><h1>{TITLE}</h1><p>Short clips from words, a picture, or a face and a voice. "
        f"Everything runs on {where}.</p>"
        f'<div class="chips"><span>{escape(devices.describe(settings.device))}</span></div></header>'
    )


def _wait_for_stop() -> None:
    """Return on SIGINT or SIGTERM."""
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    # A wait without a limit cannot be interrupted on Windows.
    while not stop.wait(1.0):
        pass
