"""Batches of noised latents and text states from the bank, and the probe that tells whether words arrive."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file

from . import networks
from .looks import FRAMES
from .plan import Plan
from .scenes import Scenes, caption, phase_of


class Batches:
    """Batches of noised latents and text states from the bank, and the v-prediction loss."""

    def __init__(self, plan: Plan) -> None:
        bank = load_file(plan.out / "bank" / "bank.safetensors")
        self.latents = bank.pop("latents")
        self.scenes = Scenes(**{name: value.numpy() for name, value in bank.items()})
        self.tokenizer = networks.make_tokenizer()
        self.encoder = networks.make_text_encoder(self.tokenizer)
        self.alphas = networks.make_scheduler().alphas_cumprod

    def text(self, prompts: list[str]) -> torch.Tensor:
        """Text states [B, tokens, 64]; repeated prompts are encoded once."""
        rows = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompts))}
        states = networks.encode_text(list(rows), self.tokenizer, self.encoder)
        return states[[rows[prompt] for prompt in prompts]]

    def noised(self, x0: torch.Tensor, rng: np.random.Generator, power: float) -> tuple[torch.Tensor, ...]:
        """x_t, timesteps t = 1000 U^power, and the target v = alpha eps - sigma x0; x0 is [B, ...]."""
        t = torch.from_numpy((1000 * rng.random(len(x0)) ** power).astype(np.int64)).clamp(max=999)
        shape = (-1,) + (1,) * (x0.ndim - 1)
        alpha, sigma = self.alphas[t].sqrt().view(shape), (1 - self.alphas[t]).sqrt().view(shape)
        noise = torch.randn_like(x0)
        return alpha * x0 + sigma * noise, t, alpha * noise - sigma * x0

    def image_batch(self, n: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        """Single frames [B, C, h, w] with captions, six of ten with the frame's phase word, one of ten empty."""
        clips, frames = rng.integers(0, len(self.latents), n), rng.integers(0, FRAMES, n)
        prompts = []
        for clip, frame in zip(clips, frames, strict=True):
            phase = phase_of(int(frame)) if rng.random() < 0.6 else ""
            prompts.append("" if rng.random() < 0.1 else caption(self.scenes, int(clip), rng, phase))
        return self.latents[clips, frames].float(), prompts

    def clip_batch(self, n: int, rng: np.random.Generator, phase_share: float) -> tuple[torch.Tensor, list[str]]:
        """Clips [B, C, F, h, w] with a caption a frame (B x F); a share of the clips still has phase words."""
        clips = rng.integers(0, len(self.latents), n)
        prompts: list[str] = []
        for clip in clips:
            phase = "PHASE" if rng.random() < phase_share else ""
            text = "" if rng.random() < 0.1 else caption(self.scenes, int(clip), rng, phase)
            prompts += [text.replace("PHASE", phase_of(frame)) for frame in range(FRAMES)]
        return self.latents[clips].float().transpose(1, 2), prompts


@torch.no_grad()
def direction_probe(
    unet: torch.nn.Module, batches: Batches, shape: tuple[int, ...], phases: tuple[str, ...]
) -> dict[str, float]:
    """The rms difference of the x0 estimates for "left" and "right" from pure noise (t = 999); the truth gives .6."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    both = []
    for side in ("left", "right"):
        text = batches.text([f"a red ball moving {side} {phase} over the sea" for phase in phases])
        both.append(unet(noise, torch.tensor([999] * shape[0]), text).sample)
    return {"left_right": float((both[0] - both[1]).pow(2).mean().sqrt())}
