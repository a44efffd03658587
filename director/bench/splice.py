"""Splicing against moviepy's concatenation and a bare PyAV remux, and memory against the number of clips.

All three get the same encoded clips. moviepy is used as its documentation shows. The bare remux copies packets
and times without looking at them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from shots.frames import Frames
from shots.prints import PrintSpec, write_print

from ..splice import Run, check_spliced, splice
from . import Result, Row

FRAMES = 64
FPS = Fraction(24)
NOTE = "What memory grows by is the muxer's index of the film, about 0.2 KiB a frame; clips are open one at a time."


def measure(quick: bool = False) -> Result:
    """Ten clips of 64 frames at 768x512 (quick: four at 384x256), then 100 and 3,000 small clips (quick: 30, 300)."""
    clips, size = (4, (384, 256)) if quick else (10, (768, 512))
    few, many = (30, 300) if quick else (100, 3000)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = [*_times(place, clips, size), *_memory(place, few, many)]
    return Result("splice", rows, [NOTE])


def _times(place: Path, clips: int, size: tuple[int, int]) -> list[Row]:
    spec = PrintSpec(*size, FPS)
    prints = [place / f"{n}.mp4" for n in range(clips)]
    for n, path in enumerate(prints):
        write_print(path, _footage(n, size), spec)
    runs = [Run(path, 0, FRAMES) for path in prints]
    out = place / "film.mp4"
    ours = _best(lambda: splice(runs, out, spec), 7)
    bare = _best(lambda: _remux(prints, place / "bare.mp4", spec), 7)
    check = _best(lambda: check_spliced(runs, out, spec), 1)
    moviepy = _best(lambda: _moviepy(prints, place / "moviepy.mp4"), 1)
    what = f"{clips} clips of {FRAMES} frames at {size[0]}x{size[1]}"
    return [
        Row(f"splice {what}", _ms(ours), f"bare PyAV remux {_ms(bare)}", "at most 2 x", ours <= 2 * bare),
        Row(
            "the same, times faster",
            f"{moviepy / ours:.0f} x",
            f"moviepy chain {_ms(moviepy)}",
            "at least 50 x",
            moviepy >= 50 * ours,
        ),
        Row("decode film and prints, compare every frame", _ms(check)),
    ]


def _memory(place: Path, few: int, many: int) -> list[Row]:
    spec = PrintSpec(128, 128, FPS)
    path = place / "small.mp4"
    write_print(path, _footage(0, (128, 128)), spec)
    used = {clips: _peak(path, place / "long.mp4", clips) for clips in (few, many)}
    growth = used[many][0] / used[few][0]
    seconds = used[many][1]
    return [
        Row(
            f"peak memory of {many} clips over {few}",
            f"{growth:.2f} x ({used[few][0] / 1024:.0f} and {used[many][0] / 1024:.0f} MiB)",
            goal="at most 2 x",
            met=growth <= 2,
        ),
        Row(f"splice {many} clips, {many * FRAMES} frames", _ms(seconds)),
    ]


def _footage(seed: int, size: tuple[int, int]) -> Frames:
    """Soft moving colour with a little grain, [FRAMES, H, W, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    frames = np.empty((FRAMES, size[1], size[0], 3), np.uint8)
    for k in range(FRAMES):
        waves = (np.sin(x / 37 + k / 5 + seed), np.cos(y / 29 - k / 9), np.sin((x + y) / 53 + k / 7))
        frames[k] = np.stack([128 + 90 * wave for wave in waves], -1) + rng.normal(0, 2, (*y.shape, 1))
    return frames


def _remux(prints: Sequence[Path], out: Path, spec: PrintSpec) -> None:
    import av

    with av.open(str(out), "w", options={"movflags": "+faststart"}) as film:
        stream, at = None, 0
        for path in prints:
            with av.open(str(path)) as file:
                stream = stream or film.add_stream_from_template(file.streams.video[0])
                for packet in file.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = at * spec.tick
                        packet.stream = stream
                        film.mux_one(packet)
                        at += 1


def _moviepy(prints: Sequence[Path], out: Path) -> None:
    from moviepy import VideoFileClip, concatenate_videoclips

    clips = [VideoFileClip(str(path)) for path in prints]
    film = concatenate_videoclips(clips, method="chain")
    film.write_videofile(str(out), fps=float(FPS), audio=False, logger=None)
    for clip in clips:
        clip.close()


_CHILD = """
import sys, time
from fractions import Fraction
from pathlib import Path
from director.splice import Run, splice
from shots.prints import PrintSpec
runs = [Run(Path(sys.argv[1]), 0, 64)] * int(sys.argv[3])
began = time.perf_counter()
splice(runs, Path(sys.argv[2]), PrintSpec(128, 128, Fraction(24)))
took = time.perf_counter() - began
# VmHWM: ru_maxrss of a child begins at what its parent had used.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), took)
"""


def _peak(path: Path, out: Path, clips: int) -> tuple[int, float]:
    """Peak memory in KiB and seconds of a process of its own."""
    command = [sys.executable, "-c", _CHILD, str(path), str(out), str(clips)]
    kib, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(kib), float(seconds)


def _best(work: Callable[[], object], tries: int) -> float:
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
