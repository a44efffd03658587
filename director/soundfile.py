"""Sound files as samples: decoded with PyAV a piece at a time, stereo, 48 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import SoundUnreadable

if TYPE_CHECKING:
    import av.audio

RATE = 48_000
"""Samples a second of everything inside."""
REMEMBERED = 30 * RATE
"""A looped file of at most so many samples is decoded once and kept."""

Samples = NDArray[np.float32]


def check_sound(path: Path, whole: bool = False) -> None:
    """Find out whether a sound file can be used: its beginning, or with `whole` all of it, is decoded.

    Raises:
        SoundUnreadable: missing, no sound in it, or damaged.
    """
    for _ in samples(path):
        if not whole:
            return


def sound_length(path: Path) -> int:
    """Samples (of 48 kHz) in a file, by decoding it.

    Raises:
        SoundUnreadable: missing, no sound in it, or damaged.
    """
    return sum(len(piece) for piece in samples(path))


def samples(path: Path) -> Iterator[Samples]:
    """The file's sound in pieces [n, 2] of float32; one channel is given to both sides, more than two are mixed down.

    Raises:
        SoundUnreadable: missing, no sound in it, or damaged.
    """
    import av

    heard = False
    try:
        with av.open(str(path), metadata_errors="replace") as file:
            if not file.streams.audio:
                raise SoundUnreadable(
                    f"{path} has no sound track: give a sound file, such as .wav, .flac, .mp3 or .m4a"
                )
            stream = file.streams.audio[0]
            layout = "mono" if stream.channels == 1 else "stereo"
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE)
            for frame in _with_end(file.decode(stream)):
                for piece in resampler.resample(frame):
                    heard = heard or piece.samples > 0
                    yield _stereo(piece)
    except (av.FFmpegError, OSError) as error:
        raise SoundUnreadable(f"{path} cannot be decoded as sound: {error}; give another file or remove it") from None
    if not heard:
        raise SoundUnreadable(f"{path} holds no samples: give another file or remove it")


def looped(path: Path) -> Iterator[Samples]:
    """`samples` again and again, with nothing between the end and the beginning. Never ends.

    Raises:
        SoundUnreadable: missing, no sound in it, or damaged.
    """
    kept: list[Samples] = []
    length = 0
    for piece in samples(path):
        length += len(piece)
        if length <= REMEMBERED:
            kept.append(piece)
        yield piece
    while length <= REMEMBERED:
        yield from kept
    while True:
        yield from samples(path)


def _with_end(frames: Iterator[Any]) -> Iterator[Any]:
    # A resampler holds samples back until it is told that there are no more.
    yield from frames
    yield None


def _stereo(piece: av.audio.AudioFrame) -> Samples:
    planar = piece.to_ndarray().astype(np.float32, copy=False)
    return np.ascontiguousarray(np.broadcast_to(planar, (2, planar.shape[1])).T)
