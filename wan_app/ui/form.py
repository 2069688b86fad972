"""From loose values, typed in the page or posted to the API, to one GenerationRequest.

The page's events skip Gradio's own preprocessing, so that a value from a slider, from
gradio_client and from a raw POST all take this one way and meet the same checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from wan_app.errors import InvalidRequest
from wan_app.types import Character, GenerationRequest
from wan_app.ui.session import may_use
from wan_app.ui.words import parse_size

PICTURE = "an uploaded picture (PNG, JPEG or WebP)"
SOUND = "an uploaded sound (WAV, MP3, FLAC or M4A)"
ANY = "an uploaded video, sound or picture"
_NEEDED = {"voice": SOUND, "soundtrack": SOUND, "file": ANY}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def build_request(mode: Any, values: Mapping[str, Any]) -> GenerationRequest:
    """The request that `values` say, by field name; what is absent keeps the model's default.

    Beside the request's own fields: `size` ("WxH"), `random_seed`, `faces` and `voice` (of
    `character1`), and `faces1`, `voice1`, `faces2`... (one a character slot). Numbers and words are
    checked by `Services.submit`.

    Raises:
        InvalidRequest: a file that was not uploaded, a size that is none, a misshapen character.
    """
    width, height = values.get("width"), values.get("height")
    if values.get("size") is not None:
        width, height = parse_size(values["size"])
    return GenerationRequest(
        mode=mode,
        prompt=_given(values, "prompt", ""),
        negative_prompt=_given(values, "negative_prompt", ""),
        model=values.get("model"),
        width=width,
        height=height,
        seconds=values.get("seconds"),
        num_frames=values.get("num_frames"),
        seed=None if values.get("random_seed") else values.get("seed"),
        num_inference_steps=values.get("num_inference_steps"),
        guidance_scale=values.get("guidance_scale"),
        image=uploaded(values.get("image"), "image"),
        last_image=uploaded(values.get("last_image"), "last_image"),
        characters=characters(values),
        say=_given(values, "say", ""),
        soundtrack=uploaded(values.get("soundtrack"), "soundtrack"),
        soundtrack_mode=_given(values, "soundtrack_mode", "auto"),
        sound_only=_given(values, "sound_only", False),
        # Only a true boolean is consent: the words "no" and "false" are true values in Python.
        consent=values.get("consent") is True,
    )


def characters(values: Mapping[str, Any]) -> tuple[Character, ...]:
    """Characters from the page's slots, from `faces` and `voice`, or from the API's list of them."""
    people = [
        person(f"character{slot}", values.get(f"faces{slot}"), values.get(f"voice{slot}"))
        for slot in range(1, 10)
        if values.get(f"faces{slot}") or values.get(f"voice{slot}")
    ]
    if values.get("faces") or values.get("voice"):
        people.append(person("character1", values.get("faces"), values.get("voice")))
    listed = values.get("characters") or []
    if not isinstance(listed, (list, tuple)):
        raise InvalidRequest("characters", type(listed).__name__, "a list of {name, faces, voice}")
    people += [_character(one) for one in listed]
    return tuple(people)


def person(name: str, faces: Any, voice: Any) -> Character:
    """A character from its uploads, either of which may be missing."""
    return Character(name=name, faces=pictures(faces or [], "face"), voice=uploaded(voice or None, "voice"))


def pictures(value: Any, field: str) -> tuple[Path, ...]:
    """Paths of a list of uploads (a gallery's or the API's), or of a single one."""
    items = value if isinstance(value, (list, tuple)) else [value]
    found = (uploaded(item, field) for item in items)
    return tuple(path for path in found if path is not None)


def uploaded(value: Any, field: str) -> Path | None:
    """The path of one upload; None stays None.

    Raises:
        InvalidRequest: anything that does not lie in the folder of uploads. Without this check a
            raw POST could name any file of the server.
    """
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and len(value) == 2:  # a gallery's (picture, caption)
        value = value[0]
    if isinstance(value, Mapping):
        value = value.get("image") or value.get("video") or value
    path = value.get("path") if isinstance(value, Mapping) else value
    needed = _NEEDED.get(field, PICTURE)
    if not isinstance(path, str) or "\0" in path or len(path) > 4096:
        raise InvalidRequest(field, type(path).__name__, needed)
    if path.startswith(("http://", "https://")):
        raise InvalidRequest(field, "a web address", needed)
    try:
        real = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # half a character (\ud800), a circle of links
        raise InvalidRequest(field, "an unreadable path", needed) from None
    if not real.is_relative_to(Path(get_upload_folder()).resolve()) or not may_use(path):
        raise InvalidRequest(field, "a path that was not uploaded", needed)
    return real


def _given(values: Mapping[str, Any], name: str, default: Any) -> Any:
    # Not `or`: a 0 or an empty list is wrong in its own way, and shall be told so.
    return default if values.get(name) is None else values[name]


def _character(one: Any) -> Character:
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
        raise InvalidRequest("characters", repr(one)[:60], "a name, and faces or a voice, for each")
    if not _NAME.fullmatch(one["name"]):
        raise InvalidRequest("characters", repr(one["name"])[:60], "a name of letters, digits and _")
    return person(one["name"], one.get("faces"), one.get("voice"))
