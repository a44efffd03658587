"""Latte: a transformer that attends in space and in time by turns."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .flat import flat_vae, noise_schedule
from .sizes import TINY, Size, filled


def latte(size: Size = TINY) -> Any:
    """Four frames, no other."""
    words = w.t5_words(120)
    transformer = d.LatteTransformer3DModel(
        sample_size=8,
        num_layers=size.layers,
        patch_size=2,
        attention_head_dim=8 * size.wide,
        num_attention_heads=size.heads,
        caption_channels=w.WIDTH,
        in_channels=4,
        cross_attention_dim=8 * size.wide * size.heads,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        video_length=4,
    )
    scheduler = noise_schedule("epsilon", False, "leading", beta_schedule="linear")
    return filled(d.LattePipeline(words, w.t5_encoder(words), flat_vae(), transformer, scheduler))
