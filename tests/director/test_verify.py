"""What verify says of files that are whole, altered, gone, or out of reach, and what it leaves of them."""

import json
import os
from pathlib import Path

import pytest

from director.lineage import sidecar_of
from director.verify import verify_all
from storage.owner import Owner
from tests.director.conftest import shot
from tests.director.studio import Studio, damage


@pytest.fixture
def finished(film_studio: Studio) -> Studio:
    film_studio.render(film_studio.plan(shot("a", frames=8)))
    return film_studio


def states(studio: Studio) -> list[tuple[str, str]]:
    """(path, state) of each problem."""
    found = verify_all(studio.session)
    assert found["ok"] == (not found["problems"])
    return [(problem["path"], problem["state"]) for problem in found["problems"]]


def video(studio: Studio) -> Path:
    (take,) = studio.ledger.takes(studio.ledger.find_clips("")).values()
    return studio.files.path(take.video)


def test_a_whole_store_has_no_problems(finished: Studio) -> None:
    assert states(finished) == []
    assert verify_all(finished.session)["checked"] == 5  # video, latents, tail, print, film


def test_a_damaged_take_is_set_aside_and_leaves_the_ledger(finished: Studio) -> None:
    path = video(finished)
    damage(path)
    altered = path.read_bytes()
    assert states(finished) == [(str(path), "damaged")]
    assert not path.exists()
    assert (finished.files.root / "damaged" / path.name).read_bytes() == altered
    assert finished.ledger.takes(finished.ledger.find_clips("")) == {}
    assert states(finished) == []


def test_a_damaged_file_that_nothing_needs_is_set_aside_and_no_problem(finished: Studio) -> None:
    path = finished.files.path(finished.files.put_bytes(b"made again since", ".mkv"))
    damage(path)
    found = verify_all(finished.session)
    assert (found["ok"], found["problems"]) == (True, [])
    assert [(left["path"], left["state"]) for left in found["leftovers"]] == [(str(path), "damaged")]
    assert not path.exists()
    assert verify_all(finished.session)["leftovers"] == []


def test_a_missing_take_leaves_the_ledger(finished: Studio) -> None:
    path = video(finished)
    path.unlink()
    assert states(finished) == [(str(path), "missing")]
    assert finished.ledger.takes(finished.ledger.find_clips("")) == {}


def test_a_take_that_cannot_be_read_is_left_alone(finished: Studio) -> None:
    """A folder in its place fails to be read for everybody, root too."""
    path = video(finished)
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()
    assert states(finished) == [(str(path), "unreadable")]
    assert len(finished.ledger.takes(finished.ledger.find_clips(""))) == 1
    path.rmdir()
    path.write_bytes(whole)
    assert states(finished) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_folder_that_may_not_be_entered_loses_nothing(finished: Studio) -> None:
    folder = video(finished).parent
    folder.chmod(0)
    try:
        assert {state for _, state in states(finished)} == {"unreadable"}
    finally:
        folder.chmod(0o755)
    assert states(finished) == []


def test_a_damaged_film_is_set_aside(finished: Studio) -> None:
    film = finished.places.films / "f.mp4"
    damage(film)
    assert states(finished) == [(str(film), "damaged")]
    assert not film.exists()
    assert film.with_name("f.mp4.damaged").is_file()


def test_a_new_film_that_the_ledger_has_not_heard_of_is_whole(finished: Studio) -> None:
    """As after `kill -9` between the film's appearance and the ledger's word of it: only the sidecar knows."""
    import hashlib

    film = finished.places.films / "f.mp4"
    film.write_bytes(b"another cut")
    sidecar = sidecar_of(film)
    told = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(told | {"sha256": hashlib.sha256(b"another cut").hexdigest()}))
    assert states(finished) == []
    assert film.read_bytes() == b"another cut"


def test_a_film_that_is_being_rendered_is_not_touched(finished: Studio) -> None:
    film = finished.places.films / "f.mp4"
    damage(film)
    with finished.ledger.claim_film("f"):
        assert states(finished) == []
    assert film.is_file()
    here = Owner.here()
    finished.ledger.claim_film("f", Owner(here.host, here.machine, 2**22 + 1, 1))  # no process has this number
    assert states(finished) == [(str(film), "damaged")]
