"""HunyuanVideo 1.5: reads with a Qwen and with single letters; a guider of diffusers' own."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers as d
from transformers import ByT5Tokenizer

from . import words as w
from .sizes import TINY, Size, filled

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _transformer(size: Size, task: str) -> Any:
    return d.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=size.heads,
        attention_head_dim=8 * size.wide,
        num_layers=size.layers,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=w.WIDTH,
        text_embed_2_dim=w.WIDTH,
        image_embed_dim=12,
        rope_axes_dim=(2 * size.wide, 2 * size.wide, 4 * size.wide),
        target_size=64,
        task_type=task,
    )


def hunyuan_video15(size: Size = TINY, image: bool = False) -> Any:
    """With a picture or without one."""
    default = inspect.signature(d.HunyuanVideo15Pipeline._get_mllm_prompt_embeds).parameters
    before = f"<|im_start|>system\n{default['system_message'].default}<|im_end|>\n<|im_start|>user\n"
    words = w.llama_words(before, default["crop_start"].default, TEMPLATE)
    vae = d.AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 8, 8, 8), layers_per_block=1, scaling_factor=0.7
    )
    glyphs = ByT5Tokenizer()
    parts = {
        "text_encoder": w.qwen_encoder(words),
        "tokenizer": words,
        "transformer": _transformer(size, "i2v" if image else "t2v"),
        "vae": vae,
        "scheduler": d.FlowMatchEulerDiscreteScheduler(shift=5.0),
        "text_encoder_2": w.t5_encoder(glyphs),
        "tokenizer_2": glyphs,
        "guider": d.ClassifierFreeGuidance(guidance_scale=6.0),
    }
    if not image:
        return filled(d.HunyuanVideo15Pipeline(**parts))
    eye = {
        "image_encoder": w.siglip_eye(),
        "feature_extractor": w.SiglipImageProcessorPil(size={"height": 8, "width": 8}),
    }
    return filled(d.HunyuanVideo15ImageToVideoPipeline(**parts, **eye))
