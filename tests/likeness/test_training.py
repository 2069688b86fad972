"""Training: what is asked of the network, and that it can stop and go on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from wan_app.likeness.audio import LikenessAudioAutoencoder
from wan_app.likeness.autoencoder import LikenessAutoencoder
from wan_app.likeness.identity import LikenessIdentityEncoder
from wan_app.likeness.text import build_text_encoder, build_tokenizer
from wan_app.likeness.training.autoencoder import clip_groups, psnr, start_from_components
from wan_app.likeness.training.data import CONTEXT_NOISE, Batch, known_latents, known_sound
from wan_app.likeness.training.decoder import draw_pair, mouth_error
from wan_app.likeness.training.optim import Average, Optimiser
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.training.transformer import Trainer, flow_loss
from wan_app.likeness.transformer import Clean
from wan_app.likeness.voice import LikenessVoiceEncoder
from wan_app.likeness.world.attributes import sample_scenes
from wan_app.likeness.world.captions import vocabulary

ONE = Rank(0, 1, "cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_principal_components_are_a_good_start() -> None:
    model = LikenessAutoencoder(channels=32, dim=32, layers=1, heads=1)
    scenes = sample_scenes(8, seeded(9))
    groups, weights = clip_groups(scenes, 64, 64, seeded(3))
    with torch.no_grad():
        before = psnr(model.decode_groups(model.encode_groups(groups)), groups)
        start_from_components(model, ONE, seeded(1), clips=8)
        after = psnr(model.decode_groups(model.encode_groups(groups)), groups)
    assert after > 20 > before
    # Only people weigh more, and there is one in every frame.
    assert set(weights.unique().tolist()) == {1.0, 3.0}


def test_known_frames_are_masked_and_the_last_picture_is_only_hinted_at() -> None:
    latents, stills = torch.randn(400, 4, 5, 2, 2), torch.randn(400, 4, 1, 2, 2)
    modes = ["image"] * 200 + ["text"] * 200
    known = known_latents(latents, stills, modes, random.Random(0))
    assert not known[200:].any()
    given = known[:200, 0, :, 0, 0].sum(1)
    assert set(given.tolist()) == {1.0, 2.0, 3.0}
    wrong = (known[:200, 2:, 0] - latents[:200, :, 0]).flatten(1).std(1)
    # A picture is shown as it is, what a clip goes on from is mostly a little wrong.
    assert not wrong[given == 1].any()
    assert 0.5 < float((wrong[given > 1] > 0).float().mean()) < 0.9
    assert float(wrong.max()) < 2 * CONTEXT_NOISE
    hinted = known[:200, 1, -1, 0, 0] > 0
    assert 20 < int(hinted.sum()) < 80
    assert torch.equal(known[:200, 2:, -1][hinted], stills[:200, :, 0][hinted])


def batch(modes: list[str]) -> Batch:
    latents = torch.randn(len(modes), 4, 5, 2, 2, generator=seeded(1))
    known = known_latents(latents, latents[:, :, -1:], modes, random.Random(0))
    audio = torch.randn(len(modes), 6, 34, generator=seeded(2))
    nobody, no = torch.zeros(1), torch.zeros(len(modes), dtype=torch.bool)
    sound = known_sound(audio, known, random.Random(0))
    return Batch(latents, known, [""] * len(modes), nobody, nobody, no, no, audio, sound)


def test_the_loss_is_zero_for_the_truth_and_blind_to_given_frames() -> None:
    one = batch(["image"] * 8 + ["text"] * 8)

    def loss(video: torch.Tensor, audio: torch.Tensor) -> tuple[float, float]:
        seen, heard = flow_loss(lambda *_, **__: Clean(video, audio), torch.zeros(1), one, seeded(2))
        return float(seen), float(heard)

    given, sound = one.known[:, :1], one.known_audio[:, :1]
    assert sound.any() and not sound.all()
    assert loss(one.latents, one.audio) == (0, 0)
    assert loss(one.latents + given, one.audio + sound) == (0, 0)
    assert loss(one.latents + (1 - given), one.audio)[0] > 1
    assert loss(one.latents, one.audio + (1 - sound))[1] > 1


def test_the_network_sees_given_frames_without_noise() -> None:
    one, seen = batch(["image"] * 4), []

    def look(noisy: torch.Tensor, *_: torch.Tensor, audio_hidden_states: torch.Tensor, **__) -> Clean:
        seen.append(noisy)
        return Clean(noisy, audio_hidden_states)

    flow_loss(look, torch.zeros(1), one, seeded())
    assert torch.equal(seen[0][:, :, 0], one.latents[:, :, 0])
    assert not torch.equal(seen[0][:, :, 4], one.latents[:, :, 4])


def test_the_sound_of_a_clip_that_goes_on_is_given_with_its_frames() -> None:
    one = batch(["image"] * 60)
    frames = one.known[:, 0, :, 0, 0].sum(1)
    sounds = one.known_audio[:, 0].sum(1)
    assert not sounds[frames == 1].any()
    for count, latents in ((2, 10), (3, 18)):
        assert set(sounds[frames == count].tolist()) == {0, latents}
    assert torch.equal(one.known_audio[:, 1:, :10] * (sounds > 0)[:, None, None], one.known_audio[:, 1:, :10])


def test_the_enlarger_is_shown_wrong_mouths_and_asked_for_true_ones() -> None:
    rank, generator = Rank(0, 1, "cpu"), torch.Generator().manual_seed(3)
    pair = draw_pair((64, 64), 6, (0, 2), rank, generator, LikenessAudioAutoencoder(width=16))
    assert pair.small.shape == (6, 3, 5, 64, 64) and pair.large.shape == (6, 3, 2, 128, 128)
    assert pair.sound.shape == (6, 2, 96)
    # Mouths are a little of every frame, and the only thing that small and large do not agree on.
    share = pair.mouths.mean((1, 2, 3, 4))
    assert (share > 0).all() and (share < 0.05).all()
    shrunk = torch.nn.functional.avg_pool2d(pair.large.flatten(1, 2), 2).unflatten(1, (3, 2))
    apart = (shrunk - pair.small[:, :, [0, 2]]).abs().mean(1)
    mouths = torch.nn.functional.max_pool2d(pair.mouths[:, 0], 2) > 0
    assert apart[mouths].mean() > 5 * apart[~mouths].mean()
    off = draw_pair((64, 64), 6, (0, 2), rank, torch.Generator().manual_seed(4), LikenessAudioAutoencoder(width=16))
    assert mouth_error(pair.large, pair) == 0 < mouth_error(off.large, pair)


def test_the_optimiser_learns_and_the_average_follows() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 6))
    optimiser, average = Optimiser(model, 2e-2), Average(model, 0.9)
    x = torch.randn(256, 6)
    target = x.roll(1, 1) * x
    losses = []
    for step in range(400):
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimiser.step(step / 400)
        average.update(model)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    model.load_state_dict(average.weights)
    assert float((model(x) - target).square().mean()) < 0.5 * losses[0]


def test_training_stops_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Compiling takes a minute and changes nothing that is looked at here.
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: None)
    monkeypatch.setattr("wan_app.likeness.training.data.MINIMUM", 4)
    words = vocabulary()
    build_tokenizer(words).save_pretrained(tmp_path / "tokenizer")
    build_text_encoder(len(words)).save_pretrained(tmp_path / "text_encoder")
    LikenessIdentityEncoder().save_pretrained(tmp_path / "identity_encoder")
    LikenessAutoencoder(dim=32, layers=1, heads=1).save_pretrained(tmp_path / "vae")
    LikenessAudioAutoencoder(width=16).save_pretrained(tmp_path / "audio_vae")
    LikenessVoiceEncoder(layers=1).save_pretrained(tmp_path / "voice_encoder")
    first = Trainer(ONE, tmp_path, rate=1e-3, capacity=16, seed=0)
    first.pool.fill(16)
    losses = [first.take_step(2, 0.5) for _ in range(4)]
    # Clips first, with sound; then stills, which are silent.
    assert all(seen > 0 for seen, _ in losses) and [heard > 0 for _, heard in losses] == [True, True, True, False]
    first.save()
    second = Trainer(ONE, tmp_path, rate=1e-3, capacity=16, seed=0)
    # Three steps on two clips, then one on eight stills.
    assert (second.step, second.samples) == (4, 14)
    for name, value in first.transformer.state_dict().items():
        assert torch.equal(value, second.transformer.state_dict()[name]), name
    assert (tmp_path / "transformer" / "config.json").exists()
    # Without the state, a new training starts from the weights.
    (tmp_path / "training.pt").unlink()
    third = Trainer(ONE, tmp_path, rate=1e-3, capacity=16, seed=1)
    assert third.step == 0
    for name, value in first.average.weights.items():
        assert torch.equal(value, third.model.state_dict()[name]), name
