"""Prints: footage at the film's size, rate and codec, every frame a key frame.

Two prints of equal `PrintSpec` have the same codec headers, so their packets may follow one another in one film.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from .codecs import CODECS, Codec
from .errors import PrintRefused
from .frames import Frames, iter_pictures
from .spec import digest

if TYPE_CHECKING:
    import av.video


SCALERS = ("lanczos", "bicubic", "nearest")


@dataclass(frozen=True)
class PrintSpec:
    """What a print looks like: size in pixels, rate, the name of a preset in `CODECS`, how it is scaled.

    `version` rises whenever the same spec would give other bytes, which makes old prints unused, not wrong.
    """

    width: int
    height: int
    fps: Fraction
    codec: str = "h264"
    scaler: str = "lanczos"
    version: int = 1

    def check(self) -> None:
        """Refuse what cannot be encoded.

        Raises:
            PrintRefused: unknown codec or scaler, a rate of zero, a size that is odd or too small for the codec.
        """
        if self.codec not in CODECS:
            raise PrintRefused(f"codec {self.codec!r} is not known; there are {', '.join(CODECS)}")
        if self.scaler not in SCALERS:
            raise PrintRefused(f"scaler {self.scaler!r} is not known; there are {', '.join(SCALERS)}")
        if not 0 < self.fps <= 1000:
            raise PrintRefused(f"a rate of {self.fps} frames a second; a rate is above 0 and at most 1000")
        self._check_side("width", self.width, CODECS[self.codec].even[0])
        self._check_side("height", self.height, CODECS[self.codec].even[1])

    def _check_side(self, name: str, pixels: int, even: bool) -> None:
        smallest = CODECS[self.codec].smallest
        if not smallest <= pixels <= 16384:
            raise PrintRefused(
                f"a {name} of {pixels} for {self.codec}; it makes {smallest} to 16384 pixels: choose another size"
            )
        if even and pixels % 2:
            raise PrintRefused(
                f"a {name} of {pixels} for {self.codec}, which stores colour for pairs of pixels and needs an even "
                f"{name}: choose {pixels - 1} or {pixels + 1}"
            )

    @property
    def key(self) -> str:
        """Names the print among those of one take: sha256 of everything that decides its bytes."""
        values = asdict(self) | {"fps": str(self.fps)}
        return digest("PrintSpec", self.version, values | {"quality": CODECS[self.codec].quality})

    @property
    def suffix(self) -> str:
        """File name suffix of the codec's container, with the dot."""
        return CODECS[self.codec].suffix

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick. Ticks a second are a multiple of the rate's numerator, so a frame is a whole number
        of them; at least 10,000, below which the MP4 muxer multiplies on its own."""
        scale = self.fps.numerator
        while scale < 10_000:
            scale *= 2
        return Fraction(1, scale)

    @property
    def tick(self) -> int:
        """Ticks a frame."""
        return int(1 / self.fps / self.time_base)


def scaled(pictures: Iterable[Frames], spec: PrintSpec) -> Iterator[Frames]:
    """Each picture [H, W, 3] at the print's size. Scaled as RGB, so that what is composed of scaled pictures
    (a crossfade, a title) and what is printed straight from a take agree at the frames where they meet."""
    import av
    from av.video.reformatter import ColorRange, Interpolation

    flags = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    flags |= Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    flags |= Interpolation.LANCZOS if spec.scaler == "lanczos" else Interpolation.BICUBIC
    for picture in iter_pictures(pictures):
        if picture.shape[:2] == (spec.height, spec.width):
            yield picture
        elif spec.scaler == "nearest":
            yield _nearest(picture, spec.width, spec.height)
        else:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            grown = frame.reformat(
                spec.width,
                spec.height,
                "rgb24",
                interpolation=flags,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            )
            yield grown.to_ndarray().astype(np.uint8, copy=False)


def write_print(path: str | Path, frames: Iterable[Frames], spec: PrintSpec) -> int:
    """Encode pictures [H, W, 3] uint8 RGB of any size as a print; returns how many. Takes them one at a time.

    Raises:
        PrintRefused: see `PrintSpec.check`; or there is no picture.
        OSError: the file cannot be written.
    """
    import av

    spec.check()
    codec = CODECS[spec.codec]
    count = 0
    with av.open(str(path), "w", format=codec.container, options={"fflags": "+bitexact"}) as file:
        options = {**codec.quality, **codec.options, "flags": "+bitexact"}
        stream = cast("av.video.VideoStream", file.add_stream(codec.encoder, rate=spec.fps, options=options))
        _set_up(stream, spec, codec)
        for picture in scaled(frames, spec):
            frame = _converted(picture, codec.pixel_format)
            frame.pts, frame.time_base = count * spec.tick, spec.time_base
            file.mux(stream.encode(frame))
            count += 1
        file.mux(stream.encode(None))
    if not count:
        raise PrintRefused(f"a print of no frames was asked for: {path}")
    return count


def _set_up(stream: av.video.VideoStream, spec: PrintSpec, codec: Codec) -> None:
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, codec.pixel_format
    stream.time_base = spec.time_base
    context = stream.codec_context
    context.time_base = spec.time_base
    context.thread_count = 1
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    if codec.tag:
        context.codec_tag = codec.tag


def _converted(picture: Frames, pixel_format: str) -> av.video.VideoFrame:
    """An RGB picture as limited-range BT.709, which is what `_set_up` writes into the headers."""
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    flags |= Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(
        format=pixel_format,
        interpolation=flags,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def _nearest(picture: Frames, width: int, height: int) -> Frames:
    # swscale's own goes through YUV and may move a value by one; here every pixel is a pixel of the source.
    rows = (np.arange(height) * 2 + 1) * picture.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * picture.shape[1] // (2 * width)
    return picture[rows[:, None], columns[None, :]]
