"""LTX-Video: a transformer over the tokens of a causal VAE, flow matching."""

from __future__ import annotations

from typing import Any

import diffusers as d
import torch

from . import words as w
from .sizes import TINY, Size, filled


def ltx_schedule() -> d.FlowMatchEulerDiscreteScheduler:
    """As published: shifted by the number of tokens, stretched to a given end."""
    return d.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )


def ltx(size: Size = TINY, timestep_conditioning: bool = False) -> Any:
    """`timestep_conditioning`: its VAE denoises a last time, as from version 0.9.1 on."""
    words = w.t5_words()
    vae = d.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        timestep_conditioning=timestep_conditioning,
        patch_size=2,
    )
    # Statistics of the latents are buffers in this VAE; any but the identity.
    vae.latents_mean.copy_(torch.linspace(-0.5, 0.5, 8))
    vae.latents_std.copy_(torch.linspace(0.7, 1.4, 8))
    transformer = d.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=size.heads,
        attention_head_dim=8 * size.wide,
        cross_attention_dim=8 * size.wide * size.heads,
        num_layers=size.layers,
        caption_channels=w.WIDTH,
    )
    return filled(d.LTXPipeline(ltx_schedule(), vae, w.t5_encoder(words), words, transformer))
