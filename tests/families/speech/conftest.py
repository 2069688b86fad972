"""The tiny speech model, built once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import tiny_pocket_tts


@pytest.fixture(scope="session")
def tiny_speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAN_APP_WEIGHTS_DIR with nothing but the tiny Pocket TTS in it."""
    return tiny_pocket_tts.build(tmp_path_factory.mktemp("speech"))
