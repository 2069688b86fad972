"""What the words after `python -m wan_app` mean: flags, and the request that they make."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, get_args

from wan_app.consent.ledger import STATEMENT
from wan_app.errors import InvalidRequest, WanAppError
from wan_app.types import MODES, Character, GenerationRequest, Lora, Preset, SoundtrackMode

# Flags of `generate` that are fields of the request under the same name.
_FIELDS = (
    "prompt", "negative_prompt", "model", "weights", "width", "height", "seconds", "seed",
    "num_inference_steps", "guidance_scale", "guidance_until", "step_cache", "preset", "image", "last_image",
    "say", "soundtrack",
    "soundtrack_mode",
)
# Files after `--character NAME=` whose content says nothing are a voice by their names.
_VOICES = frozenset((".wav", ".mp3", ".flac", ".ogg", ".m4a"))
# How pictures begin; WebP and HEIC are in containers that sounds come in too, so these are tried first.
_PICTURES = re.compile(rb"\x89PNG|\xff\xd8|GIF8|RIFF....WEBP|....ftyp(?:hei|hev|mif1|msf1|avi[fs])", re.DOTALL)
_SOUNDS = re.compile(
    rb"RIFF|RF64|FORM|ID3|fLaC|OggS|\x1aE\xdf\xa3|\xff[\xe0-\xff]|....(?:ftyp|moov|mdat)", re.DOTALL
)


class UsageError(WanAppError):
    """A command line that cannot be read."""

    exit_code = InvalidRequest.exit_code


class Parser(argparse.ArgumentParser):
    """Errors as one line, like all others, in place of usage text and an exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `{self.prog} --help` shows what can be given")


def joined(argv: Sequence[str]) -> list[str]:
    """`--size -1x5` as `--size=-1x5`: argparse takes a value with a dash for a flag, and what is wrong
    with the value could not be told."""
    joined: list[str] = []
    for one in argv:
        flag = joined[-1] if joined else ""
        value = len(one) > 1 and one[0] == "-" and one[1] != "-" and one != "-h"
        if value and flag.startswith("--") and "=" not in flag and len(flag) > 2:
            joined[-1] = f"{flag}={one}"
        else:
            joined.append(one)
    return joined


def add_generate(parser: argparse.ArgumentParser) -> None:
    """The flags of `generate`."""
    add = parser.add_argument
    add("mode", nargs="?", metavar="|".join(MODES), help="what the video is made from")
    add("--from", dest="source", type=Path, metavar="FILE",
        help="a video made by this app, to repeat exactly; other flags change what they name")
    add("--out", type=Path, metavar="FILE", help="where the video goes; without it, into the data folder")
    add("--prompt", metavar="P")
    add("--negative-prompt", metavar="T")
    add("--model", metavar="ID", help="see `models`")
    add("--weights", type=Path, metavar="DIR", help="folder with the model's weights")
    add("--size", type=_size, metavar="WxH")
    add("--seconds", type=_number("seconds"), metavar="S")
    add("--seed", type=whole("seed"), metavar="N", help="random when not given")
    add("--num-inference-steps", type=whole("num_inference_steps"), metavar="N")
    add("--guidance-scale", type=_number("guidance_scale"), metavar="G")
    add("--guidance-until", type=_number("guidance_until"), metavar="SHARE",
        help="share of the steps that are guided, 1 for all; a step without takes half the time (Wan)")
    add("--step-cache", type=_number("step_cache"), metavar="SHARE",
        help="skip steps that differ from the last one by less, for example 0.08; 0 for none (Wan, H3)")
    add("--preset", metavar="|".join(get_args(Preset)), help="fast: 4 steps with a distilled LoRA (14B of Wan)")
    add("--lora", type=_lora, action="append", default=[], metavar="FILE[:WEIGHT]",
        help="small weights over the model's own, 1 by default (Wan); repeat for more")
    add("--image", type=Path, metavar="F", help="first picture (image)")
    add("--last-image", type=Path, metavar="F", help="last picture (image)")
    add("--face", type=Path, action="append", default=[], metavar="F",
        help="picture of character1 (reference); repeat for more pictures")
    add("--voice", type=Path, metavar="F", help="3 to 30 s of how character1 sounds (reference)")
    add("--character", type=character, action="append", default=[], metavar="NAME=F[,F2][,VOICE]",
        help="pictures and voice of one character (reference); repeat for more characters")
    add("--say", metavar="TEXT", help='what is spoken; so is speech in quotes in the prompt: character1 says "..."')
    add("--soundtrack", type=Path, metavar="F", help="sound under the whole clip")
    add("--soundtrack-mode", metavar="|".join(get_args(SoundtrackMode)),
        help="auto: quietly under other sound; mix: as loud as it is; replace: in place of the model's own")
    add("--sound-only", action="store_true", help="make only the voice, as a WAV file")
    add("--consent", action="store_true", help=f'state, and have it written down: "{STATEMENT}"')


def add_fit(parser: argparse.ArgumentParser) -> None:
    """The flags of `fit`."""
    add = parser.add_argument
    add("--model", metavar="ID", help="see `models`")
    add("--weights", type=Path, metavar="DIR", help="folder with the model's weights")
    add("--size", type=_size, metavar="WxH")
    add("--seconds", type=_number("seconds"), metavar="S")
    add("--num-inference-steps", type=whole("num_inference_steps"), metavar="N")
    add("--preset", metavar="|".join(get_args(Preset)), help="as of `generate`")
    add("--faces", type=whole("faces"), default=0, metavar="N", help="pictures of people (reference)")
    add("--vram", type=_number("vram"), metavar="GB", help="as if a card with so much memory were here")
    add("--ram", type=_number("ram"), metavar="GB", help="as if the computer had so much memory")
    add("--table", action="store_true", help="all models on cards of 6 to 80 GB, as Markdown")


def request_of(args: argparse.Namespace, stored: GenerationRequest | None) -> GenerationRequest:
    """The request which the flags give, on top of the one stored in a video, if there is one."""
    mode = args.mode or (stored.mode if stored else None)
    if mode not in MODES or (stored and mode != stored.mode):
        wanted = stored.mode if stored else "one of " + ", ".join(MODES)
        raise InvalidRequest("mode", repr(args.mode) if args.mode else "nothing", wanted)
    args.width, args.height = args.size or (None, None)
    given: dict[str, Any] = {
        name: getattr(args, name) for name in _FIELDS if getattr(args, name) is not None
    }
    if args.seconds is not None:
        given["num_frames"] = None  # the stored count would win over the seconds
    if people := _people(args, stored.characters if stored else ()):
        given["characters"] = people
        given["consent"] = False  # the stored statement was about the stored faces and voices
    if args.lora:
        given["loras"] = tuple(args.lora)
    if args.consent:
        given["consent"] = True
    if args.sound_only:
        given["sound_only"] = True
    return replace(stored or GenerationRequest(mode=mode, prompt=""), **given)


def _people(args: argparse.Namespace, stored: tuple[Character, ...]) -> tuple[Character, ...]:
    """The characters that the flags give; none if they leave the stored ones as they are."""
    if args.voice and stored and not (args.face or args.character):
        return (replace(stored[0], voice=args.voice), *stored[1:])
    first = Character(name="character1", faces=tuple(args.face), voice=args.voice)
    return (*([first] if args.face or args.voice else ()), *args.character)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise InvalidRequest("size", repr(text[:40]), "WIDTHxHEIGHT in pixels, for example 512x512") from None
    return width, height


def _lora(text: str) -> Lora:
    """`FILE` or `FILE:WEIGHT`; a colon before anything else is part of the name (C:\\...)."""
    file, colon, weight = text.rpartition(":")
    try:
        return Lora(Path(file), float(weight)) if colon else Lora(Path(text))
    except ValueError:
        return Lora(Path(text))


def character(text: str) -> Character:
    """`NAME=face.png,voice.wav` as a character; the kind of each file is told by its content."""
    name, _, listed = text.partition("=")
    files = [Path(file) for file in listed.split(",") if file]
    voices = [file for file in files if _is_sound(file)]
    faces = tuple(file for file in files if file not in voices)
    if not name.strip() or not files or len(voices) > 1:
        raise InvalidRequest(
            "character", repr(text[:80]), "NAME=face.png, with more pictures or one voice clip after commas"
        )
    return Character(name=name.strip(), faces=faces, voice=voices[0] if voices else None)


def _is_sound(file: Path) -> bool:
    """Whether a file is a voice and not a face; by its first bytes, for names may say anything."""
    head = b""
    with suppress(OSError, ValueError):  # what is wrong with a file is told when it is read
        if file.is_file():
            with file.open("rb") as stream:
                head = stream.read(16)
    if _PICTURES.match(head):
        return False
    return bool(_SOUNDS.match(head)) or file.suffix.lower() in _VOICES


def whole(name: str) -> Any:
    """A reader of whole numbers for the flag `name`."""
    return _reader(name, int, "a whole number")


def _number(name: str) -> Any:
    return _reader(name, float, "a number")


def _reader(name: str, kind: type, needed: str) -> Any:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise InvalidRequest(name, repr(text[:40]), needed) from None

    return read
