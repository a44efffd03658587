"""Pins: clips that stay what they are, whatever the storyboard says, until they are unpinned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from storage.ledger import Ledger
from storage.rows import PlacedTake

from .choices import PINNED, Spot, Stand, lay, pinned, stand
from .errors import UsageError
from .planned import Plan, PlannedClip
from .scope import scope
from .session import Session
from .streams import screen

LAST = "last"
"""The take that stood there in the last production that had one."""


def pin(session: Session, place: str, take: str = LAST, note: str = "") -> dict[str, Any]:
    """Pin the clips that a selector names, each to the newest take that stood there, or one clip to the take given.

    A take is named by its number, or by the beginning of its clip's key. A shot is pinned to a take by the chain that
    leads to it. Raises UsageError, also when the pinned film could not be put together.
    """
    plan, chosen = scope(session, [place])
    ledger = _ledger(session)
    clips = chosen.of(plan)
    keys = _newest(session, ledger, plan, clips) if take == LAST else _given(ledger, plan, clips, take)
    stands: dict[Spot, Stand] = {(s, c): stand(ledger, (s, c), key, PINNED) for (s, c), key in keys.items()}
    lay(plan, pinned(ledger, plan) | stands)
    for shot in dict.fromkeys(shot for shot, _ in keys):
        ledger.pin(plan.film, shot, {clip: key for (s, clip), key in keys.items() if s == shot}, note)
    return pins_of(session, plan.film)


def unpin(session: Session, place: str) -> dict[str, Any]:
    """Let the clips that a selector names follow the storyboard again. Raises UsageError when none is pinned."""
    plan, chosen = scope(session, [place])
    ledger = _ledger(session)
    held = {(p.shot, p.clip) for p in ledger.pins(plan.film)}
    asked = [(clip.slate.shot, clip.slate.clip) for clip in chosen.of(plan)]
    wanted = [spot for spot in asked if spot in held]
    whole = {selector.place.shot for selector in chosen.selectors if selector.place and selector.place.clip is None}
    wanted += sorted(spot for spot in held if spot[0] in whole and spot not in asked)  # of a longer shot, before
    if not wanted:
        names = ", ".join(f"{shot}/{clip}" for shot, clip in sorted(held)) or "none"
        raise UsageError(f"no clip of {place!r} is pinned; pinned in {plan.film}: {names}")
    for shot, clip in wanted:
        ledger.unpin(plan.film, shot, clip)
    return pins_of(session, plan.film) | {"unpinned": [f"{shot}/{clip}" for shot, clip in wanted]}


def pins_of(session: Session, film: str) -> dict[str, Any]:
    """The document behind `pin` and `unpin`: all pins of a film."""
    ledger = _ledger(session)
    pins = ledger.pins(film)
    takes = ledger.takes([p.key for p in pins])
    return {
        "schema": "longtake.pins.v1",
        "film": film,
        "pins": [
            {"shot": p.shot, "clip": p.clip, "key": p.key, "take": takes[p.key].id if p.key in takes else None}
            | {"note": p.note}
            for p in sorted(pins, key=lambda p: (p.shot, p.clip))
        ],
    }


def show_pins(document: dict[str, Any]) -> None:
    """The same for a person."""
    console = screen()
    for place in document.get("unpinned", ()):
        console.print(f"{document['film']}:{place} follows the storyboard again")
    for one in document["pins"]:
        what = f"take {one['take']}" if one["take"] else f"clip {one['key'][:16]}, which has no take now"
        note = f" ({one['note']})" if one["note"] else ""
        console.print(f"{document['film']}:{one['shot']}/{one['clip']} is pinned to {what}{note}", soft_wrap=True)
    if not document["pins"]:
        console.print(f"nothing in {document['film']} is pinned")


def _ledger(session: Session) -> Ledger:
    if session.ledger is None:
        raise UsageError("nothing has been rendered here yet, so there is nothing to pin")
    return session.ledger


def _newest(session: Session, ledger: Ledger, plan: Plan, clips: Sequence[PlannedClip]) -> dict[Spot, str]:
    """What the film shows in these places, or the newest take that stood there."""
    spots = [(clip.slate.shot, clip.slate.clip) for clip in clips]
    shown: dict[Spot, str] = {}
    with suppress(UsageError):  # the pins that hold now may not go together, which this one is to mend
        survey = session.survey(plan)
        shown = {(c.slate.shot, c.slate.clip): c.key for c in survey.plan.clips if c.key in survey.takes}
    before = {spot: take.key for spot, (take, _) in ledger.nearest_takes(plan.film, spots).items()}
    found = {spot: (shown.get(spot) or before.get(spot, "")) for spot in spots}
    if lacking := [f"{shot}/{clip}" for (shot, clip), key in found.items() if not key]:
        raise UsageError(f"no take has ever stood in {', '.join(lacking[:10])}; render first, then pin")
    return found


def _given(ledger: Ledger, plan: Plan, clips: Sequence[PlannedClip], take: str) -> dict[Spot, str]:
    shots = {clip.slate.shot for clip in clips}
    if len(shots) != 1:
        raise UsageError(f"a take belongs to one shot, and these clips are of {len(shots)}; pin them one by one")
    (shot,) = shots
    past = ledger.takes_at(plan.film, shot)
    found = _named(past, shot, take)
    if len(clips) == 1:
        return {(shot, clips[0].slate.clip): found.take.key}
    keys = _chain(ledger, found)
    numbers = [clip.slate.clip for clip in clips]
    if lacking := [number for number in numbers if number not in keys]:
        raise UsageError(
            f"take {take} ends a chain of {len(keys)} clips, so nothing for {shot}/{lacking[0]}; "
            f"name the take of the last clip (longtake takes {shot} lists them), or pin clip by clip"
        )
    return {(shot, number): keys[number] for number in numbers}


def _named(past: dict[int, list[PlacedTake]], shot: str, take: str) -> PlacedTake:
    """The take of this number, or whose clip's key begins so."""
    every = {placed.take.id: placed for takes in past.values() for placed in takes}
    if take.isdecimal() and int(take) in every:
        return every[int(take)]
    alike = [placed for placed in every.values() if len(take) >= 6 and placed.take.key.startswith(take.lower())]
    if len(alike) == 1:
        return alike[0]
    known = ", ".join(map(str, sorted(every))) or "none"
    raise UsageError(
        f"shot {shot!r} has no take {take!r}; its takes are {known}, one for each clip (the numbers at the end of the "
        f"lines of longtake takes {shot}; to show a whole take: longtake pick)"
    )


def _chain(ledger: Ledger, last: PlacedTake) -> dict[int, str]:
    """Clip number in its shot -> key, of a take and the clips that lead to it."""
    spec = json.loads(last.spec_json)
    keys = {spec["index"] + 1: last.take.key}
    while spec["previous"] and (clip := ledger.clip(spec["previous"])):
        spec = json.loads(clip.spec_json)
        keys[spec["index"] + 1] = clip.key
    return keys
