"""Going on from drafts: which stored drafts are the beginning of clips that are to be rendered in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from cluster.environment import code_version
from cluster.job import Job
from shots.drafts import beginnings, drafted
from shots.spec import ClipSpec
from storage.ledger import Ledger
from storage.rows import Take

from .insist import insist
from .planned import Plan, PlannedClip


def begun(ledger: Ledger, job: Job) -> Job:
    """The job with the drafts that it can go on from, whatever the storyboard says of drafts by now: those of the most
    steps that are there of all its clips."""
    first = job.specs[0]
    if not beginnings(job.specs):
        return job
    stops = set()
    for placed in insist(lambda: ledger.takes_at(job.film, job.shot, job.first)).get(job.first, ()):
        spec = json.loads(placed.spec_json)
        stop = spec["sampler"].get("stop_after")
        if stop is not None and stop < first.sampler.made and spec["seed"] == first.seed:
            stops.add(int(stop))
    for stop in sorted(stops, reverse=True):
        if found := insist(partial(_drafts, ledger, (*job.chain, *job.specs), len(job.chain), stop)):
            return replace(job, starts=tuple(take.latents for take in found))
    return job


def _drafts(ledger: Ledger, chain: Sequence[ClipSpec], first: int, stop: int) -> list[Take]:
    """The drafts of all clips of a chain from `first` on that have a beginning; [] when one is missing."""
    wanted = [spec.key for spec in drafted(chain, stop)][first:]
    wanted = wanted[: beginnings(chain[first:])]
    takes = ledger.takes(wanted)
    return [takes[key] for key in wanted] if len(takes) == len(set(wanted)) else []


def spent(plan: Plan, ledger: Ledger, missing: Iterable[str]) -> dict[str, Take]:
    """Missing clips -> the draft that each goes on from, as far as the storyboard's own drafts tell. A draft of other
    code is none: what it has left would not be used."""
    lacking, found = set(missing), dict[str, Take]()
    for shot in plan.shots:
        stop = shot.draft[0].spec.sampler.stop_after if shot.draft else None
        if stop is None:
            continue
        for chain in (shot.clips, *shot.others):
            found |= _spent(ledger, chain, lacking, stop)
    now = code_version() if found else ""
    return {key: draft for key, draft in found.items() if draft.code_version == now}


def _spent(ledger: Ledger, chain: Sequence[PlannedClip], lacking: set[str], stop: int) -> dict[str, Take]:
    specs = [clip.spec for clip in chain]
    if not any(clip.key in lacking for clip in chain) or specs[0].sampler.made <= stop or specs[0].previous:
        return {}
    drafts = dict(zip([clip.key for clip in chain], [spec.key for spec in drafted(specs, stop)], strict=True))
    wanted = {full: draft for full, draft in list(drafts.items())[: beginnings(specs)] if full in lacking}
    takes = ledger.takes(wanted.values())
    return {full: takes[draft] for full, draft in wanted.items() if draft in takes}
