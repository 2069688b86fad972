"""Train what deals with sound alone: the audio autoencoder and the voice encoder."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from wan_app.likeness.audio import LikenessAudioAutoencoder
from wan_app.likeness.training.course import Course
from wan_app.likeness.training.parallel import Rank
from wan_app.likeness.vocoder import FLOOR, HOP, SAMPLE_RATE, Controls, log_mel, synthesise
from wan_app.likeness.voice import TOLD, LikenessVoiceEncoder
from wan_app.likeness.world.attributes import more_of, sample_scenes
from wan_app.likeness.world.sounds import clip_sound, control_times
from wan_app.likeness.world.voices import sample_voices, speech

# Mean and spread of a voice's numbers as the heads tell them (F0 as log2 of hertz).
SCALE = {
    "f0": (7.39, 0.56), "range": (2.5, 0.87), "tract": (1.02, 0.115), "tilt": (10.0, 2.9),
    "breath": (0.5, 0.29), "syllables": (2.3, 0.4), "accent": (0.25, 0.144),
}  # fmt: skip
REFERENCE_SECONDS = (2.0, 2.5, 3.0)
Numbers = dict[str, torch.Tensor]


def standardised(numbers: Numbers, name: str) -> torch.Tensor:
    """The number `name` of voices as a head tells it (N,)."""
    value = numbers[name].log2() if name == "f0" else numbers[name]
    middle, spread = SCALE[name]
    return (value - middle) / spread


def roughened(samples: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Recordings (N, n) as rooms and microphones leave them: a coloured response, noise, another loudness."""
    n = len(samples)
    # A few random echoes and a tilt: what a microphone and a room do to a spectrum.
    response = torch.randn(n, 24, generator=generator) * 0.12 * torch.rand(n, 1, generator=generator)
    response = response * torch.exp(-torch.arange(24) / 6)
    response[:, 0] = 1
    shaped = F.conv1d(F.pad(samples.cpu()[None], (23, 0)), response.flip(1)[:, None], groups=n)[0]
    level = samples.square().mean(1, keepdim=True).sqrt().cpu()
    noise = torch.randn(samples.shape, generator=generator) * level * 0.15 * torch.rand(n, 1, generator=generator) ** 2
    loud = 10 ** (torch.rand(n, 1, generator=generator) - 0.7)
    return ((shaped + noise) * loud).to(samples.device)


def recordings(numbers: Numbers, seconds: float, generator: torch.Generator) -> torch.Tensor:
    """Reference recordings (N, samples) of voices: other words, another moment, in some room."""
    n = len(numbers["f0"])
    device = numbers["f0"].device
    other = dict(numbers)
    other["words"] = torch.rand(n, generator=generator).to(device)
    other["phase"] = torch.rand(n, generator=generator).to(device)
    said = synthesise(speech(other, control_times(seconds).to(device)), generator)
    return roughened(said, generator)


def control_loss(found: Controls, true: Controls) -> torch.Tensor:
    """Error of bands in log10 amplitude, and of pitch in octaves where it is heard."""
    heard = (true.harmonic.amax(-1) > FLOOR + 1.5).float()
    pitch = ((found.f0 / true.f0).log2().square() * (heard + 0.01)).mean()
    bands = sum(
        ((a - b).abs() * (0.3 + ((b - FLOOR) / 2).clamp(0, 1.5))).mean()
        for a, b in ((found.harmonic, true.harmonic), (found.noise, true.noise))
    )
    return 12 * pitch + bands


def train_audio(rank: Rank, folder: Path, minutes: float, batch: int = 32) -> None:
    """Train the audio autoencoder for `minutes` of wall time and save it to `folder/audio_vae`."""
    torch.manual_seed(0)
    model = LikenessAudioAutoencoder().to(rank.device)
    generator = torch.Generator().manual_seed(5000 + rank.index)
    course = Course(rank, model, minutes, 2e-3)
    for _ in course:
        # Places are heard soon enough: two in three are voices.
        scenes = more_of(("talk",), 2 / 3, sample_scenes(batch, generator), generator).to(rank.device)
        true = clip_sound(scenes)
        with torch.no_grad():
            mel = log_mel(synthesise(true, generator))
        with rank.autocast():
            raw = model.encode_mel(mel)
            # Latents keep to a scale of one, and the decoder learns to forgive what the transformer misses.
            noise = torch.randn(raw.shape, generator=generator).to(raw) * 0.1
            found = model.controls_of(raw + noise)
        scale = (raw.float().std((0, 2)) - 1).square().mean() + raw.float().mean((0, 2)).square().mean()
        loss = control_loss(found, true) + 0.1 * scale
        if course.learn(loss):
            course.tell("audio", f"loss {loss.item():.3f}")
    if course.finish():
        measure_latents(model, generator, rank)
        model.save_pretrained(folder / "audio_vae")


@torch.no_grad()
def measure_latents(model: LikenessAudioAutoencoder, generator: torch.Generator, rank: Rank) -> None:
    """Store mean and spread of the raw latents of 256 clips."""
    scenes = sample_scenes(256, generator).to(rank.device)
    raw = model.encode_mel(log_mel(synthesise(clip_sound(scenes), generator)))
    model.latents_mean.copy_(raw.mean((0, 2)))
    model.latents_std.copy_(raw.std((0, 2)))


class Recordings:
    """A pool of voices with two recordings each, as log-mel spectrograms: recording costs more than learning from it,
    so each is heard several times, in other pieces, while new voices keep replacing the oldest."""

    def __init__(self, rank: Rank, capacity: int) -> None:
        self.rank, self.capacity, self.next = rank, capacity, 0
        self.generator = torch.Generator().manual_seed(6000 + rank.index)
        parts = [self.record(32) for _ in range(capacity // 32)]
        self.mels = torch.cat([mels for mels, _ in parts])
        self.voices = {name: torch.cat([one[name] for _, one in parts]) for name in parts[0][1]}

    @torch.no_grad()
    def record(self, count: int) -> tuple[torch.Tensor, Numbers]:
        """Spectrograms (count, 2, T, MELS) in half precision, and the voices' numbers."""
        voices = {n: v.to(self.rank.device) for n, v in sample_voices(count, self.generator).items()}
        mels = [log_mel(recordings(voices, max(REFERENCE_SECONDS), self.generator)) for _ in range(2)]
        return torch.stack(mels, 1).half(), voices

    def refresh(self, count: int) -> None:
        """Put `count` new voices in the places of the oldest."""
        mels, voices = self.record(count)
        where = (torch.arange(count, device=mels.device) + self.next) % self.capacity
        self.next = (self.next + count) % self.capacity
        self.mels[where] = mels
        for name, value in voices.items():
            self.voices[name][where] = value

    def batch(self, size: int, seconds: float) -> tuple[list[torch.Tensor], Numbers]:
        """Two pieces of `seconds` (size, T, MELS) of each of `size` voices, and their numbers."""
        rows = torch.randint(self.capacity, (size,), generator=self.generator).to(self.mels.device)
        length, whole = round(seconds * SAMPLE_RATE / HOP), self.mels.shape[2]
        starts = torch.randint(whole - length + 1, (2,), generator=self.generator).tolist()
        pieces = [self.mels[rows, i, start : start + length].float() for i, start in enumerate(starts)]
        return pieces, {name: value[rows] for name, value in self.voices.items()}


def train_voice(rank: Rank, folder: Path, minutes: float, batch: int = 32, pool: int = 768) -> None:
    """Train the voice encoder for `minutes` of wall time, after recording a pool, and save it to
    `folder/voice_encoder`."""
    torch.manual_seed(0)
    model = LikenessVoiceEncoder().to(rank.device)
    recorded = Recordings(rank, pool)
    course = Course(rank, model, minutes, 2e-3, adam_rate=1e-3)
    for step in course:
        recorded.refresh(6)
        mels, voices = recorded.batch(batch, REFERENCE_SECONDS[step % len(REFERENCE_SECONDS)])
        with rank.autocast():
            tokens = [model.of_mel(mel) for mel in mels]
            told = [model.numbers(one) for one in tokens]
            prints = [model.fingerprint(one) for one in tokens]
        loss = sum(voice_loss(one, voices) for one in told) + match_loss(*prints)
        if course.learn(loss):
            course.tell("voice", f"loss {loss.item():.3f} {how_far(told[0], voices)}")
    if course.finish():
        model.save_pretrained(folder / "voice_encoder")


@torch.no_grad()
def how_far(told: Numbers, voices: Numbers) -> str:
    """What the voice encoder misses, in units people know, for the log."""
    missed = {
        name: float(SCALE[name][1] * (told[name] - standardised(voices, name)).abs().median())
        for name in ("f0", "syllables", "tract")
    }
    right = float((told["contour"].argmax(1) == voices["contour"]).float().mean())
    return (
        f"f0 {12 * missed['f0']:.2f} semitones, syllables {missed['syllables']:.2f} a second, "
        f"tract {missed['tract']:.3f}, contour {right:.2f}"
    )


def voice_loss(told: Numbers, voices: Numbers) -> torch.Tensor:
    """Squared errors of the numbers, pitch above all, and cross-entropy of the contour."""
    weight = {"f0": 4.0, "syllables": 2.0}
    numbers = sum(
        weight.get(name, 1.0) * (told[name].float() - standardised(voices, name)).square().mean()
        for names in TOLD.values()
        for name in names
    )
    return numbers + 0.5 * F.cross_entropy(told["contour"].float(), voices["contour"].long())


def match_loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """InfoNCE over two recordings of each voice, (B, FINGERPRINT) unit vectors."""
    likeness = first @ second.T / 0.1
    same = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(likeness, same) + F.cross_entropy(likeness.T, same)) / 2
