"""The cartoon world: what is drawn is what is said, and held-out people stay out."""

from __future__ import annotations

import random

import pytest
import torch

from wan_app.likeness.world.attributes import ACTIONS, CLASSES, is_held_out, sample_scenes
from wan_app.likeness.world.captions import caption, vocabulary
from wan_app.likeness.world.motion import mouth_opening, poses
from wan_app.likeness.world.render import clip_times, draw_clips, draw_portraits


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_held_out_person_is_trained_and_there_are_enough_of_both() -> None:
    trained = sample_scenes(500, seeded())
    held_out = sample_scenes(100, seeded(), held_out=True)
    assert not is_held_out(trained.classes).any()
    assert is_held_out(held_out.classes).all()
    for name, count in CLASSES.items():
        assert len(trained.classes[name].unique()) == count, name


def test_the_seed_decides_the_scene() -> None:
    first, again, other = (sample_scenes(8, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.colours["shirt"], again.colours["shirt"])
    assert not torch.equal(first.colours["shirt"], other.colours["shirt"])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (40, 24)])
def test_clips_have_their_shape_and_colours_in_range(height: int, width: int) -> None:
    video = draw_clips(sample_scenes(3, seeded()), height, width)
    assert video.shape == (3, 3, 17, height, width)
    assert float(video.min()) >= 0 and float(video.max()) <= 1


def test_the_shirt_is_drawn_in_its_colour() -> None:
    scenes = sample_scenes(40, seeded(3))
    scenes.classes["action"][:] = ACTIONS.index("talk")
    scenes.numbers["x"][:] = 0
    video = draw_clips(scenes, 64, 64, torch.zeros(1))
    # The chest, between the arms and below the chin.
    chest = video[:, :, 0, 43:46, 31:33].mean((2, 3))
    assert (chest - scenes.colours["shirt"]).abs().amax() < 0.06


def test_every_action_moves_in_its_own_way() -> None:
    scenes = sample_scenes(200, seeded(4))
    pose = poses(scenes, clip_times())
    travel = (pose["x"].amax(1) - pose["x"].amin(1)), pose["y"].amax(1)
    for name, (moves_x, moves_y) in {
        "walk": (True, False),
        "jump": (False, True),
        "sit": (False, False),
    }.items():
        chosen = scenes.classes["action"] == ACTIONS.index(name)
        assert bool((travel[0][chosen] > 0.1).all()) == moves_x, name
        assert bool((travel[1][chosen] > 0.05).all()) == moves_y, name


def test_only_talkers_open_their_mouths_and_time_is_in_seconds() -> None:
    scenes = sample_scenes(100, seeded(5))
    scenes.numbers["chatty"][:] = 0  # nobody talks beside doing something else
    opening = mouth_opening(scenes, torch.linspace(0, 2, 200))
    talking = scenes.classes["action"] == ACTIONS.index("talk")
    assert float(opening[~talking].abs().max()) == 0
    assert float(opening[talking].amax(1).min()) > 0.95
    # The same moment has the same opening however finely time is cut: sound will rely on it.
    assert torch.allclose(mouth_opening(scenes, torch.tensor([0.5])), opening_at(scenes, 0.5), atol=1e-6)


def opening_at(scenes, second: float) -> torch.Tensor:
    return mouth_opening(scenes, torch.tensor([0.0, second, 1.0]))[:, 1:2]


def test_portraits_show_the_person_whole_hat_included() -> None:
    scenes = sample_scenes(60, seeded(6))
    scenes.classes["hat"][:] = 3
    pictures = draw_portraits(scenes, 64, seeded(7))
    hats = (pictures - scenes.colours["hat"][:, :, None, None]).abs().amax(1) < 0.05
    # No hat is cut off by the upper edge.
    assert float(hats.flatten(1).sum(1).float().min()) > 30
    assert float(hats[:, 0].float().mean()) < 0.05


def test_captions_name_what_is_there_in_words_the_tokenizer_knows() -> None:
    scenes, rng = sample_scenes(300, seeded(8)), random.Random(0)
    known = set(vocabulary())
    texts = [
        caption(scenes, row, rng, about=about)
        for row in range(300)
        for about in ("everything", "motion", "all")
    ]
    assert not {word for text in texts for word in text.split()} - known
    assert len(set(texts)) > 850
    references = [caption(scenes, row, rng, about="reference") for row in range(50)]
    assert all("character1" in text for text in references)
