"""From a plan to jobs: which runs of clips must be rendered, and what each waits for. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

from shots.spec import ClipSpec

from .planned import Plan, PlannedClip

LOCKSTEP = 8
"""Clips denoised together at most. A group is lost as a whole when its worker dies while sampling, so longer
chains are rendered group after group from the stored tail, with the same frames."""


@dataclass(frozen=True)
class Segment:
    """A run of missing clips of one chain. `after` is the key of the clip whose tail it starts from."""

    film: str
    shot: str
    first: int
    specs: tuple[ClipSpec, ...]
    keys: tuple[str, ...]
    after: str | None
    take: int = 1

    @property
    def name(self) -> str:
        """`film/shot/first-last`, as progress and logs show it."""
        last = self.first + len(self.specs) - 1
        shot = self.shot if self.take == 1 else f"{self.shot} (take {self.take})"
        return f"{self.film}/{shot}/{self.first}" + (f"-{last}" if last > self.first else "")


def segments(
    plans: Iterable[Plan], have: Container[str], lockstep: int = LOCKSTEP, hinges: Container[str] = ()
) -> list[Segment]:
    """Missing runs of all films, longest chain first, none rendered twice.

    have: keys of clips that need no work. hinges: keys of clips after which a run is broken, because what follows may
    turn out to be there already.
    """
    runs = [
        run
        for plan in plans
        for shot in plan.shots
        for chain in (shot.clips, *shot.others)
        for run in _runs(plan.film, shot.id, chain, have)
    ]
    covered: set[str] = set()
    pieces: list[Segment] = []
    for run in sorted(runs, key=lambda run: -len(run.specs)):
        known = sum(key in covered for key in run.keys)  # equal chains share a beginning, never a middle
        if known < len(run.keys):
            pieces += _pieces(_drop(run, known), hinges, lockstep)
        covered.update(run.keys)
    return pieces


def _pieces(run: Segment, hinges: Container[str], lockstep: int) -> Iterator[Segment]:
    """What one worker renders at a time. Clips that depend on each other both ways (`windows`) stay together."""
    if run.specs[0].together:
        yield run
        return
    for piece in _broken(run, hinges):
        yield from _split(piece, lockstep)


def _runs(film: str, shot: str, clips: tuple[PlannedClip, ...], have: Container[str]) -> list[Segment]:
    runs: list[list[PlannedClip]] = []
    if clips and clips[0].spec.together:
        missing = any(clip.key not in have for clip in clips)
        return [_segment(film, shot, list(clips))] if missing else []
    for clip in clips:
        if clip.key in have:
            continue
        if runs and clip.spec.previous == runs[-1][-1].key:
            runs[-1].append(clip)
        else:
            runs.append([clip])
    return [_segment(film, shot, run) for run in runs]


def _segment(film: str, shot: str, run: list[PlannedClip]) -> Segment:
    specs, keys = tuple(clip.spec for clip in run), tuple(clip.key for clip in run)
    return Segment(film, shot, run[0].slate.clip, specs, keys, run[0].spec.previous, run[0].slate.take)


def _drop(run: Segment, n: int) -> Segment:
    if n == 0:
        return run
    return replace(run, first=run.first + n, specs=run.specs[n:], keys=run.keys[n:], after=run.keys[n - 1])


def _broken(run: Segment, hinges: Container[str]) -> Iterator[Segment]:
    """The run in pieces that end at hinges."""
    begin = 0
    for n, key in enumerate(run.keys, 1):
        if n == len(run.keys) or key in hinges:
            rest = _drop(run, begin)
            yield replace(rest, specs=rest.specs[: n - begin], keys=rest.keys[: n - begin])
            begin = n


def _split(run: Segment, lockstep: int) -> list[Segment]:
    parts = []
    for n in range(0, len(run.specs), lockstep):
        part = _drop(run, n)
        parts.append(replace(part, specs=part.specs[:lockstep], keys=part.keys[:lockstep]))
    return parts
