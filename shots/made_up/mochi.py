"""Mochi: a transformer that treats text and picture differently, time running backwards."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .sizes import TINY, Size, filled


def mochi(size: Size = TINY) -> Any:
    """256 words, as published: the number is part of its pooling."""
    words = w.t5_words(256)
    vae = d.AutoencoderKLMochi(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, layers_per_block=(1,) * 5
    )
    transformer = d.MochiTransformer3DModel(
        num_attention_heads=size.heads,
        attention_head_dim=8 * size.wide,
        num_layers=size.layers,
        pooled_projection_dim=16,
        text_embed_dim=w.WIDTH,
        time_embed_dim=4,
    )
    scheduler = d.FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    return filled(d.MochiPipeline(scheduler, vae, w.t5_encoder(words), words, transformer))
