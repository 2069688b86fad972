"""The plan before the click, as a gauge: whether and how a request fits. Pure functions; no gradio."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wan_app.families.base import Plan
from wan_app.families.fit.plan import described
from wan_app.ui.words import gigabytes, rough_time

# Below this share of the scarcest resource, and shorter than this, there is nothing to ponder.
_CALM_SHARE, _CALM_MINUTES = 0.75, 3.0
_SLOW_MINUTES = 90.0
_HEADS = {
    "fits": "Fits this computer", "offload": "Fits, with parts off the card", "slow": "Fits, but slowly",
    "no": "Does not fit this computer",
}


def gauge(found: Mapping[str, Any] | None, titles: Mapping[str, str]) -> str:
    """What `Services.fit` found: one line where all is well, else meters and the reason; "" for None.

    Args:
        titles: of models by id, for the ones that would fit instead.
    """
    if not found:
        return ""
    state, cost = state_of(found), found["predicted"]
    time = f'<span class="time">{rough_time(cost["minutes"])}</span>' if found["fits"] else ""
    head = f'<div class="fit-head"><i class="dot"></i><b>{_HEADS[state]}</b>{time}</div>'
    if calm(found):
        return f'<div class="fit calm" data-state="fits">{head}</div>'
    rows = "".join(_meter(*one) for one in _needs(found))
    return (
        f'<div class="fit" data-state="{state}">{head}<p>{escape(_reason(found))}</p>'
        f'<div class="meters">{rows}</div>{_instead(found["instead"], titles)}<small>{_basis(found)}</small></div>'
    )


def state_of(found: Mapping[str, Any]) -> str:
    """fits, offload, slow or no."""
    if not found["fits"]:
        return "no"
    if found["predicted"]["minutes"] >= _SLOW_MINUTES:
        return "slow"
    return "fits" if found["plan"]["offload"] == "none" else "offload"


def calm(found: Mapping[str, Any]) -> bool:
    """Whether one line says it all: room to spare, done soon, nothing to fetch."""
    cost = found["predicted"]
    shares = (need / max(1, free) for _, need, free in _needs(found))
    return (
        state_of(found) == "fits" and cost["minutes"] < _CALM_MINUTES and not cost["download"]
        and max(shares) < _CALM_SHARE
    )


def _needs(found: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """(what, bytes needed, bytes free)."""
    cost, machine = found["predicted"], found["machine"]
    needs = [("Card", cost["vram"], machine["vram_free"])] if machine["vram"] else []
    needs.append(("Memory", cost["ram"], machine["ram_free"]))
    if cost["disk"]:
        needs.append(("Disk", cost["disk"], machine["disk_free"]))
    return needs


def _meter(what: str, need: int, free: int) -> str:
    share = need / max(1, free)
    over = " over" if share > 1 else ""
    said = f"{gigabytes(need)}{' of' if share <= 1 else ','} {gigabytes(free)} free"
    width = round(100 * min(1.0, share))
    return (
        f'<div class="meter{over}"><span>{what}</span><div class="track" role="meter" aria-label="{what}" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{width}" aria-valuetext="{said}">'
        f'<i style="width:{width}%"></i></div><span class="amount">{said}</span></div>'
    )


def _reason(found: Mapping[str, Any]) -> str:
    """How it is put on this machine, or why not."""
    if not found["fits"]:
        why = str(found["reason"]).removeprefix("Does not fit: ")
        return f"{why[:1].upper()}{why[1:]}."
    how = described(Plan(**found["plan"]))
    download = found["predicted"]["download"]
    first = f", after a download of {gigabytes(download)}" if download else ""
    return f"{how[:1].upper()}{how[1:]}{first}."


def _instead(lines: Sequence[str], titles: Mapping[str, str]) -> str:
    """Models by their titles; "624x624" as everywhere else on the page."""
    shown = []
    for line in lines:
        what, colon, value = line.partition(": ")
        value = titles.get(value, re.sub(r"(\d)x(\d)", r"\1 × \2", value))
        shown.append(f"<li>{escape(what + colon)}<b>{escape(value)}</b></li>")
    return f"<p>What would fit:</p><ul>{''.join(shown)}</ul>" if shown else ""


def _basis(found: Mapping[str, Any]) -> str:
    if found["measured"]:
        return f"From runs on this machine ({escape(found['machine']['name'])})."
    return f"A prediction for {escape(found['machine']['name'])}; runs on this machine make it exact."
