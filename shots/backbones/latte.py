"""Latte (arXiv 2401.03048): spatial and temporal blocks in turn, on Stable Diffusion's latents; always 16 pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .animatediff import scaled_modes
from .family import Ask, Configs, Family, Limits, folded, unfolded

if TYPE_CHECKING:
    import torch

TOKENS = 120
"""Of a prompt, in the pipeline."""


@dataclass(frozen=True)
class Latte(Family):
    """Prompts are cut to their own length; here they are padded again and masked, so that clips can share a batch."""

    def limits(self, configs: Configs) -> Limits:
        """The network has as many positions in time as it was trained on, and adds all of them."""
        vae, transformer = configs["vae"], configs["transformer"]
        space, frames = 2 ** (len(vae["block_out_channels"]) - 1), int(transformer.get("video_length", 16))
        side = int(transformer.get("sample_size", 64)) * space
        multiple = max(8, space * int(transformer["patch_size"]))
        return Limits(frames, frames, 1, frames, multiple, (side, side))

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """Captions as they are: cleaning them would depend on which libraries are installed here."""
        asked = super().arguments(pipe, ask)
        return asked | {"video_length": asked.pop("num_frames"), "clean_caption": False}

    def captured(self, pipe: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """The prompt's embedding padded to the length of all, and what is added to attention's scores to hide that."""
        import torch

        text, frames = arguments["encoder_hidden_states"], arguments["hidden_states"].shape[2]
        missing = max(0, TOKENS - text.shape[1])
        hidden = torch.cat([torch.zeros(text.shape[1]), torch.full((missing,), -10000.0)]).to(text.device, text.dtype)
        return arguments | {
            "encoder_hidden_states": torch.nn.functional.pad(text, (0, 0, 0, missing)),
            "encoder_attention_mask": hidden.expand(len(text) * frames, 1, -1),
        }

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Frame by frame, some at a time, as the pipeline does."""
        return pipe.decode_latents(latents, latents.shape[2])

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """Frame by frame."""
        return unfolded(scaled_modes(pipe, folded(video)), video.shape[2])


LATTE = Latte(
    name="latte",
    pipeline="LattePipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
    weights=("text_encoder", "transformer", "vae"),
    licence="Apache-2.0",
    loras=False,
)
