"""The robustness table of the video's mark: `python -m tests.robustness` (about an hour), `--quick` (seconds).

Marks clips as the app does, writes them with its encoder, attacks the files with ffmpeg, reads them back,
then reads clips without a mark; the table goes to wan_app/media/marks/ROBUSTNESS.md.
"""

from __future__ import annotations

import os

# Before numpy is loaded: everything is measured on one thread.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from tests.robustness import measure, unmarked  # noqa: E402
from tests.robustness.attacks import ATTACKS  # noqa: E402
from tests.robustness.clips import CLIPS, FRAMES, ROOT  # noqa: E402
from tests.robustness.report import Results, page  # noqa: E402

QUICK_CLIPS, QUICK_ATTACKS = ("talk", "small"), ("delivered", "h264-28", "resize-75", "crop-10", "flip")


def main(argv: list[str] | None = None) -> int:
    """0 if everything but the known limits was recovered, and nothing was found where nothing was."""
    options = _options(argv)
    started = time.monotonic()
    results = Results(frames=options.frames)
    for clip in options.clips:
        with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
            _measure(clip, options.attacks, Path(folder), results)
    results.single = measure.unmarked(unmarked.clips(options.unmarked_frames, 1, seed=1))
    _say(f"unmarked frames: {results.single}")
    results.moving = measure.unmarked(unmarked.clips(options.unmarked_clips, 6, seed=2))
    _say(f"unmarked clips: {results.moving}")
    results.minutes = (time.monotonic() - started) / 60
    options.out.write_text(page(results), encoding="utf-8")
    _say(f"{options.out}: {results.summary()}")
    return 0 if results.kept() else 1


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two clips, five attacks, few unmarked ones")
    parser.add_argument("--clips", nargs="+", choices=list(CLIPS), metavar="NAME", help=f"of {', '.join(CLIPS)}")
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), metavar="NAME", help=f"of {', '.join(ATTACKS)}")
    parser.add_argument("--frames", type=int, default=FRAMES, help="a clip, at most (default %(default)s)")
    parser.add_argument("--unmarked-frames", type=int, help="single frames read for false positives")
    parser.add_argument("--unmarked-clips", type=int, help="clips read for false positives")
    parser.add_argument("--out", type=Path, default=ROOT / "wan_app" / "media" / "marks" / "ROBUSTNESS.md")
    options = parser.parse_args(argv)
    quick = options.quick
    options.clips = options.clips or (QUICK_CLIPS if quick else tuple(CLIPS))
    options.attacks = options.attacks or (QUICK_ATTACKS if quick else tuple(ATTACKS))
    if options.unmarked_frames is None:
        options.unmarked_frames = 5 if quick else 2000
    if options.unmarked_clips is None:
        options.unmarked_clips = 2 if quick else 500
    return options


def _measure(clip: str, attacks: list[str], folder: Path, results: Results) -> None:
    frames = CLIPS[clip].make()[:results.frames]
    fps = CLIPS[clip].fps
    delivered, quality = measure.marked(frames, fps, folder)
    results.quality[clip] = quality
    _say(f"{clip}: {quality}")
    count = len(frames)
    del frames
    for name in attacks:
        cell = measure.attacked(delivered, name, folder, frames=count, fps=fps)
        results.cells[clip, name] = cell
        _say(f"{clip:10} {name:13} {'yes' if cell.recovered else 'NO '} {cell.reading.state:10} "
             f"z {cell.reading.strength:5.1f}  {cell.seconds:4.1f} s")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
