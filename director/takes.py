"""The takes of each shot: what there is to choose from, shown on a contact sheet; pick, reject, retake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.ledger import Ledger
from storage.rows import Take
from storage.states import Verdict

from .changes import changes
from .errors import UsageError
from .lineage import clock
from .planned import Plan, PlannedClip, PlannedShot
from .scope import SUFFIXES, scope, the_plan
from .session import Session
from .streams import screen
from .variants import Variant, Variants, take_seed

Document = dict[str, Any]


def takes_of(session: Session, words: Sequence[str]) -> Document:
    """The document behind `longtake takes`: of the shots that the selectors name, or of all. Raises UsageError."""
    ledger = _ledger(session)
    plan, wanted = _meant(session, words)
    variants = Variants(plan, ledger)
    shots = [_shot_document(ledger, plan, shot, variants.of(shot)) for shot in wanted]
    return {"schema": "longtake.takes.v1", "film": plan.film, "shots": shots}


def sheet(session: Session, words: Sequence[str], out: Path | None) -> Path:
    """Draw the takes of these shots, a row a take; where it lies.

    Raises:
        UsageError: no such shots. OSError: it cannot be written.
    """
    from shots.frames import Frames, read_take

    from .sheets import contact_sheet

    ledger = _ledger(session)
    plan, wanted = _meant(session, words)
    variants = Variants(plan, ledger)
    rows = [_row(shot, one) for shot in wanted for one in variants.of(shot)]
    made = ledger.takes([clip.key for row in rows for clip in row.clips])

    def read(clip: PlannedClip) -> Frames | None:
        assert session.files is not None
        return read_take(session.files.open_verified(made[clip.key].video)) if clip.key in made else None

    out = out or session.places.films / f"{plan.film}.takes.png"
    contact_sheet(replace(plan, title=f"{plan.title}: takes", shots=tuple(rows)), read, out, takes=True)
    return out


def pick(session: Session, place: str, number: int, note: str = "") -> Document:
    """Show take `number` of a shot in the film; as a draft it is rendered in full from now on: from where the draft has
    stopped, if it made the first steps of the full take, else anew. Raises UsageError."""
    return _judge(session, place, number, Verdict.PICKED, note)


def reject(session: Session, place: str, number: int, note: str = "") -> Document:
    """Do without take `number` of a shot, as it is now. Raises UsageError."""
    return _judge(session, place, number, Verdict.REJECTED, note)


def retake(session: Session, place: str, seed: int | None = None, note: str = "") -> Document:
    """One more take of a shot, from a new seed; the film shows it when it is rendered. Raises UsageError."""
    ledger = _ledger(session)
    plan, shot = _one_shot(session, place)
    number = max(one.number for one in Variants(plan, ledger).of(shot)) + 1
    own = shot.clips[0].spec.seed
    ledger.add_retake(plan.film, shot.id, take_seed(own, number) if seed is None else seed, after=number - 1, note=note)
    return takes_of(session, [place])


def show_takes(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for shot in document["shots"]:
        console.print(shot["shot"], style="bold")
        for one in shot["takes"]:
            quality = _quality(one)
            marks = "".join(f", {_mark(mark, one)}" for mark in one["marks"])
            ids = ", ".join(str(clip["take"]) for clip in one["clips"] if clip["take"])
            text = (
                f"  take {one['take']}: seed {one['seed']}, {quality}, {one['done']}/{len(one['clips'])} clips{marks}"
            )
            console.print(text + (f" (numbers {ids})" if ids else ""), soft_wrap=True)
        for clip, number in shot["pinned"].items():
            console.print(f"  clip {clip} is pinned to number {number}, whatever take is chosen", soft_wrap=True)
        for old in shot["earlier"]:
            text = f"  earlier: number {old['take']}, clip {old['clip']}, {old['time']}: {'; '.join(old['changes'])}"
            console.print(text, style="dim", soft_wrap=True)


def _mark(mark: str, take: Document) -> str:
    return f"{mark} when it is rendered" if mark == "in the film" and take["done"] < len(take["clips"]) else mark


def _quality(take: Document) -> str:
    if take["stop_after"] is not None:
        return f"draft, {take['stop_after']} of {take['steps']} steps"
    return f"draft, {take['steps']} steps" if take["draft"] else f"{take['steps']} steps"


def _judge(session: Session, place: str, number: int, verdict: Verdict, note: str) -> Document:
    ledger = _ledger(session)
    plan, shot = _one_shot(session, place)
    variants = Variants(plan, ledger).of(shot)
    chosen = next((one for one in variants if one.number == number), None)
    if chosen is None:
        known = ", ".join(str(one.number) for one in variants)
        raise UsageError(f"shot {shot.id!r} has no take {number}; its takes are {known}; longtake retake adds one")
    keys = {clip.slate.clip: clip.key for clip in chosen.clips if ledger.clip(clip.key) is not None}
    if not keys and verdict is Verdict.PICKED:  # of before an edit: a pick is of a seed
        keys = _before(ledger, plan, shot, chosen)
    if not keys:
        raise UsageError(f"take {number} of {shot.id!r} has not been rendered yet; render first, then choose")
    if verdict is Verdict.PICKED:  # who was rejected before is so no more
        ledger.judge(plan.film, shot.id, keys, Verdict.NONE)
    ledger.judge(plan.film, shot.id, keys, verdict, note)
    return takes_of(session, [place])


def _before(ledger: Ledger, plan: Plan, shot: PlannedShot, chosen: Variant) -> dict[int, str]:
    """Clip -> key of the newest take from this seed that stood there."""
    past = ledger.takes_at(plan.film, shot.id)
    return {
        number: next(one.take.key for one in takes if json.loads(one.spec_json)["seed"] == chosen.seed)
        for number, takes in past.items()
        if any(json.loads(one.spec_json)["seed"] == chosen.seed for one in takes)
    }


def _ledger(session: Session) -> Ledger:
    if session.ledger is None:
        raise UsageError("nothing has been rendered here yet, so there are no takes")
    return session.ledger


def _one_shot(session: Session, place: str) -> tuple[Plan, PlannedShot]:
    plan, chosen = scope(session, [place])
    spot = chosen.selectors[0].place
    if spot is None or spot.clip is not None:
        raise UsageError(f"{place!r}: a take is of a whole shot; name one shot")
    chosen.of(plan)  # it is there
    return plan, next(shot for shot in plan.shots if shot.id == spot.shot)


def _meant(session: Session, words: Sequence[str]) -> tuple[Plan, list[PlannedShot]]:
    """The shots that the selectors name; all of a film that is named alone, or of the only film."""
    films = [film.film for film in session.ledger.films()] if session.ledger else []
    named = words[0] if len(words) == 1 else None
    if not words or (named in films and len(films) > 1) or Path(named or "").suffix.lower() in SUFFIXES:
        plan = the_plan(session, named)
        return plan, list(plan.shots)
    plan, chosen = scope(session, words)
    wanted = {clip.slate.shot for clip in chosen.of(plan)}
    return plan, [shot for shot in plan.shots if shot.id in wanted]


def _shot_document(ledger: Ledger, plan: Plan, shot: PlannedShot, variants: list[Variant]) -> Document:
    made = ledger.takes([clip.key for one in variants for clip in one.clips])
    return {
        "shot": shot.id,
        "takes": [_variant(one, made) for one in variants],
        "pinned": _pinned(ledger, plan.film, shot.id),
        "earlier": _earlier(ledger, plan, shot, variants),
    }


def _pinned(ledger: Ledger, film: str, shot: str) -> dict[str, int | None]:
    """Clip -> number of the take that it is pinned to."""
    pins = [pin for pin in ledger.pins(film) if pin.shot == shot]
    made = ledger.takes([pin.key for pin in pins])
    return {str(pin.clip): made[pin.key].id if pin.key in made else None for pin in pins}


def _variant(one: Variant, made: Mapping[str, Take]) -> Document:
    clips = [
        {"clip": clip.slate.clip, "key": clip.key, "take": made[clip.key].id if clip.key in made else None}
        for clip in one.clips
    ]
    marks = [("in the film", one.shown), ("picked", one.picked), ("rejected", one.rejected)]
    spec = one.clips[0].spec
    return {
        "take": one.number,
        "seed": one.seed,
        "draft": one.draft,
        "steps": spec.sampler.steps,
        "stop_after": spec.sampler.stop_after,
        "size": [spec.width, spec.height],
        "marks": [mark for mark, holds in marks if holds],
        "done": sum(clip["take"] is not None for clip in clips),
        "clips": clips,
    }


def _earlier(ledger: Ledger, plan: Plan, shot: PlannedShot, variants: list[Variant]) -> list[Document]:
    """Takes that stood in this shot's places and are none of its takes now, the newest first."""
    now = {clip.key for one in variants for clip in one.clips}
    planned = {clip.slate.clip: clip.spec for clip in shot.clips}
    reseeded = {(clip.slate.clip, one.seed): clip.spec for one in variants for clip in one.clips}
    found = []
    for number, placed in ledger.takes_at(plan.film, shot.id).items():
        for one in placed:
            if one.take.key in now:
                continue
            old = json.loads(one.spec_json)
            spec = reseeded.get((number, old["seed"])) or planned.get(number)
            lines = changes(old, spec.to_dict()) if spec else ["the shot is shorter now"]
            found.append(
                {"take": one.take.id, "clip": number, "key": one.take.key, "time": clock(one.take.accepted_at)}
                | {"changes": lines or ["another clip before it"]}
            )
    return sorted(found, key=lambda old: -old["take"])


def _row(shot: PlannedShot, one: Variant) -> PlannedShot:
    marks = [
        mark for mark, holds in (("draft", one.draft), ("in the film", one.shown), ("picked", one.picked)) if holds
    ]
    name = ", ".join([f"{shot.id}, take {one.number}", *marks, *(["rejected"] if one.rejected else [])])
    return PlannedShot(name, one.clips, shot.frames, prompt=shot.prompt)
