"""Pins, picks, rejections and retakes; takes by their places."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.errors import NotRecorded
from storage.ledger import Ledger
from storage.rows import SlateRow
from storage.states import TakeState, Verdict
from tests.storage.examples import key_of, slates_of, start_harbour, take_row

KEYS = [row.key for row in slates_of(3)]


def render(ledger: Ledger, production: int, key: str, **made: object) -> int:
    (attempt,) = ledger.begin_attempts(production, [key], "cpu", "w")
    return ledger.finish_attempt(attempt, take_row(key, **made)).id


def test_a_pin_holds_until_it_is_taken_away_and_is_remembered_then(ledger: Ledger, production: int) -> None:
    first = ledger.pin("harbour", "dawn", {2: KEYS[1], 1: KEYS[0]}, "the gull is right")
    assert [(p.clip, p.key, p.note, p.removed_at) for p in first] == [
        (1, KEYS[0], "the gull is right", None),
        (2, KEYS[1], "the gull is right", None),
    ]
    assert ledger.pins("harbour") == ledger.pins() == first
    (moved,) = ledger.pin("harbour", "dawn", {1: KEYS[2]})
    assert [(p.clip, p.key) for p in ledger.pins("harbour")] == [(2, KEYS[1]), (1, KEYS[2])]
    ledger.pin("night", "dawn", {1: KEYS[0]})
    assert [p.key for p in ledger.unpin("harbour", "dawn", clip=1)] == [KEYS[2]]
    assert [p.clip for p in ledger.unpin("harbour", "dawn")] == [2]
    assert ledger.unpin("harbour", "dawn") == []
    assert [p.film for p in ledger.pins()] == ["night"]
    history = ledger.pins("harbour", history=True)
    assert [p.id for p in history] == [*(p.id for p in first), moved.id]
    assert all(p.removed_at is not None and p.removed_at >= p.created_at for p in history)


def test_one_take_of_a_place_is_picked_and_any_number_rejected(ledger: Ledger, production: int) -> None:
    (first,) = ledger.judge("harbour", "dawn", {1: KEYS[0]}, Verdict.PICKED, "calm")
    ledger.judge("harbour", "dawn", {1: KEYS[1]}, Verdict.REJECTED)
    ledger.judge("harbour", "dawn", {1: KEYS[2]}, Verdict.PICKED)
    ledger.judge("harbour", "dawn", {2: KEYS[0]}, Verdict.PICKED)
    now = [(v.clip, v.key, v.verdict) for v in ledger.verdicts("harbour")]
    assert now == [
        (1, KEYS[1], Verdict.REJECTED),
        (1, KEYS[2], Verdict.PICKED),
        (2, KEYS[0], Verdict.PICKED),
    ]
    ledger.judge("harbour", "dawn", {1: KEYS[1]}, Verdict.NONE, "not so bad")
    assert [(v.clip, v.key) for v in ledger.verdicts()] == [(1, KEYS[2]), (2, KEYS[0])]
    history = ledger.verdicts("harbour", history=True)
    assert [(v.verdict, v.note, v.replaced_at is None) for v in history] == [
        (Verdict.PICKED, "calm", False),
        (Verdict.REJECTED, "", False),
        (Verdict.PICKED, "", True),
        (Verdict.PICKED, "", True),
        (Verdict.NONE, "not so bad", True),
    ]
    assert history[0].id == first.id


def test_what_was_never_planned_is_neither_pinned_nor_judged(ledger: Ledger, production: int) -> None:
    with pytest.raises(NotRecorded, match="no clip feed"):
        ledger.pin("harbour", "dawn", {1: KEYS[0], 2: "feed"})
    with pytest.raises(NotRecorded, match="no clip feed"):
        ledger.judge("harbour", "dawn", {1: "feed"}, Verdict.PICKED)
    assert ledger.pins() == ledger.verdicts() == []


def test_retakes_are_numbered_after_what_there_is(ledger: Ledger) -> None:
    huge = 2**64 + 1
    assert ledger.add_retake("harbour", "dawn", huge, note="more wind").take == 2
    assert ledger.add_retake("harbour", "dawn", 8, after=4).take == 5
    assert ledger.add_retake("harbour", "dawn", 9).take == 6
    ledger.add_retake("harbour", "cove", 1)
    found = [(r.shot, r.take, r.seed, r.note) for r in ledger.retakes("harbour")]
    assert found == [("cove", 2, 1, ""), ("dawn", 2, huge, "more wind"), ("dawn", 5, 8, ""), ("dawn", 6, 9, "")]
    assert [r.take for r in ledger.retakes("harbour", "dawn")] == [2, 5, 6]
    assert ledger.retakes("night") == []


def test_retakes_asked_for_at_once_get_numbers_of_their_own(ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda seed: ledger.add_retake("harbour", "dawn", seed), range(12)))
    assert sorted(r.take for r in made) == list(range(2, 14))


class TestPlaces:
    def test_all_takes_of_a_place_come_the_newest_first(self, ledger: Ledger) -> None:
        first = start_harbour(ledger, slates_of(2))
        changed = SlateRow("dawn", 1, key_of("blue boat"), '{"prompt": "blue boat"}', "prompt changed")
        second = start_harbour(ledger, [changed, slates_of(2)[1]])
        other_seed = SlateRow("dawn", 1, key_of("seed"), '{"seed": 2}', take=2)
        third = start_harbour(ledger, [changed, other_seed, slates_of(2)[1]])
        old, new = render(ledger, first, KEYS[0]), render(ledger, second, changed.key)
        retaken = render(ledger, third, other_seed.key)
        here = ledger.takes_at("harbour", "dawn")
        assert list(here) == [1]
        assert [placed.take.id for placed in here[1]] == [retaken, new, old]
        assert here[1][1].spec_json == '{"prompt": "blue boat"}'
        assert here[1][1].take == ledger.take(changed.key)
        assert ledger.takes_at("harbour", "dawn", 2) == ledger.takes_at("harbour", "noon") == {}

    def test_the_nearest_take_is_the_newest_that_stood_there(self, ledger: Ledger) -> None:
        first = start_harbour(ledger, slates_of(3) + slates_of(1, "noon"))
        render(ledger, first, KEYS[0])
        noon = render(ledger, first, slates_of(1, "noon")[0].key)
        last = start_harbour(ledger, [SlateRow("dawn", 1, key_of("new"), '{"new": 1}')])
        newest = render(ledger, last, key_of("new"))
        start_harbour(ledger, [SlateRow("dawn", 1, key_of("newer, not rendered"), "{}")])
        places = [("dawn", 1), ("dawn", 2), ("noon", 1), ("night", 1)]
        found = ledger.nearest_takes("harbour", places)
        assert {place: (take.id, spec) for place, (take, spec) in found.items()} == {
            ("dawn", 1): (newest, '{"new": 1}'),
            ("noon", 1): (noon, slates_of(1, "noon")[0].spec_json),
        }
        ledger.drop_take(key_of("new"), "altered")
        assert ledger.nearest_takes("harbour", places)["dawn", 1][0].key == KEYS[0]
        assert ledger.nearest_takes("night", places) == {}

    def test_clips_that_end_alike_know_each_other(self, ledger: Ledger, production: int) -> None:
        render(ledger, production, KEYS[0], tail="sha256-a")
        render(ledger, production, KEYS[1], tail="sha256-a")
        render(ledger, production, KEYS[2], tail=None)
        assert ledger.same_tails([*KEYS, "feed"]) == {KEYS[0]: [KEYS[1]], KEYS[1]: [KEYS[0]]}
        ledger.drop_take(KEYS[1], "altered")
        assert ledger.same_tails(KEYS) == {KEYS[0]: [KEYS[1]]}, "its tail was the same all the same"

    def test_a_take_is_found_by_its_number_also_when_it_is_served_no_more(
        self, ledger: Ledger, production: int
    ) -> None:
        id = render(ledger, production, KEYS[0])
        assert ledger.take_by_id(id) == (ledger.take(KEYS[0]), TakeState.ACCEPTED)
        ledger.drop_take(KEYS[0], "altered")
        found = ledger.take_by_id(id)
        assert found is not None
        assert (found[0].key, found[1]) == (KEYS[0], TakeState.DAMAGED)
        assert ledger.take_by_id(99) is None
