"""Train the bundled model from nothing: `make train`, or `python -m wan_app.likeness.train --help`.

Stages, each skipped when its result is already in the folder, the long one resumed where it was cut off:

1. `vae`               the autoencoder: principal components, then all of it
2. `identity_encoder`  a recogniser of people in portraits
3. `text_encoder`      which words name what
4. `audio_vae`         sound to curves and back
5. `voice_encoder`     who speaks, and how
6. `transformer`       everything else, by far the longest
7. `decoder`           the decoder once more, for slightly wrong latents, with the enlarger that draws twice the size
8. `judge`             an independent classifier, for `wan_app.likeness.evaluate` only

At the end everything is put together in `bundle/` as one pipeline in bf16, which `--weights` takes; copied to
`assets/pocket` it is the bundled model. Random numbers are seeded; how many steps a stage gets is a matter of
time and of the machine, so two runs are alike and not the same.

The long stage logs to `training.jsonl`, the others to the terminal.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from wan_app.likeness.pipeline import LikenessPipeline
from wan_app.likeness.training import autoencoder, decoder, encoders, judge, sound, transformer
from wan_app.likeness.training.parallel import Rank, run
from wan_app.likeness.world import render

# Share of the whole time that each stage gets.
SHARES = {
    "vae": 0.09,
    "identity_encoder": 0.035,
    "text_encoder": 0.015,
    "audio_vae": 0.04,
    "voice_encoder": 0.04,
    "transformer": 0.65,
    "decoder": 0.06,
    "judge": 0.07,
}
STAGES = {
    "vae": autoencoder.train_autoencoder,
    "identity_encoder": encoders.train_identity,
    "text_encoder": encoders.train_text,
    "audio_vae": sound.train_audio,
    "voice_encoder": sound.train_voice,
    "transformer": transformer.train_transformer,
    "decoder": decoder.train_decoder,
    "judge": judge.train_judge,
}


def done(stage: str, folder: Path) -> bool:
    """Whether a stage has run to its end in this folder."""
    return (folder / f"{stage}.done").exists()


def work(rank: Rank, stage: str, folder: Path, minutes: float) -> None:
    """One stage on one rank."""
    if rank.device == "cpu":
        # Rendering one clip at a time as separate operations costs twenty times as much.
        render.draw_person = torch.compile(render.draw_person, dynamic=False)
    STAGES[stage](rank, folder, minutes)


def bundle(folder: Path, out: Path) -> None:
    """Write what was trained in `folder` to `out` as one `LikenessPipeline`, with the judge beside it."""
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    LikenessPipeline.from_pretrained(folder).to(torch.bfloat16).save_pretrained(out)
    if (folder / "judge").exists():
        shutil.copytree(folder / "judge", out / "judge", dirs_exist_ok=True)


def main() -> None:
    """Run the stages that are missing, then put the result together."""
    parser = argparse.ArgumentParser(description="Train the bundled model `pocket` from nothing.")
    parser.add_argument("--folder", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--device", default="cpu", help="cpu (one process a core) or cuda")
    parser.add_argument("--minutes", type=float, default=120, help="for all stages together")
    parser.add_argument(
        "--stage", action="append", choices=list(STAGES), help="only these; all missing ones by default"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for stage in options.stage or STAGES:
        if done(stage, options.folder):
            print(f"{stage}: already there", flush=True)
            continue
        run(work, stage, options.folder, options.minutes * SHARES[stage], device=options.device)
        (options.folder / f"{stage}.done").touch()
    if all(done(stage, options.folder) for stage in STAGES):
        bundle(options.folder, options.folder / "bundle")
        print(f"try it: python -m wan_app generate text --weights {options.folder / 'bundle'} --prompt ...")


if __name__ == "__main__":
    main()
