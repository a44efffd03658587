"""Fonts of titles and sheets: what they have, what is told of what they lack, and what changes with them."""

from __future__ import annotations

import json
import string
import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from director import systemfont
from director.breaking import pieces
from director.compare import compare
from director.cutlist import Caption, Crossfade, CutList, Part, Shown, Slide, from_dict, to_dict
from director.errors import FontUnreadable, StoryboardError
from director.finish import Finish
from director.fontfile import check_font, letters_of, opened, shapes
from director.housekeeping import export
from director.lineage import find, show_lineage
from director.package import contents, pack, unpack
from director.plan import plan
from director.planned import Plan
from director.provenance import openlineage, prov
from director.seams import seam_strips
from director.sheets import contact_sheet
from director.storyboard import load
from director.titles import wrapped
from director.windows import window_pictures
from shots.prints import PrintSpec
from tests.director.conftest import shot
from tests.director.fonts import font, pillows_font
from tests.director.studio import Studio
from tests.director.test_sheets import a_plan, a_shot, coloured

FPS = Fraction(24)
BOX = "\uffff"
TITLED = shot("a", frames=8, title={"text": "Гавань", "frames": 4})
RUSSIAN = dict.fromkeys("Гавань", "W")


def drawn(path: Path | None, text: str) -> bytes:
    return bytes(opened(path, 40).getmask(text))


def card(text: str, file: str = "", base: Path = Path(), size: tuple[int, int] = (256, 256)) -> np.ndarray:
    slide = Slide(text, (0, 0, 0), (255, 255, 255), 12, 1, 24, file)
    return next(window_pictures(Shown((slide,)), lambda part: iter(()), PrintSpec(*size, FPS), base))


# ---- what a font has ----------------------------------------------------------------------------


def test_what_pillows_own_font_has() -> None:
    own = letters_of(None)
    assert own.missing(string.printable + "‘’“”…«»‹›°±´·©™ﬁﬂ\u00a0\u3000") == []
    assert own.missing("Café – Гавань —\u200d— e\u0301") == list("é–Гавнь—\u200d\u0301")
    for letter in map(chr, [*range(0x20, 0x7F), *range(0xA1, 0x250), *range(0x2000, 0x2100), 0x4E2D]):
        if not letter.isspace():
            assert (drawn(None, letter) == drawn(None, BOX)) == bool(own.missing(letter)), hex(ord(letter))


@pytest.mark.parametrize("suffix", [".ttf", ".ttc"])
def test_the_letters_of_a_file_are_those_that_pillow_draws(suffix: str, tmp_path: Path) -> None:
    path = font(tmp_path / f"a{suffix}", {"–": "-", "Ж": "W", "a": "a", "z": "z"}, own=False)
    check_font(path)
    assert letters_of(path).missing("aЖb–—é中zz") == list("b—é中")
    for letter in "aЖb–—é中z":
        assert (drawn(path, letter) == drawn(path, BOX)) == (letter in "b—é中")


def test_letters_beyond_the_first_65536(tmp_path: Path) -> None:
    path = font(tmp_path / "a.ttf", {"😀": "O", "𠀀": "M"})
    assert letters_of(path).missing("a😀𠀀😁") == ["😁"]
    assert drawn(path, "😀") == drawn(path, "O") != drawn(path, BOX)


@pytest.mark.skipif(not shapes(), reason="Pillow finds no raqm here")
def test_accents_may_be_made_of_parts_or_part_of_a_letter(tmp_path: Path) -> None:
    whole, parts = font(tmp_path / "whole.ttf", {"é": "e"}), font(tmp_path / "parts.ttf", {"\u0301": "´"})
    assert letters_of(whole).missing("e\u0301") == letters_of(parts).missing("é") == []
    assert drawn(whole, "e\u0301") == drawn(whole, "é")
    assert drawn(parts, "é") == drawn(parts, "e\u0301")
    assert letters_of(whole).missing("a\u0301 à") == ["á", "à"]
    hidden = "a\u200d\u2067\ufe0fb"
    assert letters_of(whole).missing(hidden) == []
    assert drawn(whole, hidden) == drawn(whole, "ab")


def test_damage_is_told_and_nothing_else_happens(tmp_path: Path) -> None:
    whole = font(tmp_path / "a.ttf", {"Ж": "W"}).read_bytes()
    at = whole.index(b"cmap")
    (table,) = struct.unpack_from(">L", whole, at + 8)
    path, told = tmp_path / "b.ttf", 0
    broken = [whole[:length] for length in range(0, table + 300, 7)]
    broken += [whole[:n] + b"\xff" + whole[n + 1 :] for n in range(table, table + 60)]
    for data in broken:
        path.write_bytes(data)
        try:
            letters_of(path).missing("aЖ–")
        except FontUnreadable:
            told += 1
    assert told > 100


# ---- what is told -------------------------------------------------------------------------------


def told(write, **parts) -> list[str]:
    with pytest.raises(StoryboardError) as caught:
        load(write(**parts))
    return [str(problem).partition(": ")[2] for problem in caught.value.problems]


def test_fonts_that_cannot_be_drawn_with_are_refused(write, tmp_path: Path) -> None:
    (tmp_path / "text.ttf").write_text("no font")
    (tmp_path / "folder.ttf").mkdir()
    font(tmp_path / "mute.ttf", without="cmap")
    (tmp_path / "short.ttf").write_bytes(font(tmp_path / "whole.ttf").read_bytes()[:-100])
    font(tmp_path.parent / "elsewhere.ttf")
    (tmp_path / "link.ttf").symlink_to(tmp_path.parent / "elsewhere.ttf")
    files = ["gone.ttf", "text.ttf", "folder.ttf", "mute.ttf", "short.ttf", "link.ttf", "../up.ttf"]
    titles = [{"title": {"text": "T", "font": name}} for name in files]
    found = told(write, film={"font": "gone.ttf"}, shots=[shot(f"s{n}", **title) for n, title in enumerate(titles)])
    kinds = "; allowed: a TrueType or OpenType font (.ttf, .otf, .ttc)"
    wrong = "shot 's{}', title.font: not a font that words can be drawn with: {} (given: '{}')" + kinds
    assert sorted(found) == [
        f"film.font: no such font file in {tmp_path} (given: 'gone.ttf'){kinds}",
        f"shot 's0', title.font: no such font file in {tmp_path} (given: 'gone.ttf'){kinds}",
        wrong.format(1, "it is none, or damaged", "text.ttf"),
        f"shot 's2', title.font: not a file (given: 'folder.ttf'){kinds}",
        wrong.format(3, "it has no table of Unicode letters", "mute.ttf"),
        wrong.format(4, "it is cut short", "short.ttf"),
        f"shot 's5', title.font: a link leads out of the storyboard's folder, to {tmp_path.parent / 'elsewhere.ttf'} "
        f"(given: 'link.ttf'){kinds}",
        "shot 's6', title.font: the path climbs out of the storyboard's folder (given: '../up.ttf'); allowed: a path "
        "below the storyboard's folder, such as audio/bed.wav",
    ]


def test_a_font_that_opens_and_draws_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FontUnreadable):
        check_font(font(tmp_path / "a.ttf", without="maxp"))


def warned(write, *titles, **film) -> tuple[str, ...]:
    shots = [shot(f"s{n}", title=title) for n, title in enumerate(titles)]
    return plan(load(write(film=film, shots=shots))[0]).warnings


def test_letters_that_a_font_lacks_are_named(write, tmp_path: Path) -> None:
    font(tmp_path / "fonts/a.ttf", {"–": "-"})
    assert warned(write, "A plain title,\nin two lines", "“Curly” …") == ()
    what = "They show as boxes; name a font file that has them: film.font for all titles, title.font for one"
    (one,) = warned(write, "Caféñ", "A – é", "–", "é–", "éñ", "é")
    named = "'é' U+00E9 (shots s0, s1, s3 and 2 more); 'ñ' U+00F1 (shots s0, s4); '–' U+2013 (shots s1, s2, s3)"
    assert one == f"titles have letters that the built-in font lacks: {named}. {what}"
    (one,) = warned(write, "Café –")
    assert "lacks: 'é' U+00E9, '–' U+2013 (shot s0). They" in one
    (one,) = warned(write, "a – b", "é", font="fonts/a.ttf")
    assert one == f"titles have letters that fonts/a.ttf lacks: 'é' U+00E9 (shot s1). {what}"
    assert warned(write, "–", {"text": "a – b", "font": "fonts/a.ttf"}) == (
        f"titles have letters that the built-in font lacks: '–' U+2013 (shot s0). {what}",
    )
    (many,) = warned(write, "".join(map(chr, range(0x410, 0x440))))
    assert many.count("U+04") == 20
    assert "(shot s0) and 28 more. They show" in many


def test_what_pillow_would_set_wrong_without_raqm_is_told(write, tmp_path: Path, monkeypatch) -> None:
    font(tmp_path / "a.ttf", {"ש": "W", "Ж": "W", "中": "M", "\u0301": "´"})
    titles = [{"text": text, "font": "a.ttf"} for text in ("Ж中", "שש", "e\u0301")]
    monkeypatch.setattr("PIL.features.check", lambda feature: True)
    assert warned(write, *titles, "plain") == ()
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    (one,) = warned(write, *titles, "plain")
    assert one.startswith("titles run from right to left or combine letters (shots s1, s2), and Pillow")
    assert one.endswith("install the system's library fribidi")


# ---- what is drawn ------------------------------------------------------------------------------


def test_words_are_drawn_in_their_font(tmp_path: Path) -> None:
    font(tmp_path / "fonts/a.ttf", {"Ж": "W"})
    assert np.array_equal(card("Ж", "fonts/a.ttf", tmp_path), card("W", "fonts/a.ttf", tmp_path))
    assert np.array_equal(card("Ж"), card(BOX))
    ways = [Caption(letter, (255, 255, 255), 0, 4, 4, "fonts/a.ttf") for letter in "ЖW"]

    def grey(part: Part) -> Iterator[np.ndarray]:
        return iter(np.full((part.frames, 64, 64, 3), 90, np.uint8))

    spec = PrintSpec(64, 64, FPS)
    over = [list(window_pictures(Shown((Part("a", 0, 4),), (way,)), grey, spec, tmp_path)) for way in ways]
    assert np.array_equal(*over)
    slides = [Slide(way.text, (9, 9, 9), (255, 255, 255), 8, 4, 24, way.font) for way in ways]
    mixed = [Crossfade((Part("a", 0, 4),), (slide,)) for slide in slides]
    assert np.array_equal(*(list(window_pictures(window, grey, spec, tmp_path)) for window in mixed))


def test_a_font_of_another_height_is_neither_cut_off_nor_run_together(tmp_path: Path) -> None:
    """What a font says of its height decides how far its lines are apart; moviepy would cut off what reaches below."""
    font(tmp_path / "tall.ttf", taller=3)
    inked = [np.flatnonzero(card(text, "tall.ttf", tmp_path).max((1, 2)) > 128) for text in ("nun", "gyp", "nun\ngyp")]
    plain = np.flatnonzero(card("gyp").max((1, 2)) > 128)
    assert len(inked[1]) == len(plain)
    assert 0 < inked[2][0] < inked[2][-1] < 255
    many = np.flatnonzero(card("gyp\n" * 12, "tall.ttf", tmp_path).max((1, 2)) > 128)
    assert 0 < many[0] < many[-1] < 255


def test_a_font_that_has_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(FontUnreadable, match=r"gone\.ttf cannot be used as a font: cannot open.*leave the font out"):
        card("a", "gone.ttf", tmp_path)


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("two  words\nhere", "two| words| here"),
        ("海の上の赤い船。", "海|の|上|の|赤|い|船。"),
        ("「赤い」船、ボート！", "「赤|い」|船、|ボー|ト！"),
        ("東京2020年のfilm", "東|京|2020|年|の|film"),
        ("한국어 영화", "한국어| 영화"),
        ("ก\u0e31น don't", "ก\u0e31น| don't"),
        ("👩\u200d🚀👍\U0001f3fd☀\ufe0f", "👩\u200d🚀|👍\U0001f3fd|☀\ufe0f"),
        ("か\u3099き", "か\u3099|き"),
        ("  ", ""),
    ],
)
def test_where_lines_may_be_broken(text: str, parted: str) -> None:
    joined = "|".join(gap + piece for gap, piece in pieces(text))
    assert joined.removeprefix(" ") == parted


def test_titles_without_spaces_are_wrapped(tmp_path: Path) -> None:
    text = "海の上の赤い船。海の上の黄色い月。"
    path = font(tmp_path / "a.ttf", dict.fromkeys(text, "M"), own=False)
    square = opened(path, 40)
    lines = wrapped(text, square, 5.5 * square.getlength("海")).split("\n")
    assert lines == ["海の上の赤", "い船。海の", "上の黄色い", "月。"]
    assert wrapped("one two\nthree", opened(None, 20), 10) == "one\ntwo\nthree"
    picture = card(text * 4, "a.ttf", tmp_path)
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert edge.max() == 0
    assert np.flatnonzero(picture.max((1, 2)) > 128).size > 30


# ---- what changes with it -----------------------------------------------------------------------


def test_a_cut_without_fonts_is_written_as_before() -> None:
    slide, caption = Slide("A", (0, 0, 0), (1, 1, 1), 0, 2, 4), Caption("B", (1, 1, 1), 0, 2, 2)
    plain = CutList("f", "F", FPS, (Shown((slide,), (caption,)),))
    data = to_dict(plain)
    assert "font" not in json.dumps(data)
    (element,) = data["elements"]
    assert list(element["strip"][0]) == ["text", "colour", "text_colour", "first", "frames", "total"]
    lettered = (
        Shown((Slide("A", (0, 0, 0), (1, 1, 1), 0, 2, 4, "a.ttf"),), (Caption("B", (1, 1, 1), 0, 2, 2, "b.ttf"),)),
    )
    for cut in (plain, CutList("f", "F", FPS, lettered)):
        assert from_dict(json.loads(json.dumps(to_dict(cut)))) == cut


def stamps(studio: Studio) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in studio.places.films.iterdir()}


def again(studio: Studio, made: Plan) -> set[str]:
    """Render; the files that were written."""
    before = stamps(studio)
    assert studio.survey(made).missing == ()
    studio.render(made)
    after = stamps(studio)
    return {name for name in after if after[name] != before[name]}


def test_another_font_cuts_again_and_renders_nothing(film_studio: Studio, capsys) -> None:
    studio, everything = film_studio, {"f.mp4", "f.mp4.json", "f.contact.png", "f.seams.png"}
    sheets = {"f.contact.png", "f.seams.png"}
    path = font(studio.folder / "fonts/a.ttf", RUSSIAN)
    plain = studio.plan(TITLED)
    studio.render(plain)
    with_font = studio.plan(TITLED, film={"font": "fonts/a.ttf", "title": "Гавань"})
    assert [clip.key for clip in with_font.clips] == [clip.key for clip in plain.clips]
    assert studio.session.recut(studio.survey(with_font))
    assert again(studio, with_font) == everything
    assert again(studio, with_font) == set()
    sheet = np.asarray(Image.open(studio.places.films / "f.contact.png"))
    font(path, dict.fromkeys(RUSSIAN, "M"))
    assert studio.session.recut(studio.survey(with_font))
    assert again(studio, with_font) == everything
    assert not np.array_equal(np.asarray(Image.open(studio.places.films / "f.contact.png")), sheet)
    versions = studio.ledger.film_versions("f")
    fonts = [json.loads(version.lineage_json).get("fonts") for version in versions]
    assert [list(found or ()) for found in fonts] == [["fonts/a.ttf"], ["fonts/a.ttf"], []]
    assert compare(studio.session, "f@2", "f@1")["film"] == [
        f"font fonts/a.ttf: {fonts[1]['fonts/a.ttf'][:16]} -> {fonts[0]['fonts/a.ttf'][:16]}"
    ]
    assert compare(studio.session, "f@3", "f@1")["film"][1:] == [
        f"font fonts/a.ttf: none -> {fonts[0]['fonts/a.ttf'][:16]}"
    ]
    record = find("f", studio.session)
    show_lineage(record)
    assert f"font fonts/a.ttf  {fonts[0]['fonts/a.ttf'][:16]}" in capsys.readouterr().out
    entity = f"longtake:font-{fonts[0]['fonts/a.ttf']}"
    assert prov(record)["entity"][entity]["longtake:file"] == "fonts/a.ttf"
    assert "longtake.fonts" in [each["namespace"] for each in list(openlineage(record))[-1]["inputs"]]
    untitled, plain = (
        studio.plan(shot("a", frames=8), name=f"{n}.json", film={"font": "fonts/a.ttf", "title": title})
        for n, title in enumerate(("Гавань", "Harbour"))
    )
    for made, written in ((untitled, sheets), (plain, set())):
        studio.render(made)
        font(path, RUSSIAN if written else {})
        assert not studio.session.recut(studio.survey(made))
        assert again(studio, made) == written


def test_a_title_may_have_a_font_of_its_own(film_studio: Studio) -> None:
    for name in "ab":
        font(film_studio.folder / f"{name}.ttf", RUSSIAN)
    own = shot("b", frames=8, title={"text": "Гавань", "frames": 4, "over": "shot", "font": "b.ttf"})
    made = film_studio.plan(TITLED, own, shot("c"), film={"font": "a.ttf"})
    assert [str(shot.title.font) for shot in made.shots if shot.title] == ["a.ttf", "b.ttf"]
    film_studio.render(made)
    (version, *_) = film_studio.ledger.film_versions("f")
    assert sorted(json.loads(version.lineage_json)["fonts"]) == ["a.ttf", "b.ttf"]
    (film_studio.folder / "b.ttf").unlink()
    with pytest.raises(FontUnreadable, match=r"b\.ttf cannot be used as a font: No such file"):
        Finish(film_studio.ledger, film_studio.files, film_studio.places).check(made)
    with pytest.raises(FontUnreadable, match=r"b\.ttf cannot be used as a font: No such file"):
        film_studio.session.recut(film_studio.survey(made))


def test_fonts_travel_with_the_storyboard(film_studio: Studio, tmp_path: Path) -> None:
    studio = film_studio
    bytes_of = {
        name: font(studio.folder / name, RUSSIAN, own=n == 0).read_bytes()
        for n, name in enumerate(("a.ttf", "f/b.otf"))
    }
    title = TITLED["title"] | {"font": "f/b.otf"}
    made = studio.plan(TITLED | {"title": title}, film={"font": "a.ttf"})
    (board,) = unpack(studio.files.path(pack(contents([made]), studio.files)), tmp_path / "there")
    studio.render(made)
    export(studio.session, "f", tmp_path / "carried")
    for folder in (board.parent, tmp_path / "carried/storyboard"):
        assert {name: (folder / name).read_bytes() for name in bytes_of} == bytes_of
    assert plan(load(board)[0]).to_json() == made.to_json()


# ---- sheets -------------------------------------------------------------------------------------


def sheets(made: Plan, folder: Path) -> list[np.ndarray]:
    contact_sheet(made, coloured, folder / "contact.png")
    seam_strips(made, coloured, folder / "seams.png")
    return [np.asarray(Image.open(folder / name)) for name in ("contact.png", "seams.png")]


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """The only folder in which programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    systemfont._font_of.cache_clear()
    yield folder
    systemfont._font_of.cache_clear()


def test_sheets_take_the_films_font_for_letters_that_pillows_lacks(tmp_path: Path, on_path: Path) -> None:
    font(tmp_path / "a.ttf", {"Ж": "W", "Я": "W", "M": "i"})
    one, other, plain = (replace(a_plan(a_shot("a", 2, f"{c} by day")), title=c) for c in "ЖЯM")
    with_font = {"font": Path("a.ttf"), "storyboard": tmp_path / "film.yaml"}
    drawn = [sheets(replace(made, **with_font), tmp_path) for made in (one, other, plain)]
    boxes = [sheets(made, tmp_path) for made in (one, other, plain)]
    for n in range(2):
        assert np.array_equal(drawn[0][n], drawn[1][n])
        assert not np.array_equal(drawn[0][n], boxes[0][n])
        assert np.array_equal(boxes[0][n], boxes[1][n]), "no font has them"
        assert np.array_equal(drawn[2][n], boxes[2][n]), "the built-in font has it"


def test_sheets_look_for_a_font_of_the_machine(tmp_path: Path, on_path: Path) -> None:
    asked = a_plan(a_shot("a", 2, "Ж by day"), a_shot("b", 1, "ЖЖ 中"))
    theirs = font(tmp_path / "theirs.ttf", {"Ж": "W"})
    boxes = sheets(asked, tmp_path)[0]
    for said in ("echo nothing", f"echo {font(tmp_path / 'other.ttf', {'Я': 'W'})}", "exit 1"):
        program(on_path, said)
        assert np.array_equal(sheets(asked, tmp_path)[0], boxes)
    program(on_path, f"echo $2 >> {tmp_path}/asked; printf %s {theirs}")
    found = sheets(asked, tmp_path)[0]
    named = replace(asked, font=Path("theirs.ttf"), storyboard=tmp_path / "film.yaml")
    assert np.array_equal(found, sheets(named, tmp_path)[0])
    assert not np.array_equal(found, boxes)
    assert (tmp_path / "asked").read_text().split() == [f":scalable=true:charset={n}00-{n}ff" for n in ("4", "4e")]


def program(folder: Path, does: str) -> None:
    (folder / "fc-match").write_text(f"#!/bin/sh\n{does}\n")
    (folder / "fc-match").chmod(0o755)
    systemfont._font_of.cache_clear()


def test_the_fonts_made_here_are_what_they_seem() -> None:
    assert len(pillows_font().getBestCmap()) == 113
    assert drawn(None, "W") != drawn(None, BOX)
