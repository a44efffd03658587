"""Several takes of a shot, drafts, and what people decide about them, without a model."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from director.errors import UsageError
from director.finish import Finish
from director.pins import pin
from director.planned import Plan
from director.segments import segments
from director.selectors import selection
from director.storyboard import StoryboardError
from director.survey import Survey
from director.takes import pick, reject, retake, sheet, show_takes, takes_of
from director.variants import Variants, take_seed
from storage.states import ProductionState
from tests.director.conftest import shot
from tests.director.studio import Studio

A, B = shot("a", frames=12), shot("b", frames=8, prompt="a yellow moon")
THREE = A | {"takes": 3}
DRAFT = {"draft": {"steps": 5, "size": [32, 32]}}


@pytest.fixture
def studio(film_studio: Studio, monkeypatch) -> Studio:
    monkeypatch.setattr(film_studio, "survey", film_studio.session.survey)
    return film_studio


def render(studio: Studio, plan: Plan) -> Survey:
    """A production: what is missing is made and the film is cut; the survey that it began with."""
    survey = studio.survey(plan)
    production = studio.ledger.start_production(
        plan.film, plan.title, str(plan.storyboard), plan.storyboard_digest, plan.to_json(), survey.slate_rows()
    )
    for clip in survey.missing:
        (attempt,) = studio.ledger.begin_attempts(production, [clip.key], "cpu", "local")
        studio.ledger.finish_attempt(attempt, studio._take(clip))
    takes = studio.ledger.takes([clip.key for clip in survey.plan.clips])
    Finish(studio.ledger, studio.files, studio.places)(survey.plan, production, takes)
    studio.ledger.end_production(production, ProductionState.DONE)
    return survey


def seeds(plan: Plan) -> list[int]:
    return [clip.spec.seed for clip in plan.shots[0].clips]


def test_a_shot_with_takes_renders_each_from_its_own_seed(studio: Studio) -> None:
    plan = studio.plan(THREE, B)
    survey = render(studio, plan)
    own = plan.clips[0].spec.seed
    assert [clip.slate.take for clip in survey.missing] == [1, 1, 1, 2, 2, 3, 3]
    assert {clip.spec.seed for clip in survey.missing if clip.slate.shot == "a"} == {
        own, take_seed(own, 2), take_seed(own, 3),
    }  # fmt: skip
    runs = segments([survey.plan], ())
    assert sorted(run.name for run in runs) == ["f/a (take 2)/1-2", "f/a (take 3)/1-2", "f/a/1-2", "f/b/1"]
    assert survey.plan.clips == plan.clips  # the film shows take 1
    again = studio.survey(plan)
    assert not again.missing
    assert again.as_before
    assert studio.ledger.latest_slates("f")["a", 1][0] == plan.clips[0].key


def test_one_take_more_renders_only_that_one(studio: Studio) -> None:
    render(studio, studio.plan(THREE))
    survey = studio.survey(studio.plan(A | {"takes": 4}))
    assert [(c.clip.slate.take, c.why) for c in survey.clips if c.state == "render"] == [
        (4, ("take 4 of this shot",))
    ] * 2


def test_the_picked_take_is_in_the_film_and_an_edit_keeps_the_pick(studio: Studio, capsys) -> None:
    plan = studio.plan(THREE)
    own = plan.clips[0].spec.seed
    render(studio, plan)
    show_takes(pick(studio.session, "a", 3))
    assert "3: seed" in capsys.readouterr().out
    assert seeds(render(studio, plan).plan) == [take_seed(own, 3)] * 2
    edited = studio.survey(studio.plan(THREE | {"prompt": "a blue boat"}))
    assert seeds(edited.plan) == [take_seed(own, 3)] * 2
    studio.plan(THREE)
    pick(studio.session, "a", 1)
    assert seeds(studio.survey(plan).plan) == [own] * 2


def test_a_rejected_take_is_not_shown_and_not_made_again(studio: Studio) -> None:
    plan = studio.plan(THREE)
    own = plan.clips[0].spec.seed
    render(studio, plan)
    (found,) = reject(studio.session, "a", 1)["shots"]
    assert [take["marks"] for take in found["takes"]] == [["rejected"], ["in the film"], []]
    survey = studio.survey(plan)
    assert seeds(survey.plan) == [take_seed(own, 2)] * 2
    assert {clip.slate.take for clip in survey.plan.everything} == {2, 3}
    edited = studio.survey(studio.plan(THREE | {"prompt": "a blue boat"}))
    assert seeds(edited.plan) == [own] * 2  # other pictures, which nobody has rejected
    studio.plan(THREE)
    pick(studio.session, "a", 1)
    assert seeds(studio.survey(studio.plan(THREE)).plan) == [own] * 2


def test_a_retake_has_a_new_seed_and_keeps_the_old_takes(studio: Studio) -> None:
    plan = studio.plan(A)
    before = {clip.key for clip in plan.clips}
    render(studio, plan)
    retake(studio.session, "a")
    survey = render(studio, plan)
    assert seeds(survey.plan) == [take_seed(plan.clips[0].spec.seed, 2)] * 2
    assert {clip.key for clip in survey.plan.everything} >= before
    retake(studio.session, "a", seed=99)
    assert seeds(render(studio, plan).plan) == [99, 99]
    (found,) = takes_of(studio.session, ["a"])["shots"]
    assert [(take["take"], take["done"], take["marks"]) for take in found["takes"]] == [
        (1, 2, []), (2, 2, []), (3, 2, ["in the film"]),
    ]  # fmt: skip
    pick(studio.session, "a", 1)
    assert {clip.key for clip in studio.survey(plan).plan.clips} == before


def test_an_edit_leaves_a_take_alone_that_a_retake_has_replaced(studio: Studio) -> None:
    plan = studio.plan(A)
    own = plan.clips[0].spec.seed
    render(studio, plan)
    retake(studio.session, "a")
    render(studio, plan)
    edited = studio.plan(A | {"prompt": "a blue boat"})
    survey = render(studio, edited)
    assert [(clip.slate.take, clip.spec.seed) for clip in survey.missing] == [(2, take_seed(own, 2))] * 2
    pick(studio.session, "a", 1)  # of before the edit: a pick is of a seed
    again = studio.survey(edited)
    assert seeds(again.plan) == [own] * 2
    assert [c.why for c in again.clips if c.state == "render"] == [("take 1 of this shot",)] * 2
    assert {clip.slate.take for clip in again.plan.everything} == {1, 2}  # take 2 is there, and stays
    retake(studio.session, "a")
    retake(studio.session, "a")  # both are new, so both are made
    assert {clip.slate.take for clip in studio.survey(edited).missing} == {3, 4}


def test_an_edit_makes_all_takes_again_that_the_storyboard_asks_for(studio: Studio) -> None:
    render(studio, studio.plan(THREE))
    retake(studio.session, "a")
    render(studio, studio.plan(THREE))
    retake(studio.session, "a")
    render(studio, studio.plan(THREE))
    edited = studio.survey(studio.plan(THREE | {"prompt": "a blue boat"}))
    assert sorted({clip.slate.take for clip in edited.missing}) == [1, 2, 3, 5]


def test_what_is_listed_says_what_is_not_rendered_yet_and_what_is_pinned(studio: Studio, capsys) -> None:
    render(studio, studio.plan(A))
    show_takes(takes_of(studio.session, ["a"]))
    assert "2/2 clips, in the film (numbers" in capsys.readouterr().out
    pin(studio.session, "a/2")
    studio.plan(A | {"prompt": "a blue boat"})
    show_takes(takes_of(studio.session, ["a"]))
    shown = capsys.readouterr().out
    assert "0/2 clips, in the film when it is rendered" in shown
    assert "clip 2 is pinned to number 2, whatever take is chosen" in shown


def test_a_shot_without_a_film_is_that_of_the_only_film_that_has_it(studio: Studio) -> None:
    render(studio, studio.plan(A, B))
    render(studio, studio.plan(A | {"id": "z"}, B, name="g.json", film={"id": "g"}))
    for words, film in ((["a"], "f"), (["z"], "g"), (["z", "b"], "g"), (["g"], "g"), (["f:b"], "f")):
        assert takes_of(studio.session, words)["film"] == film
    for words in ([], ["b"], ["x"]):
        with pytest.raises(UsageError, match=r"several films here \([fg], [fg]\); say of which, as FILM:"):
            takes_of(studio.session, words)


def test_drafts_are_cheap_until_they_are_picked(studio: Studio) -> None:
    plan = studio.plan(A | {"takes": 2} | DRAFT, B)
    survey = render(studio, plan)
    drafts = [clip.spec for clip in survey.missing if clip.slate.shot == "a"]
    assert {(spec.sampler.steps, spec.width, spec.height) for spec in drafts} == {(5, 32, 32)}
    assert survey.nfe < sum(clip.nfe for clip in plan.clips) * 2
    pick(studio.session, "a", 2)
    full = studio.survey(plan)
    assert {(c.spec.sampler.steps, c.spec.width, c.slate.take) for c in full.missing} == {(25, 64, 2)}
    assert [c.why[0] for c in full.clips if c.state == "render"] == ["size changed: 32x32 -> 64x64"] * 2
    render(studio, plan)
    (found,) = takes_of(studio.session, ["a"])["shots"]
    assert [(take["draft"], take["marks"]) for take in found["takes"]] == [
        (True, []),
        (False, ["in the film", "picked"]),
    ]
    retake(studio.session, "a")  # a new take is a draft again
    assert {c.spec.sampler.steps for c in studio.survey(plan).missing} == {5}


def test_the_film_s_defaults_hold_for_every_shot(studio: Studio) -> None:
    plan = studio.plan(A, B | {"takes": 1}, defaults={"clip_frames": 8, "takes": 2, "draft": {"steps": 5}})
    survey = studio.survey(plan)
    assert [(clip.slate.shot, clip.slate.take) for clip in survey.missing] == [("a", 1)] * 2 + [("b", 1)] + [
        ("a", 2)
    ] * 2
    assert {clip.spec.sampler.steps for clip in survey.missing} == {5}


@pytest.mark.parametrize(
    ("draft", "said"),
    [({"size": [30, 30]}, "draft.size"), ({"steps": 0}, "steps"), ({"frames": 3}, "frames")],
)
def test_a_draft_that_cannot_be_made_is_told_where_it_stands(studio: Studio, draft: dict, said: str) -> None:
    with pytest.raises(StoryboardError, match=said):
        studio.plan(A | {"draft": draft})


def test_a_selection_means_every_take_of_its_clips(studio: Studio) -> None:
    plan = studio.plan(THREE, B)
    survey = studio.session.survey(plan, selection(("a/1",)))
    assert [str(clip.slate) for clip in survey.wanted] == ["a/1"] * 3


def test_takes_are_drawn_on_a_sheet(studio: Studio) -> None:
    render(studio, studio.plan(THREE, B))
    path = sheet(studio.session, [], None)
    assert path == studio.places.films / "f.takes.png"
    assert Image.open(path).size[1] > Image.open(sheet(studio.session, ["b"], path.with_name("b.png"))).size[1]


def test_earlier_takes_are_listed_with_what_was_otherwise(studio: Studio) -> None:
    render(studio, studio.plan(A))
    render(studio, studio.plan(A | {"prompt": "a blue boat"}))
    (found,) = takes_of(studio.session, ["a"])["shots"]
    assert [(old["take"], old["clip"]) for old in found["earlier"]] == [(2, 2), (1, 1)]
    assert "prompt changed" in json.dumps(found["earlier"])


@pytest.mark.parametrize(
    ("place", "number", "said"),
    [
        ("a", 9, "has no take 9; its takes are 1, 2, 3"),
        ("a/1", 1, "a take is of a whole shot"),
        ("x", 1, "no shot 'x'"),
    ],
)
def test_what_cannot_be_picked(studio: Studio, place: str, number: int, said: str) -> None:
    render(studio, studio.plan(THREE))
    with pytest.raises(UsageError, match=said):
        pick(studio.session, place, number)


def test_a_take_that_was_never_planned_cannot_be_picked(studio: Studio) -> None:
    render(studio, studio.plan(A))
    studio.plan(THREE)
    with pytest.raises(UsageError, match="has not been rendered yet"):
        pick(studio.session, "a", 2)


def test_a_plan_without_takes_is_left_as_it_is(studio: Studio) -> None:
    plan = studio.plan(A, B)
    assert Variants(plan, studio.ledger).arranged() is plan
    assert Variants(plan, None).arranged() is plan
