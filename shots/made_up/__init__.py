"""Pipelines with made-up weights, one for every family, in the layout and with the quirks of the real ones.

Tests drive them where nothing can be downloaded, and `longtake bench methods` measures on them: `build(name)` makes a
pipeline in memory, `save(name, folder)` a folder as `save_pretrained` writes it. What they render is noise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .animatediff import animatediff
from .cogvideox import cogvideox, cogvideox_image
from .hunyuan_video import hunyuan_video, hunyuan_video_image
from .hunyuan_video15 import hunyuan_video15
from .latte import latte
from .ltx import ltx
from .ltx2 import ltx2
from .mochi import mochi
from .sizes import SMALL, TINY, Size
from .stable_diffusion import stable_diffusion
from .text_to_video_sd import text_to_video_sd
from .wan import wan, wan_image

__all__ = ["BUILDERS", "SMALL", "TINY", "Size", "build", "lighten", "save"]

BUILDERS: dict[str, Callable[[Size], Any]] = {
    "animatediff": animatediff,
    "text_to_video_sd": text_to_video_sd,
    "stable_diffusion": stable_diffusion,
    "ltx": ltx,
    "ltx_timed": partial(ltx, timestep_conditioning=True),
    "ltx2": ltx2,
    "wan": wan,
    "wan_unipc": partial(wan, multistep=True),
    "wan22": partial(wan, experts=2),
    "wan22_5b": partial(wan, expand_timesteps=True),
    "wan_image": wan_image,
    "wan22_image": partial(wan_image, experts=2),
    "cogvideox": cogvideox,
    "cogvideox15": partial(cogvideox, version="1.5"),
    "cogvideox_image": cogvideox_image,
    "cogvideox15_image": partial(cogvideox_image, version="1.5"),
    "mochi": mochi,
    "hunyuan_video": hunyuan_video,
    "hunyuan_video_image": hunyuan_video_image,
    "hunyuan_video15": hunyuan_video15,
    "hunyuan_video15_image": partial(hunyuan_video15, image=True),
    "latte": latte,
}
"""A family, or one kind of its models -> what builds a pipeline of a size."""


def lighten(pipe: Any) -> Any:
    """Fewer tokens where a pipeline holds their number itself, so that nobody waits for text."""
    if type(pipe).__name__.startswith("HunyuanVideo15"):
        pipe.tokenizer_max_length, pipe.tokenizer_2_max_length, pipe.vision_num_semantic_tokens = 32, 8, 5
    pipe.set_progress_bar_config(disable=True)
    return pipe


def build(name: str, size: Size = TINY) -> Any:
    """The pipeline of this name, on the CPU, in float32."""
    return lighten(BUILDERS[name](size))


def save(name: str, folder: Path, size: Size = TINY) -> Path:
    """`folder`, holding the pipeline of this name."""
    build(name, size).save_pretrained(folder)
    return folder
