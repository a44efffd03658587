"""plan(storyboard) -> Plan: chains, clips, keys and film frames. Pure: same storyboard, same plan, byte for byte."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from shots.pocket.vocabulary import known_words, unknown_words
from shots.price import predicted_nfe
from shots.spec import ClipSpec, NoChain

from .checks import delivery_name
from .errors import Problem, StoryboardError
from .planned import Deliver, Plan, PlannedClip, PlannedShot, Slate
from .settle import SettledShot
from .storyboard import Storyboard

MOST_CLIPS = 100_000
"""Clips of one film."""


def plan(storyboard: Storyboard) -> Plan:
    """Which clips the film needs and how they are joined.

    Raises:
        StoryboardError: the film needs more clips than `MOST_CLIPS`.
    """
    film = storyboard.board.film
    _check_length(storyboard)
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
    )


def clip_count(frames: int, clip_frames: int, dropped: int) -> int:
    """Clips that reach `frames` when the first keeps `clip_frames` and each other `clip_frames - dropped`."""
    return 1 + max(0, -(-(frames - clip_frames) // (clip_frames - dropped)))


def _check_length(storyboard: Storyboard) -> None:
    counts = [clip_count(s.timed.frames, s.clip_frames, s.dropped) for s in storyboard.shots]
    if sum(counts) > MOST_CLIPS:
        longest = storyboard.shots[counts.index(max(counts))].timed.id
        what = f"the film needs {sum(counts)} clips, shot {longest!r} alone {max(counts)}"
        allowed = f"at most {MOST_CLIPS} clips a film; shorten shots, or write several films"
        raise StoryboardError([Problem(str(storyboard.path), what, allowed=allowed)])


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
    )


def _clips(film: str, settled: SettledShot) -> Iterator[PlannedClip]:
    """The chain: every clip but the first drops what it repeats, and the last is cut where the shot ends."""
    model = settled.card.ref()
    timed, done, previous = settled.timed, 0, None
    starts = [first for first, _ in timed.beats]
    for index in range(clip_count(timed.frames, settled.clip_frames, settled.dropped)):
        first = settled.dropped if index else 0
        kept = min(settled.clip_frames - first, timed.frames - done)
        spec = ClipSpec(
            model,
            *settled.size,
            settled.clip_frames,
            timed.beats[bisect_right(starts, done) - 1][1],
            settled.negative_prompt,
            settled.seed,
            index,
            settled.sampler,
            settled.recipe,
            previous,
        )
        key = spec.key
        previous = None if isinstance(settled.recipe.chain, NoChain) else key
        yield PlannedClip(Slate(film, timed.id, index + 1), spec, key, first, kept, predicted_nfe(spec))
        done += kept


def _deliver(storyboard: Storyboard, size: tuple[int, int]) -> tuple[Deliver, ...]:
    board = storyboard.board
    if not board.deliver:
        return (Deliver(delivery_name(board.film.id, "h264"), size),)
    return tuple(
        Deliver(delivery_name(d.name or board.film.id, d.codec), d.size or size, d.codec, d.scaler)
        for d in board.deliver
    )


def _warnings(storyboard: Storyboard, shots: list[PlannedShot]) -> Iterator[str]:
    yield from _size_warnings(storyboard)
    for settled, shot in zip(storyboard.shots, shots, strict=True):
        yield from _beat_warnings(settled, shot)
    yield from _word_warnings(storyboard)


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
    """Words that the pocket model was not trained with: each once, with the shots that use it."""
    unknown: dict[str, dict[str, None]] = {}
    seen: dict[str, list[str]] = {}
    for settled in storyboard.shots:
        if settled.card.id != "pocket":
            continue
        for text in (*(prompt for _, prompt in settled.timed.beats), settled.negative_prompt):
            if text not in seen:
                seen[text] = unknown_words(text)
            for word in seen[text]:
                unknown.setdefault(word, {})[settled.timed.id] = None
    if unknown:
        words = "; ".join(f"{word!r} ({_few(list(ids))})" for word, ids in list(unknown.items())[:20])
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        yield f"the pocket model does not know: {words}{more}. It knows: {', '.join(known_words())}"


def _few(ids: list[str]) -> str:
    named = ", ".join(ids[:3])
    return (
        f"shot {named}" if len(ids) == 1 else f"shots {named}" + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    )
