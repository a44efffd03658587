"""The pocket models through diffusers' own pipelines, nothing of ours between: what `evaluate` measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline

from .looks import SIZE
from .reader import Frames


def load(model: Path) -> Any:
    """The stock pipeline that the folder's model_index.json names, in fp32, from the folder alone."""
    pipe = DiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def frames_of(model: Path) -> int:
    """Frames of one clip: what the model was made for; 1 for an image model."""
    told = model / "longtake.json"
    return int(json.loads(told.read_text(encoding="utf-8"))["frames_native"]) if told.exists() else 1


def sample(pipe: Any, texts: Sequence[str], seeds: Sequence[int], steps: int, cfg: float, frames: int) -> Frames:
    """One clip a text, uint8 [N, F, 64, 64, 3]; a clip's noise depends on its own seed alone."""
    made = pipe(
        list(texts),
        height=SIZE,
        width=SIZE,
        num_inference_steps=steps,
        guidance_scale=cfg,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        output_type="np",
        **({"num_frames": frames} if frames > 1 else {}),
    )
    pictures = np.asarray(made.frames) if frames > 1 else np.asarray(made.images)[:, None]
    return np.clip(np.round(pictures * 255), 0, 255).astype(np.uint8)


@torch.no_grad()
def reconstruct(vae: Any, clips: Frames, at_once: int = 8) -> Frames:
    """Clips [N, F, 64, 64, 3] through the VAE and back: frame by frame, or whole where it works in time, too."""
    x = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    made = []
    for part in x.split(at_once):
        if isinstance(vae, AutoencoderKL):
            flat = part.transpose(1, 2).flatten(0, 1)
            out = vae.decode(vae.encode(flat).latent_dist.mean).sample
            made.append(out.unflatten(0, (len(part), -1)).transpose(1, 2))
        else:
            made.append(vae.decode(vae.encode(part).latent_dist.mode(), return_dict=False)[0])
    pixels = ((torch.cat(made).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 4, 1).numpy()
