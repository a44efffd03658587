"""From takes to a film on disk: right frames everywhere, exact mixes, one try or nothing."""

import resource
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from director.cutlist import Body, Caption, Crossfade, Cue, CutList, Fade, Part, Shown, Slide
from director.edit import FilmFile, FilmOrder, check_output, film_path, make_film, print_spec, workbench
from director.errors import FilmWrong, OutputUnwritable, SoundUnreadable
from director.finish import Finish
from director.planned import Deliver
from director.windows import window_pictures
from shots.errors import PrintRefused, VideoUnreadable
from shots.frames import probe, read_take, write_take
from shots.prints import PrintSpec, write_print
from tests.director.conftest import shot
from tests.director.studio import Studio

FPS = Fraction(24)
SMALL = Deliver("film", (64, 64))


class Takes:
    """Takes and their prints in a folder; counts how often each is opened. interrupted: by Ctrl-C, at the next one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.opened, self.interrupted = folder, [], False

    def open_verified(self, id: str) -> Path:
        if self.interrupted:
            raise KeyboardInterrupt
        self.opened.append(id)
        return self.folder / id if "." in id else self.folder / f"{id}.mkv"

    def print_of(self, take: str, spec: PrintSpec) -> str:
        name = f"{take}-{spec.key}{spec.suffix}"
        if not (self.folder / name).exists():
            write_print(self.folder / name, read_take(self.folder / f"{take}.mkv"), spec)
        return name


def assemble(
    cut: CutList, takes: Takes, deliver: Deliver, out: Path, tags: dict[str, str] | None = None, base: Path = Path(".")
) -> FilmFile:
    """A film as `finish` has it made: a folder beside it, its prints, the film in that folder, its name."""
    with workbench(out) as bench:
        spec = print_spec(cut.fps, deliver)
        copied = {element.take for element in cut.elements if isinstance(element, Body)}
        prints = {take: takes.print_of(take, spec) for take in copied}
        return make_film(takes, FilmOrder(cut, prints, deliver, out, bench, tags or {}, base))


def stamped(clip: int, frames: int) -> np.ndarray:
    """Pictures [F, 64, 64, 3] that carry clip and frame number as sixteen black and white blocks."""
    bits = np.array([[(n >> b) & 1 for b in range(8)] for n in range(256)], np.uint8)
    rows = [np.concatenate([bits[clip], bits[k]]).reshape(4, 4) for k in range(frames)]
    blocks = np.stack(rows).repeat(16, 1).repeat(16, 2) * 235 + 10
    return np.repeat(blocks[..., None], 3, 3).astype(np.uint8)


def stamp(picture: np.ndarray) -> tuple[int, int]:
    high, wide = picture.shape[0] // 4, picture.shape[1] // 4
    bits = (picture[high // 2 :: high, wide // 2 :: wide, 1] > 127).reshape(16)
    clip, frame = (sum(int(bit) << i for i, bit in enumerate(half)) for half in (bits[:8], bits[8:]))
    return clip, frame


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


@pytest.fixture
def takes(tmp_path: Path) -> Takes:
    """Takes "1" to "4" of eight frames each."""
    (tmp_path / "takes").mkdir()
    for clip in range(1, 5):
        write_take(tmp_path / "takes" / f"{clip}.mkv", stamped(clip, 8), {})
    return Takes(tmp_path / "takes")


def a_cut(*elements, fps: Fraction = FPS, cues: tuple[Cue, ...] = ()) -> CutList:
    return CutList("film", "Film", fps, elements, (), cues)


@pytest.mark.parametrize("codec", ["h264", "h265", "prores"])
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(8)])
def test_kept_frames_come_out_in_order_and_dropped_ones_do_not(codec, fps, takes, tmp_path: Path):
    """A forward chain: from the second clip on, the first four frames repeat the clip before and are dropped."""
    deliver = Deliver("film", (96, 80), codec)
    out = film_path(tmp_path / "films", deliver)
    film = assemble(a_cut(Body("1", 0, 8), Body("2", 4, 4), Body("3", 4, 4), fps=fps), takes, deliver, out)
    assert [stamp(p) for p in decoded(out)] == [(1, k) for k in range(8)] + [
        (c, k) for c in (2, 3) for k in range(4, 8)
    ]
    assert (film.frames, film.fps, film.size, film.bytes) == (16, fps, (96, 80), out.stat().st_size)
    assert probe(out).fps == fps


def test_a_film_with_everything_has_every_frame_where_the_cut_says(takes, tmp_path: Path):
    card = Slide("Card", (0, 0, 0), (255, 255, 255), 0, 6, 6)
    cut = a_cut(
        Fade((Part("1", 0, 3),), (0, 0, 0), to_colour=False),
        Body("1", 3, 3),
        Crossfade((Part("1", 6, 2),), (Part("2", 0, 2),)),
        Body("2", 2, 6),
        Shown((card,)),
        Shown((Part("3", 0, 4),), (Caption("Hi", (255, 255, 255), 0, 4, 4),)),
        Body("3", 4, 2),
        Fade((Part("3", 6, 2),), (0, 0, 0), to_colour=True),
        Body("4", 0, 8),
    )
    out = tmp_path / "film.mp4"
    assemble(cut, takes, SMALL, out, {"title": "Film", "plan": "abc"})
    pictures = decoded(out)
    assert len(pictures) == cut.frames == 36
    whole = {at: stamp(pictures[at]) for at in (3, 4, 5, 8, 13, 24, 25, 28, 35)}
    assert whole == {
        3: (1, 3),
        4: (1, 4),
        5: (1, 5),
        8: (2, 2),
        13: (2, 7),
        24: (3, 4),
        25: (3, 5),
        28: (4, 0),
        35: (4, 7),
    }
    assert pictures[0].max() <= 4
    assert pictures[27].max() <= 4
    assert pictures[17].max() > 200
    assert probe(out).tags == {"title": "Film", "plan": "abc"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "takes"]


def test_the_same_cut_gives_the_same_bytes_and_opens_no_print_twice(takes, tmp_path: Path):
    cut = a_cut(Body("1", 0, 6), Crossfade((Part("1", 6, 2),), (Part("2", 0, 2),)), Body("2", 2, 2), Body("1", 0, 4))
    first = assemble(cut, takes, SMALL, tmp_path / "a.mp4")
    key = print_spec(FPS, SMALL).key
    assert sorted(takes.opened) == ["1", f"1-{key}.mp4", "2", f"2-{key}.mp4"]
    assert first.digest == assemble(cut, takes, SMALL, tmp_path / "b.mp4").digest


def test_a_window_meets_the_print_beside_it_without_a_step(takes, tmp_path: Path):
    """A picture in a window and the same picture in a print are scaled and encoded alike, to the last bit."""
    spec = PrintSpec(96, 80, FPS)

    def read(part: Part):
        return iter(read_take(takes.open_verified(part.take), part.first, part.frames))

    window = tmp_path / "window.mp4"
    write_print(window, window_pictures(Shown((Part("1", 0, 8),)), read, spec), spec)
    write_print(tmp_path / "print.mp4", read_take(takes.open_verified("1")), spec)
    assert window.read_bytes() == (tmp_path / "print.mp4").read_bytes()


A, B = (200, 10, 77), (3, 250, 180)


def flat(part: Part):
    return iter(np.broadcast_to(np.array(A if part.take == "a" else B, np.uint8), (part.frames, 8, 8, 3)))


def exact(old: tuple[int, ...], new: tuple[int, ...], share: Fraction) -> list[set[int]]:
    """For each channel, the whole numbers nearest to the exact mix: one, or two where it lies in the middle."""
    mixes = [Fraction(a) + (b - a) * share for a, b in zip(old, new, strict=True)]
    return [{round(mix - Fraction(1, 10**9)), round(mix + Fraction(1, 10**9))} for mix in mixes]


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(8)])
@pytest.mark.parametrize("n", [1, 2, 6, 47])
def test_crossfade_weights_are_exact(n, fps):
    spec = PrintSpec(8, 8, fps)
    pictures = list(window_pictures(Crossfade((Part("a", 0, n),), (Part("b", 0, n),)), flat, spec))
    assert len(pictures) == n
    for k, picture in enumerate(pictures):
        assert np.ptp(picture.reshape(-1, 3), axis=0).max() == 0
        for value, allowed in zip(picture[0, 0].tolist(), exact(A, B, Fraction(k + 1, n + 1)), strict=True):
            assert value in allowed


@pytest.mark.parametrize("to_colour", [True, False])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_fade_weights_are_exact_and_reach_the_colour(n, to_colour):
    window = Fade((Part("a", 0, n),), B, to_colour)
    pictures = list(window_pictures(window, flat, PrintSpec(8, 8, Fraction(30000, 1001))))
    shares = [Fraction(k + 1, n) if to_colour else 1 - Fraction(k, n) for k in range(n)]
    for picture, share in zip(pictures, shares, strict=True):
        for value, allowed in zip(picture[0, 0].tolist(), exact(A, B, share), strict=True):
            assert value in allowed
    assert tuple(pictures[-1 if to_colour else 0][0, 0]) == B


def test_a_crossfade_takes_its_frames_from_several_clips_in_order():
    def read(part: Part):
        for k in range(part.first, part.first + part.frames):
            yield np.full((8, 8, 3), 10 * int(part.take) + k, np.uint8)

    window = Crossfade((Part("1", 6, 2), Part("2", 4, 2)), (Part("3", 0, 1), Part("4", 0, 3)))
    shown = [int(p[0, 0, 0]) for p in window_pictures(window, read, PrintSpec(8, 8, FPS))]
    old, new = [16, 17, 24, 25], [30, 40, 41, 42]
    assert shown == [round(o + (w - o) * (k + 1) / 5) for k, (o, w) in enumerate(zip(old, new, strict=True))]


@pytest.mark.parametrize(
    "text", ["Harbour", "A long title that has to be broken into several lines to fit", "Tea\ngyp", "·" * 300]
)
@pytest.mark.parametrize("size", [(512, 512), (64, 64), (16, 16), (768, 320)])
def test_words_stay_inside_the_picture_and_are_seen_whole(text, size):
    slide = Slide(text, (0, 0, 0), (255, 255, 255), 0, 12, 24)
    pictures = list(window_pictures(Shown((slide,)), flat, PrintSpec(*size, FPS)))
    assert pictures[0].max() < 60 < pictures[-1].max()
    if min(size) >= 320 and len(text) < 100:
        edge = np.concatenate([pictures[-1][:4].ravel(), pictures[-1][-4:].ravel(), pictures[-1][:, :4].ravel()])
        assert edge.max() == 0


def test_descenders_are_not_cut_off():
    """moviepy's own box ends above them: "gyp" must reach lower than "nun" and have nothing missing."""

    def rows(text: str) -> int:
        slide = Slide(text, (0, 0, 0), (255, 255, 255), 12, 1, 24)
        (picture,) = window_pictures(Shown((slide,)), flat, PrintSpec(512, 512, FPS))
        inked = np.flatnonzero(picture.max((1, 2)) > 128)
        return int(inked[-1] - inked[0])

    assert rows("Hgyp") > 1.2 * rows("Hnun")


def test_an_unwritable_place_is_found_before_anything_is_rendered(takes, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.mp4").mkdir()
    for out in (tmp_path / "file" / "film.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(OutputUnwritable, match="cannot be written to"):
            assemble(a_cut(Body("1", 0, 8)), takes, SMALL, out)
    assert takes.opened == []
    check_output(tmp_path / "new" / "deeper" / "film.mp4")
    assert not (tmp_path / "new").exists()


def test_an_odd_size_is_refused_before_anything_is_rendered(film_studio: Studio):
    plan = replace(film_studio.plan(shot("a", frames=8)), deliver=(Deliver("film", (65, 64)),))
    with pytest.raises(PrintRefused, match="even"):
        Finish(film_studio.ledger, film_studio.files, film_studio.places).check(plan)


def test_a_failure_leaves_the_old_film_and_nothing_else(takes, tmp_path: Path):
    out = tmp_path / "films" / "film.mp4"
    assemble(a_cut(Body("1", 0, 8)), takes, SMALL, out)
    before = out.read_bytes()
    takes.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        assemble(a_cut(Body("2", 0, 8)), takes, SMALL, out)
    takes.interrupted = False
    with pytest.raises(SoundUnreadable, match=r"none\.wav"):
        assemble(a_cut(Body("2", 0, 8), cues=(Cue("none.wav", 0, 8),)), takes, SMALL, out, base=tmp_path)
    (takes.folder / "2.mkv").write_bytes(b"damaged")
    with pytest.raises(VideoUnreadable, match=r"2\.mkv"):
        assemble(a_cut(Fade((Part("2", 0, 8),), (0, 0, 0), True)), takes, SMALL, out)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["film.mp4"]


def test_what_a_killed_cut_left_is_swept(takes, tmp_path: Path):
    left = tmp_path / "films" / ".film.mp4.cut"
    left.mkdir(parents=True)
    (left / "window-0.mp4").write_bytes(b"half")
    assemble(a_cut(Body("1", 0, 8)), takes, SMALL, tmp_path / "films" / "film.mp4")
    assert [path.name for path in (tmp_path / "films").iterdir()] == ["film.mp4"]


def test_a_print_that_lacks_frames_is_found(takes, tmp_path: Path):
    spec = print_spec(FPS, SMALL)
    write_print(takes.folder / f"1-{spec.key}{spec.suffix}", stamped(1, 5), spec)
    with pytest.raises(FilmWrong, match="ends 3 frames before"):
        assemble(a_cut(Body("1", 0, 8)), takes, SMALL, tmp_path / "film.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "file"),
    [("harbour", "h264", "harbour.mp4"), ("a.b", "h265", "a.b.mp4"), ("x.mov", "prores", "x.mov")],
)
def test_delivery_names(name, codec, file):
    assert film_path(Path("films"), Deliver(name, (8, 8), codec)) == Path("films") / file


def test_a_full_disk_is_named_and_leaves_nothing(takes, tmp_path: Path):
    """A limit on the size of files stands for the full disk: the same path through the muxer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(OutputUnwritable, match=r"film\.mp4 could not be written: .*make room"):
            assemble(
                a_cut(*[Body(str(c), 0, 8) for c in (1, 2, 3, 4)] * 9),
                takes,
                SMALL,
                tmp_path / "o" / "film.mp4",
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "o").iterdir()) == []
