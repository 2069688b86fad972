"""Captions in varied English: many words for one thing, parts left out, parts in another order."""

from __future__ import annotations

import random

from wan_app.likeness.world.attributes import BALD, NAMES, Scenes
from wan_app.likeness.world.motion import speaks

PEOPLE = (
    "a person",
    "a character",
    "someone",
    "a kid",
    "a friend",
    "a man",
    "a woman",
    "a boy",
    "a girl",
    "a child",
    "a cartoon character",
    "a guy",
    "a lady",
    "an adult",
    "somebody",
    "a young person",
)
SKIN = {
    "light": ("light skinned", "pale", "fair skinned", "white"),
    "tan": ("tan", "tanned", "olive skinned"),
    "brown": ("brown skinned", "brown"),
    "dark": ("dark skinned", "dark"),
    "green": ("green skinned", "green", "alien green"),
}
STYLE = {
    "short": ("short", "cropped", "neat short"),
    "long": ("long", "flowing", "long straight"),
    "curly": ("curly", "big curly", "frizzy", "afro"),
    "spiky": ("spiky", "spiked", "punk"),
    "bun": ("tied up", "knotted", "pinned up"),
}
HAIR = {
    "black": ("black", "dark"),
    "brown": ("brown", "chestnut", "brunette"),
    "blonde": ("blonde", "blond", "yellow", "golden"),
    "red": ("red", "ginger", "orange", "auburn"),
    "white": ("white", "grey", "gray", "silver"),
    "blue": ("blue",),
    "pink": ("pink",),
}
COLOUR = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow", "golden"),
    "green": ("green",),
    "blue": ("blue", "navy"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose"),
    "white": ("white",),
    "black": ("black",),
}
HAT = {
    "cap": ("cap", "baseball cap"),
    "beanie": ("beanie", "woolly hat", "knit hat", "bobble hat"),
    "top hat": ("top hat", "tall hat", "magician hat"),
}
GLASSES = {
    "glasses": ("glasses", "round glasses", "spectacles"),
    "sunglasses": ("sunglasses", "dark glasses", "shades"),
}
SHIRT = ("shirt", "t shirt", "sweater", "jumper", "top", "pullover", "hoodie", "jacket")
TROUSERS = {
    "blue": ("jeans", "blue jeans", "blue trousers"),
    "black": ("black trousers", "black pants"),
    "brown": ("brown trousers", "brown pants"),
    "grey": ("grey trousers", "gray pants"),
}
ACTION = {
    "wave": (
        "waves",
        "is waving",
        "waves hello",
        "is waving at the camera",
        "greets us",
        "says hello",
        "waves a hand",
    ),
    "walk": (
        "walks",
        "is walking",
        "strolls",
        "is strolling",
        "goes for a walk",
        "walks by",
        "wanders",
        "walks past",
    ),
    "jump": ("jumps", "is jumping", "hops", "leaps", "is hopping up and down", "bounces", "jumps for joy"),
    "dance": ("dances", "is dancing", "grooves", "does a dance", "dances happily", "is moving to the music"),
    "talk": (
        "talks",
        "is talking",
        "speaks",
        "is speaking",
        "chats",
        "tells a story",
        "sings",
        "talks to the camera",
    ),
    "sit": (
        "sits",
        "is sitting",
        "sits down",
        "rests on the ground",
        "relaxes",
        "is sitting on the ground",
        "is resting",
    ),
}
ALSO_TALKS = ("and talks", "and speaks", "and is talking", "and talks to the camera")
WALK_SIDE = {-1: ("to the left", "leftwards"), 1: ("to the right", "rightwards")}
PLACE = {
    "beach": (
        "on the beach",
        "at the beach",
        "at the seaside",
        "by the sea",
        "near the ocean",
        "on a sandy shore",
        "on a sunny beach",
    ),
    "forest": (
        "in the forest",
        "in a forest",
        "in the woods",
        "among trees",
        "between tall pine trees",
        "in a green forest",
    ),
    "city": (
        "in the city at night",
        "in a city",
        "downtown at night",
        "on a city street",
        "in front of skyscrapers",
        "in town at night",
    ),
    "moon": ("on the moon", "in space", "in outer space", "on another planet", "on the moon under the earth"),
    "snow": (
        "in the snow",
        "in fresh snow",
        "in snowy mountains",
        "in winter",
        "on a snowy mountain",
        "on the ice",
    ),
    "desert": (
        "in the desert",
        "in a desert",
        "next to a cactus",
        "in the hot desert",
        "on the sand among cacti",
        "at sunset in the desert",
    ),
    "room": ("in a room", "at home", "in the living room", "indoors", "inside the house", "in a cosy room"),
}
BEFORE = ("", "", "", "", "a video of ", "a cartoon of ", "a clip of ", "an animation of ")
AFTER = (
    "",
    "",
    "",
    "",
    "",
    " , bright colors",
    " , smooth animation",
    " , cinematic",
    " , flat cartoon style",
    " , slow motion",
)
# Words of everyday prompts that say nothing about this world; they teach the encoder to pass over strangers.
FILLER = ("very", "beautiful", "happily", "slowly", "little", "lovely", "today", "really", "quietly", "nice")


def describe(scenes: Scenes, row: int) -> dict[str, str]:
    """Attribute name -> class name of one scene."""
    return {name: NAMES[name][int(value[row])] for name, value in scenes.classes.items()}


def caption(scenes: Scenes, row: int, rng: random.Random, *, about: str = "everything") -> str:
    """An English sentence about scene `row`.

    `about`: "everything" names the looks too (each left out at times), "all" leaves nothing out; "motion" names
    only action and place and calls the person a neutral word; "reference" calls the person `character1`.
    """
    facts = describe(scenes, row)
    action, place = rng.choice(ACTION[facts["action"]]), rng.choice(PLACE[facts["place"]])
    if facts["action"] == "walk" and rng.random() < 0.4:
        action += " " + rng.choice(WALK_SIDE[int(scenes.numbers["side"][row])])
    if facts["action"] != "talk" and bool(speaks(scenes)[row]):
        action += " " + rng.choice(ALSO_TALKS)
    if about == "reference":
        who = "character1"
    elif about == "motion":
        who = rng.choice(PEOPLE + ("the person", "the character"))
    else:
        # Some prompts name everything, some hardly anything.
        keep = 2.0 if about == "all" else rng.choice((0.35, 0.7, 1.0))
        who = _person(facts, int(scenes.classes["hairstyle"][row]) == BALD, keep, rng)
    if about == "all":
        return f"{who} {action} {place}"
    if rng.random() < 0.08:
        place = ""
    elif rng.random() < 0.04:
        action = "is there"
    words = (
        f"{place} {who} {action}" if rng.random() < 0.15 else f"{rng.choice(BEFORE)}{who} {action} {place}"
    )
    words += rng.choice(AFTER)
    if rng.random() < 0.15:
        parts = words.split()
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(FILLER))
        words = " ".join(parts)
    return words


def _person(facts: dict[str, str], bald: bool, keep: float, rng: random.Random) -> str:
    """The person's looks, each part named with about the probability `keep`."""
    who, parts = rng.choice(PEOPLE), []
    if rng.random() < keep * 0.7:
        article, noun = (who.split(" ", 1) + [""])[:2] if " " in who else ("a", "person")
        who = f"{'a' if article == 'an' else article} {rng.choice(SKIN[facts['skin']])} {noun}"
    if rng.random() < keep:
        parts.append("with " + _hair(facts, bald, rng, style=keep > 1 or rng.random() > 0.2))
    if facts["hat"] != "none" and rng.random() < keep:
        parts.append(
            f"{rng.choice(('with', 'wearing', 'in'))} a {rng.choice(COLOUR[facts['hat_colour']])} {rng.choice(HAT[facts['hat']])}"
        )
    if facts["glasses"] != "none" and rng.random() < keep:
        parts.append(f"{rng.choice(('with', 'wearing'))} {rng.choice(GLASSES[facts['glasses']])}")
    if rng.random() < max(keep, 0.6):
        shirt = f"a {rng.choice(COLOUR[facts['shirt']])} {rng.choice(SHIRT)}"
        if rng.random() < 0.35:
            shirt += " and " + rng.choice(TROUSERS[facts["trousers"]])
        parts.append(f"{rng.choice(('in', 'wearing', 'dressed in'))} {shirt}")
    rng.shuffle(parts)
    return " ".join([who, *parts]).replace(" a orange", " an orange")


def _hair(facts: dict[str, str], bald: bool, rng: random.Random, *, style: bool) -> str:
    """The hair's colour, and its style when asked."""
    if bald:
        return rng.choice(("no hair", "a bald head", "a shaved head"))
    colour = rng.choice(HAIR[facts["hair_colour"]])
    if not style:
        return f"{colour} hair"
    if facts["hairstyle"] == "bun" and rng.random() < 0.6:
        return rng.choice((f"{colour} hair in a bun", f"a {colour} bun", f"a {colour} topknot"))
    return f"{rng.choice(STYLE[facts['hairstyle']])} {colour} hair"


def vocabulary() -> list[str]:
    """Every word a caption can hold, sorted."""
    texts: list[str] = [
        "character1 the and with a an in wearing dressed is there no hair bald head shaved bun topknot"
    ]
    for table in (SKIN, STYLE, HAIR, COLOUR, HAT, GLASSES, TROUSERS, ACTION, WALK_SIDE, PLACE):
        texts += [word for words in table.values() for word in words]
    texts += [*PEOPLE, "the person", "the character", *SHIRT, *BEFORE, *AFTER, *FILLER]
    return sorted({word for text in texts for word in text.replace(",", " , ").split()})
