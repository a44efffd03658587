"""survey(plan, ledger, files) -> Survey: what of a plan is in the store, why the rest is not, and what it will cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from shots.spec import canonical
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import Sample, SlateRow, Take

from .changes import changes
from .planned import Plan, PlannedClip

DEVICES = ("cuda", "cuda:0", "mps", "cpu")
"""Where the time of a clip is looked up, when no device is named: the best that this machine has measured."""


@dataclass(frozen=True)
class SurveyedClip:
    """A clip and its state: `cached` (a take is in the store) or `render`. why: one line a reason."""

    clip: PlannedClip
    state: Literal["cached", "render"]
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """A plan against the store.

    takes: the accepted takes whose files are there, by key. damaged: key -> what is wrong with the files of a
    take that the ledger still holds; drop those before rendering. seconds, bytes: estimates for what is missing,
    from measurements on this machine, None when there are none. as_before: the last production of the film had the
    same clips in the same places.
    """

    plan: Plan
    clips: tuple[SurveyedClip, ...]
    takes: dict[str, Take]
    damaged: dict[str, str]
    seconds: float | None
    bytes: int | None
    as_before: bool = False

    @property
    def missing(self) -> tuple[PlannedClip, ...]:
        """The clips to render, each key once, in film order."""
        return tuple({c.clip.key: c.clip for c in reversed(self.clips) if c.state == "render"}.values())[::-1]

    @property
    def nfe(self) -> int:
        """Network evaluations of what is missing."""
        return sum(clip.nfe for clip in self.missing)

    def slate_rows(self) -> list[SlateRow]:
        """The clips as the ledger records them at the start of a production."""
        return [
            SlateRow(
                c.clip.slate.shot,
                c.clip.slate.clip,
                c.clip.key,
                canonical(c.clip.spec.to_dict()),
                "; ".join(c.why) if c.state == "render" else "",
                c.clip.slate.take,
            )
            for c in self.clips
        ]


def survey(plan: Plan, ledger: Ledger | None, files: Files | None, device: str | None = None) -> Survey:
    """What is cached and what must be rendered. Changes nothing. No ledger or files: nothing has been rendered."""
    keys = list(dict.fromkeys(clip.key for clip in plan.clips))
    takes = ledger.takes(keys) if ledger else {}
    damaged = {key: what for key, take in takes.items() if (what := _lost(take, files))}
    usable = {key: take for key, take in takes.items() if key not in damaged}
    missing = [key for key in keys if key not in usable]
    reasons = _Reasons(plan, ledger, usable, damaged, missing)
    clips = tuple(reasons.clip(clip) for clip in plan.clips)
    seconds, size = _estimate({c.clip.key: c.clip for c in clips if c.state == "render"}.values(), ledger, device)
    here = {(clip.slate.shot, clip.slate.clip): clip.key for clip in plan.clips}
    return Survey(
        plan, clips, usable, damaged, seconds, size, here == {place: key for place, (key, _) in reasons.before.items()}
    )


def _lost(take: Take, files: Files | None) -> str | None:
    """Which file of a take is not there; their bytes are checked when they are read."""
    for kind, file in (("video", take.video), ("latents", take.latents), ("tail", take.tail)):
        if file is not None and (files is None or not files.exists(file)):
            return f"{kind} file missing"
    return None


class _Reasons:
    """Why each clip is in its state: its place in the last production against its place now."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger | None,
        usable: Mapping[str, Take],
        damaged: Mapping[str, str],
        missing: list[str],
    ) -> None:
        self.usable, self.damaged = usable, damaged
        self.before = ledger.latest_slates(plan.film) if ledger else {}
        self.places = {key: place for place, (key, _) in self.before.items()}
        self.known_shots = {shot for shot, _ in self.before}
        self.dropped = ledger.dropped(missing) if ledger and missing else {}
        self.failed = {k: f[-1].message for k, f in ledger.failures(missing).items()} if ledger and missing else {}
        self.first: dict[str, PlannedClip] = {}
        self.first_change: dict[str, int] = {}

    def clip(self, clip: PlannedClip) -> SurveyedClip:
        twin = self.first.setdefault(clip.key, clip)
        own = self.own_changes(clip)
        if own:
            self.first_change.setdefault(clip.slate.shot, clip.slate.clip)
        if clip.key in self.usable:
            return SurveyedClip(clip, "cached", self.cached(clip))
        if twin is not clip:
            return SurveyedClip(clip, "render", (f"the same clip as {twin.slate}: rendered once",))
        return SurveyedClip(clip, "render", tuple(self.render(clip, own)))

    def own_changes(self, clip: PlannedClip) -> list[str]:
        """What differs from the clip that stood here, but for what comes down the chain."""
        old = self.before.get((clip.slate.shot, clip.slate.clip))
        if old is None or old[0] == clip.key:
            return []
        return changes(json.loads(old[1]), clip.spec.to_dict())

    def cached(self, clip: PlannedClip) -> tuple[str, ...]:
        """Where the take comes from, when it is not the one that stood here before."""
        here = (clip.slate.shot, clip.slate.clip)
        if not self.before or self.before.get(here, ("",))[0] == clip.key:
            return ()
        if place := self.places.get(clip.key):
            return (f"rendered before as {place[0]}/{place[1]}",)
        return ("rendered before, in another version or film",)

    def render(self, clip: PlannedClip, own: list[str]) -> list[str]:
        shot, number = clip.slate.shot, clip.slate.clip
        if clip.key in self.damaged or clip.key in self.dropped:
            return [f"file damaged: {self.damaged.get(clip.key) or self.dropped[clip.key] or 'altered'}"]
        if clip.key in self.failed:
            return [f"failed before: {_first_line(self.failed[clip.key])}"]
        old = self.before.get((shot, number))
        if old is None:
            return ["the shot has become longer" if shot in self.known_shots else "new"]
        if old[0] == clip.key:
            return ["planned before, not rendered yet"]
        if own:
            return own
        if shot in self.first_change:
            return [f"clip {self.first_change[shot]} of this chain changed"]
        return ["a clip before it in this chain changed"]


def _first_line(text: str | None) -> str:
    line = (text or "unknown error").strip().split("\n", 1)[0]
    return line if len(line) <= 120 else line[:117] + "..."


def _estimate(
    clips: Iterable[PlannedClip], ledger: Ledger | None, device: str | None
) -> tuple[float | None, int | None]:
    """(seconds, bytes) of rendering `clips` one after another; None where a model has not been measured."""
    alike = Counter((c.spec.model.digest, c.spec.frames, c.spec.width, c.spec.height, c.nfe) for c in clips)
    seconds, size = 0.0, 0.0
    for (digest, frames, width, height, nfe), count in alike.items():
        samples = _samples(ledger, digest, device)
        if not samples:
            return None, None
        cost = _cost((frames, width, height), nfe, samples)
        seconds, size = seconds + count * cost[0], size + count * cost[1]
    return seconds, round(size)


def _samples(ledger: Ledger | None, digest: str, device: str | None) -> list[Sample]:
    devices = (device,) if device else DEVICES
    found = (ledger.speeds(digest, each) if ledger else [] for each in devices)
    return next((samples for samples in found if samples), [])


def _cost(shape: tuple[int, int, int], nfe: int, samples: list[Sample]) -> tuple[float, float]:
    """Seconds go with evaluations and pixels, bytes with pixels; clips of the same shape are the better guide."""
    alike = [s for s in samples if (s.frames, s.width, s.height) == shape] or samples
    pixels = shape[0] * shape[1] * shape[2]
    rate = median(s.seconds.get("total", 0.0) / max(1, s.nfe * s.frames * s.width * s.height) for s in alike)
    density = median(s.bytes / (s.frames * s.width * s.height) for s in alike)
    return rate * nfe * pixels, density * pixels
