"""CogVideoX 1.0 and 1.5 (arXiv 2408.06072): frames before channels; 4 pictures a latent frame; 1.5 pads in front."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .family import ROOMY, Configs, Family, Limits, Traits

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CogVideoX(Family):
    """The network sees [B, F, C, h, w]."""

    def limits(self, configs: Configs) -> Limits:
        """Odd numbers of latent frames: of an even one, the VAE takes the first for several pictures, too."""
        vae, transformer = configs["vae"], configs["transformer"]
        ratio, space = int(vae.get("temporal_compression_ratio", 4)), 2 ** (len(vae["block_out_channels"]) - 1)
        native = int(transformer.get("sample_frames", 49))
        learned = transformer.get("use_learned_positional_embeddings", False)
        most = native if learned else 1 + 2 * ratio * (ROOMY // 2)
        return Limits(1, most, 2 * ratio, native, space * int(transformer.get("patch_size", 2)), _native_size(configs))

    def traits(self, configs: Configs) -> Traits:
        """Causal; 1.5 joins latent frames in pairs, and so pads an odd number of them, and its positions end."""
        pairs = int(configs["transformer"].get("patch_size_t") or 0)
        return Traits(
            frames_per_latent=int(configs["vae"].get("temporal_compression_ratio", 4)),
            latent_multiple=pairs or 1,
            start_image=self.start_image,
            size_most=_native_size(configs) if pairs else None,
        )

    def latent_size(self, sample: torch.Tensor, arguments: Any, ask: Any) -> tuple[int, int, int]:
        """Frames come before channels."""
        _, frames, _, height, width = sample.shape
        return frames, height, width

    def latent_channels(self, pipe: Any, sample: torch.Tensor) -> int:
        """The VAE's; after them, the picture's, in the first frame."""
        return int(pipe.vae.config.latent_channels)

    def unpack(self, pipe: Any, sample: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
        """Channels first."""
        return sample.transpose(1, 2)

    def pack(self, pipe: Any, x: torch.Tensor) -> torch.Tensor:
        """Frames first."""
        return x.transpose(1, 2)

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Without the padding: `limits` lets only odd numbers of frames through, so an even one has been padded."""
        frames = latents.shape[2]
        return pipe.decode_latents(latents[:, :, 1 - frames % 2 :].transpose(1, 2))

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """With the padding, which repeats the first latent frame."""
        import torch

        latents = pipe.vae.encode(video).latent_dist.mode() * pipe.vae_scaling_factor_image
        multiple = pipe.transformer.config.patch_size_t or 1
        missing = -latents.shape[2] % multiple
        return torch.cat([latents[:, :, :1]] * missing + [latents], dim=2)


def _native_size(configs: Configs) -> tuple[int, int]:
    space, transformer = 2 ** (len(configs["vae"]["block_out_channels"]) - 1), configs["transformer"]
    return int(transformer.get("sample_width", 90)) * space, int(transformer.get("sample_height", 60)) * space


COGVIDEOX = CogVideoX(
    name="cogvideox",
    pipeline="CogVideoXPipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
    weights=("text_encoder", "transformer", "vae"),
    shared=("image_rotary_emb",),
    licence="Apache-2.0 (2B), CogVideoX Licence (5B)",
)

COGVIDEOX_IMAGE = replace(
    COGVIDEOX,
    name="cogvideox_image",
    pipeline="CogVideoXImageToVideoPipeline",
    shared=("image_rotary_emb", "ofs"),
    start_image="must",
)
