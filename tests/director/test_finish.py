"""The last stage: what is made again after an edit or a kill, and what is left alone."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from director import soundfile, soundmarks
from director.drawing import what_it_shows
from director.errors import SoundUnreadable, UsageError
from director.finish import Finish, check_apart
from director.lineage import of_file, sidecar_of
from director.planned import Plan
from director.report import show_plan
from director.sheets import HEADER
from director.verify import verify_all
from tests.director.conftest import shot
from tests.director.studio import Studio

A = shot("a", frames=8)


def stamps(studio: Studio) -> dict[str, int]:
    """File name -> when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in studio.places.films.iterdir()}


def test_a_second_run_writes_nothing(film_studio: Studio) -> None:
    plan = film_studio.plan(A)
    film_studio.render(plan)
    before = stamps(film_studio)
    assert set(before) == {"f.mp4", "f.mp4.json", "f.contact.png", "f.seams.png"}
    film_studio.render(plan)
    assert stamps(film_studio) == before


def test_a_kill_before_the_sheets_leaves_nothing_stale(film_studio: Studio, monkeypatch) -> None:
    """The film of the edit is cut and recorded; the process dies before its sheets are drawn."""
    film_studio.render(film_studio.plan(A))
    contact = film_studio.places.films / "f.contact.png"
    before = what_it_shows(contact)
    edited = film_studio.plan(A | {"prompt": "a yellow moon"})
    with monkeypatch.context() as patch:
        patch.setattr(Finish, "_sheets", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            film_studio.render(edited)
    cut = stamps(film_studio)["f.mp4"]
    assert what_it_shows(contact) == before
    film_studio.render(edited)
    assert stamps(film_studio)["f.mp4"] == cut
    after = what_it_shows(contact)
    assert after is not None
    assert after != before
    assert what_it_shows(film_studio.places.films / "f.seams.png") == after


def test_a_new_title_draws_sheets_and_sidecar_again_but_cuts_nothing(film_studio: Studio) -> None:
    film_studio.render(film_studio.plan(A, film={"title": "Old"}))
    before = stamps(film_studio)
    film_studio.render(film_studio.plan(A, film={"title": "New"}))
    after = stamps(film_studio)
    assert {name for name in after if after[name] != before[name]} == {"f.mp4.json", "f.contact.png", "f.seams.png"}
    assert of_file(film_studio.places.films / "f.mp4.json")["title"] == "New"


def test_a_sheet_that_is_broken_or_not_ours_is_drawn_again(film_studio: Studio) -> None:
    plan = film_studio.plan(A)
    film_studio.render(plan)
    seams = film_studio.places.films / "f.seams.png"
    shows = what_it_shows(seams)
    for junk in (b"", b"\x89PNG\r\n\x1a\n", b"no picture"):
        seams.write_bytes(junk)
        film_studio.render(plan)
        assert what_it_shows(seams) == shows


def test_each_delivery_has_a_sidecar_of_its_own(film_studio: Studio) -> None:
    plan = film_studio.plan(A, deliver=[{"name": "x"}, {"name": "x", "codec": "prores"}])
    film_studio.render(plan)
    films = film_studio.places.films
    told = {name: json.loads((films / f"{name}.json").read_text())["file"] for name in ("x.mp4", "x.mov")}
    assert told == {"x.mp4": "x.mp4", "x.mov": "x.mov"}
    (films / "x.mov.json").unlink()
    film_studio.render(plan)
    assert json.loads((films / "x.mov.json").read_text())["sha256"] == soundmarks.file_digest(films / "x.mov")


def test_two_films_of_one_name_are_refused(film_studio: Studio) -> None:
    one = film_studio.plan(A, deliver=[{"name": "same"}])
    other = film_studio.plan(A, name="other.json", film={"id": "g"}, deliver=[{"name": "SAME.mp4"}])
    with pytest.raises(UsageError, match=r"'f' and 'g'.*SAME\.mp4"):
        check_apart([one, other])
    check_apart([one, film_studio.plan(A, name="other.json", film={"id": "g"})])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "bed.wav"
    write_sound(path, 1)
    return path


def write_sound(path: Path, level: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(np.full(48_000, 100 * level, np.int16).tobytes())


def test_sounds_are_read_again_only_when_they_have_changed(film_studio: Studio, sound: Path, monkeypatch) -> None:
    decoded: list[str] = []
    hashed: list[str] = []
    real_check, real_digest = soundfile.check_sound, soundmarks.file_digest
    monkeypatch.setattr(soundfile, "check_sound", lambda p, whole: (decoded.append(p.name), real_check(p, whole)))
    monkeypatch.setattr(soundmarks, "file_digest", lambda p: (hashed.append(p.name), real_digest(p))[1])
    plan = film_studio.plan(A, bed={"file": "bed.wav"})
    film_studio.render(plan)
    assert decoded == ["bed.wav"]
    decoded.clear()
    hashed.clear()
    before = stamps(film_studio)
    film_studio.render(plan)
    assert (decoded, hashed, stamps(film_studio)) == ([], [], before)
    write_sound(sound, 2)
    film_studio.render(plan)
    assert decoded == ["bed.wav"]
    assert stamps(film_studio)["f.mp4"] != before["f.mp4"]


def test_a_sound_that_went_away_is_told_before_rendering(film_studio: Studio, sound: Path) -> None:
    plan = film_studio.plan(A, bed={"file": "bed.wav"})
    sound.unlink()
    with pytest.raises(SoundUnreadable, match=r"bed\.wav"):
        Finish(film_studio.ledger, film_studio.files, film_studio.places).check(plan)


def test_what_is_redacted_lies_in_the_ledger_alone(film_studio: Studio) -> None:
    studio = film_studio
    plan = studio.plan(shot("a", frames=8, prompt="a yellow boat in the secret harbour"))
    (film, *_) = studio.render(plan)

    def written() -> bool:
        """Whether anything stands where the contact sheet has its first shot's prompt."""
        sheet = np.asarray(Image.open(studio.places.films / "f.contact.png"))
        return bool(np.ptp(sheet[HEADER + 34 : HEADER + 68], (0, 1)).any())

    assert written()
    last = studio.ledger.film("f")
    assert last is not None
    takes = studio.survey(plan).takes

    def everything() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(studio.places.films.iterdir()))

    assert b"secret harbour" in everything()
    finish = Finish(studio.ledger, studio.files, studio.places, ["prompts"])
    finish(plan, last.last.id, takes)
    assert b"secret" not in everything()
    assert not written()
    cuts = studio.ledger.film_versions("f")
    assert (len(cuts), "secret harbour" in cuts[0].lineage_json) == (2, True)
    finish(plan, last.last.id, takes)
    assert len(studio.ledger.film_versions("f")) == 2, "asked twice is asked once"
    sidecar_of(Path(film)).unlink()
    verify_all(studio.session, repair=True)
    assert sidecar_of(Path(film)).is_file()
    assert b"secret" not in everything()
    Finish(studio.ledger, studio.files, studio.places)(plan, last.last.id, takes)
    assert b"secret harbour" in everything()


def test_a_plan_says_whether_the_film_is_to_be_cut_again(film_studio: Studio, capsys) -> None:
    def recut(plan: Plan) -> bool:
        survey = film_studio.session.survey(plan)
        show_plan(survey, found := film_studio.session.recut(survey))
        assert ("the film is to be cut again" in capsys.readouterr().out) == found
        return found

    plan = film_studio.plan(A)
    assert not recut(plan)  # its clips are missing: that is told
    film_studio.render(plan)
    assert not recut(plan)
    assert not recut(film_studio.plan(A, film={"title": "Of another name"}))  # which is on no picture of it
    card = A | {"title": {"text": "A card", "frames": 4}}
    assert recut(film_studio.plan(card))
    film_studio.render(film_studio.plan(card))
    assert not recut(film_studio.plan(card))
    assert recut(film_studio.plan(card, film={"fps": 9}))
    (film_studio.places.films / "f.mp4").unlink()
    assert recut(film_studio.plan(card))
