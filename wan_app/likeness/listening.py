"""Listen to a trained model in voices it has never heard: pitch, timbre, rhythm, and sound against mouth."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageDraw

from wan_app.likeness import hearing
from wan_app.likeness.judge import LikenessJudge
from wan_app.likeness.pipeline import LikenessPipeline
from wan_app.likeness.training.sound import recordings
from wan_app.likeness.vocoder import SAMPLE_RATE, synthesise
from wan_app.likeness.world.attributes import ACTIONS, FPS, Scenes, sample_scenes
from wan_app.likeness.world.captions import caption
from wan_app.likeness.world.render import draw_clips, draw_portraits
from wan_app.likeness.world.sounds import clip_sound

SIDE = 128
REFERENCE_SECONDS = 3.0
# Quieter than this (RMS) is silence.
_AUDIBLE = 1e-3
_STRIP = 48  # pixels of a waveform's height


@dataclass
class Heard:
    """What was measured of some clips, one entry a clip; NaN where nothing could be measured."""

    pitch: list[float] = field(default_factory=list)  # semitones away from the reference
    rhythm: list[float] = field(default_factory=list)  # share by which the syllable rate is wrong
    agreement: list[float] = field(default_factory=list)  # correlation of mouth and loudness
    lag: list[int] = field(default_factory=list)  # frames
    colours: list[np.ndarray] = field(default_factory=list)
    prints: list[torch.Tensor] = field(default_factory=list)


class Listening:
    """Clips of people who talk in held-out voices: true ones, made ones, and the same against other voices."""

    def __init__(self, pipe: LikenessPipeline, judge: LikenessJudge, count: int = 20, seed: int = 11) -> None:
        self.pipe, self.judge = pipe, judge
        generator = torch.Generator().manual_seed(seed)
        self.scenes = sample_scenes(count, generator, held_out=True)
        self.scenes.classes["action"][:] = ACTIONS.index("talk")
        self.portraits = draw_portraits(self.scenes, SIDE, generator)
        self.voices = recordings(self.scenes.numbers, REFERENCE_SECONDS, generator).numpy()
        self.true_sound = synthesise(clip_sound(self.scenes), generator).numpy()
        self.rng = random.Random(seed)
        self.made, self.true = Heard(), Heard()
        self.strangers: list[float] = []
        self.rows: list[np.ndarray] = []

    def run(self) -> None:
        """Make and measure a talking clip for each voice."""
        for index in range(len(self.scenes)):
            frames, sound = self._make(index)
            self._measure(self.made, index, frames, sound)
            true = draw_clips(self.scenes[index : index + 1], SIDE, SIDE)[0]
            self._measure(self.true, index, to_frames(true), self.true_sound[index])
            # Held against the next voice: what agreement by chance would be.
            self.strangers.append(apart(sound, self.voices[(index + 1) % len(self.voices)]))
            if index < 6:
                self.rows.append(sheet_row(frames, sound, self.mouth(frames)))

    def table(self) -> dict:
        """Everything measured, as JSON types; `truth` is the world itself, the ceiling of these measures."""
        prints = torch.cat([self._print(voice) for voice in self.voices])
        colours = np.stack([hearing.colour(voice) for voice in self.voices])
        return {
            "voices": len(self.scenes),
            **{
                name: {
                    "pitch_error_semitones": float(np.nanmedian(heard.pitch)),
                    "rhythm_error": float(np.nanmedian(heard.rhythm)),
                    "mouth_correlation": float(np.mean(heard.agreement)),
                    "mouth_lag_frames": float(np.median(heard.lag)),
                    "mouth_lag_within_one_frame": float(np.mean([abs(lag) <= 1 for lag in heard.lag])),
                    "timbre_nearest_by_spectrum": nearest(np.stack(heard.colours), colours),
                    "timbre_nearest_by_encoder": float(
                        (torch.cat(heard.prints) @ prints.T).argmax(1).eq(torch.arange(len(prints))).float().mean()
                    ),
                }
                for name, heard in (("truth", self.true), ("reference", self.made))
            },
            "pitch_error_against_another_voice": float(np.nanmedian(self.strangers)),
            "without_a_voice": self._without_a_voice(),
        }

    def _without_a_voice(self, count: int = 6) -> dict:
        """Of clips made from words alone: how many can be heard, and whether it is speech when somebody talks."""
        spoken: list[float] = []
        quiet: list[float] = []
        audible: list[bool] = []
        for index in range(count):
            for action, heard in (("talk", spoken), ("sit", quiet)):
                one = self.scenes[index : index + 1]
                scene = Scenes(dict(one.classes), one.colours, {**one.numbers, "chatty": one.numbers["chatty"] * 0})
                scene.classes["action"] = torch.full_like(one.classes["action"], ACTIONS.index(action))
                made = self.pipe(caption(scene, 0, self.rng, about="all"), generator=_seeded(index)).audio[0]
                audible.append(float(np.sqrt((made**2).mean())) > _AUDIBLE)
                heard.append(voiced_share(made))
        return {
            "audible": float(np.mean(audible)),
            "voiced_share_talking": float(np.mean(spoken)),
            "voiced_share_sitting": float(np.mean(quiet)),
        }

    def _make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames uint8 (17, H, W, 3) and sound (samples,) of a clip in voice `index`."""
        portrait = Image.fromarray(to_frames(self.portraits[index][:, None])[0])
        made = self.pipe(
            caption(self.scenes, index, self.rng, about="reference"),
            reference_images=[portrait],
            voice=self.voices[index],
            generator=_seeded(index),
        )
        assert made.frames is not None
        return made.frames, made.audio[0]

    def _measure(self, heard: Heard, index: int, frames: np.ndarray, sound: np.ndarray) -> None:
        reference = self.voices[index]
        heard.pitch.append(apart(sound, reference))
        heard.rhythm.append(abs(hearing.syllable_rate(sound) / hearing.syllable_rate(reference) - 1))
        mouth, loud = self.mouth(frames), hearing.envelope(sound, FPS, len(frames))
        heard.agreement.append(hearing.correlation(mouth, loud))
        heard.lag.append(hearing.best_lag(mouth, loud))
        heard.colours.append(hearing.colour(sound))
        heard.prints.append(self._print(sound))

    @torch.no_grad()
    def _print(self, samples: np.ndarray) -> torch.Tensor:
        encoder = self.pipe.voice_encoder
        return encoder.fingerprint(encoder(torch.from_numpy(samples)[None]))

    @torch.no_grad()
    def mouth(self, frames: np.ndarray) -> np.ndarray:
        """Opening (F,) of the mouth in every frame, as the judge sees it."""
        return self.judge(for_judge(frames))["mouth"][0].numpy()


def for_judge(frames: np.ndarray) -> torch.Tensor:
    """(1, 3, F, H / 2, W / 2) in [-1, 1] of frames uint8: the judge knows the world at half the model's size."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.interpolate(video, scale_factor=0.5, mode="area").transpose(0, 1)[None]


def to_frames(video: torch.Tensor) -> np.ndarray:
    """uint8 (F, H, W, 3) of a video (3, F, H, W) in [0, 1]."""
    return video.mul(255).round().byte().permute(1, 2, 3, 0).numpy()


def apart(made: np.ndarray, reference: np.ndarray) -> float:
    """Semitones between the median pitches of two recordings; NaN where one is not voiced."""
    tracks = [hearing.pitch_track(samples) for samples in (made, reference)]
    if not all(len(track) for track in tracks):
        return float("nan")
    return abs(hearing.semitones(*(float(np.median(track)) for track in tracks)))


def voiced_share(samples: np.ndarray) -> float:
    """The share of the loud moments that have a pitch."""
    loud = np.sqrt((hearing.windows(samples) ** 2).mean(1))
    return len(hearing.pitch_track(samples)) / max(1, int((loud > 0.15 * loud.max()).sum()))


def nearest(made: np.ndarray, references: np.ndarray) -> float:
    """The share of rows of `made` (n, d) whose nearest row in `references` (n, d) is their own."""
    distance = ((made[:, None] - references[None]) ** 2).sum(-1)
    return float((distance.argmin(1) == np.arange(len(made))).mean())


def sheet_row(frames: np.ndarray, sound: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Every other frame side by side; below, on the same time axis, the waveform and the mouth's opening in red."""
    picture = np.concatenate(list(frames[::2]), 1)
    width = picture.shape[1]
    strip = Image.new("RGB", (width, _STRIP), "white")
    draw = ImageDraw.Draw(strip)
    # Frame i stands from i / FPS on, and every other one is shown at twice its width in time.
    columns = np.array_split(sound[: round(len(frames) / FPS * SAMPLE_RATE)], width)
    loudest = max(1e-3, float(np.abs(sound).max()))
    for x, part in enumerate(columns):
        reach = float(np.abs(part).max(initial=0.0)) / loudest * (_STRIP / 2 - 2)
        draw.line([(x, _STRIP / 2 - reach), (x, _STRIP / 2 + reach)], fill=(40, 90, 160))
    points = [
        ((i + 0.5) * width / len(frames), _STRIP - 3 - float(np.clip(value, 0, 1)) * (_STRIP - 6))
        for i, value in enumerate(mouth)
    ]
    draw.line(points, fill=(210, 40, 40), width=2)
    return np.concatenate([picture, np.asarray(strip)], 0)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
