"""The stages `image` and `video`: the UNet on single frames, then with motion modules on clips."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional

from . import networks
from .batches import Batches, direction_probe
from .checkpoints import Training
from .looks import FRAMES
from .plan import Plan


def train_image(plan: Plan) -> None:
    """The image UNet, on single frames of the bank."""
    unet, batches = networks.make_unet(), Batches(plan)
    groups = [{"params": list(unet.parameters()), "lr": 1.5e-3}]
    training = Training(plan.out / "image", unet, groups, plan.budget("image"), floor=0.1, seed=plan.seed + 2)

    def loss() -> torch.Tensor:
        x0, prompts = batches.image_batch(plan.image_batch, training.rng)
        x, t, v = batches.noised(x0, training.rng, 0.8)
        return functional.mse_loss(unet(x, t, batches.text(prompts)).sample, v)

    shape = (2, networks.LATENT_CHANNELS, networks.LATENT_SIZE, networks.LATENT_SIZE)
    training.run(loss, lambda: direction_probe(unet, batches, shape, ("start", "end")))


def load_image(plan: Plan) -> UNet2DConditionModel:
    """The averaged image UNet."""
    unet = networks.make_unet()
    networks.load_weights(unet, plan.out / "image" / "average.safetensors")
    return unet


def train_video(plan: Plan) -> None:
    """Motion modules and image UNet together, on clips of the bank; phase words fade out over the first part."""
    unet, batches = networks.make_motion_unet(load_image(plan)), Batches(plan)
    unet.to(memory_format=torch.channels_last)
    named = list(unet.named_parameters())
    for _, parameter in named:
        parameter.requires_grad_(True)
    groups = [
        {"params": [p for name, p in named if "motion_modules" in name], "lr": 1.2e-3},
        {"params": [p for name, p in named if "motion_modules" not in name], "lr": 6e-4},
    ]
    training = Training(plan.out / "video", unet, groups, plan.budget("video"), hold=0.4, seed=plan.seed + 3)

    def loss() -> torch.Tensor:
        share = 0.5 * max(0.0, 1 - training.spent / plan.phase_share)
        x0, prompts = batches.clip_batch(plan.clip_batch, training.rng, share)
        x, t, v = batches.noised(x0, training.rng, 0.7)
        return functional.mse_loss(unet(x, t, batches.text(prompts)).sample, v)

    shape = (1, networks.LATENT_CHANNELS, FRAMES, networks.LATENT_SIZE, networks.LATENT_SIZE)
    training.run(loss, lambda: direction_probe(unet, batches, shape, ("",) * FRAMES))
