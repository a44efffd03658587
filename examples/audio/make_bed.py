"""Makes examples/audio/harbour.wav, the sound under the harbour film: sea, four slow chords, a distant bell.

    python examples/audio/make_bed.py [OUT.wav]

Everything is computed here from a seed, so its origin is clear and it carries nobody's rights. Thirty seconds,
mono, 24 kHz, 16 bits, and a seamless loop: noise is made in the frequency domain, where it is periodic by nature,
every tone has a whole number of cycles, and the bell's ringing runs over the end into the beginning.
"""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]

RATE = 24_000
SECONDS = 30
LENGTH = RATE * SECONDS
SEED = 1848
PEAK = 0.5
"""-6 dBFS: room for what a storyboard lays over it."""

TIME = np.arange(LENGTH) / RATE
# Equal temperament from A = 440 Hz; D major with its ninth, B minor, G with a major seventh, A suspended.
CHORDS = (
    (-31, -24, -15, -12, -5),
    (-34, -22, -19, -15, -10),
    (-38, -26, -19, -15, -14),
    (-36, -24, -19, -17, -12),
)


def looped_noise(rng: np.random.Generator, low: float, high: float, tilt: float) -> Sound:
    """Noise of unit RMS between two frequencies (Hz, soft edges), falling by `tilt` dB an octave."""
    frequency = np.fft.rfftfreq(LENGTH, 1 / RATE)[1:]
    shape = (frequency / low) ** (-tilt / 6.02) / (1 + (low / frequency) ** 4) / (1 + (frequency / high) ** 4)
    phases = np.exp(2j * np.pi * rng.random(len(frequency)))
    noise = np.fft.irfft(np.concatenate([[0], shape * phases]), LENGTH)
    return noise / noise.std()


def swell(at: float, rise: float, fall: float) -> Sound:
    """A wave that is highest at `at` seconds: rises over `rise`, falls over `fall` seconds, around the loop."""
    distance = (TIME - at + SECONDS / 2) % SECONDS - SECONDS / 2
    return np.exp(-((distance / np.where(distance < 0, rise, fall)) ** 2))


def sea(rng: np.random.Generator) -> Sound:
    """Waves at uneven times: a low body that is always there, wash that comes with each, hiss that trails it."""
    body = looped_noise(rng, 60, 260, 3) * 0.5
    wash, hiss = looped_noise(rng, 250, 1500, 3), looped_noise(rng, 1200, 6000, 3)
    waves = [(2.6, 1.0), (8.1, 0.7), (13.9, 0.95), (18.6, 0.6), (24.7, 0.85)]
    near = 0.16 + sum(size * swell(at, 1.5, 2.4) for at, size in waves)
    late = 0.05 + sum(size * swell(at + 0.9, 0.9, 2.2) for at, size in waves)
    return body * (0.6 + 0.4 * near) + wash * near * 0.75 + hiss * late * 0.2


def chord(notes: tuple[int, ...]) -> Sound:
    """Soft tones of a few harmonics, each doubled a little beside itself so that it breathes. Whole cycles only."""
    spectrum = np.zeros(LENGTH // 2 + 1, complex)
    for place, note in enumerate(notes):
        frequency = 440 * 2 ** (note / 12)
        for harmonic, level in ((1, 1.0), (2, 0.35), (3, 0.12), (4, 0.05)):
            cycles = round(frequency * harmonic * SECONDS)
            for beside in (0, 7):
                spectrum[cycles + beside] += level / (1 + 0.5 * place) * np.exp(1j * (harmonic + beside))
    return np.fft.irfft(spectrum, LENGTH) * LENGTH / 2


def chords() -> Sound:
    """One chord after another, each fading into the next and the last into the first."""
    out = np.zeros(LENGTH)
    each = SECONDS / len(CHORDS)
    for number, notes in enumerate(CHORDS):
        distance = np.abs(_distance(each * (number + 0.5)))
        out += np.where(distance < each, 0.5 + 0.5 * np.cos(np.pi * distance / each), 0) * chord(notes)
    return out / np.abs(out).max()


def strike(frequency: float) -> Sound:
    """One stroke of a bell at time 0: partials that do not fit a scale, high ones gone first."""
    onset = 1 - np.exp(-TIME / 0.006)
    partials = (
        (0.5, 0.5, 5.0),
        (1.0, 1.0, 3.6),
        (1.19, 0.5, 2.6),
        (1.5, 0.25, 2.0),
        (2.0, 0.4, 1.6),
        (2.51, 0.12, 0.9),
    )
    tones = (
        share * np.exp(-TIME / fall) * np.sin(2 * np.pi * frequency * ratio * TIME) for ratio, share, fall in partials
    )
    return onset * sum(tones)


def bells() -> Sound:
    """Two pairs of strokes far away, each with two echoes; what rings beyond the end rings on at the beginning."""
    stroke, out = strike(523.25), np.zeros(LENGTH)
    for at, level in ((5.5, 1.0), (8.2, 0.8), (20.5, 0.9), (23.2, 0.7)):
        for echo, share in ((0.0, 1.0), (0.43, 0.3), (0.97, 0.15)):
            out += level * share * np.roll(stroke, round((at + echo) * RATE))
    return out


def bed() -> Sound:
    """The whole loop, [LENGTH] of -PEAK to PEAK."""
    rng = np.random.default_rng(SEED)
    mix = 0.07 * sea(rng) + 0.2 * chords() + 0.045 * bells()
    return mix * (PEAK / np.abs(mix).max())


def _distance(at: float) -> Sound:
    return (TIME - at + SECONDS / 2) % SECONDS - SECONDS / 2


def main(out: Path) -> None:
    """Write the loop to `out`."""
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(bed() * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("harbour.wav"))
