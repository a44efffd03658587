"""Three pipelines as large as the published ones, for measurements on a GPU where nothing was downloaded.

Networks and VAEs have the published configs. Text encoders are of one layer: a prompt is read once, and no time that
is measured hangs on what it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as d
import torch

from . import words as w
from .flat import noise_schedule
from .ltx import ltx_schedule


def ltx_2b() -> Any:
    """LTX-Video 2B 0.9: the defaults of its classes."""
    words = w.t5_words(128)
    vae, transformer = d.AutoencoderKLLTXVideo(), d.LTXVideoTransformer3DModel()
    return d.LTXPipeline(ltx_schedule(), vae, w.t5_encoder(words, width=4096), words, transformer)


def wan_1_3b() -> Any:
    """Wan 2.1 T2V 1.3B."""
    words = w.t5_words(512)
    return d.WanPipeline(
        tokenizer=words,
        text_encoder=w.t5_encoder(words, multilingual=True, width=4096),
        vae=d.AutoencoderKLWan(),
        scheduler=d.FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=d.WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=30),
    )


def animatediff_sd15() -> Any:
    """The motion modules of AnimateDiff 1.5 in the UNet of Stable Diffusion 1.5."""
    words = w.clip_words(77)
    unet = d.UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    vae = d.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    text = w.clip_encoder(words, 77, width=768)
    schedule = noise_schedule("epsilon", False, "trailing", beta_schedule="linear")
    return d.AnimateDiffPipeline(vae, text, words, unet, d.MotionAdapter(), schedule)


FULL: dict[str, Callable[[], Any]] = {
    "LTX-Video 2B": ltx_2b,
    "Wan 2.1 1.3B": wan_1_3b,
    "AnimateDiff SD 1.5": animatediff_sd15,
}
"""What people call a model -> what builds one of its size."""


def save_full(name: str, folder: Path, device: str) -> Path:
    """`folder`, holding the pipeline of this name in bfloat16, made on `device`, with weights from torch's stream."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            pipe = FULL[name]()
    finally:
        torch.set_default_dtype(before)
    torch.manual_seed(1)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    parameter.data.normal_(0, 1 / math.sqrt(math.prod(parameter.shape[1:])))
    pipe.save_pretrained(folder)
    return folder
