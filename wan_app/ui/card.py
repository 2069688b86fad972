"""The card on the stage: a job as a piece of HTML. Pure functions of a JobView; no gradio."""

from __future__ import annotations

import base64
import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from wan_app.errors import InvalidRequest, WanAppError
from wan_app.families.spec import written_scale
from wan_app.types import Downloading, Exporting, GenerationResult, JobEvent, Loading, Queued, Step
from wan_app.ui.report import checked, listed, report
from wan_app.ui.words import duration, field_label, sound_of

if TYPE_CHECKING:
    from wan_app.runtime.job import JobView

# Shares of the progress bar, from measured pocket jobs on two cores: loading is short once the
# worker is warm, the denoising steps are most of the time, decoding and writing the rest.
_LOADING, _STEPS = 0.04, 0.86
_SPEAKER = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z"/>'
    '<path class="wave" d="M15 9a4.2 4.2 0 0 1 0 6M17.6 6.6a7.6 7.6 0 0 1 0 10.8"/></svg>'
)
_FLAG = re.compile(r" \(--[^)]*\)|--[a-z-]+ [A-Z]+, or |; on the command line: .*")
_COMMAND = re.compile(r"[,;][^,;]*python -m .*")
_TITLES = {
    "ModelUnavailable": "This model is not on this computer",
    "OutOfMemory": "Not enough memory",
    "StorageError": "The video could not be kept",
    "WorkerDied": "The engine stopped",
    "JobNotFound": "No such video",
}


def idle(*, examples: bool = False) -> str:
    """Before anything was asked for."""
    other = " Or choose an example." if examples else ""
    return _card(
        "idle",
        '<div class="screen"><div class="empty"><svg viewBox="0 0 48 48" aria-hidden="true">'
        '<rect x="5" y="10" width="38" height="28" rx="5"/><path d="M20 18.5v11l9.5-5.5z"/></svg>'
        "<p>Your video appears here</p>"
        f"<small>Describe it, press <b>Generate</b>, and watch it come out of the noise.{other}</small></div></div>",
    )


def running(job: JobView) -> str:
    """A job that waits or works: stage, step, time left, and the picture so far."""
    return _card(
        "running",
        f'<div class="screen" style="{_shape(job)}">{_picture(job.preview)}</div>'
        f"{progress_lines(job.event)}{_asked(job.request.prompt)}{listed(job.notes)}",
    )


def progress_lines(event: JobEvent | None, verb: str = "Drawing") -> str:
    """What a job does just now, how long it still takes, and a bar."""
    return bar(*progress(event, verb))


def bar(title: str, note: str, share: float) -> str:
    """Two words and a bar that is full at a share of 1."""
    now = round(100 * share)
    return (
        f'<div class="line"><span role="status">{escape(title)}</span><span class="note">{escape(note)}</span></div>'
        f'<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{now}"><i style="width:{now}%"></i></div>'
    )


def finished(result: GenerationResult, file: str, prompt: str) -> str:
    """The video, its facts, and how alike it is to its references. `file` is its address."""
    facts = [
        f"{result.seconds:.3g} s", f"{result.num_frames} frames", f"{result.width} × {result.height}",
        f"seed {result.seed}",
    ]
    if total := result.timings.get("total"):
        facts.append(f"made in {duration(total)}")
    sound = sound_of(result.audio) if result.audio else "No sound"
    return _card(
        "finished",
        _video(file, f"The generated video: {prompt}", result.width, result.height, sound=result.audio is not None)
        + f'<div class="line"><span role="status">Done</span><span class="note">{escape(" · ".join(facts))}</span>'
        + f'</div><p class="heard-facts">{escape(sound)}</p>{_asked(prompt)}{report(result.similarity, result.notes)}'
        + checked(result.checks),
    )


def example(file: str, prompt: str, label: str, model: str, *, sound: bool = False) -> str:
    """A stored result, said to be one; `file` is a path that Gradio serves."""
    return _card(
        "example",
        _video(cached_url(file), f"Stored example: {prompt}", 1, 1, sound=sound)
        + f'<div class="line"><span role="status">Example: {escape(label)}</span>'
        + f'<span class="note">stored result of {escape(model)}; press Generate for your own</span></div>'
        + _asked(prompt),
    )


def cancelled(why: str = "") -> str:
    """After the user's own stop, or somebody else's, who gave a reason."""
    return _card(
        "cancelled",
        '<div class="screen"><div class="empty"><p>Stopped</p>'
        f"<small>{escape(why) or 'Nothing was kept. Your settings are still here.'}</small></div></div>"
        '<div class="line"><span role="status">Cancelled</span></div>',
    )


def failed(error: str, kind: str = "WanAppError") -> str:
    """A one-line error, told in the words of `errors`: "field: got x; needed y" has its field in bold."""
    return _card(
        "failed",
        alert(error, kind)
        + '<small class="calm">Nothing you typed is lost. Change it and press Generate again.</small>',
    )


# What is missing, as one says it beside a form: (field, got).
_IN_THE_FORM = {
    ("consent", "no consent"): "Tick the statement that everybody shown or heard agrees, if it is true.",
    ("prompt", "nothing"): "Write a few words: who, doing what, and where.",
}


def alert(error: str, kind: str = "WanAppError") -> str:
    """The error alone, as the card and the slots of characters show it."""
    title = _TITLES.get(kind, "This did not work")
    field, colon, rest = error.partition(": got ")
    if kind in ("InvalidRequest", "StorageError") and colon:
        title = field_label(field)
        # The page has no flags and no commands: what the command line is told stays out.
        error = _IN_THE_FORM.get((field, rest.partition(";")[0]), f"Got {_FLAG.sub('', rest)}.")
    if kind == "ModelUnavailable":
        error = _COMMAND.sub(". What it needs is told under Model", error)
    return (
        f'<div class="alert" role="alert" data-field="{escape(field if colon else "")}"><b>{escape(title)}</b>'
        f"<span>{escape(error)}</span></div>"
    )


def line_of(error: Exception) -> tuple[str, str]:
    """(line, kind) of an exception: ours in full, any other by its name only."""
    if isinstance(error, InvalidRequest):
        return str(error), "InvalidRequest"
    if isinstance(error, WanAppError):
        return str(error), type(error).__name__
    return f"The app itself failed ({type(error).__name__}); its log says more.", "WanAppError"


def failed_with(error: Exception) -> str:
    """The card of an exception."""
    return failed(*line_of(error))


def cached_url(path: str) -> str:
    """Where the page finds a file of Gradio's cache; relative, so that it holds behind a proxy too."""
    return f"gradio_api/file={quote(path)}"


def progress(event: JobEvent | None, verb: str = "Drawing") -> tuple[str, str, float]:
    """(what, detail, share of the bar) of an event."""
    if isinstance(event, Queued):
        begins = f"begins in about {duration(event.eta)}" if event.eta else ""
        if event.position <= 0:
            return "Next in line", begins, 0.0
        return f"Waiting, {event.position} before you", begins, 0.0
    if isinstance(event, Downloading):
        share = event.done / event.total if event.total else 0.0
        return "Downloading the model", f"{event.done / 1e9:.1f} of {event.total / 1e9:.1f} GB", share * _LOADING
    if isinstance(event, Loading):
        return event.what, "", _LOADING
    if isinstance(event, Step):
        left = f"about {duration(event.eta)} left" if event.eta is not None else ""
        share = _LOADING + _STEPS * event.index / max(1, event.total)
        return f"{verb}, step {event.index} of {event.total}", left, share
    if isinstance(event, Exporting):
        return event.what, "nearly there", _LOADING + _STEPS + 0.04
    return "Starting", "", 0.01


def _picture(preview: bytes | None) -> str:
    if not preview:
        return '<div class="grain"></div>'
    data = base64.b64encode(preview).decode()
    return f'<img alt="The video so far" src="data:image/jpeg;base64,{data}">'


def _video(file: str, label: str, width: int, height: int, *, sound: bool) -> str:
    # Muted, because browsers refuse to start anything else by itself; the button (studio.js) plays it
    # from its start with the sound on.
    style = f"--ratio:{width}/{height}" if width != height else ""
    listen = f'<button type="button" class="listen">{_SPEAKER}Play with sound</button>' if sound else ""
    return (
        f'<div class="screen" style="{style}"><video src="{escape(file)}" '
        f'aria-label="{escape(label[:200])}" controls autoplay loop muted playsinline></video>{listen}</div>'
    )


def _shape(job: JobView) -> str:
    width, height = job.request.width or 1, job.request.height or 1
    scale = written_scale(width, height)
    return f"--ratio:{width * scale}/{height * scale}"


def _asked(prompt: str) -> str:
    return f'<p class="asked" dir="auto">{escape(prompt)}</p>'


def _card(state: str, body: str) -> str:
    return f'<section class="card {state}" data-state="{state}" aria-label="Video">{body}</section>'
