"""LTX-2: picture and sound in one transformer."""

from __future__ import annotations

from typing import Any

import diffusers as d
import torch

from . import words as w
from .sizes import TINY, Size, filled


def _transformer(size: Size) -> Any:
    return d.LTX2VideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=size.heads,
        attention_head_dim=8 * size.wide,
        cross_attention_dim=8 * size.wide * size.heads,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=size.heads,
        audio_attention_head_dim=4 * size.wide,
        audio_cross_attention_dim=4 * size.wide * size.heads,
        num_layers=size.layers,
        caption_channels=w.WIDTH,
        rope_double_precision=False,
        rope_type="split",
    )


def _vae() -> Any:
    vae = d.AutoencoderKLLTX2Video(
        latent_channels=4,
        block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        spatio_temporal_scaling=(True, True),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False,) * 3,
        downsample_type=("spatiotemporal",) * 2,
        upsample_type=("spatiotemporal",) * 2,
        upsample_residual=(False,) * 2,
        upsample_factor=(1, 1),
        patch_size=2,
    )
    vae.latents_mean.copy_(torch.linspace(-0.5, 0.5, 4))
    vae.latents_std.copy_(torch.linspace(0.7, 1.4, 4))
    return vae


def ltx2(size: Size = TINY) -> Any:
    """With the parts that make its sound, which its pipeline insists on."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    words = w.gemma_words()
    audio = d.AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=2, mel_bins=8
    )
    heads = {"attention_head_dim": 8, "num_attention_heads": 2, "num_layers": 1, "num_learnable_registers": None}
    connectors = LTX2TextConnectors(
        caption_channels=w.WIDTH,
        text_proj_in_factor=3,
        **{f"{kind}_connector_{name}": value for kind in ("video", "audio") for name, value in heads.items()},
        connector_rope_base_seq_len=32,
        rope_double_precision=False,
        rope_type="split",
    )
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=8,
        upsample_kernel_sizes=[4],
        upsample_factors=[2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1]],
    )
    scheduler = d.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, shift_terminal=0.1
    )
    made = d.LTX2Pipeline(
        scheduler=scheduler,
        vae=_vae(),
        audio_vae=audio,
        text_encoder=w.gemma_encoder(words),
        tokenizer=words,
        connectors=connectors,
        transformer=_transformer(size),
        vocoder=vocoder,
    )
    return filled(made)
