"""CogVideoX 1.0 and 1.5: v prediction with a schedule of its own, latent frames in pairs from 1.5 on."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .sizes import TINY, Size, filled


def _vae() -> Any:
    return d.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        sample_height=32,
        sample_width=32,
    )


def _schedule() -> Any:
    return d.CogVideoXDDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=3.0,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def _transformer(size: Size, version: str, channels: int) -> Any:
    newer = {"patch_size_t": 2, "patch_bias": False, "use_rotary_positional_embeddings": True}
    return d.CogVideoXTransformer3DModel(
        num_attention_heads=size.heads,
        attention_head_dim=16 * size.wide,
        in_channels=channels,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=w.WIDTH,
        num_layers=size.layers,
        sample_width=8 * size.wide,
        sample_height=6 * size.wide,
        sample_frames=9,
        spatial_interpolation_scale=1.0,
        **newer if version == "1.5" else {},
    )


def cogvideox(size: Size = TINY, version: str = "1.0") -> Any:
    """Without a picture."""
    words = w.t5_words()
    transformer = _transformer(size, version, 4)
    return filled(d.CogVideoXPipeline(words, w.t5_encoder(words), _vae(), transformer, _schedule()))


def cogvideox_image(size: Size = TINY, version: str = "1.0") -> Any:
    """With one, in channels behind the latents."""
    words = w.t5_words()
    transformer = _transformer(size, version, 8)
    return filled(d.CogVideoXImageToVideoPipeline(words, w.t5_encoder(words), _vae(), transformer, _schedule()))
