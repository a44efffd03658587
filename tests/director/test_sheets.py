"""Contact sheet and seam strips: what they show, and that no film makes them unreadable or huge."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from director.cut import film_frames
from director.drawing import font, lines_of, shortened, spread, thumb_size, thumbnail
from director.planned import Plan, PlannedClip, PlannedShot, Slate, Title, Transition
from director.seams import joins, seam_strips, step_ratio
from director.sheets import contact_sheet
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler


def a_clip(shot: str, index: int, prompt: str, size: tuple[int, int] = (64, 64)) -> PlannedClip:
    model = ModelRef("pocket", "sha256:0", "animatediff")
    first, kept = (4, 4) if index else (0, 8)
    spec = ClipSpec(model, *size, 8, prompt, "", 7, index, Sampler(), Recipe())
    return PlannedClip(Slate("film", shot, index + 1), spec, f"{shot}/{index}", first, kept, 1)


def a_shot(name: str, clips: int, prompt: str = "a red boat", size=(64, 64), **more) -> PlannedShot:
    made = tuple(a_clip(name, i, prompt, size) for i in range(clips))
    return PlannedShot(name, made, sum(c.kept for c in made), prompt=prompt, **more)


def a_plan(*shots: PlannedShot, size: tuple[int, int] = (64, 64)) -> Plan:
    return Plan("film", "A Film", Fraction(24), size, 0, shots, (), film_frames(shots))


def coloured(clip: PlannedClip) -> np.ndarray:
    """Frame k of clip c of a shot is one flat colour: red 100 + k, green 10 c, blue 1."""
    frames = np.zeros((clip.spec.frames, clip.spec.height, clip.spec.width, 3), np.uint8)
    frames[:] = [100, 10 * clip.slate.clip, 1]
    frames[..., 0] += np.arange(clip.spec.frames, dtype=np.uint8)[:, None, None]
    return frames


def shown(path: Path) -> Counter:
    """How many thumbnails of each (frame, clip) a sheet of `coloured` clips shows."""
    sheet = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    colours, counts = np.unique(sheet[sheet[:, 2] == 1], axis=0, return_counts=True)
    return Counter(
        {(int(c[0]) - 100, int(c[1]) // 10): round(n / 128**2, 2) for c, n in zip(colours, counts, strict=True)}
    )


def test_a_sheet_shows_kept_frames_of_every_clip_evenly(tmp_path: Path):
    contact_sheet(a_plan(a_shot("a", 4)), coloured, tmp_path / "sheet.png")
    assert shown(tmp_path / "sheet.png") == {(f, 1): 1 for f in (0, 2, 5)} | {
        (f, c): 1 for c in (2, 3, 4) for f in (4, 5, 6)
    }


def test_a_long_chain_is_sampled_and_says_so(tmp_path: Path):
    read = []

    def reader(clip: PlannedClip) -> np.ndarray:
        read.append(clip.slate.clip)
        return coloured(a_clip("a", 0, ""))

    contact_sheet(a_plan(a_shot("a", 500)), reader, tmp_path / "sheet.png")
    assert len(read) == 24
    assert (read[0], read[-1]) == (1, 500)
    assert Image.open(tmp_path / "sheet.png").height < 700


@pytest.mark.parametrize("shots", [1, 39, 41, 3000])
def test_a_sheet_of_any_film_has_a_bounded_size(shots, tmp_path: Path):
    plan = a_plan(*(a_shot(str(n), 1 if shots > 100 else 30) for n in range(shots)))
    contact_sheet(plan, lambda clip: None, tmp_path / "sheet.png")
    width, height = Image.open(tmp_path / "sheet.png").size
    assert width < 2000
    assert height < 12_000
    assert (tmp_path / "sheet.png").stat().st_size < 3_000_000


def test_what_is_not_rendered_is_shown_as_missing(tmp_path: Path):
    plan = a_plan(a_shot("a", 2))
    contact_sheet(plan, lambda clip: coloured(clip) if clip.slate.clip == 1 else None, tmp_path / "sheet.png")
    found = shown(tmp_path / "sheet.png")
    assert sum(found.values()) == 6
    assert {clip for _, clip in found} == {1}


@pytest.mark.parametrize(
    "text", ["", "word", "w" * 5000, "a prompt of many words " * 4000, "two\nlines", "日本語", "\x00\t control"]
)
def test_any_text_is_drawn(text, tmp_path: Path):
    plan = a_plan(
        a_shot("s" * 200, 2, text, title=Title("t", 3)), a_shot("b", 3, text, transition=Transition("fade", 4))
    )
    contact_sheet(plan, coloured, tmp_path / "sheet.png")
    seam_strips(plan, coloured, tmp_path / "seams.png")
    assert Image.open(tmp_path / "sheet.png").width < 2000


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (96, 64), (768, 512), (512, 768), (4096, 16)])
def test_thumbnails_of_any_size(size, tmp_path: Path):
    plan = a_plan(a_shot("a", 2, size=size), size=size)
    contact_sheet(plan, coloured, tmp_path / "sheet.png")
    assert 64 < max(thumb_size(size)) <= 128
    assert max(size) > 128 or thumb_size(size)[0] % size[0] == 0


def test_small_pictures_grow_without_blur():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(thumbnail(picture, (128, 128))), picture.repeat(2, 0).repeat(2, 1))


def test_seam_strips_show_four_frames_on_either_side(tmp_path: Path):
    plan = a_plan(a_shot("a", 2), a_shot("b", 1, transition=Transition("crossfade", 2)))
    assert [(str(j.before.slate), str(j.after.slate), j.way) for j in joins(plan)] == [
        ("a/1", "a/2", "chain"),
        ("a/2", "b/1", "2-frame crossfade"),
    ]
    seam_strips(plan, coloured, tmp_path / "seams.png")
    in_a = {(f, 1): 1 for f in (4, 5, 6, 7)} | {(f, 2): 2 for f in (4, 5, 6, 7)}
    assert shown(tmp_path / "seams.png") == in_a | {(f, 1): 1 for f in range(8)}


def test_many_joins_are_sampled(tmp_path: Path):
    plan = a_plan(*(a_shot(str(n), 40) for n in range(20)))
    seam_strips(plan, lambda clip: None, tmp_path / "seams.png")
    assert Image.open(tmp_path / "seams.png").height < 8000


def test_one_clip_has_no_joins(tmp_path: Path):
    seam_strips(a_plan(a_shot("a", 1)), coloured, tmp_path / "seams.png")
    assert Image.open(tmp_path / "seams.png").height > 100


def test_the_step_over_a_join_is_measured_in_steps_beside_it():
    def ramp(*levels: int) -> np.ndarray:
        return np.stack([np.full((4, 4, 3), level, np.uint8) for level in levels])

    assert step_ratio(ramp(0, 2, 4), ramp(6, 8)) == 1
    assert step_ratio(ramp(0, 2, 4), ramp(10, 12)) == 3
    assert step_ratio(ramp(5, 5), ramp(5, 5)) is None
    assert step_ratio(ramp(5), ramp(9)) is None


def test_texts_fit_their_room():
    assert shortened("short", 20, 500) == "short"
    for width in (30, 100, 333):
        assert font(20).getlength(shortened("a long line of words that goes on", 20, width)) <= width
        for line in lines_of("a long line of words that goes on and on", 20, width, 2):
            assert font(20).getlength(line) <= width
    assert lines_of("one two", 20, 500, 2) == ["one two"]


def test_spread_keeps_both_ends():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2]
    assert spread(range(5), 1) == [0]


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    (tmp_path / "sheet.png").write_bytes(b"old")

    def broken(clip: PlannedClip) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        contact_sheet(a_plan(a_shot("a", 1)), broken, tmp_path / "sheet.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("sheet.png", b"old")]
