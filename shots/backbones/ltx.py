"""LTX-Video (arXiv 2501.00103): a transformer over patches packed into a sequence; 8 pictures a latent frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .family import ROOMY, Ask, Configs, Family, Limits, Traits, coloured, shifted, sister, whitened

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LTX(Family):
    """The network sees [B, F h w, C] and is told F, h and w. image_pipeline: of the same parts, for a start image."""

    image_pipeline: str = "LTXImageToVideoPipeline"

    def limits(self, configs: Configs) -> Limits:
        """Sizes that the VAE can divide, and multiples of 32, on which the pipeline insists."""
        ratio = frames_ratio(configs["vae"])
        multiple = max(32, space_ratio(configs["vae"]) * int(configs["transformer"].get("patch_size", 1)))
        return Limits(1, 1 + ratio * ROOMY, ratio, 1 + 160 // ratio * ratio, multiple, (704, 512))

    def traits(self, configs: Configs) -> Traits:
        """Causal, as many pictures a latent frame as the VAE's config says."""
        return Traits(frames_per_latent=frames_ratio(configs["vae"]), start_image=self.start_image)

    def pipeline_for(self, pipe: Any, ask: Ask) -> Any:
        """Of the same weights, the one that begins with a picture."""
        pipe = super().pipeline_for(pipe, ask)
        return pipe if ask.image is None else sister(pipe, self.image_pipeline)

    def held_frames(self, pipe: Any, ask: Ask) -> int:
        """The picture is the first latent frame."""
        return 0 if ask.image is None else 1

    def scheduled(self, configs: Configs, width: int, height: int, frames: int, steps: int) -> dict[str, Any]:
        """Sigmas in even steps, shifted by the number of tokens."""
        import numpy as np

        space = space_ratio(configs["vae"])
        tokens = self.traits(configs).latent_frames(frames) * (height // space) * (width // space)
        mu = shifted(configs["scheduler"], tokens)
        return {"sigmas": np.linspace(1.0, 1 / steps, steps), "mu": mu}

    def latent_size(self, sample: torch.Tensor, arguments: Mapping[str, Any], ask: Ask) -> tuple[int, int, int]:
        """As the network is told."""
        return arguments["num_frames"], arguments["height"], arguments["width"]

    def unpack(self, pipe: Any, sample: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
        """Sequence to space and time, by the pipeline's own function."""
        return pipe._unpack_latents(sample, *size, *patches(pipe))

    def pack(self, pipe: Any, x: torch.Tensor) -> torch.Tensor:
        """Space and time to sequence, by the pipeline's own function."""
        return pipe._pack_latents(x, *patches(pipe))

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """At decode timestep 0 where the decoder is told one (0.9.1 and later), as the pipeline does unless told."""
        import torch

        vae = pipe.vae
        time = torch.zeros(1, device=latents.device, dtype=latents.dtype) if vae.config.timestep_conditioning else None
        coloured_latents = coloured(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
        return vae.decode(coloured_latents, time, return_dict=False)[0]

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """The pipeline's own normalisation."""
        vae = pipe.vae
        latents = vae.encode(video).latent_dist.mode()
        return whitened(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)


def patches(pipe: Any) -> tuple[int, int]:
    """Patch size in space and in time."""
    return pipe.transformer_spatial_patch_size, pipe.transformer_temporal_patch_size


def frames_ratio(vae: Mapping[str, Any]) -> int:
    """Pictures a latent frame. The VAE's class computes it from its layers where its config does not say it."""
    told = vae.get("temporal_compression_ratio")
    return int(told) if told else int(vae.get("patch_size_t", 1)) * 2 ** sum(vae["spatio_temporal_scaling"])


def space_ratio(vae: Mapping[str, Any]) -> int:
    """Pixels a latent, one way."""
    told = vae.get("spatial_compression_ratio")
    return int(told) if told else int(vae.get("patch_size", 4)) * 2 ** sum(vae["spatio_temporal_scaling"])


LTX_VIDEO = LTX(
    name="ltx",
    pipeline="LTXPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
    weights=("text_encoder", "transformer", "vae"),
    shared=("rope_interpolation_scale",),
    aliases=("LTXConditionPipeline", "LTXImageToVideoPipeline"),
    start_image="may",
    licence="LTX Video Open Weights Licence",
)
