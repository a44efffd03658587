"""Stable Diffusion (arXiv 2112.10752): images. Here only as the image model of IV-Mixed sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .animatediff import halved, scaled_modes
from .family import ROOMY, Ask, Configs, Family, Limits, folded, unfolded

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class StableDiffusion(Family):
    """A clip is a batch of pictures that share a prompt and know nothing of each other."""

    def limits(self, configs: Configs) -> Limits:
        """Any number of pictures; sizes that both VAE and UNet can halve evenly."""
        return Limits(1, 1 + ROOMY, 1, 1, *halved(configs, 64))

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """As many pictures as frames."""
        asked = super().arguments(pipe, ask)
        return asked | {"num_images_per_prompt": asked.pop("num_frames")}

    def latent_size(self, sample: torch.Tensor, arguments: Mapping[str, Any], ask: Ask) -> tuple[int, int, int]:
        """The batch is the clip's frames."""
        height, width = sample.shape[-2:]
        return ask.frames, height, width

    def unpack(self, pipe: Any, sample: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
        """Frames out of the batch."""
        return unfolded(sample, size[0])

    def pack(self, pipe: Any, x: torch.Tensor) -> torch.Tensor:
        """Frames into the batch."""
        return folded(x)

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Picture by picture."""
        pictures = pipe.vae.decode(folded(latents) / pipe.vae.config.scaling_factor, return_dict=False)[0]
        return unfolded(pictures, latents.shape[2])

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """Picture by picture."""
        return unfolded(scaled_modes(pipe, folded(video)), video.shape[2])


STABLE_DIFFUSION = StableDiffusion(
    name="stable_diffusion",
    pipeline="StableDiffusionPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "unet", "vae"),
    weights=("text_encoder", "unet", "vae"),
    denoisers=("unet",),
    sample="sample",
    licence="CreativeML Open RAIL-M",
    makes_video=False,
)
