"""Train the bundled model from nothing: `make train`, or `python -m wan_app.likeness.train --help`.

Stages, each skipped when its result is already in the folder, the long one resumed where it was cut off:

1. `vae`               the autoencoder: principal components, then all of it
2. `identity_encoder`  a recogniser of people in portraits
3. `text_encoder`      which words name what
4. `transformer`       everything else, by far the longest
5. `enlarger`          the decoder's last part, which draws at twice the size
6. `judge`             an independent classifier, for `wan_app.likeness.evaluate` only

Seeds are fixed; what is logged lies beside the weights (`*.log`, `training.jsonl`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from wan_app.likeness.training import autoencoder, encoders, enlarger, judge, transformer
from wan_app.likeness.training.parallel import Rank, run
from wan_app.likeness.world import render

# Share of the whole time that each stage gets.
SHARES = {"vae": 0.09, "identity_encoder": 0.035, "text_encoder": 0.025, "transformer": 0.76, "enlarger": 0.05, "judge": 0.04}
STAGES = {
    "vae": autoencoder.train_autoencoder, "identity_encoder": encoders.train_identity,
    "text_encoder": encoders.train_text, "transformer": transformer.train_transformer,
    "enlarger": enlarger.train_enlarger, "judge": judge.train_judge,
}


def done(stage: str, folder: Path) -> bool:
    """Whether a stage's result is in the folder; the transformer's own clock says when it is done."""
    marks = {"transformer": "transformer.done", "enlarger": "enlarger.done"}
    return (folder / marks.get(stage, stage)).exists()


def work(rank: Rank, stage: str, folder: Path, minutes: float) -> None:
    """One stage on one rank."""
    if rank.device == "cpu":
        # Rendering one clip at a time as separate operations costs twenty times as much.
        render.draw_person = torch.compile(render.draw_person, dynamic=False)
    STAGES[stage](rank, folder, minutes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled model `pocket` from nothing.")
    parser.add_argument("--folder", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--device", default="cpu", help="cpu (one process a core) or cuda")
    parser.add_argument("--minutes", type=float, default=120, help="for all stages together")
    parser.add_argument("--stage", action="append", choices=list(STAGES), help="only these; all that are missing by default")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for stage in options.stage or STAGES:
        if done(stage, options.folder):
            print(f"{stage}: already there", flush=True)
            continue
        run(work, stage, options.folder, options.minutes * SHARES[stage], device=options.device)
        if stage in ("transformer", "enlarger"):
            (options.folder / f"{stage}.done").touch()


if __name__ == "__main__":
    main()
