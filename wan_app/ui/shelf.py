"""The gallery as pieces of HTML: tiles, one result with all that is known of it, two beside each other. No gradio."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from wan_app.library.gallery import Kept, Shelf
from wan_app.library.quota import Usage
from wan_app.types import Character, GenerationRequest
from wan_app.ui import card
from wan_app.ui.files import file_url
from wan_app.ui.keepsakes import thumb_url
from wan_app.ui.report import report
from wan_app.ui.words import duration, moment

_PIN = '<svg class="pin" viewBox="0 0 24 24" aria-hidden="true"><path d="M9 3h6l-1 7 4 4H6l4-4zM12 14v7"/></svg>'
_WAVE = (
    '<svg class="wave" viewBox="0 0 48 48" aria-hidden="true"><path d="M8 21v6M16 14v20M24 8v32M32 15v18M40 20v8"/>'
    "</svg>"
)
# Of no use in a comparison.
_ALWAYS_OTHER = ("File", "Watermark", "Made", "Job", "It took")
_EMPTY = {
    "videos": (
        "Nothing here yet",
        "Every video that you make is kept here with its settings. Make one on the Text, Image or Reference tab.",
    ),
    "voices": ("No voices yet", "What you hear with “Hear this voice” is kept here."),
    "pinned": ("Nothing is pinned", "Open a video and press Pin: it stays when space runs short."),
    "all": ("Nothing here yet", "Every video that you make is kept here with its settings."),
}


def tiles(shelf: Shelf, *, show: str, words: str) -> str:
    """The grid, newest first; below it what is left to show."""
    if not shelf.items:
        return _nothing(show, words)
    more = ""
    if left := shelf.total - len(shelf.items):
        more = f'<button type="button" class="more" data-act="more">Show {min(left, 24)} more of {left}</button>'
    return f'{_BAR}<ul class="tiles">{"".join(map(_tile, shelf.items))}</ul>{more}'


def space(usage: Usage, *, manages: bool) -> str:
    """ "12 results, 34 MB of 5 GB": what is kept and what it takes."""
    if not usage.results and usage.quota is None:
        return ""
    limit = f" of {_bytes(usage.quota)}; the oldest that are not pinned go first" if usage.quota else ""
    count = f"{usage.results} result{'' if usage.results == 1 else 's'}"
    return f'<p class="space">{count}, {_bytes(usage.bytes)}{limit}.</p>'


def detail(kept: Kept) -> str:
    """One result: its player, and what it is."""
    job, result = kept.job, kept.job.result
    assert result
    if not kept.there:
        shown = card.failed("The file of this video cannot be read: it is gone")
    elif job.request.sound_only:
        shown = _sound(kept)
    else:
        shown = card.finished(result, file_url(job), job.request.prompt)
    return f'<div class="detail" data-job="{escape(job.id)}">{shown}</div>'


def compared(first: Kept, second: Kept) -> str:
    """Two results side by side, and where their settings differ."""
    players = "".join(_half(one) for one in (first, second))
    known = [dict(facts(one)) for one in (first, second)]
    names = [name for name in dict.fromkeys((*known[0], *known[1])) if name not in _ALWAYS_OTHER]
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(known[0].get(name, '–'))}</td>"
        f"<td>{escape(known[1].get(name, '–'))}</td></tr>"
        for name in names if known[0].get(name) != known[1].get(name)
    )
    table = f'<table class="differ"><tbody>{rows}</tbody></table>' if rows else '<p class="space">No difference.</p>'
    return (
        f'<div class="detail compare"><div class="halves">{players}</div>'
        '<button type="button" class="both" data-act="both">Play both from the start</button>'
        f"<h3>What differs</h3>{table}</div>"
    )


def facts(kept: Kept) -> list[tuple[str, str]]:
    """(name, value) of all settings and circumstances of a result, for people."""
    job, request, result = kept.job, kept.job.request, kept.job.result
    assert result
    return [(name, value) for name, value in (
        ("Prompt", request.prompt), ("Negative prompt", request.negative_prompt), ("Words to say", request.say),
        ("People", ", ".join(map(_person, request.characters))), ("Model", job.model), ("Seed", str(result.seed)),
        ("Size", f"{result.width} × {result.height}" if result.width else ""),
        ("Length", f"{result.seconds:.3g} s" + (f", {result.num_frames} frames" if result.num_frames else "")),
        ("Inference steps", str(request.num_inference_steps or "")),
        ("Guidance scale", f"{request.guidance_scale:g}" if request.guidance_scale else ""),
        ("Preset", "Fast" if request.preset == "fast" else ""),
        ("Guided share", f"{request.guidance_until:.0%}" if request.guidance_until < 1 else ""),
        ("Steps skipped below", f"{request.step_cache:g}" if request.step_cache else ""),
        ("LoRAs", ", ".join(f"{one.file.stem} ({one.weight:g})" for one in request.loras)),
        ("Given", _given(request)), ("Made", moment(job.created)),
        ("It took", duration(result.timings["total"]) if result.timings.get("total") else ""),
        ("File", _bytes(kept.bytes) if kept.there else "gone"), ("Watermark", result.watermark_id or ""),
        ("Consent", result.consent_id or ""), ("Job", job.id),
    ) if value]


def table(kept: Kept) -> str:
    """Every setting that it was made with."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd dir='auto'>{escape(value)}</dd></div>" for name, value in facts(kept)
        if name != "Prompt"
    )
    where = "" if kept.ours else '<p class="space">Its file lies where you wanted it. Deleting leaves it there.</p>'
    return f'<dl class="facts">{rows}</dl>{where}'


def told(arrived: Any) -> str:
    """What an import did, in a sentence."""
    new, known, left = arrived.get("jobs"), arrived.get("known"), arrived.get("left_out")
    if not isinstance(new, list) or not isinstance(known, int) or not isinstance(left, list):
        return ""
    parts = [f"{len(new)} brought in"]
    parts += [f"{known} were here already"] if known else []
    parts += [f"{len(left)} left out"] if left else []
    why = "".join(f"<li>{escape(str(one)[:300])}</li>" for one in left[:20])
    return f'<div class="told" role="status"><p>{", ".join(parts)}.</p>{f"<ul>{why}</ul>" if why else ""}</div>'


_BAR = (
    '<div class="chosen" hidden><span class="count" role="status"></span>'
    '<button type="button" data-act="compare">Compare</button>'
    '<details><summary>Export</summary><div class="menu">'
    '<a data-export="" href="#">Videos and settings</a>'
    '<a data-export="1" href="#">Also the pictures and recordings they were made with</a></div></details>'
    '<details class="danger"><summary>Delete</summary><div class="menu"><p>Files, settings and marks go for good.</p>'
    '<button type="button" class="stop" data-act="delete">Delete for good</button></div></details>'
    '<button type="button" data-act="none">Clear</button></div>'
)


def _tile(kept: Kept) -> str:
    job, result = kept.job, kept.job.result
    assert result
    prompt = job.request.say if job.request.sound_only else job.request.prompt
    secs = f'<span class="secs">{result.seconds:.3g} s</span>'
    picture = _WAVE
    if not kept.there:
        picture = '<span class="gone">File gone</span>'
    elif not job.request.sound_only:
        picture = f'<img loading="lazy" alt="" src="{escape(thumb_url(job.id))}">'
    pin = _PIN if kept.pinned else ""
    return (
        f'<li class="tile" data-job="{escape(job.id)}"><button type="button" class="open" data-act="open" '
        f'title="{escape(prompt[:300])}"><span class="pic">{picture}{pin}{secs}</span>'
        f'<span class="said" dir="auto">{escape(prompt[:160])}</span></button>'
        f'<label class="tick"><input type="checkbox" aria-label="Choose: {escape(prompt[:80])}"></label></li>'
    )


def _nothing(show: str, words: str) -> str:
    title, text = _EMPTY.get(show, _EMPTY["all"])
    if words.strip():
        title, text = "Nothing was found", "Try fewer words: all of them must stand in the prompt, a name or the model."
    return f'<div class="bare"><b>{escape(title)}</b><p>{escape(text)}</p></div>'


def _sound(kept: Kept) -> str:
    result = kept.job.result
    assert result
    return (
        f'<section class="card finished" data-state="finished"><audio src="{escape(file_url(kept.job))}" controls '
        f'aria-label="{escape(kept.job.request.say[:200])}"></audio><p class="asked" dir="auto">'
        f"{escape(kept.job.request.say)}</p>{report(result.similarity, result.notes)}</section>"
    )


def _half(kept: Kept) -> str:
    result = kept.job.result
    assert result
    player = '<p class="gone">File gone</p>'
    if kept.there and kept.job.request.sound_only:
        player = f'<audio src="{escape(file_url(kept.job))}" controls></audio>'
    elif kept.there:
        player = (
            f'<video src="{escape(file_url(kept.job))}" controls loop muted autoplay playsinline '
            f'aria-label="{escape(kept.job.request.prompt[:200])}"></video>'
        )
    return f'<figure>{player}<figcaption dir="auto">{escape(kept.job.request.prompt[:200])}</figcaption></figure>'


def _person(one: Character) -> str:
    count = len(one.faces)
    given = [f"{count} picture{'' if count == 1 else 's'}"] if count else []
    return f"{one.name} ({', '.join(given + (['voice'] if one.voice else [])) or 'pictures not here'})"


def _given(request: GenerationRequest) -> str:
    names = (("image", "first picture"), ("last_image", "last picture"), ("soundtrack", "soundtrack"))
    return ", ".join(title for name, title in names if getattr(request, name))


def _bytes(count: int) -> str:
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if amount >= 10 or units[0] == "B" else f"{amount:.1f} {units[0]}"


def chosen(data: Any) -> tuple[str, list[str]]:
    """(what to do, with which jobs) as the tiles' script said; anybody can send anything."""
    given = data if isinstance(data, dict) else {}
    act, jobs = given.get("act"), given.get("jobs")
    listed: Sequence[Any] = jobs if isinstance(jobs, list) else []
    return act if isinstance(act, str) else "", [one for one in listed if isinstance(one, str)][:500]
