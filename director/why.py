"""Why a clip is to be rendered, or is not: the whole difference from the nearest take that ever stood in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.ledger import Ledger
from storage.rows import Attempt, PlacedTake

from .changes import changes, differences
from .errors import UsageError
from .lineage import clock
from .planned import Plan, PlannedClip
from .scope import scope
from .session import Session
from .streams import screen
from .survey import Survey, SurveyedClip
from .variants import Variants

MOST_CLIPS = 200
"""Clips that are explained at once."""
Document = dict[str, Any]


def why(session: Session, words: Sequence[str]) -> Document:
    """The document behind `longtake why`.

    Raises:
        UsageError: no such clips, or more than `MOST_CLIPS`.
    """
    plan, chosen = scope(session, words)
    survey = session.survey(plan)
    places = [clip.slate for clip in chosen.of(survey.plan)]
    if len(places) > MOST_CLIPS:
        raise UsageError(f"{len(places)} clips are too many to explain; name up to {MOST_CLIPS}, as SHOT or SHOT/CLIP")
    wanted = set(places)
    clips = [clip for clip in survey.clips if clip.clip.slate in wanted]
    explained = _Explained(survey, session.ledger, Variants(plan, session.ledger).arranged())
    return {"schema": "longtake.why.v1", "film": plan.film, "clips": [explained.clip(clip) for clip in clips]}


class _Explained:
    """Clips of one survey against the ledger's past."""

    def __init__(self, survey: Survey, ledger: Ledger | None, asked: Plan) -> None:
        self.survey, self.ledger = survey, ledger
        self.asked = {clip.slate: clip for clip in asked.clips}
        self.film = survey.plan.film
        self.chain = _by_key(survey.plan)
        self.past: dict[str, Mapping[int, list[PlacedTake]]] = {}

    def clip(self, found: SurveyedClip) -> Document:
        clip = found.clip
        take = self.survey.takes.get(clip.key)
        against = self.nearest(clip)
        return {
            "slate": str(clip.slate),
            "key": clip.key,
            "state": found.state,
            "cause": found.cause,
            "why": list(found.why),
            "nfe": clip.nfe,
            "take": {"id": take.id, "time": clock(take.accepted_at)} if take else None,
            "against": self.difference(clip, against) if against else None,
            "asked": self.instead_of(clip),
            "attempts": [_attempt(a) for a in self.ledger.attempts(clip.key)] if self.ledger else [],
        }

    def instead_of(self, clip: PlannedClip) -> list[str]:
        """What the storyboard asks for, where another clip was chosen: the difference from that to this."""
        asked = self.asked.get(clip.slate)
        if not clip.instead or asked is None or asked.key == clip.key:
            return []
        return changes(clip.spec.to_dict(), asked.spec.to_dict(), whole=True) or ["nothing but what it continues"]

    def nearest(self, clip: PlannedClip) -> PlacedTake | None:
        """The take of another key in this place that differs least; of equally near ones the newest."""
        shot = clip.slate.shot
        if shot not in self.past:
            self.past[shot] = self.ledger.takes_at(self.film, shot) if self.ledger else {}
        others = [t for t in self.past[shot].get(clip.slate.clip, []) if t.take.key != clip.key]
        return min(others, key=lambda t: (self.distance(clip, t), -t.take.id), default=None)

    def distance(self, clip: PlannedClip, take: PlacedTake) -> int:
        return len(differences(json.loads(take.spec_json), clip.spec.to_dict()))

    def difference(self, clip: PlannedClip, against: PlacedTake) -> Document:
        old = json.loads(against.spec_json)
        lines = changes(old, clip.spec.to_dict(), whole=True) + list(self.upstream(clip, old))
        return {
            "take": against.take.id,
            "key": against.take.key,
            "time": clock(against.take.accepted_at),
            "changes": lines or ["nothing but the clip that it continues"],
        }

    def upstream(self, clip: PlannedClip, old: Mapping[str, Any]) -> Iterator[str]:
        """What changed before it in its chain, the nearest clip first."""
        new: PlannedClip | None = self.chain.get(clip.spec.previous or "")
        before = old.get("previous")
        if bool(before) != bool(clip.spec.previous):
            now, then = ("a clip" if key else "no clip" for key in (clip.spec.previous, before))
            yield f"continues {now} now, and continued {then} then"
        while new is not None and before and before != new.key and self.ledger is not None:
            recorded = self.ledger.clip(before)
            if recorded is None:
                return
            spec = json.loads(recorded.spec_json)
            for line in changes(spec, new.spec.to_dict(), whole=True):
                yield f"clip {new.slate.clip} of this chain: {line}"
            before, new = spec.get("previous"), self.chain.get(new.spec.previous or "")


def _by_key(plan: Plan) -> dict[str, PlannedClip]:
    return {clip.key: clip for clip in plan.clips}


def _attempt(attempt: Attempt) -> Document:
    return {
        "state": str(attempt.state),
        "started": clock(attempt.started_at),
        "host": attempt.host,
        "error": attempt.error_type,
        "message": attempt.message,
    }


def show_why(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for clip in document["clips"]:
        reason = "; ".join(clip["why"]) or ("as it was rendered" if clip["state"] == "cached" else "not rendered yet")
        state = "in the store" if clip["state"] == "cached" else "to be rendered"
        console.print(f"{clip['slate']}: {state}: {reason}", soft_wrap=True)
        made = f", take {clip['take']['id']} of {clip['take']['time']}" if clip["take"] else f", {clip['nfe']} NFE"
        console.print(f"  key {clip['key'][:16]}{made}", soft_wrap=True)
        if clip["asked"]:
            console.print("  but for this choice, the storyboard would make another clip of it:")
            for line in clip["asked"]:
                console.print(f"    {line}", soft_wrap=True)
        elif clip["against"]:
            against = clip["against"]
            console.print(f"  against take {against['take']} of {against['time']} (key {against['key'][:16]}):")
            for line in against["changes"]:
                console.print(f"    {line}", soft_wrap=True)
        elif clip["state"] == "render":
            console.print("  no take has ever stood here")
        for attempt in clip["attempts"]:
            if attempt["error"]:
                text = f"  {attempt['state']} {attempt['started']} on {attempt['host']}: "
                console.print(text + f"{attempt['error']}: {attempt['message']}", style="red", soft_wrap=True)
