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
    """A run of missing clips of one chain. `after` is the key of the clip whose tail it starts from.

    nfe: of each clip. beyond: NFE of what is missing of the chain after it. extra: a take that the film does not show.
    hinge: after its last clip it may turn out that nothing else has to be rendered. lockstep: of clips that depend on
    each other both ways, how many each camera gets where several render them; 0: one camera renders all.
    """

    film: str
    shot: str
    first: int
    specs: tuple[ClipSpec, ...]
    keys: tuple[str, ...]
    after: str | None
    take: int = 1
    nfe: tuple[int, ...] = ()
    beyond: int = 0
    extra: bool = False
    hinge: bool = False
    lockstep: int = 0

    @property
    def name(self) -> str:
        """`film/shot/first-last`, as progress and logs show it."""
        last = self.first + len(self.specs) - 1
        shot = self.shot if self.take == 1 else f"{self.shot} (take {self.take})"
        return f"{self.film}/{shot}/{self.first}" + (f"-{last}" if last > self.first else "")

    def part(self, begin: int, end: int) -> Segment:
        """Clips `begin` to `end` - 1 of it as a segment of its own."""
        if (begin, end) == (0, len(self.keys)):
            return self
        return replace(
            self,
            first=self.first + begin,
            specs=self.specs[begin:end],
            keys=self.keys[begin:end],
            after=self.keys[begin - 1] if begin else self.after,
            nfe=self.nfe[begin:end],
            beyond=self.beyond + sum(self.nfe[end:]),
            hinge=self.hinge and end == len(self.keys),
        )


def segments(
    plans: Iterable[Plan], have: Container[str], lockstep: int = LOCKSTEP, hinges: Container[str] = ()
) -> list[Segment]:
    """Missing runs of all films, none rendered twice: what films show before other takes, longest chain first.

    have: keys of clips that need no work. hinges: keys of clips after which a run is broken, because what follows may
    turn out to be there already.
    """
    runs = [
        run
        for plan in plans
        for shot in plan.shots
        for extra, chain in ((False, shot.clips), *((True, other) for other in shot.others))
        for run in _runs(plan.film, shot.id, chain, have, extra)
    ]
    covered: set[str] = set()
    pieces: list[Segment] = []
    for run in sorted(runs, key=lambda run: (run.extra, -len(run.specs))):
        known = sum(key in covered for key in run.keys)  # equal chains share a beginning, never a middle
        if known < len(run.keys):
            pieces += _pieces(run.part(known, len(run.keys)), hinges, lockstep)
        covered.update(run.keys)
    return pieces


def _pieces(run: Segment, hinges: Container[str], lockstep: int) -> Iterator[Segment]:
    """What one worker renders at a time. Clips that depend on each other both ways (`windows`) stay together; several
    workers can render them at the same time only."""
    if run.specs[0].together:
        yield replace(run, lockstep=lockstep)
        return
    for piece in _broken(run, hinges):
        yield from _split(piece, lockstep)


def _runs(film: str, shot: str, clips: tuple[PlannedClip, ...], have: Container[str], extra: bool) -> list[Segment]:
    runs: list[list[PlannedClip]] = []
    if clips and clips[0].spec.together:
        missing = any(clip.key not in have for clip in clips)
        return [_segment(film, shot, list(clips), extra)] if missing else []
    for clip in clips:
        if clip.key in have:
            continue
        if runs and clip.spec.previous == runs[-1][-1].key:
            runs[-1].append(clip)
        else:
            runs.append([clip])
    return [_segment(film, shot, run, extra) for run in runs]


def _segment(film: str, shot: str, run: list[PlannedClip], extra: bool) -> Segment:
    specs, keys = tuple(clip.spec for clip in run), tuple(clip.key for clip in run)
    slate, nfe = run[0].slate, tuple(clip.nfe for clip in run)
    return Segment(film, shot, slate.clip, specs, keys, run[0].spec.previous, slate.take, nfe, 0, extra)


def _broken(run: Segment, hinges: Container[str]) -> Iterator[Segment]:
    """The run in pieces that end at hinges."""
    begin = 0
    for n, key in enumerate(run.keys, 1):
        if n == len(run.keys) or key in hinges:
            yield replace(run.part(begin, n), hinge=key in hinges)
            begin = n


def _split(run: Segment, lockstep: int) -> list[Segment]:
    return [run.part(n, min(n + lockstep, len(run.keys))) for n in range(0, len(run.keys), lockstep)]
