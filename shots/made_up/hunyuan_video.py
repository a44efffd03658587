"""HunyuanVideo 1.0: guidance is an input of the network; two text encoders, and with a picture one that sees it."""

from __future__ import annotations

from typing import Any

import diffusers as d

from . import words as w
from .sizes import TINY, Size, filled


def _parts(size: Size, **settings: Any) -> dict[str, Any]:
    """What the model with a picture and the one without have in common."""
    clip = w.clip_words(77)
    transformer = d.HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=size.heads,
        attention_head_dim=10 * size.wide,
        num_layers=size.layers,
        num_single_layers=size.layers,
        num_refiner_layers=1,
        text_embed_dim=w.WIDTH,
        pooled_projection_dim=w.WIDTH,
        rope_axes_dim=(2 * size.wide, 4 * size.wide, 4 * size.wide),
        **settings,
    )
    return {
        "transformer": transformer,
        "vae": d.AutoencoderKLHunyuanVideo(
            latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
        ),
        "scheduler": d.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "text_encoder_2": w.clip_encoder(clip, 77),
        "tokenizer_2": clip,
    }


def hunyuan_video(size: Size = TINY) -> Any:
    """Without a picture."""
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE as TEMPLATE

    words = w.llama_words(TEMPLATE["template"].split("{}")[0], TEMPLATE["crop_start"])
    reading = {"text_encoder": w.llama_encoder(words), "tokenizer": words}
    return filled(d.HunyuanVideoPipeline(**reading, **_parts(size)))


def hunyuan_video_image(size: Size = TINY) -> Any:
    """With one, as the first latent frame."""
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video_image2video import DEFAULT_PROMPT_TEMPLATE as TEMPLATE

    words = w.llava_words(TEMPLATE["template"], TEMPLATE["crop_start"])
    seeing = {"image_processor": w.CLIPImageProcessorPil(size=96, crop_size=96)}
    reading = {"text_encoder": w.llava(words), "tokenizer": words}
    parts = _parts(size, image_condition_type="token_replace", guidance_embeds=True)
    return filled(d.HunyuanVideoImageToVideoPipeline(**reading, **seeing, **parts))
