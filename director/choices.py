"""What people chose, laid over a plan: pinned clips, and stale ones accepted for one run.

A chosen clip takes the place of the planned one with its own spec and key. What follows it in its chain continues *it*:
its `previous` is the chosen key, so its own key is that of what is really shown. Nothing else has to know of pins:
survey, segments and cut go by keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shots.errors import SpecError
from shots.spec import ClipSpec
from storage.ledger import Ledger
from storage.rows import Take

from .bills import bill_of_other
from .cutoff import following, same_tails
from .errors import UsageError
from .planned import Plan, PlannedClip, PlannedShot
from .selectors import Selection
from .variants import Variants

Spot = tuple[str, int]
"""Shot, and number of the clip in it from 1."""
PINNED = "pinned"
ACCEPTED = "stale, accepted"


@dataclass(frozen=True)
class Stand:
    """The clip that stands in a place instead of the planned one. why: for the plan, `PINNED` or `ACCEPTED`."""

    key: str
    spec: ClipSpec
    why: str


def pinned(ledger: Ledger, plan: Plan) -> dict[Spot, Stand]:
    """The pins of a film, for those clips that its plan has.

    Raises:
        UsageError: a pinned clip was recorded by another version of longtake and cannot be read.
    """
    there = {(clip.slate.shot, clip.slate.clip) for clip in plan.clips}
    pins = [pin for pin in ledger.pins(plan.film) if (pin.shot, pin.clip) in there]
    takes = ledger.takes({pin.key for pin in pins})
    return {
        (pin.shot, pin.clip): stand(ledger, (pin.shot, pin.clip), pin.key, _to(PINNED, takes.get(pin.key)))
        for pin in pins
    }


def _to(what: str, take: Take | None) -> str:
    return f"{what}: take {take.id}" if take else what


def stand(ledger: Ledger, spot: Spot, key: str, why: str) -> Stand:
    """The clip of a key, to stand in a place. Raises UsageError when the ledger cannot tell what it is."""
    clip = ledger.clip(key)
    try:
        assert clip is not None  # pins and takes refer to it
        return Stand(key, ClipSpec.from_dict(json.loads(clip.spec_json)), why)
    except SpecError as error:
        raise UsageError(
            f"{spot[0]}/{spot[1]} is {why} to clip {key[:12]}, which this version cannot read ({error}); "
            f"longtake unpin {spot[0]}/{spot[1]} lets it follow the storyboard again"
        ) from None


def lay(plan: Plan, stands: Mapping[Spot, Stand]) -> Plan:
    """The plan with these clips in their places, and everything after them continuing them.

    Raises:
        UsageError: a clip that does not fit in its place, or that the next one cannot continue.
    """
    return replace(plan, shots=tuple(_shot(shot, stands) for shot in plan.shots)) if stands else plan


def _shot(shot: PlannedShot, stands: Mapping[Spot, Stand]) -> PlannedShot:
    if not any(place == shot.id for place, _ in stands):
        return shot
    clips: list[PlannedClip] = []
    renamed: dict[str, str] = {}
    before: ClipSpec | None = None
    for clip in shot.clips:
        chosen = stands.get((shot.id, clip.slate.clip))
        made = _placed(clip, chosen) if chosen else following(clip, renamed.get(clip.spec.previous or ""))
        if before is not None and not chosen and made.spec.previous is not None:
            _check_follows(clip, before, made.spec)
        before = chosen.spec if chosen else None
        renamed[clip.key] = made.key
        clips.append(made)
    _check_whole(shot, clips)
    return replace(shot, clips=tuple(clips))


def _placed(clip: PlannedClip, chosen: Stand) -> PlannedClip:
    spec = chosen.spec
    if chosen.key == clip.key:
        return replace(clip, instead=chosen.why)
    sizes = [f"{s.width}x{s.height}" for s in (spec, clip.spec)]
    if sizes[0] != sizes[1]:
        raise _misfit(clip, chosen, f"is {sizes[0]} and the film is {sizes[1]}")
    alike = (spec.recipe, spec.sampler) == (clip.spec.recipe, clip.spec.sampler)
    costs = clip.bill if alike else bill_of_other(spec)
    if spec.dropped + clip.kept > spec.frames:
        has = f"has {spec.frames - spec.dropped} frames to show, and {clip.kept} are needed here"
        raise _misfit(clip, chosen, has)
    return replace(
        clip,
        spec=spec,
        key=chosen.key,
        first=spec.dropped,
        nfe=sum(n for _, n in costs),
        bill=costs,
        instead=chosen.why,
    )


def _misfit(clip: PlannedClip, chosen: Stand, how: str) -> UsageError:
    way = f"longtake unpin {clip.slate}" if chosen.why.startswith(PINNED) else "leave it out of --accept-stale"
    return UsageError(f"{clip.slate}: clip {chosen.key[:12]} ({chosen.why}) {how}; {way}")


def _check_follows(clip: PlannedClip, before: ClipSpec, spec: ClipSpec) -> None:
    """A tail fits only clips of the same shape, sampler and chain."""
    for name, of in (("model", _model), ("size", _size), ("sampler", _sampler), ("chain", _chain)):
        if of(before) != of(spec):
            raise UsageError(
                f"{clip.slate} would continue a clip with another {name}: {of(before)} instead of {of(spec)}; choose "
                f"for the rest of the shot, too (longtake pin {clip.slate.shot}), or for none of it"
            )


def _model(spec: ClipSpec) -> str:
    return f"{spec.model.id} {spec.model.digest[:19]} {spec.model.dtype}"


def _size(spec: ClipSpec) -> str:
    return f"{spec.width}x{spec.height}, {spec.frames} frames"


def _sampler(spec: ClipSpec) -> str:
    return str(spec.sampler)


def _chain(spec: ClipSpec) -> str:
    return str(spec.recipe.chain)


def _check_whole(shot: PlannedShot, clips: Iterable[PlannedClip]) -> None:
    """Clips that depend on each other both ways are chosen all or none."""
    groups = {clip.spec.together for clip in clips}
    if len(groups) > 1:
        raise UsageError(
            f"the clips of shot {shot.id!r} are made together, so some of them cannot stay while others change; "
            f"choose the whole shot: longtake pin {shot.id}"
        )


def stale(ledger: Ledger, plan: Plan, selection: Selection) -> dict[Spot, Stand]:
    """For the selected clips that have no take: the newest take that stood in their place."""
    have = ledger.takes([clip.key for clip in plan.clips]).keys()
    wanted = [(c.slate.shot, c.slate.clip) for c in selection.of(plan) if c.key not in have and not c.instead]
    found = ledger.nearest_takes(plan.film, wanted)
    return {spot: stand(ledger, spot, take.key, _to(ACCEPTED, take)) for spot, (take, _) in found.items()}


def arranged(plan: Plan, ledger: Ledger | None, accept_stale: Selection | None = None) -> Plan:
    """The plan as it is carried out: its takes, its pins, tails that are equal, and stale clips that are accepted.

    Raises:
        UsageError: see `lay` and `Selection.of`.
    """
    plan = Variants(plan, ledger).arranged()
    if ledger is None:
        return plan
    plan = same_tails(lay(plan, pinned(ledger, plan)), ledger)
    if accept_stale is None:
        return plan
    return same_tails(lay(plan, stale(ledger, plan, accept_stale)), ledger)
