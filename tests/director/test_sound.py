"""Sound: every sound at its exact sample, ten minutes on too; loops without a gap; nothing clips."""

import os
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.cutlist import Body, Cue, CutList
from director.errors import EncoderFailed, SoundUnreadable
from director.sound import CHUNK, LOUDEST, film_sound, mixed, sample_of
from director.soundfile import RATE, check_sound, looped, samples, sound_length
from director.splice import Run, splice
from shots.frames import probe
from shots.prints import CODECS, PrintSpec, write_print

FPS = Fraction(24)


def write_wav(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    """`sound` [n] or [n, channels] of -1 to 1 as 16 bits."""
    data = np.atleast_2d((np.asarray(sound).T * 32767).round().astype("<i2")).T
    with wave.open(str(path), "wb") as file:
        file.setnchannels(data.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(data.tobytes())
    return path


def noise(n: int, seed: int = 0, level: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-level, level, (n, 2))


def a_cut(frames: int, *cues: Cue, fps: Fraction = FPS) -> CutList:
    return CutList("film", "Film", fps, (Body("take", 0, frames),), (), cues)


def mix(cut: CutList, base: Path) -> np.ndarray:
    return np.concatenate(list(mixed(cut, base)))


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) < 1e-4)


@given(
    st.integers(0, 10**7), st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(8), Fraction(24000, 1001)])
)
def test_a_frame_begins_at_the_nearest_sample(frame, fps):
    assert abs(sample_of(frame, fps) - frame * RATE / fps) <= Fraction(1, 2)


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(8)])
def test_sounds_lie_at_their_samples_and_add_up(fps, tmp_path: Path):
    a, b = noise(30_000, 1), noise(50_000, 2)
    write_wav(tmp_path / "a.wav", a)
    write_wav(tmp_path / "b.wav", b)
    found = mix(a_cut(60, Cue("a.wav", 7, 53), Cue("b.wav", 11, 9, gain=-6.0), fps=fps), tmp_path)
    wanted = np.zeros((sample_of(60, fps), 2))
    first = sample_of(7, fps)
    wanted[first : first + 30_000] += a[: len(wanted) - first]
    first, end = sample_of(11, fps), min(sample_of(20, fps), sample_of(11, fps) + 50_000)
    wanted[first:end] += b[: end - first] * 10 ** (-6 / 20)
    assert close(found, wanted)


def test_pieces_meet_without_a_seam(tmp_path: Path):
    """A sound across the edge of two pieces of the mix, and one that begins in the second."""
    sound = noise(60_000, 3)
    write_wav(tmp_path / "a.wav", sound)
    frame = CHUNK * 24 // RATE - 12
    found = mix(a_cut(frame + 60, Cue("a.wav", frame, 60), Cue("a.wav", frame + 20, 40)), tmp_path)
    wanted = np.zeros((sample_of(frame + 60, FPS), 2))
    for start in (frame, frame + 20):
        wanted[2000 * start : 2000 * start + 60_000] += sound
    assert close(found, wanted)


def test_a_loop_of_any_length_has_no_gap(tmp_path: Path):
    """156,345 samples are no whole number of hundredths of a second, where moviepy's loop goes wrong."""
    sound = noise(156_345, 4)
    write_wav(tmp_path / "bed.wav", sound)
    found = mix(a_cut(240, Cue("bed.wav", 0, 240, loop=True)), tmp_path)
    assert close(found, np.tile(sound, (4, 1))[:480_000])


def test_a_long_loop_is_read_again_and_a_short_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sound = noise(5000, 5)
    path = write_wav(tmp_path / "bed.wav", sound)
    monkeypatch.setattr("director.soundfile.REMEMBERED", 3000)
    source = looped(path)
    heard = np.concatenate([next(source) for _ in range(40)])
    assert close(heard, np.tile(sound, (40, 1))[: len(heard)])
    assert len(heard) > 10_000


def test_fades_are_straight_lines_to_the_sound_s_own_end(tmp_path: Path):
    write_wav(tmp_path / "one.wav", np.full((48_000, 2), 0.5))
    cue = Cue("one.wav", 0, 48, fade_in=Fraction(1, 4), fade_out=Fraction(1, 2))
    found = mix(a_cut(48, cue), tmp_path)[:, 0]
    level = np.minimum(1, np.arange(48_000) / 12_000)
    level = np.minimum(level, (48_000 - np.arange(48_000)) / 24_000)
    assert np.abs(found[:48_000] - 0.5 * level).max() < 1e-4
    assert np.abs(found[48_000:]).max() == 0


def test_one_channel_goes_to_both_sides_unchanged(tmp_path: Path):
    sound = noise(4000, 6)[:, 0]
    write_wav(tmp_path / "mono.wav", sound)
    assert close(np.concatenate(list(samples(tmp_path / "mono.wav"))), np.stack([sound, sound], 1))


@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100])
def test_another_rate_keeps_time_and_pitch(rate, tmp_path: Path):
    seconds = np.arange(2 * rate) / rate
    write_wav(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), rate)
    found = np.concatenate(list(samples(tmp_path / "tone.wav")))[:, 0]
    assert abs(len(found) - 96_000) <= 2
    assert sound_length(tmp_path / "tone.wav") == len(found)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / RATE)
    assert np.abs(found - wanted)[200:-200].max() < 0.01


def decoded_sound(path: Path) -> np.ndarray:
    return np.concatenate(list(samples(path)))


@pytest.mark.parametrize(("codec", "fps"), [("h264", Fraction(30000, 1001)), ("prores", Fraction(24))])
def test_clicks_stay_with_their_frames_for_ten_minutes(codec, fps, tmp_path: Path):
    """The whole way: mix, encode, splice, decode. Under a frame is asked for; a few samples are what it is."""
    click = np.zeros(480)
    click[:200] = 0.6 * np.exp(-np.arange(200) / 30)
    write_wav(tmp_path / "click.wav", click)
    frames = round(600 * fps)
    at = [1, 1000, 7193, frames - 30]
    cut = a_cut(frames, *(Cue("click.wav", frame, 10) for frame in at), fps=fps)
    spec = PrintSpec(16, 16, fps, codec)
    black = tmp_path / f"black{spec.suffix}"
    write_print(black, np.zeros((600, 16, 16, 3), np.uint8), spec)
    sound = film_sound(cut, tmp_path, CODECS[codec].sound, tmp_path)
    film = tmp_path / f"film{spec.suffix}"
    splice([Run(black, 0, min(600, frames - first)) for first in range(0, frames, 600)], film, spec, None, sound)
    heard = decoded_sound(film)[:, 0]
    for frame in at:
        near = slice(sample_of(frame, fps) - 1500, sample_of(frame, fps) + 1500)
        assert abs(int(np.abs(heard[near]).argmax()) - 1500) <= 3
    assert abs(len(heard) - sample_of(frames, fps)) < 1024
    with av.open(str(film)) as file:
        assert file.streams.video[0].start_time == 0
        assert file.streams.audio[0].start_time == 0
    assert probe(film).frames == frames


def test_a_mix_that_would_clip_is_turned_down_as_a_whole(tmp_path: Path):
    loud = noise(48_000, 7, level=0.9)
    write_wav(tmp_path / "a.wav", loud)
    path = film_sound(a_cut(24, *[Cue("a.wav", 0, 24)] * 3), tmp_path, "pcm_s24le", tmp_path)
    found = decoded_sound(path)
    peak = np.abs(loud).max()
    assert np.abs(found - loud / peak * LOUDEST).max() < 1e-3


def test_a_quiet_mix_is_left_as_it_is(tmp_path: Path):
    sound = noise(48_000, 8)
    write_wav(tmp_path / "a.wav", sound)
    path = film_sound(a_cut(24, Cue("a.wav", 0, 24)), tmp_path, "pcm_s24le", tmp_path)
    assert close(decoded_sound(path), sound)


def test_equal_sound_gives_equal_bytes(tmp_path: Path):
    write_wav(tmp_path / "a.wav", noise(48_000, 9))
    made = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        made.append(film_sound(a_cut(24, Cue("a.wav", 0, 24)), tmp_path, "aac", tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_no_cues_no_sound(tmp_path: Path):
    assert film_sound(a_cut(24), tmp_path, "aac", tmp_path) is None


def test_unusable_files_are_named(tmp_path: Path):
    (tmp_path / "text.wav").write_text("not a sound" * 100)
    write_print(tmp_path / "silent.mp4", np.zeros((2, 16, 16, 3), np.uint8), PrintSpec(16, 16, FPS))
    write_wav(tmp_path / "empty.wav", np.zeros((0, 2)))
    for name in ("gone.wav", "text.wav", "silent.mp4", "empty.wav", "."):
        with pytest.raises(SoundUnreadable):
            check_sound(tmp_path / name)
        with pytest.raises(SoundUnreadable):
            next(looped(tmp_path / name))
    check_sound(write_wav(tmp_path / "good.wav", noise(10)), whole=True)


def test_a_missing_or_failing_ffmpeg_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_wav(tmp_path / "a.wav", noise(480_000, 10))
    cut = a_cut(240, Cue("a.wav", 0, 240))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(EncoderFailed, match=r"none.*IMAGEIO_FFMPEG_EXE"):
        film_sound(cut, tmp_path, "aac", tmp_path)
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho it is broken >&2\nexit 7\n")
    os.chmod(fake, 0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(EncoderFailed, match=r"exit 7.*it is broken"):
        film_sound(cut, tmp_path, "aac", tmp_path)


def test_the_example_bed_is_what_its_program_makes_and_loops_without_a_step(tmp_path: Path):
    folder = Path(__file__).parents[2] / "examples" / "audio"
    made = tmp_path / "harbour.wav"
    subprocess.run([sys.executable, str(folder / "make_bed.py"), str(made)], check=True)
    with wave.open(str(made)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert abs(file.getnframes() / file.getframerate() - 30) < 0.01
    kept, fresh = (np.concatenate(list(samples(path)))[:, 0] for path in (folder / "harbour.wav", made))
    # Another processor may round the last bit of a sine otherwise.
    assert np.abs(kept - fresh).max() < 3 / 32768
    assert abs(kept[0] - kept[-1]) < np.abs(np.diff(kept)).max()
    assert 0.3 < np.abs(kept).max() < 0.6
