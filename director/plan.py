"""plan(storyboard) -> Plan: chains, clips, keys and film frames. Pure: same storyboard, same plan, byte for byte."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from shots.codecs import CODECS
from shots.pocket.vocabulary import MAX_TOKENS, known_words, split_words, unknown_words
from shots.spec import Anchor, ClipSpec, VidRD, Windows, digest, hashed_fields

from .addresses import EVENTS
from .bills import bill_of
from .lettering import few, letter_warnings
from .planned import Deliver, Plan, PlannedClip, PlannedShot, Slate, Terms
from .settle import SettledShot
from .storyboard import Storyboard

MOST_WORDS = MAX_TOKENS - 2
"""Words of a prompt that the pocket model reads: two places of its text input are the end markers."""


def plan(storyboard: Storyboard) -> Plan:
    """Which clips the film needs and how they are joined."""
    film = storyboard.board.film
    size = storyboard.shots[0].size
    shots, cursor = [], 0
    for settled in storyboard.shots:
        timed = settled.timed
        cursor += timed.card
        start = cursor - (timed.transition.frames if timed.transition.kind == "crossfade" else 0)
        shots.append(_shot(film.id, settled, start))
        cursor = start + timed.frames
    return Plan(
        film.id,
        film.title or film.id,
        film.fps,
        size,
        film.seed,
        tuple(shots),
        _deliver(storyboard, size),
        cursor,
        storyboard.bed,
        tuple(_warnings(storyboard, shots)),
        storyboard.path,
        storyboard.digest,
        Terms(**storyboard.board.production.model_dump()),
        on=_told(storyboard),
        font=Path(film.font) if film.font else None,
    )


def _told(storyboard: Storyboard) -> tuple[tuple[str, str], ...]:
    """Who is told of what, in the order of the file."""
    told = storyboard.board.on
    return tuple((event, hook.url) for event in EVENTS for hook in getattr(told, event)) if told else ()


def _shot(film: str, settled: SettledShot, start: int) -> PlannedShot:
    timed = settled.timed
    return PlannedShot(
        timed.id,
        tuple(_clips(film, settled)),
        timed.frames,
        "; ".join(settled.notes) or None,
        timed.transition,
        timed.title,
        timed.audio,
        settled.shot.prompt,
        start,
        settled.takes,
        tuple(_clips(film, settled.draft)) if settled.draft else (),
    )


def _clips(film: str, settled: SettledShot) -> Iterator[PlannedClip]:
    """The chain: every clip but the first drops what it repeats, and the last is cut where the shot ends."""
    specs = [_spec(settled, index, prompt) for index, prompt in enumerate(_prompts_of(settled))]
    together = _together(specs)
    costs = bill_of(specs[0], settled.card)  # of them all: neither prompt nor place changes it
    nfe = sum(count for _, count in costs)
    done, previous = 0, None
    for index, alone in enumerate(specs):
        first = settled.dropped if index else 0
        kept = min(settled.clip_frames - first, settled.timed.frames - done)
        spec = replace(alone, previous=previous, together=together)
        key = spec.key
        previous = key if isinstance(settled.recipe.chain, VidRD | Anchor) else None
        blended = settled.join.dissolved if index else 0
        slate = Slate(film, settled.timed.id, index + 1)
        yield PlannedClip(slate, spec, key, first, kept, nfe, blended=blended, bill=costs)
        done += kept


def _prompts_of(settled: SettledShot) -> Iterator[str]:
    """Each clip's prompt: the one in force at its first new frame."""
    starts, done = [first for first, _ in settled.timed.beats], 0
    for index in range(settled.clip_count):
        yield settled.timed.beats[bisect_right(starts, done) - 1][1]
        done += settled.clip_frames - (settled.dropped if index else 0)


def _spec(settled: SettledShot, index: int, prompt: str) -> ClipSpec:
    return ClipSpec(
        settled.card.ref(),
        *settled.size,
        settled.clip_frames,
        prompt,
        settled.negative_prompt,
        settled.seed,
        index,
        settled.sampler,
        settled.recipe,
        image=settled.image if index == 0 else None,
    )


def _together(specs: list[ClipSpec]) -> str | None:
    """The name of a group of clips that depend on each other both ways: all of them, in order."""
    if not isinstance(specs[0].recipe.chain, Windows):
        return None
    return digest("Windows", 1, [hashed_fields(spec) for spec in specs])


def _deliver(storyboard: Storyboard, size: tuple[int, int]) -> tuple[Deliver, ...]:
    board = storyboard.board
    if not board.deliver:
        return (Deliver(CODECS["h264"].named(board.film.id), size),)
    return tuple(
        Deliver(CODECS[d.codec].named(d.name or board.film.id), d.size or size, d.codec, d.scaler)
        for d in board.deliver
    )


def _warnings(storyboard: Storyboard, shots: list[PlannedShot]) -> Iterator[str]:
    yield from _size_warnings(storyboard)
    for settled, shot in zip(storyboard.shots, shots, strict=True):
        yield from _beat_warnings(settled, shot)
    yield from _word_warnings(storyboard)
    yield from letter_warnings(shots, storyboard.base)


def _size_warnings(storyboard: Storyboard) -> Iterator[str]:
    cards = {s.card.id: (s.card, s.size) for s in storyboard.shots}
    for card, (width, height) in cards.values():
        if (width, height) != card.size_native:
            native = "{}x{}".format(*card.size_native)
            yield f"size {width}x{height} is not what {card.id} was made for ({native}): expect weaker pictures"


def _beat_warnings(settled: SettledShot, shot: PlannedShot) -> Iterator[str]:
    """A beat between two clips' first frames is never seen."""
    if len(settled.timed.beats) == 1:
        return
    firsts, done = [], 0
    for clip in shot.clips:
        firsts.append(done)
        done += clip.kept
    starts = [start for start, _ in settled.timed.beats]
    used = {bisect_right(starts, first) - 1 for first in firsts}
    for k, (start, prompt) in enumerate(settled.timed.beats):
        if k not in used:
            name = f"beat {k} ({prompt[:40]!r}, from frame {start})" if k else f"the prompt ({prompt[:40]!r})"
            firsts_text = ", ".join(map(str, firsts[:12])) + (", ..." if len(firsts) > 12 else "")
            yield f"shot {shot.id!r}: {name} gets no clip; clips begin at frames {firsts_text}"


def _word_warnings(storyboard: Storyboard) -> Iterator[str]:
    """What the pocket model does not know or does not read of the prompts: each once, with its shots."""
    users = _prompts(storyboard)
    unknown: dict[str, dict[str, None]] = {}
    long: dict[str, None] = {}
    for text, ids in users.items():
        for word in unknown_words(text):
            unknown.setdefault(word, {}).update(ids)
        if len(split_words(text)) > MOST_WORDS:
            long.update(ids)
    if unknown:
        words = "; ".join(f"{word!r} ({few(list(ids))})" for word, ids in list(unknown.items())[:20])
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        yield f"the pocket model does not know: {words}{more}. It knows: {', '.join(known_words())}"
    if long:
        yield f"the pocket model reads only the first {MOST_WORDS} words of a prompt ({few(list(long))})"


def _prompts(storyboard: Storyboard) -> dict[str, dict[str, None]]:
    """Each text that the pocket model is given, with the shots that use it."""
    users: dict[str, dict[str, None]] = {}
    for settled in storyboard.shots:
        if settled.card.id == "pocket":
            for text in (*(prompt for _, prompt in settled.timed.beats), settled.negative_prompt):
                users.setdefault(text, {})[settled.timed.id] = None
    return users
