"""Early cut-off: when a clip that was rendered again leaves the same tail, bit for bit, everything after it stays.

A clip sees nothing of the one before it but the tail. So "continues A" and "continues B" mean the same pixels when A
and B left equal tails, and a take made under one name is as good as under the other. A clip of the plan that has no
take of its own is therefore planned as the continuation of a twin of its predecessor where *that* clip has a take; the
clips after it go on from there. Takes are compared only by the content of their tails, so this holds for any
setting, and it is decided anew from the ledger each time: nothing is recorded that could be wrong later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from shots.errors import SpecError
from shots.spec import ClipSpec
from storage.ledger import Ledger

from .planned import Plan, PlannedClip, PlannedShot


def same_tails(plan: Plan, ledger: Ledger) -> Plan:
    """The plan with clips named as continuations of what has been rendered, where tails are equal."""
    while True:
        have = ledger.takes({clip.key for clip in plan.clips}).keys()
        open_ends = [c for c in plan.clips if c.spec.previous and c.key not in have and not c.instead]
        twins = ledger.same_tails({c.spec.previous for c in open_ends if c.spec.previous}) if open_ends else {}
        renamed = _renamed(open_ends, twins, ledger) if twins else {}
        if not renamed:
            return plan
        plan = replace(plan, shots=tuple(_shot(shot, renamed) for shot in plan.shots))


def following(clip: PlannedClip, previous: str | None) -> PlannedClip:
    """The clip, continuing the clip of key `previous`; as it is when that is None or no news."""
    if previous is None or previous == clip.spec.previous:
        return clip
    spec = replace(clip.spec, previous=previous)
    return replace(clip, spec=spec, key=spec.key)


def _renamed(clips: Iterable[PlannedClip], twins: Mapping[str, list[str]], ledger: Ledger) -> dict[str, PlannedClip]:
    """Clip key -> the same clip, continuing a twin of its predecessor, with a take."""
    others = {clip.key: [following(clip, twin) for twin in twins.get(clip.spec.previous or "", ())] for clip in clips}
    have = ledger.takes({other.key for found in others.values() for other in found}).keys()
    chosen = {key: next((o for o in found if o.key in have), None) for key, found in others.items()}
    return {key: found for key, found in chosen.items() if found is not None}


def _shot(shot: PlannedShot, renamed: Mapping[str, PlannedClip]) -> PlannedShot:
    clips: list[PlannedClip] = []
    names: dict[str, str] = {}
    for clip in shot.clips:
        made = following(clip, names.get(clip.spec.previous or "")) if not clip.instead else clip
        made = replace(made, spec=renamed[clip.key].spec, key=renamed[clip.key].key) if clip.key in renamed else made
        names[clip.key] = made.key
        clips.append(made)
    return replace(shot, clips=tuple(clips))


def hinges(plan: Plan, missing: Iterable[str], ledger: Ledger) -> frozenset[str]:
    """Keys of missing clips after which it is worth a look whether the rest can stay.

    Such a clip changed itself, and the next one would be the one that was rendered before but for its name of it.
    """
    lacking = set(missing)
    after = {c.spec.previous: c for c in plan.clips if c.spec.previous in lacking and c.key in lacking}
    places = {(c.slate.shot, c.slate.clip): c for c in after.values()}
    hopeful = set()
    for place, (take, spec_json) in ledger.nearest_takes(plan.film, places).items():
        clip = places[place]
        if _alike(clip.spec, spec_json, take.key):
            hopeful.add(clip.key)
    return frozenset(
        previous for previous, clip in after.items() if previous and clip.key in hopeful and previous not in hopeful
    )


def _alike(spec: ClipSpec, spec_json: str, key: str) -> bool:
    """Whether a clip that was rendered differs only in what it continues."""
    try:
        old = ClipSpec.from_dict(json.loads(spec_json))
    except (SpecError, ValueError):
        return False
    return (
        old.previous is not None and old.previous != spec.previous and replace(spec, previous=old.previous).key == key
    )
