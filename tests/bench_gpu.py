"""How fast a denoising step is on this card, and how near to what the card can do: `make bench-gpu`.

Random weights of the true shapes (never zeros: a card clocks higher on them), no download. A step is two
forward passes, with and without the prompt. Of the 14B model 2 and 6 blocks are run and 40 extrapolated;
one pass of all 40 checks that. The peer is plain diffusers, in the same run. Results are written after
each section; what the time or the card does not allow is listed with its reason. `--toy` runs all of it
small, on the processor too, and says nothing about speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wan_app.families.parts import speed

from .bench_steps import (
    REAL,
    TOY,
    Shapes,
    Variant,
    build,
    decoding,
    emptied,
    extrapolated,
    forward_tflop,
    load,
    matmul_tflops,
    save,
    step,
)

# The most telling first: where time runs out, the last ones go without.
VARIANTS = (
    Variant(peer=True), Variant(), Variant(compiled=True), Variant("nf4"), Variant("int8"), Variant("fp8"),
    Variant(offloaded=True), Variant("nf4", offloaded=True), Variant("nf4", compiled=True),
    Variant("fp8", compiled=True), Variant("int8", compiled=True), Variant("int8", offloaded=True),
    Variant("fp8", offloaded=True), Variant(compiled=True, offloaded=True),
)  # fmt: skip


LAYOUTS = ("contiguous_format", "channels_last_3d")


@dataclass(kw_only=True)
class Row:
    """What one variant cost. Seconds and GB (1e9 bytes) are of the whole model; `points` are as measured."""

    model: str
    variant: str
    step_seconds: float | None = None
    tflops: float | None = None
    of_ceiling: float | None = None
    over_peer: float | None = None
    peak_gb: float | None = None
    first_seconds: float | None = None
    attention: str = ""
    points: list[dict[str, float]] = field(default_factory=list)
    not_measured: str = ""


class Bench:
    """One run of all sections; `results` is what the file holds.

    Args:
        device: torch device string.
        out: the JSON file, written anew after each section.
        minutes: no section is begun that would end later, going by the longest so far.
    """

    def __init__(self, device: str, out: Path, minutes: float) -> None:
        self.device, self.out = device, out
        self.began, self.deadline = time.monotonic(), time.monotonic() + 60 * minutes
        self.rows: list[Row] = []
        self.results: dict[str, Any] = {"machine": machine(device), "rows": []}

    def run(self, shapes: tuple[Shapes, ...], folder: Path) -> None:
        """Every section, and the table at the end."""
        for one in shapes:
            ceiling = matmul_tflops(self.device)
            self.section({"ceiling_tflops": {one.name: round(ceiling, 2)}})
            saved = {count: save(one, count, folder, self.device) for count in one.measured}
            self.save()
            longest = 0.0
            for variant in VARIANTS:
                began = time.monotonic()
                if began + longest > self.deadline:
                    row = Row(model=one.name, variant=variant.name, not_measured="no time left")
                else:
                    row = self.measure(one, variant, saved, ceiling)
                    longest = max(longest, time.monotonic() - began)
                self.rows.append(row)
                self.section({"rows": [asdict(row)]})
            for layout in LAYOUTS:
                self.section({"decoding": [self.decode(one, layout)]})
            if one.check and time.monotonic() + 30 < self.deadline:
                self.section({"check": self.check(one)})

    def measure(self, one: Shapes, variant: Variant, saved: dict[int, Path], ceiling: float) -> Row:
        """One variant; what fails is told and does not stop the others."""
        row = Row(model=one.name, variant=variant.name)
        try:
            for count, folder in saved.items():
                with emptied(self.device):
                    model, row.attention = load(variant, folder, self.device)
                    row.points.append({"blocks": count, **step(model, one, self.device)})
                    del model
        except Exception as error:  # a package, a kernel or memory that this machine lacks
            row.not_measured = in_a_line(error)
            row.points.clear()
            return row
        row.step_seconds = extrapolated(row.points, "seconds", one.blocks)
        row.peak_gb = extrapolated(row.points, "peak_gb", one.blocks)
        row.first_seconds = max(point["first_seconds"] for point in row.points)
        row.tflops = 2 * forward_tflop(one, one.blocks) / row.step_seconds
        row.of_ceiling = row.tflops / ceiling
        peer = row if variant.peer else self.row(one, Variant(peer=True))
        row.over_peer = peer.step_seconds / row.step_seconds if peer and peer.step_seconds else None
        return row

    def row(self, one: Shapes, variant: Variant) -> Row | None:
        """What was found before, if it was."""
        return next((row for row in self.rows if (row.model, row.variant) == (one.name, variant.name)), None)

    def decode(self, one: Shapes, layout: str) -> dict[str, Any]:
        """The autoencoder's share, which tells which layout the app should use."""
        if time.monotonic() + 30 > self.deadline:
            return {"model": one.name, "layout": layout, "not_measured": "no time left"}
        try:
            with emptied(self.device):
                return decoding(one, self.device, layout)
        except Exception as error:  # as in `measure`
            return {"model": one.name, "layout": layout, "not_measured": in_a_line(error)}

    def check(self, one: Shapes) -> dict[str, Any]:
        """One step with all blocks against what the few were extrapolated to."""
        name, row = Variant().name, self.row(one, Variant())
        try:
            with emptied(self.device):
                model = build(one, one.blocks, self.device)
                speed.choose_attention([model], self.device)
                found = step(model, one, self.device)
                del model
        except Exception as error:  # most likely the card is too small for all of it
            return {"model": one.name, "not_measured": in_a_line(error)}
        share = {"step_over_extrapolated": found["seconds"] / row.step_seconds} if row and row.step_seconds else {}
        return {"model": one.name, "variant": name, **found, **share}

    def section(self, found: dict[str, Any]) -> None:
        """Take the figures in, print them, and write all there is."""
        for name, value in found.items():
            if isinstance(value, list):
                self.results.setdefault(name, []).extend(value)
            elif isinstance(value, dict):
                self.results.setdefault(name, {}).update(value)
        self.results["seconds"] = round(time.monotonic() - self.began, 1)
        print(json.dumps(found), flush=True)
        self.save()

    def save(self) -> None:
        """Write the JSON; a run that is stopped leaves what it had."""
        part = self.out.with_suffix(".part")
        part.write_text(json.dumps(self.results, indent=1) + "\n")
        os.replace(part, self.out)


# --- Telling -----------------------------------------------------------------------------------


def machine(device: str) -> dict[str, str]:
    """What was measured with."""
    import torch

    found = {"device": device, "system": platform.platform(), "python": platform.python_version()}
    for package in ("torch", "diffusers", "bitsandbytes"):
        found[package] = version(package)
    if device.startswith("cuda"):
        found["card"] = torch.cuda.get_device_name()
        found["card_gb"] = f"{torch.cuda.get_device_properties(0).total_memory / 1e9:.1f}"
        found["cuda"], found["cudnn"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
    return found


def in_a_line(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


def table(rows: list[Row]) -> Iterator[str]:
    """The rows in Markdown."""
    yield "| model | variant | attention | s/step | TFLOP/s | of ceiling | over peer | peak GB | first pass s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        if row.not_measured:
            yield f"| {row.model} | {row.variant} | not measured: {row.not_measured} | | | | | | |"
            continue
        over = f"{row.over_peer:.2f}" if row.over_peer else ""
        yield (
            f"| {row.model} | {row.variant} | {row.attention} | {row.step_seconds:.2f} | {row.tflops:.0f} | "
            f"{row.of_ceiling:.0%} | {over} | {row.peak_gb:.1f} | {row.first_seconds:.1f} |"
        )


def main(arguments: list[str] | None = None) -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small shapes, on the processor if there is no card")
    parser.add_argument("--out", type=Path, default=Path("bench-gpu.json"))
    parser.add_argument("--minutes", type=float, default=8.5)
    options = parser.parse_args(arguments)
    import torch
    from diffusers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.toy:
        sys.exit("bench-gpu: no CUDA card is here; needed: one with 24 GB or more, or --toy")
    bench = Bench(device, options.out, options.minutes)
    with tempfile.TemporaryDirectory(prefix="wan-app-bench-gpu-") as folder:
        bench.run(TOY if options.toy else REAL, Path(folder))
    text = "\n".join(table(bench.rows))
    options.out.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
