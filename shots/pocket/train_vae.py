"""The stages `vae` and `bank`: the autoencoder, and the latents that all UNets are trained on."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from . import networks
from .checkpoints import Training
from .looks import FRAMES
from .plan import Plan
from .scenes import Scenes, draw, render


def _pictures(scenes: Scenes, only: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    pictures, masks = render(scenes, FRAMES, only)
    return pictures.flatten(0, 1) / 127.5 - 1, masks.flatten(0, 1)


def _gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction_loss(out: torch.Tensor, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """L1 + 2 L2 + half an L1 of gradients, five times heavier on and around the subject (`mask` in 0..1)."""
    weight = 1 + 4 * functional.max_pool2d(mask, 5, 1, 2)
    loss = (weight * ((out - x).abs() + 2 * (out - x) ** 2)).mean()
    across, down = ((a - b).abs() for a, b in zip(_gradients(out), _gradients(x), strict=True))
    return loss + 0.5 * ((weight[..., 1:] * across).mean() + (weight[..., 1:, :] * down).mean())


def train_vae(plan: Plan) -> None:
    """The autoencoder, on fresh single frames; latent noise and a small pull to zero stand in for the KL term."""
    vae = networks.make_vae().to(memory_format=torch.channels_last)
    groups = [{"params": list(vae.parameters()), "lr": 2e-3}]
    training = Training(plan.out / "vae", vae, groups, plan.budget("vae"), hold=0.35, decay=0.99, seed=plan.seed)

    def loss() -> torch.Tensor:
        scenes = draw(plan.vae_batch, training.rng)
        x, mask = _pictures(scenes, training.rng.integers(0, FRAMES, plan.vae_batch))
        x = x.contiguous(memory_format=torch.channels_last)
        latent = vae.encode(x).latent_dist.mean
        out = vae.decode(latent + 0.1 * torch.randn_like(latent)).sample
        return reconstruction_loss(out, x, mask) + 1e-3 * latent.pow(2).mean()

    training.run(loss)


def load_vae(plan: Plan) -> AutoencoderKL:
    """The trained autoencoder, its latents normalised once the bank exists."""
    vae = networks.make_vae()
    folded = plan.out / "bank" / "vae.safetensors"
    networks.load_weights(vae, folded if folded.exists() else plan.out / "vae" / "average.safetensors")
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, latents: torch.Tensor) -> None:
    """Give latents zero mean and unit variance per channel, in the VAE's own 1x1 convolutions: scaling_factor is 1."""
    channels = latents.shape[1]
    mean = latents.mean((0, 2, 3))
    std = latents.std((0, 2, 3))
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += post.weight[..., 0, 0] @ mean
    post.weight *= std[None, :, None, None]
    quant.weight[:channels] /= std[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / std
    quant.weight[channels:] = 0
    quant.bias[channels:] = -12


@torch.no_grad()
def make_bank(plan: Plan) -> None:
    """Encode clips once: latents [N, F, C, h, w] in fp16, with their scenes, so that captions can be drawn afresh."""
    if (plan.out / "bank" / "bank.safetensors").exists():
        return
    vae = load_vae(plan).to(memory_format=torch.channels_last)
    rng = np.random.default_rng(plan.seed + 1)
    scenes = draw(plan.bank_clips, rng, training=True)
    sample = _pictures(scenes[: min(64, plan.bank_clips)])[0]
    folded = plan.out / "bank" / "vae.safetensors"
    if not folded.exists():
        fold_statistics(vae, vae.encode(sample).latent_dist.mean)
        networks.save_weights(folded, vae.state_dict())
    latents = []
    for first in range(0, plan.bank_clips, 8):
        x = _pictures(scenes[first : first + 8])[0].contiguous(memory_format=torch.channels_last)
        latents.append(vae.encode(x).latent_dist.mean.unflatten(0, (-1, FRAMES)).to(torch.float16))
        if first % 800 == 0:
            print(f"bank {first}/{plan.bank_clips} clips", flush=True)
    arrays = {f.name: torch.from_numpy(np.ascontiguousarray(getattr(scenes, f.name))) for f in fields(scenes)}
    networks.save_weights(plan.out / "bank" / "bank.safetensors", {"latents": torch.cat(latents), **arrays})
