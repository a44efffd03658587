"""The takes of a shot: the same clips from other seeds, as drafts or in full, and which of them the film shows.

Take 1 has the shot's own seed. Takes that the storyboard asks for (`takes: n`) have seeds derived from it; a retake has
the seed that it was given. The film shows the take that was picked or retaken last; where none was, the first that has
not been rejected. Where a shot has a `draft`, takes are drafts until they are picked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shots.spec import digest, hashed_fields
from storage.ledger import Ledger
from storage.rows import Judged, Retake
from storage.states import Verdict

from .planned import Plan, PlannedClip, PlannedShot


@dataclass(frozen=True)
class Variant:
    """One take of a shot. clips: as they are to be rendered. picked: its seed is. rejected: these very pictures are."""

    number: int
    seed: int
    clips: tuple[PlannedClip, ...]
    draft: bool
    shown: bool
    picked: bool
    rejected: bool


def take_seed(seed: int, number: int) -> int:
    """The seed of take `number` of a shot whose own seed this is."""
    if number == 1:
        return seed
    found = hashlib.sha256(f"longtake take seed 1\n{seed}\n{number}".encode()).digest()
    return int.from_bytes(found[:8], "big") >> 1


def reseeded(chain: Sequence[PlannedClip], seed: int, number: int) -> tuple[PlannedClip, ...]:
    """The chain from another seed, as take `number`."""
    if not chain or chain[0].spec.seed == seed:
        return tuple(replace(clip, slate=replace(clip.slate, take=number)) for clip in chain)
    alone = [replace(clip.spec, seed=seed, previous=None, together=None) for clip in chain]
    group = digest("Windows", 1, [hashed_fields(spec) for spec in alone]) if chain[0].spec.together else None
    made: list[PlannedClip] = []
    for clip, spec in zip(chain, alone, strict=True):
        follows = made[-1].key if made and clip.spec.previous else None
        spec = replace(spec, previous=follows, together=group)
        made.append(replace(clip, slate=replace(clip.slate, take=number), spec=spec, key=spec.key))
    return tuple(made)


class Variants:
    """The takes of all shots of a film, with what has been decided about them."""

    def __init__(self, plan: Plan, ledger: Ledger | None) -> None:
        self.plan = plan
        self._retakes: dict[str, list[Retake]] = {}
        self._verdicts: dict[str, list[Judged]] = {}
        for retake in ledger.retakes(plan.film) if ledger else ():
            self._retakes.setdefault(retake.shot, []).append(retake)
        for judged in ledger.verdicts(plan.film) if ledger else ():
            self._verdicts.setdefault(judged.shot, []).append(judged)
        self._ledger = ledger

    def arranged(self) -> Plan:
        """The plan with the shown take in each shot, and the other takes beside it."""
        plain = all(
            shot.takes == 1 and not shot.draft and shot.id not in self._retakes | self._verdicts
            for shot in self.plan.shots
        )
        return self.plan if plain else replace(self.plan, shots=tuple(map(self._shot, self.plan.shots)))

    def _shot(self, shot: PlannedShot) -> PlannedShot:
        variants = self.of(shot)
        shown = next(variant for variant in variants if variant.shown)
        kept = self._kept(shot, variants)
        others = tuple(v.clips for v in variants if not v.shown and not v.rejected and v.number not in kept)
        return replace(shot, clips=shown.clips, others=others)

    def _kept(self, shot: PlannedShot, variants: Sequence[Variant]) -> set[int]:
        """Numbers of the takes that are left as they are: a retake has replaced them, and they have been rendered.

        Those that the storyboard asks for (`takes: n`) follow every edit; the others are made again when picked.
        """
        if self._ledger is None or shot.id not in self._retakes:
            return set()
        asked = shot.takes if shot.takes > 1 else 0
        now = {clip.key for variant in variants for clip in variant.clips}
        past = self._ledger.takes_at(self.plan.film, shot.id)
        before = [one for takes in past.values() for one in takes if one.take.key not in now]
        seeds = {json.loads(one.spec_json)["seed"] for one in before}
        left = [variant for variant in variants if variant.number > asked and variant.seed in seeds]
        made = self._ledger.takes([clip.key for variant in left for clip in variant.clips])
        return {variant.number for variant in left if any(clip.key not in made for clip in variant.clips)}

    def of(self, shot: PlannedShot) -> list[Variant]:
        """The takes of a shot, by number."""
        own = shot.clips[0].spec.seed
        seeds = {number: take_seed(own, number) for number in range(1, shot.takes + 1)}
        retakes = self._retakes.get(shot.id, [])
        seeds |= {retake.take: retake.seed for retake in retakes}
        picks = self._picks(shot.id, seeds)
        picked = picks.keys()
        chosen = {retake.take: retake.created_at for retake in retakes}
        chosen |= {number: max(when, chosen.get(number, 0.0)) for number, when in picks.items()}
        full = {number: reseeded(shot.clips, seed, number) for number, seed in seeds.items()}
        drafts = {
            number: reseeded(shot.draft, seed, number) if shot.draft and number not in picked else ()
            for number, seed in seeds.items()
        }
        chains = {number: drafts[number] or full[number] for number in seeds}
        rejected = {number for number in seeds if self._rejected(shot.id, chains[number])}
        first = min(seeds.keys() - rejected, default=1)
        shown = max(chosen, key=lambda number: chosen[number], default=first)
        return [
            Variant(n, seeds[n], chains[n], bool(drafts[n]), n == shown, n in picked, n in rejected)
            for n in sorted(seeds)
        ]

    def _picks(self, shot: str, seeds: dict[int, int]) -> dict[int, float]:
        """Take -> when it was picked. A pick is of a seed, so it outlives edits of the shot."""
        numbers = {seed: number for number, seed in seeds.items()}
        picks: dict[int, float] = {}
        for judged in self._verdicts.get(shot, []):
            clip = self._ledger.clip(judged.key) if self._ledger and judged.verdict == Verdict.PICKED else None
            number = numbers.get(json.loads(clip.spec_json)["seed"]) if clip else None
            if number is not None:
                picks[number] = max(picks.get(number, 0.0), judged.created_at)
        return picks

    def _rejected(self, shot: str, chain: Sequence[PlannedClip]) -> bool:
        """Whether these very pictures were rejected."""
        no = {(j.clip, j.key) for j in self._verdicts.get(shot, []) if j.verdict == Verdict.REJECTED}
        return any((clip.slate.clip, clip.key) in no for clip in chain)
