"""Two late stages of the UNets: `together` (pictures and clips at once) and `teacher` (more motion, the rest frozen).

After `together` the weights are both models: with its motion modules the network makes clips, without them it is the
image model of the same latent space. So `pocket` and `pocket-image` share one file, and so does `pocket-teacher`,
whose motion modules are twice as deep.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from torch.nn import functional

from . import networks
from .batches import Batches, direction_probe
from .checkpoints import Training
from .looks import FRAMES
from .plan import Plan

CLIP_SHAPE = (1, networks.LATENT_CHANNELS, FRAMES, networks.LATENT_SIZE, networks.LATENT_SIZE)


def smooth_loss(error: torch.Tensor, weight: float) -> torch.Tensor:
    """Mean square of the error [B, C, F, h, w] plus `weight` times that of its second difference over frames.

    The minimum is still the conditional mean; what capacity there is goes first to errors that flicker.
    """
    bend = error[:, :, 2:] - 2 * error[:, :, 1:-1] + error[:, :, :-2]
    return error.pow(2).mean() + weight * bend.pow(2).mean()


def image_view(unet: UNetMotionModel) -> UNet2DConditionModel:
    """The image UNet that shares its weights, tensor by tensor, with a motion UNet: its motion modules left out."""
    image = networks.make_unet()
    shared = dict(unet.named_parameters())
    for name, _ in list(image.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        setattr(image.get_submodule(owner), leaf, shared[name])
    return image


def train_together(plan: Plan) -> None:
    """All weights, on clips and on single frames in turn: one image step in every ten thirds of steps."""
    unet, batches = networks.make_motion_unet(networks.make_unet()), Batches(plan)
    networks.load_weights(unet, plan.out / "video" / "average.safetensors")
    unet.requires_grad_(True).to(memory_format=torch.channels_last)
    image = image_view(unet)
    named = list(unet.named_parameters())
    groups = [
        {"params": [p for name, p in named if "motion_modules" in name], "lr": 8e-4},
        {"params": [p for name, p in named if "motion_modules" not in name], "lr": 4e-4},
    ]
    training = Training(plan.out / "together", unet, groups, plan.budget("together"), hold=0.3, seed=plan.seed + 4)

    def loss() -> torch.Tensor:
        if training.rng.random() < plan.image_share:
            x0, prompts = batches.image_batch(plan.image_batch, training.rng)
            x, t, v = batches.noised(x0, training.rng, 0.8)
            return functional.mse_loss(image(x, t, batches.text(prompts)).sample, v)
        return _clip_loss(unet, batches, plan, training)

    training.run(loss, lambda: direction_probe(unet, batches, CLIP_SHAPE, ("",) * FRAMES))


def _clip_loss(unet: UNetMotionModel, batches: Batches, plan: Plan, training: Training) -> torch.Tensor:
    x0, prompts = batches.clip_batch(plan.clip_batch, training.rng, 0.0)
    x, t, v = batches.noised(x0, training.rng, 0.8)
    return smooth_loss(unet(x, t, batches.text(prompts)).sample - v, plan.smooth)


def train_teacher(plan: Plan) -> None:
    """Deeper motion modules alone, on clips; the picture's weights stay those of `together`, bit for bit."""
    unet, batches = networks.make_motion_unet(networks.make_unet(), depth=networks.TEACHER_DEPTH), Batches(plan)
    start = networks.load_tensors(plan.out / "together" / "average.safetensors")
    missing, strange = unet.load_state_dict(start, strict=False)
    if strange or any(".transformer_blocks.1." not in name for name in missing):
        raise ValueError(f"the weights of stage together do not fit the teacher: {strange or missing}")
    networks.silence_second_blocks(unet)
    unet.to(memory_format=torch.channels_last)
    # All gradients are computed and only these used: torch 2.13 crashes where frozen weights meet channels_last.
    unet.requires_grad_(True)
    motion = [parameter for name, parameter in unet.named_parameters() if "motion_modules" in name]
    groups = [{"params": motion, "lr": 8e-4}]
    training = Training(plan.out / "teacher", unet, groups, plan.budget("teacher"), hold=0.3, seed=plan.seed + 5)
    training.run(
        lambda: _clip_loss(unet, batches, plan, training),
        lambda: direction_probe(unet, batches, CLIP_SHAPE, ("",) * FRAMES),
    )


def averaged(folder: Path, depth: int = 1) -> UNetMotionModel:
    """The averaged motion UNet of a stage's folder."""
    unet = networks.make_motion_unet(networks.make_unet(), depth=depth)
    networks.load_weights(unet, folder / "average.safetensors")
    return unet
