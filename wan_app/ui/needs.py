"""What the chosen model still needs before it runs, as a piece of HTML and the buttons for it. No gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from wan_app.families.spec import ModelSpec
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
    spec: ModelSpec, catalogue: Catalogue, view_of: Callable[[str], DownloadView | None], *, manages: bool
) -> Need:
    """What a model lacks; an empty Need where that is nothing.

    Args:
        manages: whether the one who looks runs this studio. Licences are accepted and disks filled by those
            who do, not by their guests and visitors.
    """
    speech = catalogue.speech
    if catalogue.barred(spec):
        return _licence(catalogue.terms[spec.id], spec, manages=manages)
    if spec.id in catalogue.missing:
        reason = catalogue.missing[spec.id]
        if spec.bundled:
            return Need(f"<p>{escape(reason)}</p>")
        return _weights(spec.id, spec.download_bytes, _absence(spec, reason), view_of(spec.id), manages=manages)
    if speech and not spec.native_audio and not speech["available"]:
        told = (
            f"<p>It makes no sound itself. To speak, it needs <b>{escape(speech['title'])}</b> "
            f"({gigabytes(speech['download_bytes'])}, {escape(speech['licence'])}), which is not on this computer.</p>"
        )
        return _weights(speech["id"], speech["download_bytes"], told, view_of(speech["id"]), manages=manages)
    return Need()


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
        return Need(_progress(event), target=target, running=True)
    if not manages:
        return Need(told + _server(f"python -m wan_app download {target}"))
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
