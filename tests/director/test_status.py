"""What status says is going on, what holds a film, and the command it gives to go on."""

import shlex
import socket
from pathlib import Path

import pytest

from director.errors import UsageError
from director.finish import Finish
from director.pins import pin
from director.places import Places, places
from director.session import Session
from director.status import show_status, status_of
from tests.director.conftest import shot
from tests.director.studio import Studio

LOG = "2026-11-21 07:00:00,000 longtake.camera DEBUG job failed\nTraceback\nBadFootage: nan"
A, B = shot("a", frames=8), shot("b", frames=8, prompt="a yellow moon")


@pytest.fixture(autouse=True)
def no_places_of_the_machine(monkeypatch, tmp_path: Path) -> None:
    for name in ("LONGTAKE_DIR", "LONGTAKE_FILMS", "LONGTAKE_DB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def of(studio: Studio) -> dict:
    (film,) = status_of(studio.session, [])["films"]
    return film


def held(film: dict) -> dict[str, str | None]:
    return {shot["shot"]: shot["held"] for shot in film["shots"]}


def test_only_holds_of_clips_that_are_still_wanted_are_shown(film_studio: Studio) -> None:
    plan = film_studio.plan(A, B)
    film_studio.begin(plan)
    film_studio.ledger.hold("f", "a", plan.clips[0].key, "BadFootage: nan", "d")
    film_studio.ledger.hold("f", "b", "0" * 64, "of another version of the storyboard", "d")
    film = of(film_studio)
    assert held(film) == {"a": "BadFootage: nan", "b": None}
    assert "--retry-held" in film["next"]
    film_studio.render(plan)  # mended in another way: the hold is still there, and holds nothing
    film = of(film_studio)
    assert held(film) == {"a": None, "b": None}
    assert (film["state"], film["next"]) == ("done", "")


def test_the_command_to_go_on_can_be_pasted(film_studio: Studio) -> None:
    plan = film_studio.plan(A, name="my film's board.json")
    film_studio.begin(plan)
    words = shlex.split(of(film_studio)["next"])
    assert words == [
        "longtake", "render", str(plan.storyboard),
        "--data", str(film_studio.places.data),
    ]  # fmt: skip


def test_usual_places_need_no_options() -> None:
    assert places().options() == ""
    assert places(films=Path("films").absolute()).options() == ""
    assert places(Path("a b"), Path("out")).options() == " --data 'a b' --films out"


def test_the_folder_of_the_last_film_is_named(film_studio: Studio) -> None:
    where = Places(film_studio.places.data, film_studio.folder / "elsewhere")
    film_studio.places = where
    film_studio.render(film_studio.plan(A))
    film_studio.begin(film_studio.plan(B))
    session = Session(Places(where.data, Path("films")), film_studio.ledger, film_studio.files)
    (film,) = status_of(session, [])["films"]
    assert shlex.split(film["next"])[-2:] == ["--films", str(where.films)]


def test_a_password_is_never_shown() -> None:
    db = "postgresql://someone:sesame@127.0.0.1:1/longtake"
    where = places(db=db)
    assert "sesame" not in where.options() + where.reminder + where.ledger_shown
    assert "--db" not in where.options()
    assert "LONGTAKE_DB_URL" in where.reminder
    with pytest.raises(UsageError, match=r"127\.0\.0\.1") as told:
        status_of(Session(where, None, None), ["harbour"])
    assert "sesame" not in str(told.value)
    open_to_all = places(db="postgresql://someone@db/longtake")
    assert open_to_all.options() == " --db postgresql://someone@db/longtake"
    assert open_to_all.reminder == ""


def test_brackets_in_a_title_are_shown_as_they_are(film_studio: Studio, capsys) -> None:
    film_studio.begin(film_studio.plan(A, film={"title": "Small [/b] [red] :smile: x"}))
    show_status(status_of(film_studio.session, []))
    assert "Small [/b] [red] :smile: x" in capsys.readouterr().out


def test_a_hold_comes_with_the_command_that_shows_it_fail(film_studio: Studio, capsys) -> None:
    plan = film_studio.plan(A, B)
    made = film_studio.begin(plan)
    (attempt,) = film_studio.ledger.begin_attempts(made, [plan.clips[1].key], "cpu", "camera-1")
    trace = 'Traceback\n  File "a.py", line 1, in a\n  File "b.py", line 2, in b\nBadFootage: nan\n'
    digest = film_studio.ledger.fail_attempt(attempt, "BadFootage", "nan", trace, LOG)
    film_studio.ledger.hold("f", "b", plan.clips[1].key, "BadFootage: nan; to see it fail: longtake there", digest)
    document = status_of(film_studio.session, [])
    shots = {shot["shot"]: shot for shot in document["films"][0]["shots"]}
    words = shlex.split(shots["b"]["reproduce"])
    assert words[:6] == ["longtake", "-v", "render", "--retry-held", "--shot", "b/1"]
    assert shots["a"]["reproduce"] is None
    assert shots["b"]["held"] == "BadFootage: nan"
    (failed,) = shots["b"]["failed"]
    assert (failed["trace"], failed["log_tail"], failed["where"][:12]) == (trace, LOG, "camera-1 on ")
    show_status(document)
    shown = capsys.readouterr().out
    assert "clip 1 failed once, last on camera-1" in shown
    assert "to see it fail here: longtake -v render --retry-held" in shown
    assert 'in File "b.py", line 2, in b\n' in shown
    assert f"last logged: {LOG.splitlines()[0]}\n" in shown
    assert "its trace and log: longtake status f --json" in shown


def test_a_hold_of_a_run_elsewhere_names_the_machine_that_has_its_storyboard(film_studio: Studio, capsys) -> None:
    ledger = film_studio.ledger
    plan = film_studio.plan(A)
    ledger.add_run("f-1", f"sha256-{'c' * 64}.zip", ["f"], {}, "job-1", "http://head:8265")
    ledger.run_begins("f-1", 1)
    ledger.run = "f-1"
    made = film_studio.begin(plan)
    (attempt,) = ledger.begin_attempts(made, [plan.clips[0].key], "cpu", "camera-1")
    digest = ledger.fail_attempt(attempt, "BadFootage", "nan", "the trace", "the log")
    ledger.hold("f", "a", plan.clips[0].key, "BadFootage: nan", digest)
    show_status(status_of(film_studio.session, []))
    assert "to see it fail here: longtake" in capsys.readouterr().out
    plan.storyboard.unlink()
    show_status(status_of(film_studio.session, []))
    assert f"to see it fail on {socket.gethostname()}, where its driver ran: longtake" in capsys.readouterr().out


def test_nodes_that_are_set_aside_are_named(film_studio: Studio, capsys) -> None:
    film_studio.begin(film_studio.plan(A))
    film_studio.ledger.set_aside("far", "three failures")
    document = status_of(film_studio.session, [])
    assert document["aside"] == {"far": "three failures"}
    show_status(document)
    assert "node far is set aside and gets no work: three failures" in capsys.readouterr().out


def test_each_file_and_shot_stands_once_and_a_pin_with_its_take(film_studio: Studio, capsys) -> None:
    plan = film_studio.plan(A, B | {"takes": 2}, shot("c", frames=8))
    survey = film_studio.session.survey(plan)
    production = film_studio.ledger.start_production("f", "F", str(plan.storyboard), "", "", survey.slate_rows())
    takes = film_studio.shoot(plan, production)
    pin(film_studio.session, "c")
    finish = Finish(film_studio.ledger, film_studio.files, film_studio.places)
    finish(plan, production, takes)
    finish(film_studio.plan(A, B | {"takes": 2}, shot("c", frames=8), film={"fps": 9}), production, takes)
    film = of(film_studio)
    assert film["files"] == [str(film_studio.places.films / "f.mp4")]
    assert [shot["shot"] for shot in film["shots"]] == ["a", "b", "c"]
    show_status(status_of(film_studio.session, []))
    assert f"c/1 is pinned to take {takes[plan.clips[2].key].id}\n" in capsys.readouterr().out
    (film_studio.places.films / "f.mp4").unlink()
    show_status(status_of(film_studio.session, []))
    assert "f.mp4 is not there; the next render cuts it again" in capsys.readouterr().out
