"""Takes: what is read is what was written, and equal input gives equal bytes."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shots.errors import BadFootage, VideoUnreadable
from shots.frames import frames_digest, probe, read_take, write_take

SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 37), st.integers(2, 37))


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1))
def test_take_gives_back_exactly_what_was_written(shape, seed, tmp_path: Path):
    frames = noise(shape, seed)
    write_take(tmp_path / "take.mkv", frames, {})
    assert np.array_equal(read_take(tmp_path / "take.mkv"), frames)


def test_equal_frames_and_tags_give_equal_bytes(tmp_path: Path):
    frames = noise((4, 64, 64))
    for name in ("a.mkv", "b.mkv"):
        write_take(tmp_path / name, frames, {"key": "k", "host": "here"})
    write_take(tmp_path / "c.mkv", frames, {"key": "k", "host": "there"})
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.mkv", "b.mkv", "c.mkv"))
    assert a == b != c


def test_non_contiguous_frames_are_written_as_they_look(tmp_path: Path):
    frames = noise((6, 20, 30))[::2, ::-1, 5:25]
    write_take(tmp_path / "take.mkv", frames, {})
    assert np.array_equal(read_take(tmp_path / "take.mkv"), frames)
    assert frames_digest(frames) == frames_digest(frames.copy())


def test_part_of_a_take(tmp_path: Path):
    frames = noise((8, 16, 16))
    write_take(tmp_path / "take.mkv", frames, {})
    assert np.array_equal(read_take(tmp_path / "take.mkv", first=3, frames=4), frames[3:7])
    with pytest.raises(VideoUnreadable, match="1 could be read"):
        read_take(tmp_path / "take.mkv", first=7, frames=2)


def test_tags_of_any_text_come_back(tmp_path: Path):
    tags = {"Key": "a" * 100_000, "größe": "π\n\"'\\", "title": "Häfen", "empty": ""}
    write_take(tmp_path / "take.mkv", noise((1, 8, 8)), tags)
    assert probe(tmp_path / "take.mkv").tags == tags


def test_probe_names_size_codec_and_length(tmp_path: Path):
    write_take(tmp_path / "take.mkv", noise((7, 18, 30)), {})
    found = probe(tmp_path / "take.mkv")
    assert (found.codec, found.pixel_format, found.width, found.height) == ("ffv1", "bgr0", 30, 18)
    assert (found.frames, found.fps, found.sound) == (7, 8, None)


def test_foreign_tags_are_shown_as_they_are(tmp_path: Path):
    with av.open(str(tmp_path / "other.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=8)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        file.metadata["comment"] = '"not ours"'
        file.mux(stream.encode(av.VideoFrame(16, 16, "bgr0")))
        file.mux(stream.encode(None))
    assert probe(tmp_path / "other.mkv").tags["comment"] == '"not ours"'


def test_digest_depends_on_every_value_and_on_the_shape():
    frames = noise((2, 4, 6))
    changed = frames.copy()
    changed[1, 3, 5, 2] ^= 1
    digests = {frames_digest(f) for f in (frames, changed, frames.reshape(2, 6, 4, 3), frames[:1])}
    assert len(digests) == 4
    assert frames_digest(frames) == frames_digest(frames.copy())


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((0, 8, 8, 3), "uint8"), ((1, 8, 8, 4), "uint8"), ((1, 8, 8, 3), "float32"), ((1, 1, 8, 3), "uint8")],
)
def test_what_is_no_footage_is_refused(shape, kind, tmp_path: Path):
    with pytest.raises(BadFootage, match=r"\[F, H, W, 3\]"):
        write_take(tmp_path / "take.mkv", np.zeros(shape, kind), {})
    assert not (tmp_path / "take.mkv").exists()


def test_damage_is_an_error_and_not_a_picture(tmp_path: Path):
    """A flipped byte anywhere in the pictures is found, or does not matter; there is never a wrong pixel."""
    frames = noise((4, 32, 32))
    path = tmp_path / "take.mkv"
    write_take(path, frames, {})
    whole = path.read_bytes()
    for at in range(len(whole) // 4, len(whole), len(whole) // 23):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            got = read_take(path, frames=4)
        except VideoUnreadable:
            continue
        assert np.array_equal(got, frames)


def test_missing_and_foreign_files(tmp_path: Path):
    with pytest.raises(VideoUnreadable, match=r"nothing\.mkv"):
        read_take(tmp_path / "nothing.mkv")
    (tmp_path / "text.mkv").write_text("hello")
    with pytest.raises(VideoUnreadable, match=r"text\.mkv"):
        probe(tmp_path / "text.mkv")
