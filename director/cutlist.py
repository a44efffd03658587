"""The cut list as data: which frames of which take, in film order, and what is mixed with what. Integers only.

A film is a row of elements. A `Body` is frames of one take, copied as they were encoded. Every other element is
a window, rendered from the lossless takes: a crossfade, half of a fade, a title card, frames under a title.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from .errors import CutError

SCHEMA = "longtake.cut.v1"

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """`frames` consecutive frames of a take, from its frame `first` on. `take` is the file id of its video."""

    take: str
    first: int
    frames: int


@dataclass(frozen=True)
class Slide:
    """Frames `first` to `first + frames - 1` of a title card that stands for `total` frames. font: see `Caption`."""

    text: str
    colour: Colour
    text_colour: Colour
    first: int
    frames: int
    total: int
    font: str = ""


@dataclass(frozen=True)
class Mix:
    """Pictures that two clips of a shot both show: `out` becomes `into`.

    Its pictures are numbers `first` and on of `total`; picture k has share (k + 1) / (total + 1) of `into`.
    """

    out: Part
    into: Part
    first: int
    total: int

    @property
    def frames(self) -> int:
        """Length in film frames."""
        return self.into.frames


Strip = tuple[Part | Slide | Mix, ...]
"""Pictures one after another."""


@dataclass(frozen=True)
class Caption:
    """Text over the first `frames` frames of an element: frames `first` and on of a title that lasts `total`.

    font: its file, as a path below the storyboard's folder; '' is the built-in one, and is not written down.
    """

    text: str
    colour: Colour
    first: int
    frames: int
    total: int
    font: str = ""


@dataclass(frozen=True)
class Body:
    """Frames of one take as they are."""

    take: str
    first: int
    frames: int


@dataclass(frozen=True)
class Crossfade:
    """`out` becomes `into`, frame for frame: share k + 1 of n + 1 of the new picture in frame k of n."""

    out: Strip
    into: Strip
    captions: tuple[Caption, ...] = ()

    @property
    def frames(self) -> int:
        """Length in film frames."""
        return length(self.into)


@dataclass(frozen=True)
class Fade:
    """A strip that goes to `colour` (its last frame is all colour) or comes from it (its first frame is)."""

    strip: Strip
    colour: Colour
    to_colour: bool
    captions: tuple[Caption, ...] = ()

    @property
    def frames(self) -> int:
        """Length in film frames."""
        return length(self.strip)


@dataclass(frozen=True)
class Shown:
    """Pictures as they are, but rendered: a title card, or frames of takes under captions."""

    strip: Strip
    captions: tuple[Caption, ...] = ()

    @property
    def frames(self) -> int:
        """Length in film frames."""
        return length(self.strip)


Window = Crossfade | Fade | Shown
Element = Body | Window


@dataclass(frozen=True)
class Stretch:
    """Where a shot lies in the film: from frame `start` on, `frames` of them, overlaps counted on both sides."""

    shot: str
    start: int
    frames: int


@dataclass(frozen=True)
class Cue:
    """A sound in the film: from film frame `start` on, for at most `frames`. Gain in dB, fades in seconds."""

    file: str
    start: int
    frames: int
    gain: float = 0.0
    fade_in: Fraction = Fraction(0)
    fade_out: Fraction = Fraction(0)
    loop: bool = False


@dataclass(frozen=True)
class CutList:
    """A whole film as integers. `frames` is its length."""

    film: str
    title: str
    fps: Fraction
    elements: tuple[Element, ...]
    stretches: tuple[Stretch, ...] = ()
    cues: tuple[Cue, ...] = ()

    @property
    def frames(self) -> int:
        """Length in film frames."""
        return sum(element.frames for element in self.elements)

    @property
    def takes(self) -> tuple[str, ...]:
        """File ids of all takes that the film shows, each once, in the order of first use."""
        return tuple(dict.fromkeys(part.take for element in self.elements for part in takes_in(element)))


def length(strip: Strip) -> int:
    """Frames of a strip."""
    return sum(piece.frames for piece in strip)


def slice_strip(strip: Strip, first: int, frames: int) -> Strip:
    """Frames `first` to `first + frames - 1` of a strip."""
    cut: list[Part | Slide | Mix] = []
    for piece in strip:
        skipped = min(first, piece.frames)
        kept = min(frames, piece.frames - skipped)
        if kept > 0:
            cut.append(_slice(piece, skipped, kept))
        first, frames = first - skipped, frames - max(kept, 0)
    return tuple(cut)


def _slice(piece: Part | Slide | Mix, skipped: int, kept: int) -> Part | Slide | Mix:
    if isinstance(piece, Mix):
        out, into = (replace(part, first=part.first + skipped, frames=kept) for part in (piece.out, piece.into))
        return replace(piece, out=out, into=into, first=piece.first + skipped)
    return replace(piece, first=piece.first + skipped, frames=kept)


def takes_in(element: Element) -> Iterator[Body | Part]:
    """The parts of takes that an element shows."""
    if isinstance(element, Body):
        yield element
        return
    strip = element.out + element.into if isinstance(element, Crossfade) else element.strip
    for piece in strip:
        if isinstance(piece, Part):
            yield piece
        elif isinstance(piece, Mix):
            yield from (piece.out, piece.into)


def to_dict(cut: CutList) -> dict[str, Any]:
    """The cut as plain data for JSON, with its schema; rates and seconds as ratios in text."""
    data = asdict(cut, dict_factory=_plain)
    for row, element in zip(data["elements"], cut.elements, strict=True):
        row["kind"] = type(element).__name__.lower()
    return {"schema": SCHEMA, **data}


def from_dict(data: dict[str, Any]) -> CutList:
    """The cut that `to_dict` wrote.

    Raises:
        CutError: another schema, or not a cut list.
    """
    if data.get("schema") != SCHEMA:
        raise CutError(f"a cut list of schema {data.get('schema')!r} cannot be read; this version reads {SCHEMA}")
    try:
        return CutList(
            film=data["film"],
            title=data["title"],
            fps=Fraction(data["fps"]),
            elements=tuple(_element(row) for row in data["elements"]),
            stretches=tuple(Stretch(**row) for row in data["stretches"]),
            cues=tuple(_cue(row) for row in data["cues"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CutError(f"not a cut list of schema {SCHEMA}: {error!r}") from None


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    kept = (pair for pair in pairs if pair != ("font", ""))  # which came later: cuts without it are written as before
    return {name: str(value) if isinstance(value, Fraction) else value for name, value in kept}


def _element(row: dict[str, Any]) -> Element:
    kinds: dict[str, type[Element]] = {"body": Body, "crossfade": Crossfade, "fade": Fade, "shown": Shown}
    values = {name: value for name, value in row.items() if name != "kind"}
    for name in {"out", "into", "strip"} & values.keys():
        values[name] = tuple(_piece(piece) for piece in values[name])
    if "captions" in values:
        values["captions"] = tuple(Caption(**caption | _colours(caption)) for caption in values["captions"])
    return kinds[row["kind"]](**values | _colours(values))


def _piece(row: dict[str, Any]) -> Part | Slide | Mix:
    if "into" in row:
        return Mix(Part(**row["out"]), Part(**row["into"]), row["first"], row["total"])
    return Part(**row) if "take" in row else Slide(**row | _colours(row))


def _colours(row: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(row[name]) for name in ("colour", "text_colour") if name in row}


def _cue(row: dict[str, Any]) -> Cue:
    return Cue(**row | {name: Fraction(row[name]) for name in ("fade_in", "fade_out")})
