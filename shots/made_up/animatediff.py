"""AnimateDiff: a UNet for pictures with motion modules between its blocks."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .flat import flat_unet, flat_vae, noise_schedule
from .sizes import TINY, Size, fill


def animatediff(
    size: Size = TINY, prediction: str = "v_prediction", zero_snr: bool = True, spacing: str = "trailing"
) -> Any:
    """With the schedule of our own pocket model, unless told otherwise."""
    words = w.clip_words()
    unet, vae, text = flat_unet(size), flat_vae(), w.clip_encoder(words)
    motion = d.MotionAdapter(
        block_out_channels=(16 * size.wide, 32 * size.wide),
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=8,
        motion_max_seq_length=24,
    )
    for seed, module in enumerate((unet, motion, vae, text)):
        fill(module, seed)
    scheduler = noise_schedule(prediction, zero_snr, spacing)
    return d.AnimateDiffPipeline(vae, text, words, unet, motion, scheduler)
