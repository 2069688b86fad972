"""What fits on which card, as Markdown for people. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from wan_app.devices import Machine
from wan_app.families import registry
from wan_app.families.base import Plan
from wan_app.families.fit.plan import Fit, Work, fit
from wan_app.families.spec import ModelSpec, Shape

CARDS = (6, 8, 12, 16, 24, 48, 80)
_RAM = 64  # GiB, where nothing else is said
# Enough for any download: tables are about memory.
_DISK = 10**13
_AREA_480P = 480 * 832


def fit_tables(ram_gib: float | None = None) -> str:
    """One table: a row for each model and size, a column for each card."""
    machines = _machines(ram_gib)
    lines = _head("model, size, frames")
    for spec, shape in _rows():
        cells = [_cell(fit(spec, _work(spec, shape), machine)) for machine in machines]
        name = f"`{spec.id}` {shape.width}x{shape.height}, {spec.default_frames}"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    speeds = ", ".join(f"{gib}: {machine.name.partition(' as an ')[2]}" for gib, machine in zip(CARDS, machines))
    return "\n".join([*lines, "", _LEGEND.format(ram=f"{ram_gib or _RAM:g}", speeds=speeds)])


def short_table() -> str:
    """What the README has: a row for each model at its first size, with the weights that fit each card."""
    lines = _head("model at its first size")
    for spec in registry.specs().values():
        if not spec.bundled:
            found = [fit(spec, _work(spec, spec.shapes[0]), machine) for machine in _machines(None)]
            cells = [_short(one.plan) if one.fits else "no" for one in found]
            lines.append(f"| `{spec.id}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _head(first: str) -> list[str]:
    return [
        f"| {first} | " + " | ".join(f"{gib} GB" for gib in CARDS) + " |",
        "| --- |" + " --- |" * len(CARDS),
    ]


def _machines(ram_gib: float | None) -> list[Machine]:
    base = Machine(device="cpu", name="", ram=0, ram_free=0, disk_free=_DISK, tflops=1.0)
    return [base.instead(gib, ram_gib or _RAM) for gib in CARDS]


def _work(spec: ModelSpec, shape: Shape) -> Work:
    """A clip of the usual length, with one face where there can be faces."""
    return Work(
        width=shape.width, height=shape.height, num_frames=spec.default_frames,
        num_inference_steps=spec.num_inference_steps, guided=spec.guidance_scale > 1,
        pictures=min(1, spec.max_reference_images),
    )


_LEGEND = (
    "Predicted from the architecture and traced activations, not measured on these cards, for {ram} GB of RAM: "
    "weights (bf16, int8, nf4), gigabytes on the card, minutes from start to file. +t: the processor reads the "
    "prompt; +m: one part on the card at a time; +g: the model streams through the card block by block. "
    "Minutes are for the card named: {speeds}. Runs on your machine correct them (`python -m wan_app fit`)."
)


def _rows() -> Iterator[tuple[ModelSpec, Shape]]:
    """Each model at its first 480p and its first larger size."""
    for spec in registry.specs().values():
        if spec.bundled:
            continue
        small = [one for one in spec.shapes if one.width * one.height <= _AREA_480P]
        large = [one for one in spec.shapes if one.width * one.height > 1.5 * _AREA_480P]
        yield from ((spec, shapes[0]) for shapes in (small, large) if shapes)


def _cell(found: Fit) -> str:
    if not found.fits:
        return "no"
    return f"{_short(found.plan)}, {found.predicted.vram / 1e9:.0f} GB, {_minutes(found.predicted.minutes)}"


def _short(plan: Plan) -> str:
    weights = "bf16" if plan.quantization == "none" else plan.quantization
    return weights + {"none": "", "text_encoder": " +t", "model": " +m", "group": " +g"}[plan.offload]


def _minutes(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
