"""What the chosen model still needs before it runs, as a piece of HTML and the buttons for it. No gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from wan_app.families.spec import ModelSpec
from wan_app.families.weights.download import command_of, target_of
from wan_app.types import Cancelled, Downloading, Failed, Loading
from wan_app.ui.card import alert, bar
from wan_app.ui.panel import Catalogue
from wan_app.ui.words import gigabytes, rough_time

if TYPE_CHECKING:
    from wan_app.runtime.downloads import DownloadView

_PLAIN = "weights are not on this machine"
# How the command line is told to mend it; the page has a button.
_COMMAND = "; python -m "


@dataclass(frozen=True)
class Need:
    """`words` accept a licence; `download` labels the button that fetches `target`; `running`: it is on its way."""

    html: str = ""
    words: str = ""
    download: str = ""
    target: str = ""
    running: bool = False


def need_of(
    spec: ModelSpec, catalogue: Catalogue, view_of: Callable[[str], DownloadView | None], *, manages: bool,
    preset: str = "quality",
) -> Need:
    """What a model lacks; an empty Need where that is nothing.

    Args:
        preset: the one that is chosen. What fast needs is offered last, or before all else if it is chosen.
        manages: whether the one who looks runs this studio. Licences are accepted and disks filled by those
            who do, not by their guests and visitors.
    """
    speech, fast = catalogue.speech, catalogue.slow.get(spec.id)
    chosen = fast is not None and preset == "fast"
    if catalogue.barred(spec):
        return _licence(catalogue.terms[spec.id], spec, manages=manages)
    if spec.id in catalogue.missing:
        reason = catalogue.missing[spec.id]
        if spec.bundled:
            return Need(f"<p>{escape(reason)}</p>")
        target = target_of(spec.id, "fast" if chosen else "quality")
        size = spec.download_bytes + (fast["download_bytes"] if fast and chosen else 0)
        return _weights(target, size, _absence(spec, reason), _view(spec, view_of, target), manages=manages)
    if fast and chosen:
        return _fast(spec, fast, view_of, manages=manages)
    if speech and not spec.native_audio and not speech["available"]:
        told = (
            f"<p>It makes no sound itself. To speak, it needs <b>{escape(speech['title'])}</b> "
            f"({gigabytes(speech['download_bytes'])}, {escape(speech['licence'])}), which is not on this computer.</p>"
        )
        return _weights(speech["id"], speech["download_bytes"], told, view_of(speech["id"]), manages=manages)
    return _fast(spec, fast, view_of, manages=manages) if fast else Need()


def _view(spec: ModelSpec, view_of: Callable[[str], DownloadView | None], target: str) -> DownloadView | None:
    """The download of a model that is on its way, with or without what fast needs; else the last one of `target`."""
    views = [view_of(target_of(spec.id, preset)) for preset in ("fast", "quality")]
    return next((view for view in views if view and not view.ended), view_of(target))


def _fast(
    spec: ModelSpec, fast: Mapping[str, Any], view_of: Callable[[str], DownloadView | None], *, manages: bool
) -> Need:
    told = (
        f"<p><b>Fast preset:</b> {fast['num_inference_steps']} steps in place of {spec.num_inference_steps}, with a "
        f"LoRA of {gigabytes(fast['download_bytes'])} ({escape(fast['licence'])}) that is not on this computer.</p>"
    )
    target = target_of(spec.id, "fast")
    return _weights(target, fast["download_bytes"], told, _view(spec, view_of, target), manages=manages)


def _licence(terms: Mapping[str, Any], spec: ModelSpec, *, manages: bool) -> Need:
    told = (
        f"<p><b>Off until its licence is accepted.</b> {escape(terms['title'])}: {escape(terms['limits'])}. "
        f'<a href="{escape(terms["url"])}" target="_blank" rel="noopener noreferrer">Read it</a></p>'
    )
    if not manages:
        return Need(told + _server(f"python -m wan_app licence accept {terms['id']}"))
    size = f"<p>After that, {gigabytes(spec.download_bytes)} to download.</p>" if spec.download_bytes else ""
    return Need(told + size, words=terms["words"])


def _absence(spec: ModelSpec, reason: str) -> str:
    if _PLAIN not in reason:
        return f"<p><b>Not complete on this computer.</b> {escape(reason.partition(_COMMAND)[0])}</p>"
    return (
        f"<p><b>Not on this computer yet.</b> {gigabytes(spec.download_bytes)} from "
        f"<code>{escape(spec.repository)}</code>. Licence: {escape(spec.licence)}.</p>"
    )


def _weights(target: str, size: int, told: str, view: DownloadView | None, *, manages: bool) -> Need:
    event = view.event if view else None
    if view and not view.ended:
        return Need(_progress(event), target=view.model, running=True)
    if not manages:
        return Need(told + _server(command_of(target)))
    if isinstance(event, Failed):
        return Need(told + alert(event.error, event.kind), download="Try again", target=target)
    if isinstance(event, Cancelled):
        stopped = "<p>The download was stopped; what came so far stays.</p>"
        return Need(told + stopped, download="Go on with the download", target=target)
    return Need(told, download=f"Download {gigabytes(size)}", target=target)


def _progress(event: Any) -> str:
    """How a download stands: bytes, time left, a bar."""
    what, note, share = "Downloading", "", 0.0
    if isinstance(event, Downloading):
        share = event.done / event.total if event.total else 0.0
        note = f"{gigabytes(event.done)} of {gigabytes(event.total)}"
        if event.eta is not None:
            note += f" · {rough_time(event.eta / 60)} left"
    elif isinstance(event, Loading):
        what = event.what
    return bar(what, note, share)


def _server(command: str) -> str:
    return f"<p>Whoever runs this server can do it: <code>{escape(command)}</code></p>"
