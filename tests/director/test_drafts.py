"""Drafts that are the beginning of the full take: as planned, as refused, and which of them a job goes on from."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.job import Job
from director.drafts import begun
from director.planned import Plan, PlannedClip
from director.storyboard import StoryboardError
from director.takes import pick
from director.variants import Variants
from shots.drafts import drafted
from shots.price import predicted_nfe
from tests.director.conftest import shot
from tests.director.studio import Studio

A = shot("a", frames=12) | {"takes": 2, "draft": {"stop_after": 5}}


def keys(chain: tuple[PlannedClip, ...]) -> list[str]:
    return [clip.key for clip in chain]


@pytest.mark.parametrize("chain", ["vidrd", "windows", "none"])
def test_a_draft_of_the_first_steps_is_planned_beside_each_take(film_studio: Studio, chain: str) -> None:
    plan = film_studio.plan(A | {"recipe": {"chain": chain}})
    (only,) = plan.shots
    assert keys(only.draft) == [spec.key for spec in drafted([clip.spec for clip in only.clips], 5)]
    assert [clip.nfe for clip in only.draft] == [10] * len(only.draft) == [predicted_nfe(c.spec) for c in only.draft]
    for variant in Variants(plan, None).of(only):
        full = drafted([clip.spec for clip in variant.clips], None)
        assert keys(variant.clips) == [spec.key for spec in drafted(full, 5)]
        assert {spec.seed for spec in full} == {variant.seed}


@pytest.mark.parametrize(
    ("draft", "said"),
    [
        ({"stop_after": 25}, "the shot has 25 steps in all.*1 to 24"),
        ({"stop_after": 0}, "stop_after"),
        ({"stop_after": 5, "steps": 8}, "stop_after alone"),
        ({"stop_after": 5, "size": [32, 32]}, "stop_after alone"),
    ],
)
def test_a_draft_that_cannot_be_gone_on_with_is_refused(film_studio: Studio, draft: dict[str, Any], said: str) -> None:
    with pytest.raises(StoryboardError, match=said):
        film_studio.plan(A | {"draft": draft})


def job(plan: Plan, clips: tuple[PlannedClip, ...], before: tuple[PlannedClip, ...] = ()) -> Job:
    specs, chain = (tuple(clip.spec for clip in part) for part in (clips, before))
    return Job("j", plan.film, clips[0].slate.shot, clips[0].slate.clip, specs, None, chain)


def test_a_job_goes_on_from_the_drafts_of_all_its_clips(film_studio: Studio) -> None:
    studio = film_studio
    drafts = Variants(studio.plan(A), studio.ledger).arranged()
    made = {}
    for chain in (drafts.shots[0].clips, *drafts.shots[0].others):
        for clip in chain:
            made[clip.key] = clip
    production = studio.begin(drafts)
    studio.shoot(drafts, production)
    taken = studio.ledger.takes(made)
    assert len(taken) == 4
    pick(studio.session, "a", 2)
    plan = Variants(studio.plan(A), studio.ledger).arranged()
    full = plan.shots[0].clips
    states = [taken[spec.key].latents for spec in drafted([clip.spec for clip in full], 5)]
    assert begun(studio.ledger, job(plan, full)).starts == tuple(states)
    assert begun(studio.ledger, job(plan, full[1:], full[:1])).starts == tuple(states[1:])
    assert begun(studio.ledger, job(plan, drafts.shots[0].clips)).starts == (), "a draft is not its own beginning"
    edited = studio.plan(A | {"prompt": "a yellow moon"}).shots[0].clips
    assert begun(studio.ledger, job(plan, edited)).starts == ()
    studio.ledger.drop_file(states[1], "damaged")
    assert begun(studio.ledger, job(plan, full)).starts == (), "one of them is gone, so all begin anew"
    assert begun(studio.ledger, job(plan, full[:1])).starts == (states[0],)
