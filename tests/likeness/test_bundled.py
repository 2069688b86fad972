"""The bundled model itself: small enough, whole, and as good as its evaluation says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wan_app.likeness import hearing
from wan_app.likeness.evaluate import Evaluation, as_markdown
from wan_app.likeness.judge import LikenessJudge
from wan_app.likeness.listening import SIDE, Listening, for_judge, to_frames
from wan_app.likeness.pipeline import LikenessPipeline
from wan_app.likeness.vocoder import SAMPLE_RATE
from wan_app.likeness.world.attributes import FPS
from wan_app.likeness.world.motion import mouth_opening
from wan_app.likeness.world.render import clip_times, draw_clips
from wan_app.settings import ASSETS

RESULTS = Path(__file__).resolve().parents[2] / "wan_app" / "likeness" / "results"


def test_all_assets_stay_within_their_budget() -> None:
    sizes = {file: file.stat().st_size for file in ASSETS.rglob("*") if file.is_file()}
    assert sum(sizes.values()) <= 32_000_000
    assert not [file for file in sizes if file.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}]


def test_mouths_open_with_the_sound_and_not_with_a_sound_that_is_shifted() -> None:
    pipe = LikenessPipeline.from_pretrained(ASSETS / "pocket")
    judge = LikenessJudge.from_pretrained(ASSETS / "pocket" / "judge", torch_dtype=torch.float32)
    listening = Listening(pipe, judge, 6, seed=5)
    agreement: dict[int, list[float]] = {0: [], 2: []}
    for index in range(6):
        person, sound = listening.scenes[index : index + 1], listening.true_sound[index]
        # A face that never moves its mouth: whatever moves is the sound's doing.
        still = torch.full_like(mouth_opening(person, clip_times()), 0.3)
        video = for_judge(to_frames(draw_clips(person, SIDE, SIDE, mouth=still)[0]))
        loud = hearing.envelope(sound, FPS, 17)
        for late, found in agreement.items():
            moved = np.concatenate([np.zeros(int(late * SAMPLE_RATE / FPS), np.float32), sound])[: len(sound)]
            with torch.no_grad():
                audio = pipe.audio_vae.encode(torch.from_numpy(moved)[None])
                frames = pipe.decode(pipe.vae.encode(video), audio)
            found.append(hearing.correlation(listening.mouth(frames)[2:], loud[2:]))
    assert np.mean(agreement[0]) > 0.75
    assert np.mean(agreement[2]) < 0.1


@pytest.mark.slow
def test_the_committed_table_is_of_this_model() -> None:
    committed = json.loads((RESULTS / "evaluation.json").read_text(encoding="utf-8"))
    few = Evaluation(ASSETS / "pocket", 8)
    few.run()
    table = few.table()
    assert table["parameters"] == committed["parameters"]
    # Eight clips swing by a tenth or so; another model would swing by more.
    assert abs(table["first_frame_db"] - committed["first_frame_db"]) < 1.5
    for mode in ("truth", "text", "reference"):
        assert table["judged_right"]["place"][mode] > committed["judged_right"]["place"][mode] - 0.25, mode
    identity = table["identity_agreement"]
    assert identity["reference"] > identity["another"] + 0.1
    listening = Listening(few.pipe, few.judge, 6)
    listening.run()
    voice, held = listening.table(), committed["voice"]
    # Six voices swing too; another voice than the one given would be off by half an octave.
    assert voice["reference"]["pitch_error_semitones"] < held["reference"]["pitch_error_semitones"] + 1
    assert voice["reference"]["mouth_correlation"] > held["reference"]["mouth_correlation"] - 0.25
    assert voice["without_a_voice"]["audible"] == 1
    assert "| place |" in as_markdown(table | {"voice": voice})
