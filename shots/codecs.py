"""The codec presets: what each encodes to, and how its files are named. Plain data; loads no library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Codec:
    """How one preset encodes. `even`: which of width and height must be even. `smallest`: pixels, both ways."""

    encoder: str
    pixel_format: str
    container: str
    quality: dict[str, str]
    options: dict[str, str]
    even: tuple[bool, bool]
    smallest: int = 2
    tag: str | None = None
    sound: str = "aac"

    @property
    def suffix(self) -> str:
        """File name suffix, with the dot."""
        return "." + self.container

    def named(self, name: str) -> str:
        """`name` with the suffix, unless it has it, in capitals or not."""
        return name if name.lower().endswith(self.suffix) else name + self.suffix


# One thread each: x264 and x265 promise equal bytes for equal thread counts only. An access unit delimiter before
# every picture (aud): where two prints meet, two IDR pictures in a row may carry the same idr_pic_id, and the
# delimiter tells any decoder that they are two pictures all the same.
CODECS: dict[str, Codec] = {
    "h264": Codec(
        "libx264",
        "yuv420p",
        "mp4",
        {"crf": "14", "preset": "medium"},
        {"x264-params": "keyint=1:bframes=0:scenecut=0:aud=1:threads=1"},
        even=(True, True),
    ),
    "h265": Codec(
        "libx265",
        "yuv420p10le",
        "mp4",
        {"crf": "14", "preset": "medium"},
        {"x265-params": "keyint=1:bframes=0:aud=1:info=0:pools=none:frame-threads=1:log-level=none"},
        even=(True, True),
        smallest=16,
        tag="hvc1",  # Apple's players refuse hev1
    ),
    "prores": Codec(
        "prores_ks",
        "yuv422p10le",
        "mov",
        {"profile": "hq"},
        {"vendor": "apl0"},
        even=(True, False),
        sound="pcm_s24le",
    ),
}
