"""The film's sound: beds and shots' sounds mixed at exact samples, in pieces, and encoded once.

Everything is counted in samples of 48 kHz: film frame f begins at sample round(f * 48000 / fps), from the film's
beginning each time, so nothing adds up. moviepy 2.2 places a sound exactly if its start is a whole sample, but
reads its length in hundredths of a second: a bed of 3.2572 s, looped, was 137 samples late at every turn (measured:
two thirds of ten seconds wrong). So the mix is numpy; ffmpeg, run through ffmpeg-python, encodes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cutlist import Cue, CutList
from .errors import EncoderFailed
from .soundfile import RATE, Samples, looped, samples, sound_length

log = logging.getLogger("longtake.sound")

CHUNK = 10 * RATE
LOUDEST = 0.891
"""-1 dBFS. A mix that goes higher is turned down as a whole; AAC may overshoot by a little."""
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "aac": (".m4a", {"acodec": "aac", "audio_bitrate": "192k"}),
    "pcm_s24le": (".mov", {"acodec": "pcm_s24le"}),
}


def sample_of(frame: int, fps: Fraction) -> int:
    """The sample at which film frame `frame` begins."""
    doubled, whole = 2 * frame * RATE * fps.denominator, 2 * fps.numerator
    return (doubled + fps.numerator) // whole


def film_sound(cut: CutList, base: Path, codec: str, folder: Path) -> Path | None:
    """The film's sound track as a file in `folder`, exactly as long as the film; None when the cut has no sound.

    base: folder that the cues' files are relative to. codec: `aac` or `pcm_s24le`.

    Raises:
        SoundUnreadable: a file is missing or cannot be decoded.
        EncoderFailed: ffmpeg is missing or failed.
    """
    if not cut.cues:
        return None
    # The mix is made twice, once to know its peak: a mix of hours fits neither memory nor always the disk.
    peak = max(float(np.abs(piece).max()) for piece in mixed(cut, base))
    gain = min(1.0, LOUDEST / peak) if peak else 1.0
    if gain < 1:
        log.info("the mix peaks at %.2f and is turned down by %.1f dB", peak, -20 * np.log10(gain))
    suffix, options = ENCODERS[codec]
    path = folder / f"sound{suffix}"
    _encode((piece * np.float32(gain) for piece in mixed(cut, base)), path, options)
    return path


def mixed(cut: CutList, base: Path) -> Iterator[Samples]:
    """The mix in pieces [n, 2] of float32, at most ten seconds each, as long as the film in all; not limited."""
    end = sample_of(cut.frames, cut.fps)
    waiting = sorted((_Voice.of(cue, cut.fps, base) for cue in cut.cues), key=lambda voice: -voice.start)
    playing: list[_Voice] = []
    for first in range(0, end, CHUNK):
        last = min(end, first + CHUNK)
        while waiting and waiting[-1].start < last:
            playing.append(waiting.pop())
        piece = np.zeros((last - first, 2), np.float32)
        for voice in playing:
            voice.add_to(piece, first)
        playing = [voice for voice in playing if voice.end > last]
        yield piece


@dataclass
class _Voice:
    """A cue on its way into the mix: samples `start` to `end` of the film."""

    start: int
    end: int
    source: Iterator[Samples]
    gain: float
    fade_in: int
    fade_out: int
    left: Samples = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    @classmethod
    def of(cls, cue: Cue, fps: Fraction, base: Path) -> _Voice:
        path = base / cue.file
        start, end = sample_of(cue.start, fps), sample_of(cue.start + cue.frames, fps)
        if not cue.loop and cue.fade_out:
            # A sound that is over before its shot fades towards its own end.
            end = min(end, start + sound_length(path))
        source = looped(path) if cue.loop else samples(path)
        return cls(start, end, source, 10 ** (cue.gain / 20), round(cue.fade_in * RATE), round(cue.fade_out * RATE))

    def add_to(self, piece: Samples, first: int) -> None:
        """Add what falls into `piece`, which begins at the film's sample `first`."""
        begin, stop = max(self.start, first), min(self.end, first + len(piece))
        if stop > begin:
            heard = self._next(stop - begin)
            level = self._level(begin, begin + len(heard))[:, None] * np.float32(self.gain)
            piece[begin - first : begin - first + len(heard)] += heard * level

    def _next(self, count: int) -> Samples:
        """The next `count` samples of the source; fewer when it is over."""
        parts, have = [self.left], len(self.left)
        while have < count and (more := next(self.source, None)) is not None:
            parts.append(more)
            have += len(more)
        joined = np.concatenate(parts)
        self.left = joined[count:]
        return joined[:count]

    def _level(self, begin: int, stop: int) -> NDArray[np.float32]:
        """The fades at the film's samples `begin` to `stop - 1`: straight lines."""
        at = np.arange(begin, stop)
        level = np.ones(stop - begin)
        if self.fade_in:
            level = np.minimum(level, (at - self.start) / self.fade_in)
        if self.fade_out:
            level = np.minimum(level, (self.end - at) / self.fade_out)
        return level.astype(np.float32)


def _encode(pieces: Iterator[Samples], path: Path, options: dict[str, str]) -> None:
    import ffmpeg

    source = ffmpeg.input("pipe:", format="f32le", ar=RATE, ac=2)
    # bitexact: no version and no date, so that equal sound gives equal bytes.
    graph = source.output(str(path), fflags="+bitexact", **{"flags:a": "+bitexact"}, **options)
    program = _program()
    try:
        process: Any = graph.global_args("-nostats", "-loglevel", "error").run_async(
            cmd=program, pipe_stdin=True, pipe_stderr=True, overwrite_output=True
        )
    except OSError as error:
        raise EncoderFailed(
            f"ffmpeg cannot be started: {program}: {error.strerror}; unset IMAGEIO_FFMPEG_EXE or mend it"
        ) from None
    try:
        for piece in pieces:
            process.stdin.write(np.ascontiguousarray(piece, np.float32).tobytes())
    except BrokenPipeError:
        pass  # ffmpeg has given up; what it says comes below
    except BaseException:
        process.kill()
        raise
    finally:
        told = _finish(process)
    if process.returncode:
        raise EncoderFailed(f"ffmpeg could not encode the sound (exit {process.returncode}): {told.strip()[-500:]}")


def _finish(process: Any) -> str:
    with suppress(BrokenPipeError):
        process.stdin.close()
    told = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    process.wait()
    return str(told)


def _program() -> str:
    """The ffmpeg that imageio-ffmpeg carries, or what IMAGEIO_FFMPEG_EXE names."""
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise EncoderFailed(
            f"no ffmpeg was found: {error}; install imageio-ffmpeg from a wheel, or set IMAGEIO_FFMPEG_EXE"
        ) from None
