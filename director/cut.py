"""From a plan and its takes to a cut list: who meets whom, and which frames go into the mix. Integers only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .cutlist import (
    Body,
    Caption,
    Colour,
    Crossfade,
    Cue,
    CutList,
    Element,
    Fade,
    Mix,
    Part,
    Shown,
    Slide,
    Stretch,
    Strip,
    length,
    slice_strip,
)
from .errors import CutError
from .planned import Plan, PlannedClip, PlannedShot, Sound, Title


def film_frames(shots: Sequence[PlannedShot]) -> int:
    """Length of the film in frames: shots and cards, less what crossfades overlap.

    Raises:
        CutError: a shot is too short for the transitions at its two ends, a title is longer than its shot, or
            nothing comes before a crossfade.
    """
    return sum(piece.frames - piece.overlap for piece in _pieces(shots))


def cut_list(plan: Plan, takes: Mapping[str, str]) -> CutList:
    """The cut of `plan`. `takes`: clip key -> file id of the take's video; every clip of the plan has one.

    Raises:
        CutError: see `film_frames`; or a clip has no take.
    """
    elements: list[Element] = []
    before, strip_before = _NOTHING, _NO_STRIP
    pieces = _pieces(plan.shots)
    for piece in pieces:
        strip = _strip(piece, takes)
        elements += _elements(piece, strip, before, strip_before)
        before, strip_before = piece, strip
    stretches = tuple(_stretches(pieces))
    cues = tuple(_cues(plan, stretches, sum(element.frames for element in elements)))
    return CutList(plan.film, plan.title, plan.fps, tuple(elements), stretches, cues)


def stretches(shots: Sequence[PlannedShot]) -> tuple[Stretch, ...]:
    """Where each shot lies in the film, without its card.

    Raises:
        CutError: see `film_frames`.
    """
    return tuple(_stretches(_pieces(shots)))


@dataclass(frozen=True)
class _Piece:
    """A card or a shot, and how many of its frames go into the mix with what is before and after it."""

    shot: PlannedShot
    card: Title | None
    frames: int
    overlap: int = 0  # crossfade with the piece before
    overlapped: int = 0  # crossfade with the piece after
    fade_in: int = 0
    fade_out: int = 0
    colour_in: Colour = (0, 0, 0)
    colour_out: Colour = (0, 0, 0)

    @property
    def head(self) -> int:
        return self.overlap + self.fade_in

    @property
    def tail(self) -> int:
        return self.overlapped + self.fade_out

    @property
    def title(self) -> Title | None:
        """The text over this piece's first frames."""
        title = self.shot.title
        return title if self.card is None and title is not None and title.over == "shot" else None


_NOTHING = _Piece(PlannedShot("", (), 0), None, 0)
_NO_STRIP: Strip = ()


def _stretches(pieces: Sequence[_Piece]) -> Iterator[Stretch]:
    at = 0
    for piece in pieces:
        if piece.card is None:
            yield Stretch(piece.shot.id, at - piece.overlap, piece.frames)
        at += piece.frames - piece.overlap


def _pieces(shots: Sequence[PlannedShot]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for shot in shots:
        if shot.title is not None and shot.title.over == "card":
            pieces.append(_Piece(shot, shot.title, shot.title.frames))
        pieces.append(_Piece(shot, None, shot.frames))
        _join(pieces, shot)
    for piece in pieces:
        _check(piece)
    return pieces


def _join(pieces: list[_Piece], shot: PlannedShot) -> None:
    """Mix the last piece with the one right before it: another shot, or this shot's own card."""
    way = shot.transition
    if way.kind == "crossfade":
        if len(pieces) < 2:
            raise CutError(
                f"shot {shot.id}: a crossfade into the first shot has nothing to fade from; "
                "use a fade, a cut, or a title card before it"
            )
        pieces[-2] = replace(pieces[-2], overlapped=way.frames)
        pieces[-1] = replace(pieces[-1], overlap=way.frames)
    if way.kind == "fade":
        out = way.frames // 2
        pieces[-1] = replace(pieces[-1], fade_in=way.frames - out, colour_in=way.colour)
        if len(pieces) > 1:
            pieces[-2] = replace(pieces[-2], fade_out=out, colour_out=way.colour)


def _check(piece: _Piece) -> None:
    name = f"the title card of shot {piece.shot.id}" if piece.card else f"shot {piece.shot.id}"
    if piece.frames < 1:
        raise CutError(f"{name} has {piece.frames} frames; at least one is needed: make it longer or remove it")
    if piece.head + piece.tail > piece.frames:
        raise CutError(
            f"{name} has {piece.frames} frames, and the transitions at its ends need {piece.head} at its beginning "
            f"and {piece.tail} at its end: make it longer or the transitions shorter"
        )
    if piece.title is not None and not 1 <= piece.title.frames <= piece.frames:
        raise CutError(
            f"{name} has {piece.frames} frames, and the title over it {piece.title.frames}; a title over a shot "
            "is 1 frame to the whole shot long"
        )


def _strip(piece: _Piece, takes: Mapping[str, str]) -> Strip:
    if piece.card is not None:
        card = piece.card
        return (Slide(card.text, card.colour, card.text_colour, 0, card.frames, card.frames, str(card.font or "")),)
    missing = [str(clip.slate) for clip in piece.shot.clips if clip.key not in takes]
    if missing:
        raise CutError(
            f"shot {piece.shot.id} has no take of {len(missing)} clips, the first {missing[0]}: render them first"
        )
    strip = _blended(piece.shot.clips, takes)
    if length(strip) != piece.frames:
        raise CutError(
            f"shot {piece.shot.id} is planned for {piece.frames} frames and its clips keep {length(strip)}: "
            "the plan contradicts itself, which is a fault in longtake; please report it with the storyboard"
        )
    return strip


def _blended(clips: Sequence[PlannedClip], takes: Mapping[str, str]) -> Strip:
    """The clips' kept frames; where a clip is blended with the one before, that one's last frames are the mix."""
    strip: list[Part | Slide | Mix] = []
    for clip in clips:
        take = takes[clip.key]
        before = strip.pop() if clip.blended else None
        if isinstance(before, Part):
            left = before.frames - clip.blended
            if left > 0:
                strip.append(replace(before, frames=left))
            out = replace(before, first=before.first + left, frames=clip.blended)
            strip.append(Mix(out, Part(take, clip.first - clip.blended, clip.blended), 0, clip.blended))
        strip.append(Part(take, clip.first, clip.kept))
    return tuple(strip)


def _elements(piece: _Piece, strip: Strip, before: _Piece, strip_before: Strip) -> Iterator[Element]:
    if piece.overlap:
        n = piece.overlap
        out = slice_strip(strip_before, before.frames - n, n)
        captions = _captions(before, before.frames - n, n) + _captions(piece, 0, n)
        yield Crossfade(out, slice_strip(strip, 0, n), captions)
    if piece.fade_in:
        n = piece.fade_in
        yield Fade(slice_strip(strip, 0, n), piece.colour_in, to_colour=False, captions=_captions(piece, 0, n))
    yield from _middle(piece, strip)
    if piece.fade_out:
        n, first = piece.fade_out, piece.frames - piece.fade_out
        yield Fade(slice_strip(strip, first, n), piece.colour_out, to_colour=True, captions=_captions(piece, first, n))


def _middle(piece: _Piece, strip: Strip) -> Iterator[Element]:
    """What of the piece is in no mix: rendered as far as a card or a title goes, copied after it."""
    first, end = piece.head, piece.frames - piece.tail
    titled = piece.frames if piece.card else (piece.title.frames if piece.title else 0)
    shown = max(0, min(titled, end) - first)
    if shown:
        yield Shown(slice_strip(strip, first, shown), _captions(piece, first, shown))
    for part in slice_strip(strip, first + shown, end - first - shown):
        if isinstance(part, Part):
            yield Body(part.take, part.first, part.frames)
        else:
            yield Shown((part,))


def _captions(piece: _Piece, first: int, frames: int) -> tuple[Caption, ...]:
    """The piece's title where it lies over the piece's frames `first` to `first + frames - 1`."""
    title = piece.title
    if title is None or first >= title.frames:
        return ()
    frames = min(frames, title.frames - first)
    return (Caption(title.text, title.text_colour, first, frames, title.frames, str(title.font or "")),)


def _cues(plan: Plan, stretches: Sequence[Stretch], frames: int) -> Iterator[Cue]:
    """The bed and each shot's sounds. A sound ends with its shot at the latest."""
    if plan.bed is not None:
        yield from _cue(plan.bed, 0, frames)
    for shot, stretch in zip(plan.shots, stretches, strict=True):
        for sound in shot.audio:
            yield from _cue(sound, stretch.start, stretch.frames)


def _cue(sound: Sound, start: int, frames: int) -> Iterator[Cue]:
    if sound.start < frames:
        yield Cue(
            str(sound.file),
            start + sound.start,
            frames - sound.start,
            sound.gain,
            sound.fade_in,
            sound.fade_out,
            sound.loop,
        )
