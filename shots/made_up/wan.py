"""Wan 2.1 and 2.2: with one expert or two, with tokens that have times of their own, with a picture."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .sizes import TINY, Size, filled


def _transformer(size: Size, channels: int = 16, **settings: Any) -> Any:
    return d.WanTransformer3DModel(
        num_attention_heads=size.heads,
        attention_head_dim=12 * size.wide,
        in_channels=channels,
        out_channels=16,
        text_dim=w.WIDTH,
        freq_dim=32,
        ffn_dim=16 * size.heads * size.wide,
        num_layers=size.layers,
        **settings,
    )


def _vae() -> Any:
    return d.AutoencoderKLWan(base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1)


def _schedule(multistep: bool) -> Any:
    if multistep:
        return d.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return d.FlowMatchEulerDiscreteScheduler(shift=3.0)


def wan(size: Size = TINY, experts: int = 1, expand_timesteps: bool = False, multistep: bool = False) -> Any:
    """2.1 with one expert, 2.2 with two. `multistep`: with the UniPC scheduler of the published folders."""
    words = w.t5_words()
    return filled(
        d.WanPipeline(
            tokenizer=words,
            text_encoder=w.t5_encoder(words, multilingual=True),
            vae=_vae(),
            scheduler=_schedule(multistep),
            transformer=_transformer(size),
            transformer_2=_transformer(size) if experts == 2 else None,
            boundary_ratio=0.875 if experts == 2 else None,
            expand_timesteps=expand_timesteps,
        )
    )


def wan_image(size: Size = TINY, experts: int = 1) -> Any:
    """2.1 looks at the picture with CLIP as well; 2.2, of two experts, does not."""
    words, looks = w.t5_words(), experts == 1
    seeing = {"image_dim": 16, "added_kv_proj_dim": 12 * size.wide * size.heads} if looks else {}
    return filled(
        d.WanImageToVideoPipeline(
            tokenizer=words,
            text_encoder=w.t5_encoder(words, multilingual=True),
            vae=_vae(),
            scheduler=_schedule(False),
            transformer=_transformer(size, 36, **seeing),
            transformer_2=_transformer(size, 36) if experts == 2 else None,
            boundary_ratio=0.9 if experts == 2 else None,
            image_encoder=w.clip_eye() if looks else None,
            image_processor=w.CLIPImageProcessorPil(size=16, crop_size=16) if looks else None,
        )
    )
