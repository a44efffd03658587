"""What the families around Stable Diffusion share: a VAE and a UNet that know single pictures, and their schedules."""

from __future__ import annotations

from typing import Any

import diffusers as d

from .sizes import Size


def noise_schedule(prediction: str, zero_snr: bool, spacing: str, **settings: Any) -> d.DDIMScheduler:
    """Stable Diffusion's, but for what is given."""
    return d.DDIMScheduler(
        **{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012} | settings,
        prediction_type=prediction,
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing=spacing,
        steps_offset=1 if spacing == "leading" else 0,
        clip_sample=False,
    )


def flat_vae() -> d.AutoencoderKL:
    """Each frame by itself, two pixels a latent."""
    return d.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
    )


def flat_unet(size: Size) -> d.UNet2DConditionModel:
    """Two levels, attention at both ends."""
    return d.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16 * size.wide, 32 * size.wide),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
        norm_num_groups=8,
    )
