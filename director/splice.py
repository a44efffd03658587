"""Joining prints without encoding again: packets are copied, only their times are new.

Every frame of a print is a key frame, so any run of frames of any print may follow any other, as long as both
have the same codec headers. One input is open at a time.
"""

from __future__ import annotations

import heapq
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast

from shots.codecs import CODECS
from shots.errors import VideoUnreadable
from shots.frames import open_video, pack_tags
from shots.prints import PrintSpec

from .errors import FilmWrong, PrintsDiffer

if TYPE_CHECKING:
    from typing import Any

    import av.container
    import av.packet
    import av.video
    from av.audio.stream import AudioStream

    Packet = av.packet.Packet[Any]

log = logging.getLogger("longtake.splice")


@dataclass(frozen=True)
class Run:
    """`frames` consecutive frames of the print at `path`, from its frame `first` on."""

    path: Path
    first: int
    frames: int


def splice(
    runs: Sequence[Run],
    out: Path,
    spec: PrintSpec,
    tags: dict[str, str] | None = None,
    sound: Path | None = None,
) -> int:
    """Write the runs one after another to `out`; returns the frames written. Frame k is shown at k / fps exactly.

    sound: a file whose first audio track is copied beside the picture, its start at the film's start.

    Raises:
        PrintsDiffer: a print is not of `spec`, or its codec headers differ from the first one's.
        FilmWrong: a print has fewer frames than its run.
        VideoUnreadable: a print is missing or damaged.
    """
    import av

    codec = CODECS[spec.codec]
    # Custom names do not survive in MP4; the JSON in the comment does. The index goes to the front (faststart),
    # so that a browser can begin before it has the whole film.
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(out), "w", format=codec.container, options=options) as film:
        film.metadata.update(pack_tags(tags or {}))
        with open_video(runs[0].path) as model:
            header = _header(model)
            picture = film.add_stream_from_template(model.streams.video[0])
            picture.time_base = spec.time_base
        packets = _timed(runs, spec, header, picture)
        if sound is None:
            return _mux(film, packets)
        # Merged in order of time, so that the muxer holds few packets back.
        with av.open(str(sound)) as audio:
            track = film.add_stream_from_template(audio.streams.audio[0])
            return _mux(film, heapq.merge(packets, _sound_packets(audio, track), key=_seconds))


def check_spliced(runs: Sequence[Run], film: Path, spec: PrintSpec) -> None:
    """Decode film and prints side by side and compare every frame; then the times of all packets.

    Raises:
        FilmWrong: a frame differs, is missing, is one too many, or is shown at another time.
    """
    frames = sum(run.frames for run in runs)
    _check_times(film, spec, frames)
    wanted = (check for run in runs for check in decoded_checks(run.path, spec, run.first, run.frames))
    for index, (got, want) in enumerate(zip_longest(decoded_checks(film, spec), wanted)):
        if got != want:
            run, frame = _place(runs, index)
            raise FilmWrong(
                f"frame {index} of {film} is not frame {frame} of {run.path}, which it was copied from: the disk or "
                "the memory of this machine may be faulty; cut the film again"
            )


def decoded_checks(path: Path, spec: PrintSpec, first: int = 0, frames: int | None = None) -> Iterator[int]:
    """CRC-32 of each decoded frame's planes, from frame `first` on; one frame in memory at a time.

    Raises:
        VideoUnreadable: missing or damaged.
    """
    import av

    with open_video(path) as file:
        stream = file.streams.video[0]
        # Key frames only, so frames decode side by side; which thread decodes one does not change it.
        stream.thread_type, stream.codec_context.thread_count = "AUTO", min(4, os.cpu_count() or 1)
        try:
            for packet in _packets(file, spec, first, frames):
                yield from map(_check, packet.decode())
            yield from map(_check, stream.decode(None))
        except av.FFmpegError as error:
            raise VideoUnreadable(f"{path} is damaged: {error}") from None


def flush(part: Path) -> None:
    """Have a file's bytes on the disk."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def publish(part: Path, path: Path) -> None:
    """Give the finished file `part` its name, so that a crash leaves the old film or the new one, whole."""
    flush(part)
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _header(file: av.container.InputContainer) -> tuple[object, ...]:
    """What two prints must share for their packets to be mixed."""
    stream = file.streams.video[0]
    context = stream.codec_context
    return (
        context.name,
        context.codec_tag,
        (context.width, context.height),
        context.pix_fmt,
        stream.time_base,
        (context.color_range, context.colorspace, context.color_primaries, context.color_trc),
        bytes(context.extradata or b""),
    )


def _packets(
    file: av.container.InputContainer, spec: PrintSpec, first: int = 0, frames: int | None = None
) -> Iterator[Packet]:
    """Packets of frames `first` and on. Prints have no reordered frames: packet k is frame k."""
    stream, start = file.streams.video[0], first * spec.tick
    if first:
        file.seek(start, stream=stream, backward=True)
    given = 0
    for packet in file.demux(stream):
        if packet.size == 0 or given == frames:
            return
        if (packet.pts or 0) >= start:
            given += 1
            yield packet


def _timed(
    runs: Sequence[Run], spec: PrintSpec, header: tuple[object, ...], to: av.video.VideoStream
) -> Iterator[Packet]:
    at, tick, time_base = 0, spec.tick, spec.time_base
    for run in runs:
        end = at + run.frames
        with open_video(run.path) as file:
            _check_header(run, _header(file), header, spec)
            for packet in _packets(file, spec, run.first, run.frames):
                packet.time_base = time_base
                packet.pts = packet.dts = at * tick
                packet.duration = tick
                packet.stream = to
                yield packet
                at += 1
        if at != end:
            raise FilmWrong(
                f"{run.path} ends {end - at} frames before frame {run.first + run.frames}, which the cut asks for; "
                "remove it and cut again, it will be made anew"
            )


def _check_header(run: Run, found: tuple[object, ...], first: tuple[object, ...], spec: PrintSpec) -> None:
    asked = list(first)
    asked[2:5] = (spec.width, spec.height), CODECS[spec.codec].pixel_format, spec.time_base
    names = ("codec", "tag", "size", "pixel format", "time base", "colours", "headers")
    differs = [f"{name} {f!r} and not {a!r}" for name, f, a in zip(names, found, asked, strict=True) if f != a]
    if differs:
        raise PrintsDiffer(
            f"{run.path} cannot be spliced into this film: {'; '.join(differs)}. All prints of a film have one spec: "
            "remove this one and cut again, it will be made anew"
        )


def _sound_packets(audio: av.container.InputContainer, to: AudioStream) -> Iterator[Packet]:
    for packet in audio.demux(audio.streams.audio[0]):
        if packet.size:
            packet.stream = to
            yield packet


def _seconds(packet: Packet) -> Fraction:
    return cast(int, packet.dts) * packet.time_base


def _mux(film: av.container.OutputContainer, packets: Iterable[Packet]) -> int:
    frames = 0
    for packet in packets:
        frames += packet.stream.type == "video"
        film.mux_one(packet)
    return frames


def _check_times(film: Path, spec: PrintSpec, frames: int) -> None:
    count, tick = 0, spec.tick
    with open_video(film) as file:
        if file.streams.video[0].time_base != spec.time_base:
            raise FilmWrong(f"{film} counts in {file.streams.video[0].time_base} s and not in {spec.time_base} s")
        for packet in _packets(file, spec):
            if (packet.pts, packet.dts) != (count * tick, count * tick):
                raise FilmWrong(f"frame {count} of {film} is shown at {packet.pts}, not at {count * tick}")
            count += 1
    if count != frames:
        raise FilmWrong(f"{film} has {count} frames, and its cut {frames}: cut it again")


def _check(frame: av.video.VideoFrame) -> int:
    check = 0
    for plane in frame.planes:
        width = plane.width * (2 if "10" in frame.format.name else 1)
        rows = memoryview(plane)
        # Line by line: what lies between a line's end and the next one's start is not picture.
        for y in range(plane.height):
            start = y * plane.line_size
            check = zlib.crc32(rows[start : start + width], check)
    return check


def _place(runs: Sequence[Run], index: int) -> tuple[Run, int]:
    for run in runs:
        if index < run.frames:
            return run, run.first + index
        index -= run.frames
    return runs[-1], index
