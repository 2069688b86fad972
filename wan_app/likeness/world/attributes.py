"""Who lives in the cartoon world and what they do: attribute tables, scenes, the held-out split."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wan_app.likeness.world.voices import sample_voices

FPS = 8.0
CLIP_FRAMES = 17

PLACES = ("beach", "forest", "city", "moon", "snow", "desert", "room")
ACTIONS = ("wave", "walk", "jump", "dance", "talk", "sit")
SKINS = ("light", "tan", "brown", "dark", "green")
HAIR_COLOURS = ("black", "brown", "blonde", "red", "white", "blue", "pink")
HAIRSTYLES = ("short", "long", "curly", "bun", "spiky", "bald")
HATS = ("none", "cap", "beanie", "top hat")
GLASSES = ("none", "glasses", "sunglasses")
SHIRTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
TROUSERS = ("blue", "black", "brown", "grey")

# Colours are spaced so that neighbours in a table stay apart after jitter and after the autoencoder.
SKIN_RGB = (
    (1.00, 0.83, 0.70),
    (0.87, 0.64, 0.43),
    (0.62, 0.40, 0.24),
    (0.36, 0.22, 0.14),
    (0.52, 0.80, 0.40),
)
HAIR_RGB = (
    (0.10, 0.09, 0.10),
    (0.42, 0.25, 0.12),
    (0.95, 0.80, 0.35),
    (0.85, 0.33, 0.10),
    (0.92, 0.92, 0.94),
    (0.20, 0.45, 0.95),
    (0.97, 0.50, 0.75),
)
CLOTH_RGB = (
    (0.88, 0.15, 0.15),
    (0.98, 0.55, 0.10),
    (0.98, 0.85, 0.15),
    (0.18, 0.62, 0.25),
    (0.15, 0.35, 0.85),
    (0.55, 0.22, 0.70),
    (0.98, 0.58, 0.78),
    (0.95, 0.95, 0.95),
    (0.13, 0.13, 0.15),
)
TROUSER_RGB = ((0.20, 0.30, 0.55), (0.12, 0.12, 0.14), (0.40, 0.26, 0.15), (0.50, 0.50, 0.52))

# Attribute name -> number of classes; the order is the order of columns in `Scenes.classes`.
CLASSES = {
    "place": len(PLACES),
    "action": len(ACTIONS),
    "skin": len(SKINS),
    "hair_colour": len(HAIR_COLOURS),
    "hairstyle": len(HAIRSTYLES),
    "hat": len(HATS),
    "glasses": len(GLASSES),
    "shirt": len(SHIRTS),
    "trousers": len(TROUSERS),
    "hat_colour": len(SHIRTS),
}
NAMES = {
    "place": PLACES,
    "action": ACTIONS,
    "skin": SKINS,
    "hair_colour": HAIR_COLOURS,
    "hairstyle": HAIRSTYLES,
    "hat": HATS,
    "glasses": GLASSES,
    "shirt": SHIRTS,
    "trousers": TROUSERS,
    "hat_colour": SHIRTS,
}
IDENTITY = ("skin", "hair_colour", "hairstyle", "hat", "glasses", "shirt")
BALD = HAIRSTYLES.index("bald")


@dataclass
class Scenes:
    """A batch of N scenes.

    classes: int64 (N,) per attribute name. colours: float (N, 3) RGB in [0, 1] for skin, hair, shirt,
    trousers and hat, jittered around their class. numbers: float (N,) free parameters of layout, motion and
    voice (phases in cycles, rates in hertz, places in the frame's unit width; see `voices`).
    """

    classes: dict[str, torch.Tensor]
    colours: dict[str, torch.Tensor]
    numbers: dict[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.classes["place"])

    def _map(self, change) -> Scenes:
        return Scenes(
            *({k: change(v) for k, v in part.items()} for part in (self.classes, self.colours, self.numbers))
        )

    def __getitem__(self, index) -> Scenes:
        return self._map(lambda tensor: tensor[index])

    def to(self, device: str) -> Scenes:
        return self._map(lambda tensor: tensor.to(device))

    def replace(self, where: torch.Tensor, others: Scenes) -> None:
        """Put `others` in the places `where`."""
        for name in ("classes", "colours", "numbers"):
            for key, value in getattr(self, name).items():
                value[where] = getattr(others, name)[key]

    @staticmethod
    def cat(parts: list[Scenes]) -> Scenes:
        """All scenes of `parts`, in order."""

        def join(name: str) -> dict[str, torch.Tensor]:
            return {k: torch.cat([getattr(p, name)[k] for p in parts]) for k in getattr(parts[0], name)}

        return Scenes(join("classes"), join("colours"), join("numbers"))


def is_held_out(classes: dict[str, torch.Tensor]) -> torch.Tensor:
    """True (N,) for characters whose combination of attributes is never trained: one in ten."""
    mixed = (
        classes["hair_colour"] * 3
        + classes["shirt"] * 7
        + classes["hairstyle"] * 5
        + classes["skin"] * 11
        + classes["hat"] * 2
        + classes["glasses"]
    )
    return mixed % 10 == 0


def sample_scenes(count: int, generator: torch.Generator, *, held_out: bool = False) -> Scenes:
    """`count` random scenes from the training characters and voices, or from the held-out ones."""
    kept: list[Scenes] = []
    have = 0
    while have < count:
        batch = _sample(max(64, 2 * count if not held_out else 12 * count), generator)
        batch = batch[is_held_out(batch.classes) == held_out]
        kept.append(batch)
        have += len(batch)
    scenes = Scenes.cat(kept)[torch.arange(count)]
    scenes.numbers.update(sample_voices(count, generator, held_out=held_out))
    return scenes


def more_of(actions: tuple[str, ...], share: float, scenes: Scenes, generator: torch.Generator) -> Scenes:
    """The same scenes, a `share` of them, drawn by lot, with people who do one of `actions` instead."""
    chosen = torch.rand(len(scenes), generator=generator) < share
    others = torch.tensor([ACTIONS.index(one) for one in actions])
    drawn = others[torch.randint(len(others), (len(scenes),), generator=generator)]
    scenes.classes["action"] = torch.where(chosen, drawn, scenes.classes["action"])
    return scenes


def _sample(n: int, generator: torch.Generator) -> Scenes:
    def pick(high: int) -> torch.Tensor:
        return torch.randint(high, (n,), generator=generator)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    classes = {name: pick(high) for name, high in CLASSES.items()}
    # Half of the people go bare-headed; under a hat only the first three hairstyles can be told apart.
    classes["hat"] = torch.where(uniform(0, 1) < 0.45, torch.zeros_like(classes["hat"]), classes["hat"])
    under_hat = pick(3)
    classes["hairstyle"] = torch.where(classes["hat"] > 0, under_hat, classes["hairstyle"])

    def colour(table: tuple, index: torch.Tensor, jitter: float) -> torch.Tensor:
        noise = (torch.rand(n, 3, generator=generator) - 0.5) * 2 * jitter
        return (torch.tensor(table)[index] + noise).clamp(0, 1)

    colours = {
        "skin": colour(SKIN_RGB, classes["skin"], 0.03),
        "hair": colour(HAIR_RGB, classes["hair_colour"], 0.04),
        "shirt": colour(CLOTH_RGB, classes["shirt"], 0.05),
        "trousers": colour(TROUSER_RGB, classes["trousers"], 0.03),
        "hat": colour(CLOTH_RGB, classes["hat_colour"], 0.05),
    }
    numbers = {
        "x": uniform(-0.5, 0.5),
        "phase": uniform(0, 1),
        "rate": uniform(0.48, 0.62),
        "side": (pick(2) * 2 - 1).float(),
        "size": uniform(0.94, 1.06),
        "chatty": uniform(0, 1),
        "decor": uniform(0, 1),
        "decor2": uniform(0, 1),
        "light": uniform(0.94, 1.03),
    }
    return Scenes(classes, colours, numbers)
