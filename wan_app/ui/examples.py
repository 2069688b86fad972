"""Stored examples: a row of small clips; choosing one fills the form and plays it without running."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from wan_app.settings import ASSETS
from wan_app.types import Mode
from wan_app.ui.card import cached_url
from wan_app.ui.parts import html

FOLDER = ASSETS / "examples"
# The clips play while pointed at or focused; a row of moving pictures would not be calm.
_ON_LOAD = """
const clip = (event) => event.target.closest && event.target.closest('button.example');
element.addEventListener('click', (event) => {
  const chosen = clip(event);
  if (chosen) trigger('click', {index: Number(chosen.dataset.index)});
});
for (const [name, on] of [['pointerover', true], ['focusin', true], ['pointerout', false], ['focusout', false]]) {
  element.addEventListener(name, (event) => {
    const video = clip(event)?.querySelector('video');
    if (video) on ? video.play().catch(() => {}) : video.pause();
  });
}
"""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One stored result. Files are absolute paths; `sound` says whether the clip has any."""

    mode: str
    prompt: str
    label: str
    file: Path
    image: Path | None = None
    faces: tuple[Path, ...] = ()
    voice: Path | None = None
    say: str = ""
    sound: bool = False
    model: str = "pocket"


@cache
def stored(folder: Path | None = None) -> tuple[Example, ...]:
    """What examples.json lists and is there; a broken list costs the row, never the start."""
    folder = folder or FOLDER
    try:
        rows = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
        found = [_example(row, folder) for row in rows]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        logging.getLogger(__name__).warning("examples are left out: %s", error)
        return ()
    return tuple(one for one in found if one.file.is_file())


def of_mode(mode: Mode) -> list[Example]:
    """The examples of a tab."""
    return [one for one in stored() if one.mode == mode]


def row(mode: Mode) -> gr.HTML | None:
    """The row of a tab, or None when there are no examples."""
    found = of_mode(mode)
    if not found:
        return None
    buttons = "".join(_button(index, one) for index, one in enumerate(found))
    return html(
        f'<p class="examples-title">Examples</p><div class="examples-list">{buttons}</div>',
        elem_classes="examples", js_on_load=_ON_LOAD,
    )


def _button(index: int, one: Example) -> str:
    inset = one.image or (one.faces[0] if one.faces else None)
    given = f'<img class="given" alt="" src="{escape(cached_url(str(inset)))}">' if inset else ""
    # #t makes Safari show a first picture without playing.
    return (
        f'<button type="button" class="example" data-index="{index}" title="{escape(one.prompt)}">'
        f'<span class="thumb"><video src="{escape(cached_url(str(one.file)))}#t=0.5" muted loop playsinline '
        f'preload="metadata" tabindex="-1" aria-hidden="true"></video>{given}</span>'
        f"<span>{escape(one.label)}</span></button>"
    )


def _example(row: dict[str, Any], folder: Path) -> Example:
    return Example(
        mode=row["mode"], prompt=row["prompt"], label=row["label"], file=folder / row["file"],
        image=folder / row["image"] if row.get("image") else None,
        faces=tuple(folder / face for face in row.get("faces") or ()),
        voice=folder / row["voice"] if row.get("voice") else None,
        say=row.get("say", ""), sound=row.get("sound") is True,
        model=row.get("model", "pocket"),
    )
