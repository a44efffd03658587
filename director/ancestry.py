"""The clips that led to a clip, by their names: from the plan where they are in it, else from the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping

from shots.spec import ClipSpec
from storage.ledger import Ledger

from .planned import Plan


def ancestry(
    ledger: Ledger, plan: Plan, key: str, planned: Mapping[str, ClipSpec] | None = None
) -> tuple[ClipSpec, ...]:
    """Specs of the clips up to and with `key`, from the first of its chain on. planned: those of the plan, by key."""
    if planned is None:
        planned = {clip.key: clip.spec for clip in plan.clips}
    found: list[ClipSpec] = []
    wanted: str | None = key
    while wanted is not None:
        spec = planned.get(wanted) or _recorded(ledger, wanted)
        if spec is None:
            break
        found.append(spec)
        wanted = spec.previous
    return tuple(reversed(found))


def _recorded(ledger: Ledger, key: str) -> ClipSpec | None:
    clip = ledger.clip(key)
    return None if clip is None else ClipSpec.from_dict(json.loads(clip.spec_json))
