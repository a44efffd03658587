"""Productions, the places of clips in them, and held chains."""

from __future__ import annotations

import time

import pytest

from storage.errors import IllegalTransition, NotRecorded
from storage.ledger import Ledger
from storage.rows import SlateRow
from storage.states import ProductionState
from tests.storage.examples import key_of, slates_of, start_harbour, take_row


def test_a_production_is_remembered(ledger: Ledger) -> None:
    before = time.time()
    made = ledger.start_production(
        "harbour", "The harbour ⚓", "films/harbour.yaml", "sha256:9", '{"a": 1}', slates_of(2)
    )
    (shown,) = ledger.productions("harbour")
    assert (shown.id, shown.title, shown.storyboard_path) == (made, "The harbour ⚓", "films/harbour.yaml")
    assert (shown.state, shown.ended_at) == (ProductionState.RUNNING, None)
    assert before - 1 < shown.started_at < time.time() + 1
    assert ledger.plan_json(made) == '{"a": 1}'
    assert ledger.slates(made) == slates_of(2)
    ledger.end_production(made, ProductionState.PARTIAL, "2 clips failed")
    (shown,) = ledger.productions("harbour")
    assert (shown.state, shown.message) == (ProductionState.PARTIAL, "2 clips failed")
    assert shown.ended_at is not None
    assert shown.ended_at >= shown.started_at


def test_what_has_ended_does_not_end_again(ledger: Ledger, production: int) -> None:
    ledger.end_production(production, ProductionState.DONE)
    with pytest.raises(IllegalTransition, match=f"Production {production} is done and cannot become failed"):
        ledger.end_production(production, ProductionState.FAILED)


def test_what_was_never_started_is_not_recorded(ledger: Ledger) -> None:
    with pytest.raises(NotRecorded, match="no production 77"):
        ledger.end_production(77, ProductionState.DONE)
    with pytest.raises(NotRecorded, match="no production 77"):
        ledger.plan_json(77)
    assert ledger.film("harbour") is None
    assert ledger.films() == ledger.productions("harbour") == ledger.slates(77) == []
    assert ledger.latest_slates("harbour") == {}


def test_a_film_is_what_its_last_production_says(ledger: Ledger) -> None:
    start_harbour(ledger, slates_of(1))
    ledger.start_production("night", "Night", "n.yaml", "d", "{}", [])
    last = ledger.start_production("harbour", "Renamed", "h2.yaml", "d2", "{}", slates_of(2))
    film = ledger.film("harbour")
    assert film is not None
    assert (film.productions, film.last.id, film.last.title) == (2, last, "Renamed")
    assert [f.film for f in ledger.films()] == ["harbour", "night"]
    assert [p.id for p in ledger.productions("harbour")] == [last, 1]


def test_the_latest_slates_are_those_of_the_last_production(ledger: Ledger) -> None:
    start_harbour(ledger, slates_of(3))
    changed = [SlateRow("dawn", 1, key_of("new prompt"), '{"prompt": "new"}', "prompt changed"), slates_of(2)[1]]
    start_harbour(ledger, changed)
    assert ledger.latest_slates("harbour") == {
        ("dawn", 1): (key_of("new prompt"), '{"prompt": "new"}'),
        ("dawn", 2): (slates_of(2)[1].key, slates_of(2)[1].spec_json),
    }


def test_a_clip_is_known_by_its_key_however_often_it_is_planned(ledger: Ledger) -> None:
    shared = [SlateRow(shot, 1, key_of("same"), "{}") for shot in ("a", "b")]
    first = start_harbour(ledger, shared)
    second = start_harbour(ledger, shared)
    assert ledger.slates(first) == ledger.slates(second) == shared
    assert ledger.find_clips("") == [key_of("same")]


def test_text_that_a_database_would_refuse_is_kept_readable(ledger: Ledger, production: int) -> None:
    ledger.end_production(production, ProductionState.FAILED, "nul \x00, half a pair \ud800, boat ⛵")
    assert ledger.productions("harbour")[0].message == "nul \\x00, half a pair \\ud800, boat ⛵"


def test_a_held_chain_is_held_once_until_released(ledger: Ledger, production: int) -> None:
    for _ in range(2):
        ledger.hold("harbour", "dawn", "chain", "failed 3 times: no memory", "digest")
    ledger.hold("harbour", "noon", "chain 2", "another", "digest 2")
    ledger.hold("night", "dawn", "chain 3", "another", "digest 3")
    assert [(h.shot, h.reason) for h in ledger.holds("harbour")] == [
        ("dawn", "failed 3 times: no memory"),
        ("noon", "another"),
    ]
    assert [h.chain_key for h in ledger.release_holds("harbour", "dawn")] == ["chain"]
    assert [h.chain_key for h in ledger.holds()] == ["chain 2", "chain 3"]
    ledger.hold("harbour", "dawn", "chain", "again", "digest")
    assert [h.reason for h in ledger.holds("harbour", "dawn")] == ["again"]
    assert len(ledger.release_holds()) == 3
    assert ledger.holds() == []


def test_releasing_forgives_the_failures_of_that_shot_only(ledger: Ledger) -> None:
    dawn, noon = slates_of(1, "dawn"), slates_of(1, "noon")
    production = start_harbour(ledger, dawn + noon)
    keys = [dawn[0].key, noon[0].key]
    for attempt in ledger.begin_attempts(production, keys, "cpu", "w"):
        ledger.fail_attempt(attempt, "ValueError", "no")
    assert set(ledger.failures(keys)) == set(keys)
    ledger.release_holds("another film")
    assert set(ledger.failures(keys)) == set(keys)
    ledger.release_holds("harbour", "dawn")
    assert set(ledger.failures(keys)) == {noon[0].key}


def test_ten_thousand_clips_are_planned_begun_and_asked_for_together(ledger: Ledger) -> None:
    rows = slates_of(10_000)
    production = start_harbour(ledger, rows)
    start_harbour(ledger, rows)
    keys = [row.key for row in rows]
    attempts = ledger.begin_attempts(production, keys[:2000], "cpu", "w")
    assert list(ledger.attempts_of(keys)) == keys[:2000]
    assert attempts == sorted(attempts)
    for number in (0, 999, 1999):
        ledger.finish_attempt(attempts[number], take_row(keys[number]))
    assert list(ledger.takes(keys)) == [keys[0], keys[999], keys[1999]]
    assert len(ledger.latest_slates("harbour")) == len(rows)
    assert ledger.failures(keys) == {}


def test_more_clips_may_be_asked_for_than_a_statement_takes_parameters(ledger: Ledger, production: int) -> None:
    most = 250_000 if "://" not in ledger.url_shown else 65_535
    assert ledger.failures(str(n) for n in range(most + 10)) == {}
