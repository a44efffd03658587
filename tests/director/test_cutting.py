"""A cut, which is a thread, asks the loop for the desk at which pictures are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import pytest

from cluster.desk import Desk, Here
from cluster.errors import ClusterUnreachable
from director.cutting import Cutting
from director.finish import Finish
from director.observer import Quiet
from director.underway import FilmUnderWay
from tests.director.conftest import shot
from tests.director.studio import Studio


@pytest.fixture
def film(film_studio: Studio) -> Iterator[FilmUnderWay]:
    """A film that lacks nothing but its cut."""
    plan = film_studio.plan(shot("a", frames=12))
    with film_studio.ledger.claim_film(plan.film) as lease:
        yield FilmUnderWay(plan, lease, plan, film_studio.begin(plan))


def cutting(studio: Studio, film: FilmUnderWay, desk) -> Cutting:
    cut = Finish(studio.ledger, studio.files, studio.places)
    found = Cutting(cut, Quiet(), studio.shoot(film.plan, film.production), desk)
    found.ready(film)
    return found


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(found: Cutting) -> BaseException | None:
    """Turn until the one film has ended; what went wrong."""
    over: list[BaseException | None] = []
    until(lambda: over.extend(error for _, error in found.turn()) or over)
    return over[0]


def test_the_loop_answers_and_only_when_there_is_something_to_do(film_studio: Studio, film: FilmUnderWay):
    asked = []

    def desk() -> Desk:
        asked.append(threading.current_thread())
        return Here(film_studio.files)

    found = cutting(film_studio, film, desk)
    assert ended(found) is None
    assert asked == [threading.main_thread()], "once, for film and sheets"
    film.cut = None
    found.ready(film)
    assert ended(found) is None
    assert len(asked) == 1, "all is up to date"
    found.close(wait=True)


def test_without_a_cluster_to_ask_the_film_fails_and_a_stop_waits_for_nobody(film_studio: Studio, film: FilmUnderWay):
    def gone() -> Desk:
        raise ClusterUnreachable("no Ray cluster answers")

    found = cutting(film_studio, film, gone)
    assert isinstance(ended(found), ClusterUnreachable)
    film.cut = None
    found.ready(film)
    list(found.turn())
    until(lambda: found._asked)
    found.close(wait=True)  # nobody turns any more
    assert film.cut is not None
    assert isinstance(film.cut.exception(), CancelledError)
