"""Wan 2.1 and 2.2 (arXiv 2503.20314): a transformer on a causal VAE with 4 pictures a latent frame.

2.2 has two experts, one for each end of the noise, and a small model (5B) whose tokens each have a time of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .family import ROOMY, Ask, Configs, Family, Limits, Traits, coloured, sister, whitened

if TYPE_CHECKING:
    import torch

    from ..levels import Level


@dataclass(frozen=True)
class Wan(Family):
    """One network, or two with a boundary between them in time."""

    def limits(self, configs: Configs) -> Limits:
        """Sizes that VAE and patches can divide, and multiples of 16, on which the pipeline insists."""
        vae, transformer = configs["vae"], configs["transformer"]
        ratio, space = int(vae.get("scale_factor_temporal") or 4), int(vae.get("scale_factor_spatial") or 8)
        multiple = max(16, space * int(transformer["patch_size"][1]))
        latents = min(1 + ROOMY, int(transformer.get("rope_max_seq_len", 1024)))
        return Limits(1, 1 + ratio * (latents - 1), ratio, 1 + 80 // ratio * ratio, multiple, (832, 480))

    def traits(self, configs: Configs) -> Traits:
        """Causal, as many pictures a latent frame as the VAE's config says."""
        told = configs.get("model_index", {})
        return Traits(
            frames_per_latent=int(configs["vae"].get("scale_factor_temporal") or 4),
            start_image="may" if told.get("expand_timesteps") and self.start_image == "no" else self.start_image,
        )

    def pipeline_for(self, pipe: Any, ask: Ask) -> Any:
        """Where tokens have times of their own, the same weights can begin with a picture."""
        if ask.image is None or self.start_image == "must" or not pipe.config.expand_timesteps:
            return super().pipeline_for(pipe, ask)
        return sister(pipe, "WanImageToVideoPipeline", boundary_ratio=pipe.config.boundary_ratio, expand_timesteps=True)

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """With a picture, the prompt as the pipeline without one embeds it: the other needs ftfy to clean it first."""
        asked = super().arguments(pipe, ask)
        if ask.image is None:
            return asked
        import diffusers

        names = ("tokenizer", "text_encoder", "vae", "scheduler", "transformer", "transformer_2")
        plain = diffusers.WanPipeline(**{name: pipe.components[name] for name in names})
        text, _ = plain.encode_prompt(asked.pop("prompt"), do_classifier_free_guidance=False, max_sequence_length=512)
        return asked | {"prompt_embeds": text}

    def held_frames(self, pipe: Any, ask: Ask) -> int:
        """There, the picture is the first latent frame; elsewhere it stands in channels beside the latents."""
        return 1 if ask.image is not None and pipe.config.expand_timesteps else 0

    def latent_channels(self, pipe: Any, sample: torch.Tensor) -> int:
        """The VAE's; after them, a mask and the picture."""
        return int(pipe.vae.config.z_dim)

    def denoiser_at(self, pipe: Any, level: Level) -> str:
        """`transformer` down to the boundary, `transformer_2` below it."""
        boundary, trained = pipe.config.boundary_ratio, pipe.scheduler.config.num_train_timesteps
        low = boundary is not None and level.t is not None and level.t < boundary * trained
        return "transformer_2" if low else "transformer"

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """The pipeline's own normalisation, undone."""
        config = pipe.vae.config
        return pipe.vae.decode(coloured(latents, config.latents_mean, config.latents_std), return_dict=False)[0]

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """The pipeline's own normalisation."""
        config = pipe.vae.config
        return whitened(pipe.vae.encode(video).latent_dist.mode(), config.latents_mean, config.latents_std)


WAN = Wan(
    name="wan",
    pipeline="WanPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "transformer", "transformer_2", "vae"),
    weights=("text_encoder", "transformer", "transformer_2", "vae"),
    optional=("transformer_2",),
    denoisers=("transformer", "transformer_2"),
    licence="Apache-2.0",
)

WAN_IMAGE = replace(
    WAN,
    name="wan_image",
    pipeline="WanImageToVideoPipeline",
    parts=(*WAN.parts, "image_encoder", "image_processor"),
    weights=(*WAN.weights, "image_encoder"),
    optional=("transformer_2", "image_encoder", "image_processor"),
    start_image="must",
)
