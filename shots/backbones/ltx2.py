"""LTX-2 (arXiv 2601.03233): picture and sound in one transformer. Here the picture alone.

Sound would be a second latent with its own noise, guidance and chaining. The network can be told to keep the two apart
(`isolate_modalities`, its own way to run as a video model), so the sound is one silent token that the picture never
sees, and neither its VAE nor its vocoder is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .family import Ask, Configs, Limits
from .ltx import LTX, frames_ratio

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LTX2(LTX):
    """As LTX-Video but for the sound, and for a second argument that says the time."""

    def limits(self, configs: Configs) -> Limits:
        """As LTX-Video's; 121 frames of 768x512 unless told."""
        limits, ratio = super().limits(configs), frames_ratio(configs["vae"])
        return Limits(1, limits.frames_max, ratio, 1 + 120 // ratio * ratio, limits.size_multiple, (768, 512))

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """All four kinds of guidance of the pipeline's own off, for picture and sound."""
        off = {"guidance_scale": 1.0, "stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0}
        return super().arguments(pipe, ask) | off | {f"audio_{name}": value for name, value in off.items()}

    def guided(self, pipe: Any, scale: float) -> dict[str, Any]:
        """For picture and sound."""
        return {"guidance_scale": scale, "audio_guidance_scale": scale}

    def captured(self, pipe: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without the sound."""
        sound, places = arguments["audio_hidden_states"], arguments["audio_coords"]
        silence = {
            "audio_hidden_states": sound.new_zeros(len(sound), 1, pipe.transformer.config.audio_in_channels),
            "audio_coords": places[:, :, :1],
            "audio_num_frames": 1,
            "isolate_modalities": True,
        }
        return {name: value for name, value in (arguments | silence).items() if name not in ("sigma", "audio_timestep")}

    def times(self, t: torch.Tensor, like: torch.Tensor, batch: int) -> dict[str, torch.Tensor]:
        """Of the tokens, which are at time 0 where a picture is given; then of the step, as it is to the sound."""
        step = t.expand(batch)
        return super().times(t, like, batch) | {"audio_timestep": step, "sigma": step}


LTX2_VIDEO = LTX2(
    name="ltx2",
    pipeline="LTX2Pipeline",
    parts=("scheduler", "text_encoder", "tokenizer", "connectors", "transformer", "vae"),
    weights=("text_encoder", "connectors", "transformer", "vae"),
    libraries=("ltx2",),
    start_image="may",
    image_pipeline="LTX2ImageToVideoPipeline",
    licence="LTX-2 Community Licence",
    not_made="sound",
)
