"""ModelScope's text-to-video (arXiv 2308.06571) and what was tuned from it (zeroscope): a 3D UNet on SD's latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .animatediff import halved, scaled_modes
from .family import ROOMY, Configs, Family, Limits, folded, unfolded

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TextToVideoSD(Family):
    """Its temporal layers know no positions, so any length can be asked for; it was trained on 16."""

    def limits(self, configs: Configs) -> Limits:
        """Sizes that both VAE and UNet can halve evenly."""
        return Limits(1, 1 + ROOMY, 1, 16, *halved(configs, 32))

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """All frames at once, as the pipeline does."""
        return pipe.decode_latents(latents)

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """Frame by frame."""
        return unfolded(scaled_modes(pipe, folded(video)), video.shape[2])


TEXT_TO_VIDEO_SD = TextToVideoSD(
    name="text_to_video_sd",
    pipeline="TextToVideoSDPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "unet", "vae"),
    weights=("text_encoder", "unet", "vae"),
    denoisers=("unet",),
    sample="sample",
    licence="CC-BY-NC-4.0",
    loras=False,
)
