"""Lineage by place, and from files that say less than they should."""

import json
from pathlib import Path

import pytest

from director.errors import UsageError
from director.lineage import find, of_file, show_lineage, sidecar_of
from tests.director.conftest import shot
from tests.director.studio import Studio

ODD = "a red boat [/b] [red] :smile: x"


@pytest.fixture
def finished(film_studio: Studio) -> Studio:
    film_studio.render(film_studio.plan(shot("a", frames=8, prompt=ODD), film={"title": "Small [/b] x"}))
    return film_studio


def test_brackets_in_title_and_prompt_are_shown_as_they_are(finished: Studio, capsys) -> None:
    for what in ("f", "f:a/1", str(finished.places.films / "f.mp4")):
        show_lineage(find(what, finished.session))
        shown = capsys.readouterr().out
        assert f"prompt: {ODD}" in shown
        assert ("Small [/b] x" in shown) == (what != "f:a/1")


@pytest.mark.parametrize("clip", ["²", "99", "0", "-1", "x", "", "1.0"])
def test_a_clip_number_that_is_none(clip: str, finished: Studio) -> None:
    with pytest.raises(UsageError, match="name a clip as f:SHOT/NUMBER"):
        find(f"f:a/{clip}", finished.session)


def test_the_sidecar_speaks_for_a_film_without_tags(finished: Studio, tmp_path: Path) -> None:
    film = finished.places.films / "f.mp4"
    told = of_file(sidecar_of(film))
    assert told["film"] == "f"
    bare = tmp_path / "bare.mp4"
    bare.write_bytes(b"no video at all")
    with pytest.raises(UsageError, match=r"bare\.mp4"):
        of_file(bare)
    sidecar_of(bare).write_text(json.dumps(told))
    assert of_file(bare) == told


@pytest.mark.parametrize("field", ["film", "title", "clips", "environments", "sounds", "time"])
def test_lineage_that_lacks_something_is_refused(field: str, finished: Studio) -> None:
    sidecar = sidecar_of(finished.places.films / "f.mp4")
    told = json.loads(sidecar.read_text())
    for broken in ({k: v for k, v in told.items() if k != field}, told | {field: None}):
        if broken.get(field, "") is None and field in ("film", "title", "time"):
            continue
        sidecar.write_text(json.dumps(broken))
        with pytest.raises(UsageError, match=r"f\.mp4\.json"):
            of_file(sidecar)


def test_a_clip_record_that_lacks_something_is_refused(tmp_path: Path) -> None:
    for kind in ("longtake.take", "longtake.film", "longtake."):
        path = tmp_path / "x.json"
        path.write_text(json.dumps({"kind": kind}))
        with pytest.raises(UsageError, match=r"x\.json"):
            of_file(path)


def test_no_line_is_cut_off_where_the_output_is_no_terminal(finished: Studio, capsys) -> None:
    show_lineage(find("f", finished.session))
    lines = capsys.readouterr().out.splitlines()
    (recipe,) = (line for line in lines if "25 steps" in line)
    assert len(recipe) > 120
    assert recipe.endswith("iid")
    assert any(line.endswith("NFE in 2.5 s") for line in lines)


def test_a_clip_is_found_without_its_film_where_one_film_has_it(finished: Studio) -> None:
    assert find("a/1", finished.session)["slate"] == {"film": "f", "shot": "a", "clip": 1}
    with pytest.raises(UsageError, match="none has a shot 'b'; name a clip as FILM:SHOT/NUMBER"):
        find("b/1", finished.session)
    with pytest.raises(UsageError, match="film f has the clips 1 to 1 in a; name a clip as"):
        find("a/2", finished.session)
    finished.render(finished.plan(shot("a", frames=8), name="g.json", film={"id": "g"}))
    with pytest.raises(UsageError, match=r"the films [fg], [fg] have a shot 'a'"):
        find("a/1", finished.session)


def test_a_file_that_is_no_video_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a film")
    with pytest.raises(UsageError) as told:
        of_file(path)
    assert str(told.value).count("notes.txt") == 2  # itself, and the sidecar that it lacks
    assert "cannot be read as a film or clip" in str(told.value)
