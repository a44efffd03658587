"""How a film enters a production: what the ledger is told of it, and what has to be rendered."""

from __future__ import annotations

from storage.ledger import Ledger
from storage.states import ProductionState

from .survey import Survey
from .underway import FilmUnderWay

STAYED = "goes on as the next production: a clip left the tail that was there before, so what follows it stays"
NOT_SELECTED = "some of its clips were not selected"


def enter(ledger: Ledger, film: FilmUnderWay, found: Survey) -> None:
    """Fill in a claimed film from its survey, and write it down unless the ledger has this very production, done."""
    film.plan = found.plan
    last = ledger.film(film.plan.film) if found.as_before and not found.missing else None
    before = (last.last.storyboard_digest, last.last.state) if last else None
    if last and before == (film.plan.storyboard_digest, ProductionState.DONE):
        film.production, film.recorded = last.last.id, True  # nothing new to write down
    else:
        record(ledger, film, found)
    for key, what in found.damaged.items():
        ledger.drop_take(key, what)
    film.missing = {clip.key for clip in found.missing}
    film.left, film.hinges = found.left, found.hinges
    film.cached = sum(clip.key not in film.missing for clip in film.plan.everything)
    for shot in dict.fromkeys(clip.slate.shot for clip in found.missing if clip.key in found.left):
        film.lost[shot] = NOT_SELECTED


def cut_off(ledger: Ledger, film: FilmUnderWay, found: Survey) -> bool:
    """A film goes on by another plan, when clips need no rendering after all; False when nothing has changed."""
    if found.plan == film.plan:
        return False
    ledger.end_production(film.production, ProductionState.INTERRUPTED, STAYED)
    before = film.missing
    film.plan = found.plan
    film.missing = {clip.key for clip in found.missing}
    film.left, film.hinges = found.left, found.hinges
    film.cached += len(before) - len(film.missing)
    record(ledger, film, found)
    return True


def record(ledger: Ledger, film: FilmUnderWay, found: Survey) -> None:
    """Begin a production in the ledger."""
    plan, rows = found.plan, found.slate_rows()
    where, digest, text = str(plan.storyboard), plan.storyboard_digest, plan.to_json()
    film.production = ledger.start_production(plan.film, plan.title, where, digest, text, rows, film.lease)
    film.recorded = False
