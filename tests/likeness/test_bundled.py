"""The bundled model itself: small enough, whole, and as good as its evaluation says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wan_app.likeness.evaluate import Evaluation, as_markdown
from wan_app.likeness.listening import Listening
from wan_app.settings import ASSETS

RESULTS = Path(__file__).resolve().parents[2] / "wan_app" / "likeness" / "results"


def test_all_assets_stay_within_their_budget() -> None:
    sizes = {file: file.stat().st_size for file in ASSETS.rglob("*") if file.is_file()}
    assert sum(sizes.values()) <= 32_000_000
    assert not [file for file in sizes if file.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}]


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
