"""Splicing: the right frames at exact times, whatever the rate; mixed prints refused; memory flat."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from director.errors import FilmWrong, PrintsDiffer
from director.splice import Run, check_spliced, decoded_checks, publish, splice
from shots.errors import VideoUnreadable
from shots.frames import probe
from shots.prints import CODECS, PrintSpec, write_print

SPEC = PrintSpec(32, 32, Fraction(24))
RATES = [Fraction(24), Fraction(30000, 1001), Fraction(8)]


def stamped(clip: int, frames: int) -> np.ndarray:
    """Pictures [F, 32, 32, 3] that carry clip and frame number as black and white blocks, eight bits each."""
    bits = np.array([[(number >> b) & 1 for b in range(8)] for number in range(256)], np.uint8)
    rows = [np.concatenate([bits[clip], bits[k]]).reshape(4, 4) for k in range(frames)]
    blocks = np.stack(rows).repeat(8, 1).repeat(8, 2) * 235 + 10
    return np.repeat(blocks[..., None], 3, 3).astype(np.uint8)


def stamp(picture: np.ndarray) -> tuple[int, int]:
    high = picture.shape[0] // 4
    bits = (picture[high // 2 :: high, high // 2 :: high, 1] > 127).reshape(16)
    clip, frame = (sum(int(bit) << i for i, bit in enumerate(half)) for half in (bits[:8], bits[8:]))
    return clip, frame


def stamps(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as file:
        return [stamp(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five prints of 17 frames each."""
    folder = tmp_path_factory.mktemp("prints")
    for clip in range(5):
        write_print(folder / f"{clip}.mp4", stamped(clip, 17), SPEC)
    return [folder / f"{clip}.mp4" for clip in range(5)]


RUNS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 16), st.integers(1, 17)).map(
        lambda r: (r[0], r[1], min(r[2], 17 - r[1]))
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=RUNS)
def test_any_runs_of_any_prints_come_out_frame_for_frame(wanted, prints, tmp_path: Path):
    runs = [Run(prints[clip], first, frames) for clip, first, frames in wanted]
    out = tmp_path / "film.mp4"
    assert splice(runs, out, SPEC) == sum(run.frames for run in runs)
    assert stamps(out) == [(clip, first + k) for clip, first, frames in wanted for k in range(frames)]
    check_spliced(runs, out, SPEC)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("fps", RATES)
def test_frames_are_shown_at_exact_times(codec, fps, tmp_path: Path):
    spec = replace(SPEC, codec=codec, fps=fps)
    path = tmp_path / f"print{spec.suffix}"
    write_print(path, stamped(7, 9), spec)
    runs = [Run(path, 0, 9), Run(path, 4, 5), Run(path, 8, 1), Run(path, 0, 3)]
    out = tmp_path / f"film{spec.suffix}"
    assert splice(runs, out, spec, {"title": "Film", "own": "1"}) == 18
    assert stamps(out) == [(7, k) for k in [*range(9), *range(4, 9), 8, *range(3)]]
    with av.open(str(out)) as file:
        times = [packet.pts for packet in file.demux(video=0) if packet.size]
    assert {b - a for a, b in pairwise(times)} == {spec.tick}
    found = probe(out)
    assert (found.fps, found.frames, found.time_base) == (fps, 18, spec.time_base)
    assert found.tags == {"title": "Film", "own": "1"}
    check_spliced(runs, out, spec)


def test_equal_input_gives_equal_bytes(prints, tmp_path: Path):
    for name in ("a.mp4", "b.mp4"):
        splice([Run(prints[0], 0, 5), Run(prints[1], 3, 5)], tmp_path / name, SPEC, {"k": "v"})
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 48}, "size"),
        ({"fps": Fraction(30)}, "time base"),
        ({"codec": "h265"}, "codec 'hevc' and not 'h264'"),
    ],
)
def test_prints_of_another_spec_are_refused(change, words, prints, tmp_path: Path):
    other = replace(SPEC, **change)
    path = tmp_path / f"other{other.suffix}"
    write_print(path, stamped(0, 4), other)
    with pytest.raises(PrintsDiffer, match=words):
        splice([Run(prints[0], 0, 4), Run(path, 0, 4)], tmp_path / "film.mp4", SPEC)
    with pytest.raises(PrintsDiffer):
        splice([Run(path, 0, 4)], tmp_path / "film.mp4", SPEC)


def test_a_print_that_is_too_short_is_named(prints, tmp_path: Path):
    with pytest.raises(FilmWrong, match=r"1\.mp4 ends 3 frames before frame 20"):
        splice([Run(prints[0], 0, 4), Run(prints[1], 0, 20)], tmp_path / "film.mp4", SPEC)


def test_the_check_finds_one_wrong_frame_a_missing_one_and_one_too_many(prints, tmp_path: Path):
    out = tmp_path / "film.mp4"
    right = [Run(prints[0], 0, 8), Run(prints[1], 0, 8)]
    splice([right[0], Run(prints[1], 0, 4), Run(prints[1], 5, 1), Run(prints[1], 5, 3)], out, SPEC)
    with pytest.raises(FilmWrong, match=r"frame 12 of .*film\.mp4 is not frame 4 of .*1\.mp4"):
        check_spliced(right, out, SPEC)
    for frames in (7, 9):
        splice([right[0], Run(prints[1], 0, frames)], out, SPEC)
        with pytest.raises(FilmWrong, match=f"has {8 + frames} frames, and its cut 16"):
            check_spliced(right, out, SPEC)


def test_decoding_a_part_is_the_part_of_decoding_all(prints):
    whole = list(decoded_checks(prints[2], SPEC))
    assert len(set(whole)) == 17
    assert list(decoded_checks(prints[2], SPEC, 6, 7)) == whole[6:13]


def test_a_missing_print_is_named(tmp_path: Path):
    with pytest.raises(VideoUnreadable, match=r"gone\.mp4"):
        splice([Run(tmp_path / "gone.mp4", 0, 1)], tmp_path / "film.mp4", SPEC)


def test_publishing_replaces_the_old_film_in_one_step(tmp_path: Path):
    (tmp_path / "film.mp4").write_bytes(b"old")
    (tmp_path / "part").write_bytes(b"new")
    publish(tmp_path / "part", tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


MEMORY = """
import sys
from fractions import Fraction
from pathlib import Path
from director.splice import Run, splice
from shots.prints import PrintSpec
path, out, clips = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
splice([Run(path, 0, 17)] * clips, out, PrintSpec(32, 32, Fraction(24)))
# VmHWM, because ru_maxrss of a child begins at what its parent used.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_number_of_clips(prints, tmp_path: Path):
    def peak(clips: int) -> int:
        command = [sys.executable, "-c", MEMORY, str(prints[0]), str(tmp_path / "film.mp4"), str(clips)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    few, many = peak(20), peak(300)
    assert many < 1.25 * few, f"{few} kB for 20 clips, {many} kB for 300"
