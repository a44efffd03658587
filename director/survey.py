"""survey(plan, ledger, files) -> Survey: what of a plan is in the store, why the rest is not, and what it will cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from shots.spec import canonical
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import Sample, SlateRow, Take

from .changes import changes
from .cutoff import hinges
from .drafts import spent as drafts_of
from .planned import Plan, PlannedClip
from .selectors import Selection

DEVICES = ("cuda", "cuda:0", "mps", "cpu", "auto")
"""Where the time of a clip is looked up, when no device is named: the best that this machine has measured; last what
an earlier longtake wrote down before it knew the device."""


PLANNED = "planned before, not rendered yet"
NEW = ("new", "the shot has become longer")
Cause = Literal["", "new", "stale", "failed", "damaged", "planned", "twin"]
"""Why a clip is to be rendered, in a word. stale: the last production had another clip in its place."""


@dataclass(frozen=True)
class SurveyedClip:
    """A clip and its state: `cached` (a take is in the store) or `render`. why: one line a reason."""

    clip: PlannedClip
    state: Literal["cached", "render"]
    why: tuple[str, ...] = ()
    cause: Cause = ""


@dataclass(frozen=True)
class Survey:
    """A plan against the store.

    takes: the accepted takes whose files are there, by key. damaged: key -> what is wrong with the files of a
    take that the ledger still holds; drop those before rendering. seconds, bytes: estimates for what is missing,
    from measurements on this machine, None when there are none. as_before: the last production of the film had the
    same clips in the same places. left: keys of missing clips that the selection does not ask for.
    hinges: keys of missing clips after which the rest may turn out to be there, see `cutoff`. spent: evaluations that a
    missing clip's draft has made already, where it goes on from that.
    """

    plan: Plan
    clips: tuple[SurveyedClip, ...]
    takes: dict[str, Take]
    damaged: dict[str, str]
    seconds: float | None
    bytes: int | None
    as_before: bool = False
    left: frozenset[str] = frozenset()
    hinges: frozenset[str] = frozenset()
    spent: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[PlannedClip, ...]:
        """The clips that have no take, each key once, in film order."""
        return tuple({c.clip.key: c.clip for c in reversed(self.clips) if c.state == "render"}.values())[::-1]

    @property
    def wanted(self) -> tuple[PlannedClip, ...]:
        """The clips to render: what is missing, without what the selection leaves."""
        return tuple(clip for clip in self.missing if clip.key not in self.left)

    @property
    def nfe(self) -> int:
        """Network evaluations of what is to be rendered."""
        return sum(self.cost(clip) for clip in self.wanted)

    def cost(self, clip: PlannedClip) -> int:
        """Network evaluations of a clip that is to be rendered."""
        return clip.nfe - self.spent.get(clip.key, 0)

    def slate_rows(self) -> list[SlateRow]:
        """The clips as the ledger records them at the start of a production: other takes first, then the film's own."""
        shown = {clip.key for clip in self.plan.clips}
        ordered = sorted(self.clips, key=lambda c: c.clip.key in shown)
        return [
            SlateRow(
                c.clip.slate.shot,
                c.clip.slate.clip,
                c.clip.key,
                canonical(c.clip.spec.to_dict()),
                "; ".join(c.why) if c.state == "render" else c.clip.instead,
                c.clip.slate.take,
            )
            for c in ordered
        ]


def survey(
    plan: Plan,
    ledger: Ledger | None,
    files: Files | None,
    device: str | None = None,
    selection: Selection = Selection(),
) -> Survey:
    """What is cached and what must be rendered. Changes nothing. No ledger or files: nothing has been rendered.

    Raises:
        UsageError: the selection names what the plan does not have.
    """
    keys = list(dict.fromkeys(clip.key for clip in plan.everything))
    takes = _takes(plan, keys, ledger) if ledger else {}
    present = files.present([file for take in takes.values() for _, file in _files_of(take)]) if files else set()
    damaged = {key: what for key, take in takes.items() if (what := _lost(take, present))}
    usable = {key: take for key, take in takes.items() if key not in damaged}
    missing = [key for key in keys if key not in usable]
    drafts = drafts_of(plan, ledger, missing) if ledger else {}
    states = files.present([draft.latents for draft in drafts.values()]) if files and drafts else set()
    spent = {key: draft.nfe for key, draft in drafts.items() if draft.latents in states}
    reasons = _Reasons(plan, ledger, usable, damaged, missing, spent)
    clips = tuple(reasons.clip(clip) for clip in plan.everything)
    left = _left(plan, clips, selection)
    wanted = {
        c.clip.key: replace(c.clip, nfe=c.clip.nfe - spent.get(c.clip.key, 0))
        for c in clips
        if c.state == "render" and c.clip.key not in left
    }
    seconds, size = _estimate(wanted.values(), ledger, device)
    here = {(clip.slate.shot, clip.slate.clip, clip.slate.take): clip.key for clip in plan.everything}
    as_before = here == {place: slate.key for place, slate in reasons.before.items()}
    turns = hinges(plan, missing, ledger) if ledger and missing else frozenset()
    return Survey(plan, clips, usable, damaged, seconds, size, as_before, left, turns, spent)


def _takes(plan: Plan, keys: list[str], ledger: Ledger) -> dict[str, Take]:
    """Takes of the plan's clips, and of those outside it that a chosen clip continues."""
    outside = {clip.spec.previous for clip in plan.clips if clip.instead and clip.spec.previous} - set(keys)
    return ledger.takes([*keys, *sorted(outside)])


def _left(plan: Plan, clips: Iterable[SurveyedClip], selection: Selection) -> frozenset[str]:
    """Keys of missing clips that are neither selected nor needed by a selected clip of their chain."""
    if selection.everything:
        return frozenset()
    missing = {c.clip.key: c for c in clips if c.state == "render"}
    failed, stale = ({key for key, c in missing.items() if c.cause == cause} for cause in ("failed", "stale"))
    needed: set[str] = set()
    previous = {clip.key: clip.spec.previous for clip in plan.everything}
    for clip in _meant(plan, selection, failed, stale):
        key: str | None = clip.key
        while key in missing and key not in needed:
            needed.add(key)
            key = previous[key]
    return frozenset(missing.keys() - needed)


def _meant(plan: Plan, selection: Selection, failed: set[str], stale: set[str]) -> list[PlannedClip]:
    """The selected clips, in every take of their shot."""
    spots = {(c.slate.shot, c.slate.clip) for c in replace(selection, failed=False, stale=False).of(plan)}
    keep = (failed if selection.failed else set()) | (stale if selection.stale else set())
    every = not (selection.failed or selection.stale)
    return [c for c in plan.everything if (c.slate.shot, c.slate.clip) in spots and (every or c.key in keep)]


def _lost(take: Take, present: Container[str]) -> str | None:
    """Which file of a take is not there; their bytes are checked when they are read."""
    return next((f"{kind} file missing" for kind, file in _files_of(take) if file not in present), None)


def _files_of(take: Take) -> list[tuple[str, str]]:
    kinds = (("video", take.video), ("latents", take.latents), ("tail", take.tail))
    return [(kind, file) for kind, file in kinds if file is not None]


class _Reasons:
    """Why each clip is in its state: its place in the last production against its place now."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger | None,
        usable: Mapping[str, Take],
        damaged: Mapping[str, str],
        missing: list[str],
        begun: Container[str],
    ) -> None:
        self.usable, self.damaged, self.begun = usable, damaged, begun
        self.before = _before(ledger, plan.film)
        self.places = {slate.key: place for place, slate in self.before.items()}
        self.known_shots = {shot for shot, _, _ in self.before}
        self.dropped = ledger.dropped(missing) if ledger and missing else {}
        self.failed = {k: f[-1].message for k, f in ledger.failures(missing).items()} if ledger and missing else {}
        self.first: dict[str, PlannedClip] = {}
        self.first_change: dict[tuple[str, int], int] = {}

    def clip(self, clip: PlannedClip) -> SurveyedClip:
        twin = self.first.setdefault(clip.key, clip)
        own = self.own_changes(clip)
        if own:
            self.first_change.setdefault((clip.slate.shot, clip.slate.take), clip.slate.clip)
        if clip.key in self.usable:
            return SurveyedClip(clip, "cached", (clip.instead,) if clip.instead else self.cached(clip))
        if twin is not clip:
            return SurveyedClip(clip, "render", (f"the same clip as {twin.slate}: rendered once",), "twin")
        cause, why = self.render(clip, own)
        why += ["goes on from where its draft has stopped"] * (clip.key in self.begun)
        return SurveyedClip(clip, "render", tuple(why), cause)

    def own_changes(self, clip: PlannedClip) -> list[str]:
        """What differs from the clip that stood here, but for what comes down the chain."""
        old = self.before.get(_spot(clip))
        if old is None or old.key == clip.key:
            return []
        return changes(json.loads(old.spec_json), clip.spec.to_dict())

    def cached(self, clip: PlannedClip) -> tuple[str, ...]:
        """Where the take comes from, when it is not the one that stood here before."""
        here = _spot(clip)
        if not self.before or (here in self.before and self.before[here].key == clip.key):
            return ()
        if place := self.places.get(clip.key):
            return (f"rendered before as {place[0]}/{place[1]}",)
        return ("rendered before, in another version or film",)

    def render(self, clip: PlannedClip, own: list[str]) -> tuple[Cause, list[str]]:
        shot, take = clip.slate.shot, clip.slate.take
        if clip.key in self.damaged or clip.key in self.dropped:
            what = self.damaged.get(clip.key) or self.dropped[clip.key] or "altered"
            return "damaged", ["file damaged" if what == "damaged" else f"file damaged: {what}"]
        if clip.key in self.failed:
            return "failed", [f"failed before: {_first_line(self.failed[clip.key])}"]
        old = self.before.get(_spot(clip))
        if old is None:
            known = shot in self.known_shots
            if (take > 1 or known) and not any(place[::2] == (shot, take) for place in self.before):
                return "new", [f"take {take} of this shot"]
            return "new", [NEW[1] if shot in self.known_shots else NEW[0]]
        if old.key == clip.key:
            return _planned(old.why)
        if own:
            return "stale", own
        if first := self.first_change.get((shot, take)):
            return "stale", [f"clip {first} of this chain changed"]
        return "stale", ["a clip before it in this chain changed"]


def _spot(clip: PlannedClip) -> tuple[str, int, int]:
    return clip.slate.shot, clip.slate.clip, clip.slate.take


def _before(ledger: Ledger | None, film: str) -> dict[tuple[str, int, int], SlateRow]:
    """What stood in each place in the last production."""
    last = ledger.film(film) if ledger else None
    if ledger is None or last is None:
        return {}
    return {(slate.shot, slate.clip, slate.take): slate for slate in ledger.slates(last.last.id)}


def _planned(why: str) -> tuple[Cause, list[str]]:
    """A clip that the last production wanted, too, and why it did."""
    reason = why.removesuffix(f" ({PLANNED})")
    if reason in ("", PLANNED):
        return "planned", [PLANNED]
    return "new" if reason in NEW else "stale", [f"{reason} ({PLANNED})"]


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
