"""Mochi 1 (Genmo 2024): a flow that runs from noise at time 0 to the clip at 1000; 6 pictures a latent frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .family import ROOMY, Configs, Family, Limits, Traits, coloured, whitened

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Mochi(Family):
    """Its time and its velocity point the other way; the scheduler's config says so (`invert_sigmas`)."""

    def limits(self, configs: Configs) -> Limits:
        """The pipeline holds its VAE's ratios as constants, 8 and 6; patches are of 2."""
        return Limits(1, 1 + 6 * ROOMY, 6, 19, 8 * int(configs["transformer"].get("patch_size", 2)), (848, 480))

    def traits(self, configs: Configs) -> Traits:
        """Causal, 6 pictures a latent frame."""
        return Traits(frames_per_latent=6)

    def scheduled(self, configs: Configs, width: int, height: int, frames: int, steps: int) -> dict[str, Any]:
        """Half of the steps near pure noise, evenly, the others ever longer."""
        return {"sigmas": [1.0 - share for share in linear_quadratic(steps, 0.025)]}

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """The pipeline's own normalisation, undone."""
        return pipe.vae.decode(coloured(latents, *statistics(pipe.vae.config)), return_dict=False)[0]

    def fewest_steps(self, configs: Configs) -> int:
        """The grid has two halves."""
        return 2

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """The pipeline's own normalisation."""
        return whitened(pipe.vae.encode(video).latent_dist.mode(), *statistics(pipe.vae.config))


def linear_quadratic(steps: int, threshold: float) -> list[float]:
    """Shares of the way from noise to clip: a line up to `threshold` in half of the steps, then a parabola that goes on
    from it. The pipeline's formula in its order of operations; its own function cannot be had without torch."""
    line = steps // 2
    curve, missing = steps - line, line - threshold * steps
    square = missing / (line * curve**2)
    slope = threshold / line - 2 * missing / (curve**2)
    rest = [square * (i**2) + slope * i + square * (line**2) for i in range(line, steps)]
    return [i * threshold / line for i in range(line)] + rest


def statistics(config: Any) -> tuple[Any, Any, float]:
    """Mean and standard deviation of the VAE's latents, and the factor after them."""
    return config.latents_mean or [0.0], config.latents_std or [1.0], config.scaling_factor


MOCHI = Mochi(
    name="mochi",
    pipeline="MochiPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
    weights=("text_encoder", "transformer", "vae"),
    licence="Apache-2.0",
)
