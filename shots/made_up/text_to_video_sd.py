"""ModelScope's text-to-video: a UNet with convolutions and attention in time."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .flat import flat_vae, noise_schedule
from .sizes import TINY, Size, filled


def text_to_video_sd(size: Size = TINY) -> Any:
    """Its first step is index 0 of the training schedule's end, as published."""
    words = w.clip_words()
    unet = d.UNet3DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8 * size.wide, 16 * size.wide),
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    scheduler = noise_schedule("epsilon", False, "leading", set_alpha_to_one=False)
    return filled(d.TextToVideoSDPipeline(flat_vae(), w.clip_encoder(words), words, unet, scheduler))
