"""Prints and finished films."""

from __future__ import annotations

from fractions import Fraction

import pytest

from storage.errors import NotRecorded
from storage.ledger import Ledger


def test_the_first_print_counts(ledger: Ledger) -> None:
    assert ledger.prints_of(["take"], "h264") == {}
    assert ledger.record_print("take", "h264", "first", 10) == "first"
    assert ledger.record_print("take", "h264", "second", 10) == "first"
    assert ledger.record_print("take", "prores", "third", 10) == "third"
    assert ledger.prints_of(["take"], "h264") == {"take": "first"}


def test_prints_of_thousands_of_takes_are_asked_for_together(ledger: Ledger) -> None:
    for number in range(0, 3000, 1000):
        ledger.record_print(f"take {number}", "h264", f"print {number}", 1)
    ledger.record_print("take 1", "prores", "print 1", 1)
    found = ledger.prints_of((f"take {n}" for n in range(3000)), "h264")
    assert found == {f"take {n}": f"print {n}" for n in (0, 1000, 2000)}


def test_a_finished_film_is_found_by_name(ledger: Ledger, production: int) -> None:
    rate = Fraction(24000, 1001)
    first = ledger.record_film(production, "films/harbour.mp4", "sha256:a", 99, rate, '{"cut": 1}', '{"lineage": 1}')
    second = ledger.record_film(production, "films/harbour-4k.mov", "sha256:b", 99, rate, "{}", "{}")
    assert ledger.film_versions("harbour") == [second, first]
    assert (first.film, first.production, first.frames, first.fps) == ("harbour", production, 99, rate)
    assert (first.path, first.cut_json, first.lineage_json) == ("films/harbour.mp4", '{"cut": 1}', '{"lineage": 1}')


def test_a_film_belongs_to_a_production(ledger: Ledger) -> None:
    with pytest.raises(NotRecorded, match="no production 5"):
        ledger.record_film(5, "x.mp4", "d", 1, Fraction(8), "{}", "{}")
