"""The kinds of value that a storyboard holds: durations, colours, rates, names. Each says what it allows.

A refusal is a `PydanticCustomError` of type `rule`, whose context carries `allowed` for the message.
"""

from __future__ import annotations

import ntpath
import posixpath
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from .addresses import MOST_LETTERS, web_address

MOST_SECONDS = 4 * 60 * 60
"""The longest shot, in seconds."""
MOST_FRAMES = 1_000_000
MOST_TEXT = 10_000
"""Characters of a prompt."""
MOST_SEED = 2**63 - 1

COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
    "silver": (192, 192, 192),
    "red": (255, 0, 0),
    "maroon": (128, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "gold": (255, 215, 0),
    "green": (0, 128, 0),
    "lime": (0, 255, 0),
    "teal": (0, 128, 128),
    "cyan": (0, 255, 255),
    "blue": (0, 0, 255),
    "navy": (0, 0, 128),
    "purple": (128, 0, 128),
    "magenta": (255, 0, 255),
    "pink": (255, 192, 203),
    "brown": (165, 42, 42),
}
"""Names that stand for colours, with the values that they have on web pages."""


def refuse(what: str, allowed: str | None = None, choices: tuple[str, ...] = ()) -> PydanticCustomError:
    """The error of a value that breaks a rule. choices: known names, to find the nearest among."""
    return PydanticCustomError("rule", "{what}", {"what": what, "allowed": allowed, "choices": choices})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact(value: float) -> Fraction:
    """A number as it was written: 0.1 is one tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def _seconds(least: str) -> Callable[[Any], Fraction]:
    allowed = f"a number of seconds, {least} 0 and at most {MOST_SECONDS}"

    def check(value: Any) -> Fraction:
        if not _is_number(value):
            raise refuse("not a number of seconds", allowed)
        if not (0 <= value <= MOST_SECONDS) or (value == 0 and least == "above"):
            raise refuse("duration out of range", allowed)
        return exact(value)

    return check


def _rate(value: Any) -> Fraction:
    allowed = 'frames a second from 1 to 240: a number such as 24 or 23.976, or a ratio such as "30000/1001"'
    try:
        ratio = isinstance(value, str) and re.fullmatch(r"\d{1,9}/\d{1,9}", value)
        rate = Fraction(value) if ratio else exact(value) if _is_number(value) else None
    except (ValueError, ZeroDivisionError, OverflowError):
        rate = None
    if rate is None:
        raise refuse("not a frame rate", allowed)
    if not 1 <= rate <= 240:
        raise refuse("frame rate out of range", allowed)
    if rate.denominator > 10_000:
        raise refuse("frame rate with too many digits for a video file", allowed)
    return rate


def _colour(value: Any) -> tuple[int, int, int]:
    if isinstance(value, str):
        if value.lower() in COLOURS:
            return COLOURS[value.lower()]
        if re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    raise refuse("not a colour", f'"#rrggbb" (in quotes), or a name: {", ".join(COLOURS)}', tuple(COLOURS))


def _size(value: Any) -> tuple[int, int]:
    allowed = "[width, height] in pixels, each from 16 to 8192"
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,6})\s*[x×]\s*(\d{1,6})", value)):
        value = [int(match[1]), int(match[2])]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise refuse("not a size", allowed)
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise refuse("not a size: width and height are whole numbers", allowed)
    if not all(16 <= v <= 8192 for v in value):
        raise refuse("size out of range", allowed)
    return value[0], value[1]


def _tidy(value: Any) -> Any:
    """Text with each run of spaces and line breaks as one space: how a file is folded changes no clip."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _prompt(value: Any) -> str:
    allowed = f"text of 1 to {MOST_TEXT} characters"
    if not isinstance(value, str):
        raise refuse("not text" + ("; put it in quotes" if _is_number(value) or value is True else ""), allowed)
    text = " ".join(value.split())
    if not text:
        raise refuse("the prompt is empty", allowed)
    if len(text) > MOST_TEXT:
        raise refuse(f"the prompt is too long ({len(text)} characters)", allowed)
    return text


ID_RULE = "1 to 64 letters, digits, - and _, beginning with a letter or digit"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def _identifier(value: Any) -> str:
    if _is_number(value):
        raise refuse("an id is text; put it in quotes", ID_RULE)
    if not isinstance(value, str):
        raise refuse("an id is text", ID_RULE)
    if not _ID.match(value):
        raise refuse("not an id" if value else "the id is empty", ID_RULE)
    return value


def _inside(value: Any) -> str:
    allowed = "a path below the storyboard's folder, such as audio/bed.wav"
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise refuse("not a path", allowed)
    if posixpath.isabs(value) or ntpath.splitdrive(value)[0] or value.startswith(("~", "\\")):
        raise refuse("the path does not begin in the storyboard's folder", allowed)
    clean = posixpath.normpath(value.replace("\\", "/"))
    if clean == ".." or clean.startswith("../"):
        raise refuse("the path climbs out of the storyboard's folder", allowed)
    return posixpath.normpath(value)


def _web_address(value: Any) -> str:
    allowed = "http:// or https:// and a host, such as https://example.org/longtake"
    if not isinstance(value, str):
        raise refuse("not a web address", allowed)
    try:
        return web_address(value)
    except ValueError as error:
        raise refuse(str(error), allowed) from None


def _file_name(value: Any) -> str:
    allowed = "a file name without folder, such as harbour or harbour.mp4"
    if not isinstance(value, str) or not value.strip():
        raise refuse("not a file name", allowed)
    if re.search(r"[/\\:*?\"<>|\x00-\x1f]", value) or value.startswith((".", "-", " ")) or len(value) > 120:
        raise refuse("not a plain file name", allowed)
    return value


def _schema(kind: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, **more})


_SECONDS_SCHEMA = {"type": "number", "maximum": MOST_SECONDS}
Seconds = Annotated[
    Fraction, PlainValidator(_seconds("above")), WithJsonSchema(_SECONDS_SCHEMA | {"exclusiveMinimum": 0})
]
SecondsOrZero = Annotated[
    Fraction, PlainValidator(_seconds("at least")), WithJsonSchema(_SECONDS_SCHEMA | {"minimum": 0})
]
Frames = Annotated[int, Field(ge=1, le=MOST_FRAMES)]
FrameRate = Annotated[
    Fraction,
    PlainValidator(_rate),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 1, "maximum": 240},
                {"type": "string", "pattern": r"^\d{1,9}/\d{1,9}$"},
            ]
        }
    ),
]
Colour = Annotated[
    tuple[int, int, int],
    PlainValidator(_colour),
    WithJsonSchema({"anyOf": [{"enum": list(COLOURS)}, {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}]}),
]
Size = Annotated[
    tuple[int, int],
    PlainValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 16, "maximum": 8192},
                    "minItems": 2,
                    "maxItems": 2,
                },
                {"type": "string", "pattern": r"^\d{1,6}\s*[x×]\s*\d{1,6}$"},
            ]
        }
    ),
]
Prompt = Annotated[str, PlainValidator(_prompt), _schema("string", minLength=1, maxLength=MOST_TEXT)]
Line = Annotated[str, BeforeValidator(_tidy), Field(max_length=MOST_TEXT)]
Identifier = Annotated[str, PlainValidator(_identifier), _schema("string", pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
InsidePath = Annotated[str, PlainValidator(_inside), _schema("string", minLength=1)]
FileName = Annotated[str, PlainValidator(_file_name), _schema("string", minLength=1, maxLength=120)]
WebAddress = Annotated[
    str,
    PlainValidator(_web_address),
    _schema("string", pattern="^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$", maxLength=MOST_LETTERS),
]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Decibel = Annotated[float, Field(ge=-96, le=24, allow_inf_nan=False)]
