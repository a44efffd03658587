"""The model families this version can drive, by the class name in their `model_index.json`. No torch here.

A family is one small file beside this one; it is known once it is in `ALL` (docs/adding-a-model.md).
"""

from __future__ import annotations

from .animatediff import ANIMATEDIFF
from .cogvideox import COGVIDEOX, COGVIDEOX_IMAGE
from .family import Ask, Configs, Family, Limits, Traits
from .hunyuan_video import HUNYUAN_VIDEO, HUNYUAN_VIDEO_IMAGE
from .hunyuan_video15 import HUNYUAN_VIDEO15, HUNYUAN_VIDEO15_IMAGE
from .latte import LATTE
from .ltx import LTX_VIDEO
from .ltx2 import LTX2_VIDEO
from .mochi import MOCHI
from .stable_diffusion import STABLE_DIFFUSION
from .text_to_video_sd import TEXT_TO_VIDEO_SD
from .wan import WAN, WAN_IMAGE

__all__ = ["ALL", "BY_NAME", "FAMILIES", "Ask", "Configs", "Family", "Limits", "Traits"]

ALL: tuple[Family, ...] = (
    ANIMATEDIFF,
    TEXT_TO_VIDEO_SD,
    LTX_VIDEO,
    LTX2_VIDEO,
    WAN,
    WAN_IMAGE,
    COGVIDEOX,
    COGVIDEOX_IMAGE,
    MOCHI,
    HUNYUAN_VIDEO,
    HUNYUAN_VIDEO_IMAGE,
    HUNYUAN_VIDEO15,
    HUNYUAN_VIDEO15_IMAGE,
    LATTE,
    STABLE_DIFFUSION,
)

FAMILIES = {name: family for family in ALL for name in (family.pipeline, *family.aliases)}
"""Class name in model_index.json -> family."""

BY_NAME = {family.name: family for family in ALL}
