"""AnimateDiff (arXiv 2307.04725): a Stable Diffusion UNet with motion modules between its layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .family import Configs, Family, Limits, folded, unfolded

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AnimateDiff(Family):
    """Frames up to the length of the motion modules' positions; every frame has a latent of its own."""

    def limits(self, configs: Configs) -> Limits:
        """Sizes that both VAE and UNet can halve evenly."""
        motion = configs.get("motion_adapter", configs["unet"])
        most = int(motion["motion_max_seq_length"])
        # The pipeline makes 16 frames unless told otherwise.
        return Limits(1, most, 1, min(16, most), *halved(configs, 64))

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Frame by frame, some at a time, as the pipeline does."""
        return pipe.decode_latents(latents)

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """Frame by frame."""
        return unfolded(scaled_modes(pipe, folded(video)), video.shape[2])


def halved(configs: Configs, latent_side: int) -> tuple[int, tuple[int, int]]:
    """What sizes are multiples of, and the native one, in pixels, where both VAE and UNet halve a picture: all families
    on Stable Diffusion's parts. latent_side: of a UNet whose config does not say."""
    unet, vae = configs["unet"], configs["vae"]
    pixels = 2 ** (len(vae["block_out_channels"]) - 1)
    side = int(unet.get("sample_size") or latent_side) * pixels
    # Their pipelines themselves insist on multiples of 8.
    return math.lcm(8, pixels * 2 ** (len(unet["down_block_types"]) - 1)), (side, side)


def scaled_modes(pipe: Any, pictures: torch.Tensor) -> torch.Tensor:
    """Latents [F, C, h, w] of pictures [F, 3, H, W], one at a time: of Stable Diffusion's VAE."""
    import torch

    modes = [pipe.vae.encode(picture).latent_dist.mode() for picture in pictures.split(1)]
    return torch.cat(modes) * pipe.vae.config.scaling_factor


ANIMATEDIFF = AnimateDiff(
    name="animatediff",
    pipeline="AnimateDiffPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "unet", "vae", "motion_adapter"),
    weights=("text_encoder", "unet", "vae", "motion_adapter"),
    optional=("motion_adapter",),
    denoisers=("unet",),
    sample="sample",
    licence="Apache-2.0 (motion modules); that of the Stable Diffusion weights under them",
)
