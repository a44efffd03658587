"""Pins, stale takes that are accepted, and early cut-off, against a real ledger and store without a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from director.cutoff import hinges
from director.errors import UsageError
from director.pins import pin, show_pins, unpin
from director.planned import Plan, PlannedClip
from director.segments import segments
from director.selectors import selection
from director.survey import Survey
from director.why import show_why, why
from storage.rows import TakeRow
from tests.director.conftest import shot
from tests.director.studio import Studio

A = shot("a", frames=20)  # four clips
BLUE = {"prompt": "a blue boat"}


class Tailed(Studio):
    """A studio whose clips leave the tails that `tails` says; others leave tails of their own."""

    def __init__(self, studio: Studio) -> None:
        self.__dict__ |= vars(studio)
        self.tails: dict[tuple[str, int], bytes] = {}

    def survey(self, plan: Plan) -> Survey:
        return self.session.survey(plan)

    def _take(self, clip: PlannedClip) -> TakeRow:
        made = super()._take(clip)
        tail = self.tails.get((clip.slate.shot, clip.slate.clip))
        return made if tail is None else replace(made, tail=self.files.put_bytes(tail))


@pytest.fixture
def studio(film_studio: Studio) -> Tailed:
    return Tailed(film_studio)


def states(survey: Survey, name: str = "a") -> list[str]:
    return [f"{c.state}: {'; '.join(c.why)}" for c in survey.clips if c.clip.slate.shot == name]


def rendered(studio: Studio, *shots: dict) -> Plan:
    plan = studio.plan(*shots)
    studio.shoot(plan, studio.begin(plan))
    return plan


def beats(first: str, second: str) -> dict:
    """A shot whose clips 1 and 2 may have other prompts than the rest."""
    at = [{"at_frame": 8, "prompt": second}, {"at_frame": 12, "prompt": "the rest"}]
    return A | {"prompt": first, "beats": at}


def test_a_pinned_shot_stays_whatever_the_storyboard_says(studio: Tailed) -> None:
    before = rendered(studio, A)
    pinned = pin(studio.session, "a")["pins"]
    assert [(p["clip"], p["key"]) for p in pinned] == [(n, c.key) for n, c in enumerate(before.clips, 1)]
    after = studio.session.survey(studio.plan(A | BLUE))
    assert [c.key for c in after.plan.clips] == [c.key for c in before.clips]
    assert states(after) == [f"cached: pinned: take {n}" for n in (1, 2, 3, 4)]
    assert unpin(studio.session, "a")["pins"] == []
    assert states(studio.session.survey(studio.plan(A | BLUE)))[0].startswith("render: prompt changed")


def test_what_follows_a_pinned_clip_continues_it(studio: Tailed) -> None:
    before = rendered(studio, A)
    edited = beats(A["prompt"], "something else")
    pin(studio.session, "a/2")
    survey = studio.session.survey(studio.plan(edited))
    assert survey.plan.clips[1].key == before.clips[1].key
    assert survey.plan.clips[2].spec.previous == before.clips[1].key
    assert survey.plan.clips[3].spec.previous == survey.plan.clips[2].key
    assert states(survey)[:2] == ["cached: ", "cached: pinned: take 2"]
    (run,) = segments([survey.plan], set(survey.takes))
    assert run.after == before.clips[1].key  # a take that the production has
    assert before.clips[1].key in survey.takes


def test_a_pinned_clip_is_not_followed_by_one_that_cannot_continue_it(studio: Tailed) -> None:
    rendered(studio, A)
    pin(studio.session, "a/2")
    with pytest.raises(UsageError, match=r"a/3 would continue a clip with another sampler.*longtake pin a"):
        studio.session.survey(studio.plan(A | {"sampler": {"steps": 9}}))
    pin(studio.session, "a")
    assert not studio.session.survey(studio.plan(A | {"sampler": {"steps": 9}})).missing


def test_a_pin_that_does_not_fit_says_so(studio: Tailed) -> None:
    rendered(studio, A)
    pin(studio.session, "a/1")
    longer = A | {"clip_frames": 16, "frames": 24}
    with pytest.raises(UsageError, match=r"has 8 frames to show, and 16 are needed here; longtake unpin a/1"):
        studio.session.survey(studio.plan(longer))
    studio.plan(A)  # the storyboard as it was
    for place, take, said in (
        ("a/3", "99", "has no take '99'; its takes are 1, 2, 3, 4"),
        ("a", "2", "ends a chain of 2 clips"),
        ("b", "last", "no shot 'b'"),
    ):
        with pytest.raises(UsageError, match=said):
            pin(studio.session, place, take)
    with pytest.raises(UsageError, match="no clip of 'a/3' is pinned; pinned in f: a/1"):
        unpin(studio.session, "a/3")


def test_a_shot_is_pinned_to_the_chain_that_leads_to_a_take(studio: Tailed) -> None:
    first = rendered(studio, A)
    rendered(studio, A | BLUE)
    pin(studio.session, "a", "4")
    survey = studio.session.survey(studio.plan(A | BLUE))
    assert [c.key for c in survey.plan.clips] == [c.key for c in first.clips]
    pin(studio.session, "a/1", first.clips[0].key[:10])
    unpin(studio.session, "a")
    assert studio.ledger.pins("f") == []


def test_stale_clips_are_accepted_for_one_run(studio: Tailed) -> None:
    before = rendered(studio, A)
    plan = studio.plan(beats(A["prompt"], "something else"))
    accepted = studio.session.survey(plan, accept_stale=selection(("a/2",)).bound([plan]))
    assert states(accepted)[1] == "cached: stale, accepted: take 2"
    assert accepted.plan.clips[1].key == before.clips[1].key
    whole = studio.session.survey(plan, accept_stale=selection(("a",)).bound([plan]))
    assert not whole.missing
    assert [row.why for row in whole.slate_rows()][:2] == ["", "stale, accepted: take 2"]
    assert studio.session.survey(plan).missing  # the next run knows nothing of it


def test_what_follows_a_clip_that_left_the_same_tail_stays(studio: Tailed) -> None:
    studio.tails = {("a", 2): b"the same"}
    before = rendered(studio, beats("one", "two"))
    edited = studio.plan(beats("one", "changed"))
    survey = studio.session.survey(edited)
    assert [s.partition(":")[0] for s in states(survey)] == ["cached", "render", "render", "render"]
    assert survey.hinges == {edited.clips[1].key}
    assert [run.keys for run in segments([survey.plan], set(survey.takes), 8, survey.hinges)] == [
        (edited.clips[1].key,),
        (edited.clips[2].key, edited.clips[3].key),
    ]
    studio.ledger.finish_attempt(
        *studio.ledger.begin_attempts(studio.begin(edited), [edited.clips[1].key], "cpu", "local"),
        studio._take(edited.clips[1]),
    )
    after = studio.session.survey(edited)
    assert [c.key for c in after.plan.clips] == [
        before.clips[0].key, edited.clips[1].key, before.clips[2].key, before.clips[3].key,
    ]  # fmt: skip
    assert not after.missing
    assert studio.session.survey(edited) == after


def test_another_tail_cuts_nothing_off(studio: Tailed) -> None:
    rendered(studio, beats("one", "two"))
    edited = studio.plan(beats("one", "changed"))
    rendered(studio, beats("one", "changed"))
    survey = studio.session.survey(edited)
    assert [c.key for c in survey.plan.clips] == [c.key for c in edited.clips]


def test_a_clip_that_was_made_under_its_own_name_is_not_renamed(studio: Tailed) -> None:
    """Both clips were rendered in one group: the tail's twin must not make the second one missing again."""
    studio.tails = {("a", n): b"the same" for n in (1, 2, 3, 4)}
    rendered(studio, A)
    edited = studio.plan(A | BLUE)
    production = studio.begin(edited)
    for clip in edited.clips:
        studio.ledger.finish_attempt(
            *studio.ledger.begin_attempts(production, [clip.key], "cpu", "local"), studio._take(clip)
        )
    survey = studio.session.survey(edited)
    assert (survey.missing, survey.plan) == ((), edited)


def test_hinges_stand_only_where_the_rest_could_stay(studio: Tailed) -> None:
    plan = rendered(studio, beats("one", "two"))
    keys = [clip.key for clip in plan.clips]
    assert hinges(plan, keys, studio.ledger) == frozenset()  # nothing changed: nothing could be under another name
    edited = studio.plan(A | BLUE)
    assert hinges(edited, [clip.key for clip in edited.clips], studio.ledger) == frozenset()  # all of it changed


def test_why_shows_the_whole_difference_from_the_nearest_take(studio: Tailed, capsys) -> None:
    long = "a red boat moving left over the sea by day and " + "on and on " * 20
    rendered(studio, A | {"prompt": long})
    rendered(studio, A | {"sampler": {"steps": 9}})  # newer, but farther from what is planned now
    studio.plan(A | {"prompt": long, "negative_prompt": "snow"})
    document = why(studio.session, ["a/1..a/2"])
    first, second = document["clips"]
    assert (first["cause"], first["against"]["take"]) == ("stale", 1)
    assert first["against"]["changes"] == ['negative prompt changed: "" -> "snow"']
    assert second["against"]["changes"] == [
        'negative prompt changed: "" -> "snow"',
        'clip 1 of this chain: negative prompt changed: "" -> "snow"',
    ]
    show_why(document)
    assert "against take 1" in capsys.readouterr().out


def test_why_of_clips_that_are_as_they_were_or_never_were(studio: Tailed, capsys) -> None:
    rendered(studio, A)
    studio.plan(A, shot("b", frames=8))
    show_why(why(studio.session, ["a/2", "b"]))
    shown = capsys.readouterr().out
    assert "a/2: in the store: as it was rendered" in shown
    assert "b/1: to be rendered: new" in shown
    assert "no take has ever stood here" in shown


def test_why_needs_to_know_the_film(film_studio: Studio) -> None:
    with pytest.raises(UsageError, match="nothing has been rendered here yet; name the storyboard"):
        why(film_studio.session, ["a"])
    path = film_studio.plan(A).storyboard
    assert why(film_studio.session, [f"{path}:a/1"])["clips"][0]["cause"] == "new"
    rendered(film_studio, A)
    path.unlink()
    with pytest.raises(UsageError, match="is no longer at"):
        why(film_studio.session, ["a"])


def test_why_says_what_the_storyboard_would_make_of_a_pinned_clip(studio: Tailed, capsys) -> None:
    rendered(studio, A)
    pin(studio.session, "a")
    show_why(why(studio.session, ["a/1"]))
    assert "the storyboard would" not in capsys.readouterr().out
    studio.plan(A | BLUE)
    show_why(why(studio.session, ["a/1"]))
    shown = capsys.readouterr().out
    assert "in the store: pinned: take 1" in shown
    assert 'the storyboard would make another clip of it:\n    prompt changed: "a red boat' in shown
    assert '-> "a blue boat"' in shown
    show_pins(unpin(studio.session, "a/3"))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "f:a/3 follows the storyboard again"
    assert shown[1:] == [f"f:a/{n} is pinned to take {n}" for n in (1, 2, 4)]
