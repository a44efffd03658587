"""HunyuanVideo 1.0 (arXiv 2412.03603): guidance-distilled, the scale is an input; 4 pictures a latent frame.

Its image-to-video model is another one, which begins with a picture in one of two ways. `token_replace`
(HunyuanVideo-I2V) gives it as the first latent frame. `latent_concat` (HunyuanVideo-I2V-33ch) gives it in channels
beside the latents, and its pipeline makes a latent frame more than it shows, whose four pictures are cut away after
decoding; a clip's latent frames would then not be those that its pictures come from, on which chaining and cutting
rest. It is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ModelRefuses
from .family import ROOMY, Ask, Configs, Family, Limits, Traits

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class HunyuanVideo(Family):
    """Where the network takes no guidance (a config may say so), it is an ordinary model with two branches."""

    def limits(self, configs: Configs) -> Limits:
        """Sizes that VAE and patches can divide, and multiples of 16, on which the pipeline insists."""
        vae, transformer = configs["vae"], configs["transformer"]
        ratio, space = int(vae.get("temporal_compression_ratio", 4)), int(vae.get("spatial_compression_ratio", 8))
        multiple = max(16, space * int(transformer.get("patch_size", 2)))
        return Limits(1, 1 + ratio * ROOMY, ratio, 1 + 128 // ratio * ratio, multiple, (1280, 720))

    def traits(self, configs: Configs) -> Traits:
        """Causal; distilled unless its config says otherwise."""
        return Traits(
            frames_per_latent=int(configs["vae"].get("temporal_compression_ratio", 4)),
            distilled=bool(configs["transformer"].get("guidance_embeds", True)),
            start_image=self.start_image,
        )

    def scheduled(self, configs: Configs, width: int, height: int, frames: int, steps: int) -> dict[str, Any]:
        """Sigmas in even steps."""
        import numpy as np

        return {"sigmas": np.linspace(1.0, 0.0, steps + 1)[:-1]}

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """`guidance_scale` is the network's input; guidance by two branches has a name of its own, and is off."""
        scale = 6.0 if ask.scale is None else ask.scale
        return super().arguments(pipe, ask) | {"guidance_scale": scale, "true_cfg_scale": 1.0}

    def guided(self, pipe: Any, scale: float) -> dict[str, Any]:
        """By the network's input, where it has one."""
        return {"guidance_scale" if pipe.transformer.config.guidance_embeds else "true_cfg_scale": scale}

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Unscaled."""
        return pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """Scaled."""
        return pipe.vae.encode(video).latent_dist.mode() * pipe.vae.config.scaling_factor


@dataclass(frozen=True)
class HunyuanVideoImage(HunyuanVideo):
    """The picture is the first latent frame, and is read together with the prompt (LLaVA)."""

    def limits(self, configs: Configs) -> Limits:
        """As without a picture.

        Raises:
            ModelRefuses: the model is given its picture in another way.
        """
        way = configs["transformer"].get("image_condition_type")
        if way != "token_replace":
            raise ModelRefuses(
                f"image_condition_type is {way!r}; longtake drives the model that takes its picture as the first latent"
                " frame, 'token_replace' (hunyuanvideo-community/HunyuanVideo-I2V)"
            )
        return super().limits(configs)

    def held_frames(self, pipe: Any, ask: Ask) -> int:
        """The picture."""
        return 1


HUNYUAN_VIDEO = HunyuanVideo(
    name="hunyuan_video",
    pipeline="HunyuanVideoPipeline",
    parts=("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae"),
    weights=("text_encoder", "text_encoder_2", "transformer", "vae"),
    licence="Tencent Hunyuan Community Licence (not for the EU, the UK and South Korea)",
)

HUNYUAN_VIDEO_IMAGE = HunyuanVideoImage(
    name="hunyuan_video_image",
    pipeline="HunyuanVideoImageToVideoPipeline",
    parts=(*HUNYUAN_VIDEO.parts, "image_processor"),
    weights=HUNYUAN_VIDEO.weights,
    start_image="must",
    imprint=0.001,
    licence=HUNYUAN_VIDEO.licence,
)
