"""Prints: every frame a key frame at an exact time, the right colours, equal input giving equal bytes."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from shots.errors import PrintRefused
from shots.prints import CODECS, PrintSpec, scaled, write_print

SPEC = PrintSpec(64, 48, Fraction(24))
RATES = [Fraction(24), Fraction(30000, 1001), Fraction(8)]
COLOURS = [(200, 30, 40), (20, 180, 60), (30, 40, 220), (255, 255, 255), (0, 0, 0), (128, 128, 128)]


def flat(*colours: tuple[int, int, int], size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.stack([np.broadcast_to(np.array(c, np.uint8), (*size, 3)) for c in colours])


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("fps", RATES)
def test_every_packet_is_a_key_frame_at_its_exact_time(codec, fps, tmp_path: Path):
    spec = replace(SPEC, codec=codec, fps=fps)
    path = tmp_path / f"print{spec.suffix}"
    assert write_print(path, flat(*COLOURS), spec) == 6
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.time_base == spec.time_base
        packets = [p for p in file.demux(stream) if p.size]
        assert [(p.pts, p.dts, p.is_keyframe) for p in packets] == [
            (k * spec.tick, k * spec.tick, True) for k in range(6)
        ]
        assert spec.tick * spec.time_base == 1 / fps
        assert stream.average_rate == fps


@pytest.mark.parametrize("codec", CODECS)
def test_colours_survive_with_bt709_and_limited_range(codec, tmp_path: Path):
    """Decoded with the matrix that the file names. The wrong matrix would move these colours by 20 levels."""
    spec = replace(SPEC, codec=codec)
    path = tmp_path / f"print{spec.suffix}"
    write_print(path, flat(*COLOURS), spec)
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
    with av.open(str(path)) as file:
        for frame, colour in zip(file.decode(video=0), COLOURS, strict=True):
            assert frame.colorspace == 1
            shown = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            assert np.abs(shown.astype(int) - colour).max() <= 5


@pytest.mark.parametrize("codec", CODECS)
def test_equal_pictures_give_equal_bytes(codec, tmp_path: Path):
    pictures = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    spec = replace(SPEC, codec=codec)
    paths = [tmp_path / f"{name}{spec.suffix}" for name in "ab"]
    for path in paths:
        write_print(path, pictures, spec)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("scaler", ["lanczos", "bicubic", "nearest"])
def test_scaling_keeps_flat_colour_and_gives_the_size(scaler):
    spec = replace(SPEC, width=50, height=34, scaler=scaler)
    for picture, colour in zip(scaled(flat(*COLOURS, size=(17, 25)), spec), COLOURS, strict=True):
        assert picture.shape == (34, 50, 3)
        assert np.abs(picture.astype(int) - colour).max() <= 1


def test_nearest_shows_the_source_pixels_in_equal_blocks():
    source = np.random.default_rng(2).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    (grown,) = scaled(source, replace(SPEC, width=32, height=24, scaler="nearest"))
    assert np.array_equal(grown, source[0].repeat(3, 0).repeat(4, 1))


def test_a_picture_of_the_print_s_size_is_not_touched():
    source = np.random.default_rng(3).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    assert np.array_equal(next(scaled(source, SPEC)), source[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 65}, "width of 65 for h264.*even width: choose 64 or 66"),
        ({"height": 33, "codec": "h265"}, "height of 33"),
        ({"width": 8, "codec": "h265"}, "width of 8 for h265; it makes 16 to 16384"),
        ({"codec": "prores", "width": 31}, "width of 31"),
        ({"width": 0}, "width of 0"),
        ({"codec": "vp9"}, "codec 'vp9' is not known; there are h264, h265, prores"),
        ({"scaler": "cubic"}, "scaler 'cubic'"),
        ({"fps": Fraction(0)}, "rate of 0"),
    ],
)
def test_what_cannot_be_encoded_is_refused_before_anything_is_written(change, words, tmp_path: Path):
    with pytest.raises(PrintRefused, match=words):
        write_print(tmp_path / "print.mp4", flat(*COLOURS), replace(SPEC, **change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"codec": "prores", "height": 33}, {"width": 2, "height": 2}])
def test_odd_and_tiny_sizes_that_a_codec_can_do(change, tmp_path: Path):
    spec = replace(SPEC, **change)
    path = tmp_path / f"print{spec.suffix}"
    write_print(path, flat(*COLOURS), spec)
    assert {frame.shape[:2] for frame in decoded(path)} == {(spec.height, spec.width)}


def test_the_key_tells_apart_what_gives_other_bytes():
    keys = {
        replace(SPEC, **change).key
        for change in (
            {},
            {"width": 66},
            {"fps": Fraction(25)},
            {"codec": "h265"},
            {"scaler": "nearest"},
            {"version": 2},
        )
    }
    assert len(keys) == 6
    assert PrintSpec(64, 48, Fraction(48, 2)).key == SPEC.key


def test_no_pictures_are_no_print(tmp_path: Path):
    with pytest.raises(PrintRefused, match="no frames"):
        write_print(tmp_path / "print.mp4", [], SPEC)
