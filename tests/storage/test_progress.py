"""What is said of films under way, and what displays ask of them."""

from __future__ import annotations

from storage.ledger import Ledger
from storage.owner import Owner
from tests.storage.examples import key_of, slates_of, start_harbour, take_row

KEYS = [row.key for row in slates_of(3)]


def test_only_the_last_word_is_kept(ledger: Ledger) -> None:
    assert ledger.reports(["harbour"]) == {}
    ledger.report({"harbour": "1", "night": "l'été"})
    ledger.report({"harbour": "2"})
    found = ledger.reports(["harbour", "night", "none"])
    assert {film: report.text for film, report in found.items()} == {"harbour": "2", "night": "l'été"}
    assert all(0 <= report.age < 60 for report in found.values())


def test_missing_clips_are_those_without_an_accepted_take(ledger: Ledger, production: int) -> None:
    assert ledger.missing(production) == set(KEYS)
    first, second = ledger.begin_attempts(production, KEYS[:2], "cpu", "local")
    ledger.finish_attempt(first, take_row(KEYS[0]))
    ledger.finish_attempt(second, take_row(KEYS[1]))
    assert ledger.missing(production) == {KEYS[2]}
    assert ledger.newest_take(production).key == KEYS[1]
    ledger.drop_take(KEYS[1], "altered")
    assert ledger.missing(production) == set(KEYS[1:])
    assert ledger.newest_take(production).key == KEYS[0]


def test_clips_rendered_together_are_one_spell(ledger: Ledger, production: int) -> None:
    assert (ledger.spells(production), ledger.newest_take(production)) == ([], None)
    first, second = ledger.begin_attempts(production, KEYS[:2], "cuda:0", "camera-1", Owner("far", "", 7, 0))
    (spell,) = ledger.spells(production)
    assert (spell.worker, spell.host, spell.device, spell.running) == ("camera-1", "far", "cuda:0", True)
    ledger.finish_attempt(first, take_row(KEYS[0]))
    assert ledger.spells(production)[0].running
    ledger.fail_attempt(second, "BadFootage", "nan")
    (spell,) = ledger.spells(production)
    assert (spell.running, spell.ended >= spell.began) == (False, True)


def test_nobody_knows_how_long_a_lost_process_worked(ledger: Ledger) -> None:
    lease = ledger.claim_film("harbour", Owner("far", "", 7, 0), ttl=0)
    production = start_harbour(ledger, slates_of(1), lease=lease)
    ledger.begin_attempts(production, [key_of(("dawn", 1))], "cpu", "local", lease.owner)
    ledger.claim_film("harbour").release()
    assert ledger.spells(production) == []
