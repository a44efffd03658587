"""The model families this version can drive, by the class name in their `model_index.json`. No torch here.

A family says which parts of a model's folder decide pixels, what the network is called, and, from the parts'
configs alone, which sizes and frame counts the model can make.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Configs = Mapping[str, Mapping[str, Any]]
"""Part name -> its config.json."""


@dataclass(frozen=True)
class Limits:
    """What a model can make. Frames `frames_min, frames_min + frames_step ... frames_max`; sizes in pixels.

    `native` values are those that the model's own pipeline would choose.
    """

    frames_min: int
    frames_max: int
    frames_step: int
    frames_native: int
    size_multiple: int
    size_native: tuple[int, int]


@dataclass(frozen=True)
class Family:
    """One kind of pipeline.

    parts: component folders that decide pixels. weights: those of them that hold tensors. optional: those that
    a model may leave out. denoiser: attribute of the network on the pipeline; sample, timestep: its arguments that
    change from step to step (all others are captured once).
    """

    name: str
    pipeline: str
    parts: tuple[str, ...]
    weights: tuple[str, ...]
    optional: tuple[str, ...]
    denoiser: str
    sample: str
    timestep: str
    limits: Callable[[Configs], Limits]


def _animatediff(configs: Configs) -> Limits:
    """Frames up to the length of the motion modules' positions; sizes that both VAE and UNet can halve evenly."""
    unet, vae = configs["unet"], configs["vae"]
    motion = configs.get("motion_adapter", unet)
    halvings = 2 ** (len(vae["block_out_channels"]) - 1)
    multiple = halvings * 2 ** (len(unet["down_block_types"]) - 1)
    side = int(unet.get("sample_size") or 64) * halvings
    most = int(motion["motion_max_seq_length"])
    # The pipeline itself insists on multiples of 8 and makes 16 frames unless told otherwise.
    return Limits(1, most, 1, min(16, most), math.lcm(8, multiple), (side, side))


ANIMATEDIFF = Family(
    name="animatediff",
    pipeline="AnimateDiffPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "unet", "vae", "motion_adapter"),
    weights=("text_encoder", "unet", "vae", "motion_adapter"),
    optional=("motion_adapter",),
    denoiser="unet",
    sample="sample",
    timestep="timestep",
    limits=_animatediff,
)

FAMILIES = {family.pipeline: family for family in (ANIMATEDIFF,)}
"""Class name in model_index.json -> family."""

BY_NAME = {family.name: family for family in FAMILIES.values()}
