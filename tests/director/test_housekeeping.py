"""Making room, moving and carrying, as the commands do it; and what keeps a file from being swept."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from director.errors import UsageError
from director.finish import Finish
from director.housekeeping import bring, export, make_room, move, show_carried, show_moved, show_room
from director.lineage import sidecar_of
from director.pins import pin, unpin
from director.places import Places
from director.session import look
from director.verify import verify_all
from tests.commandline import decoded
from tests.director.conftest import shot
from tests.director.studio import Studio, damage

A = shot("a", frames=12)


@pytest.fixture
def studio(film_studio: Studio, monkeypatch) -> Studio:
    for name in ("LONGTAKE_DIR", "LONGTAKE_FILMS", "LONGTAKE_DB_URL", "LONGTAKE_STORE"):
        monkeypatch.delenv(name, raising=False)
    return film_studio


def edited(studio: Studio) -> dict:
    """A film that was edited and rendered again: its first takes stand nowhere."""
    studio.render(studio.plan(A))
    studio.render(studio.plan(A | {"prompt": "a blue boat"}))
    return make_room(studio.session, False, [], 0)


def test_gc_is_dry_until_it_is_told(studio: Studio, capsys) -> None:
    found = edited(studio)
    assert [take["take"] for take in found["takes"]] == [1, 2]
    assert [take["of"] for take in found["takes"]] == ["f:a/1", "f:a/2"]
    before = set(studio.files.ids())
    show_room(found)
    assert "longtake gc --yes removes them" in capsys.readouterr().out
    assert set(studio.files.ids()) == before
    gone = make_room(studio.session, True, [], 0)
    assert (gone["removed"], gone["bytes"]) == (True, found["bytes"])
    assert len(set(studio.files.ids())) == len(before) - gone["files"]
    assert verify_all(studio.session)["ok"]
    assert not studio.survey(studio.plan(A | {"prompt": "a blue boat"})).missing
    assert make_room(studio.session, False, [], 0)["files"] == 0


def test_gc_leaves_what_is_pinned_and_what_is_young(studio: Studio) -> None:
    edited(studio)
    assert make_room(studio.session, False, [], 1)["takes"] == []  # a day
    pin(studio.session, "a/1", "1")
    assert [take["take"] for take in make_room(studio.session, False, [], 0)["takes"]] == [2]
    unpin(studio.session, "a")
    assert [take["take"] for take in make_room(studio.session, False, [], 0)["takes"]] == [1, 2]


def test_a_film_can_be_forgotten_but_not_one_that_is_unknown_or_rendered(studio: Studio) -> None:
    edited(studio)
    with pytest.raises(UsageError, match="recorded films: f"):
        make_room(studio.session, True, ["g"], 0)
    with studio.ledger.claim_film("f"), pytest.raises(UsageError, match="being rendered"):
        make_room(studio.session, True, ["f"], 0)
    assert len(make_room(studio.session, False, ["f"], 0)["takes"]) == 4


def test_files_move_to_another_store_and_everything_goes_on_from_there(studio: Studio, tmp_path: Path, capsys) -> None:
    plan = studio.plan(A)
    studio.render(plan)
    count = len(set(studio.files.ids()))
    found = move(studio.session, str(tmp_path / "elsewhere"), True, lambda done, of: None)
    show_moved(found)
    assert "the store is" in capsys.readouterr().out
    assert (found["whole"], found["copied"], found["removed"]) == (True, count, count)
    assert list(studio.files.ids()) == []
    with look(studio.places) as session:
        assert session.files is not None
        assert session.files.root == tmp_path / "elsewhere"
        assert not session.survey(plan).missing
        assert verify_all(session)["ok"]
        with pytest.raises(UsageError, match="already"):
            move(session, str(tmp_path / "elsewhere"), False, lambda done, of: None)
        show_moved(move(session, str(tmp_path / "third"), False, lambda done, of: None))
        assert f"the copies in {tmp_path / 'elsewhere'} are used no more" in capsys.readouterr().out


def test_a_store_that_lacks_something_is_not_moved_to(studio: Studio, tmp_path: Path) -> None:
    studio.render(studio.plan(A))
    damage(studio.files.path(next(iter(studio.files.ids()))))
    with look(studio.places) as session:
        found = move(session, str(tmp_path / "elsewhere"), True, lambda done, of: None)
    assert (found["whole"], len(found["missing"]), found["removed"]) == (False, 1, 0)
    assert not studio.places.moved.exists()


def test_a_store_behind_a_url(studio: Studio, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    plan = studio.plan(A)
    studio.render(plan)
    move(studio.session, "memory://longtake-test", False, lambda done, of: None)
    with look(studio.places) as session:
        assert not session.survey(plan).missing
        assert verify_all(session)["ok"]


def test_a_film_is_carried_to_another_machine_and_goes_on_there(studio: Studio, tmp_path: Path, sound, capsys) -> None:
    board = A | {"audio": [{"file": "audio/harbour.wav"}]}
    plan = studio.plan(board)
    (film, *_) = studio.render(plan)
    folder = tmp_path / "carried"
    show_carried(export(studio.session, "f", folder))
    assert (folder / "storyboard/film.json").is_file()
    assert (folder / "storyboard/audio/harbour.wav").is_file()
    there = Places(tmp_path / "there", tmp_path / "films-there")
    with look(there, create=True) as session:
        found = bring(session, folder)
        show_carried(found)
        (again,) = session.plans([found["storyboard"]])
        takes = session.survey(again).takes
        assert len(takes) == len(again.clips)
        assert session.ledger is not None
        assert session.files is not None
        last = session.ledger.film("f")
        assert last is not None
        finish = Finish(session.ledger, session.files, there)
        finish.check(again)
        (cut, *_) = finish(again, last.last.id, takes)
        assert cut == str(there.films / "f.mp4")
        assert decoded(Path(cut)) == decoded(Path(film))
        assert [stream.type for stream in av.open(cut).streams] == ["video", "audio"]
        assert verify_all(session)["ok"]
    assert "longtake render" in capsys.readouterr().out
    with pytest.raises(UsageError, match="recorded films: f"):
        export(studio.session, "nothing", tmp_path / "x")


def test_repair_writes_sidecars_again_and_mends_what_a_copy_is_left_of(
    studio: Studio, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    studio.render(studio.plan(A))
    sidecar = sidecar_of(studio.places.films / "f.mp4")
    before = json.loads(sidecar.read_text())
    sidecar.unlink()
    found = verify_all(studio.session, repair=True)
    assert (found["ok"], [m["path"] for m in found["mended"]]) == (True, [str(sidecar)])
    assert json.loads(sidecar.read_text()) == before
    assert verify_all(studio.session, repair=True)["mended"] == []


def test_nothing_to_keep_in_order(tmp_path: Path) -> None:
    with look(Places(tmp_path / "none", tmp_path / "films")) as session:
        assert make_room(session, True, [], 0)["files"] == 0
        assert verify_all(session, repair=True)["ok"]
        with pytest.raises(UsageError, match="nothing to move"):
            move(session, "x", False, lambda done, of: None)
    assert not (tmp_path / "none").exists()
