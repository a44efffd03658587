"""Train the pocket model from nothing: VAE, bank of latents, image UNet, motion. Checkpointed, resumable at any point.

    python -m shots.pocket.train --out DIR                        # every stage in order, then export
    python -m shots.pocket.train --out DIR --stage video --minutes 60

A stage whose budget is spent is skipped; one that was interrupted goes on where its last checkpoint was. The image
stage sees single frames with a phase word (start, middle, end) in the caption, so that direction x phase -> position is
learnt from pictures; in the video stage the motion modules take over what the phase words said, and these fade out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from safetensors.torch import load_file
from torch.nn import functional

from . import networks
from .checkpoints import Budget, Training
from .looks import FRAMES
from .scenes import Scenes, caption, draw, phase_of, render

STAGES = ("vae", "bank", "image", "video", "export")
MINUTES = {"vae": 9.0, "image": 16.0, "video": 65.0}
"""Default budgets on one CPU core: those of the shipped weights."""


@dataclass(frozen=True)
class Plan:
    """What to train, how long and how much at once; the defaults are those of the shipped weights."""

    out: Path
    weights: Path = networks.WEIGHTS
    minutes: float | None = None
    steps: int | None = None
    vae_batch: int = 24
    image_batch: int = 64
    clip_batch: int = 8
    bank_clips: int = 8000
    phase_share: float = 0.15
    seed: int = 0

    def budget(self, stage: str) -> Budget:
        return Budget(self.minutes or MINUTES[stage], self.steps)


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
    fold_statistics(vae, vae.encode(sample).latent_dist.mean)
    networks.save_weights(plan.out / "bank" / "vae.safetensors", vae.state_dict())
    latents = []
    for first in range(0, plan.bank_clips, 8):
        x = _pictures(scenes[first : first + 8])[0].contiguous(memory_format=torch.channels_last)
        latents.append(vae.encode(x).latent_dist.mean.unflatten(0, (-1, FRAMES)).to(torch.float16))
        if first % 800 == 0:
            print(f"bank {first}/{plan.bank_clips} clips", flush=True)
    arrays = {f.name: torch.from_numpy(np.ascontiguousarray(getattr(scenes, f.name))) for f in fields(scenes)}
    networks.save_weights(plan.out / "bank" / "bank.safetensors", {"latents": torch.cat(latents), **arrays})


class Teacher:
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
    unet: torch.nn.Module, teacher: Teacher, shape: tuple[int, ...], phases: tuple[str, ...]
) -> dict[str, float]:
    """The rms difference of the x0 estimates for "left" and "right" from pure noise (t = 999); the truth gives .6."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    both = []
    for side in ("left", "right"):
        text = teacher.text([f"a red ball moving {side} {phase} over the sea" for phase in phases])
        both.append(unet(noise, torch.tensor([999] * shape[0]), text).sample)
    return {"left_right": float((both[0] - both[1]).pow(2).mean().sqrt())}


def train_image(plan: Plan) -> None:
    """The image UNet, on single frames of the bank."""
    unet, teacher = networks.make_unet(), Teacher(plan)
    groups = [{"params": list(unet.parameters()), "lr": 1.5e-3}]
    training = Training(plan.out / "image", unet, groups, plan.budget("image"), floor=0.1, seed=plan.seed + 2)

    def loss() -> torch.Tensor:
        x0, prompts = teacher.image_batch(plan.image_batch, training.rng)
        x, t, v = teacher.noised(x0, training.rng, 0.8)
        return functional.mse_loss(unet(x, t, teacher.text(prompts)).sample, v)

    shape = (2, networks.LATENT_CHANNELS, networks.LATENT_SIZE, networks.LATENT_SIZE)
    training.run(loss, lambda: direction_probe(unet, teacher, shape, ("start", "end")))


def load_image(plan: Plan) -> UNet2DConditionModel:
    """The averaged image UNet."""
    unet = networks.make_unet()
    networks.load_weights(unet, plan.out / "image" / "average.safetensors")
    return unet


def train_video(plan: Plan) -> None:
    """Motion modules and image UNet together, on clips of the bank; phase words fade out over the first part."""
    unet, teacher = networks.make_motion_unet(load_image(plan)), Teacher(plan)
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
        x0, prompts = teacher.clip_batch(plan.clip_batch, training.rng, share)
        x, t, v = teacher.noised(x0, training.rng, 0.7)
        return functional.mse_loss(unet(x, t, teacher.text(prompts)).sample, v)

    shape = (1, networks.LATENT_CHANNELS, FRAMES, networks.LATENT_SIZE, networks.LATENT_SIZE)
    training.run(loss, lambda: direction_probe(unet, teacher, shape, ("",) * FRAMES))


def load_video(plan: Plan) -> UNetMotionModel:
    """The averaged motion UNet; before the video stage, the image UNet with silent motion modules."""
    unet = networks.make_motion_unet(load_image(plan))
    if (plan.out / "video" / "average.safetensors").exists():
        networks.load_weights(unet, plan.out / "video" / "average.safetensors")
    return unet


def _summary(state: Path, batch: int) -> dict[str, object] | None:
    """What a stage cost and how its loss and probe went, from its checkpoint."""
    if not state.exists():
        return None
    found = json.loads(state.read_text(encoding="utf-8"))
    kept = {name: found[name] for name in ("step", "seconds", "spent", "history")}
    return {**kept, "batch": batch, "samples": batch * found["step"]}


def export(plan: Plan) -> None:
    """Write the diffusers folder from the averaged weights."""
    sizes = networks.export(plan.weights, load_vae(plan), load_video(plan))
    seen = {"vae": plan.vae_batch, "image": plan.image_batch, "video": plan.clip_batch}
    stages = {name: _summary(plan.out / name / "state.json", batch) for name, batch in seen.items()}
    record = {"stages": {k: v for k, v in stages.items() if v}, "bank_clips": plan.bank_clips, "bytes": sizes}
    (plan.weights / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"export {plan.weights}: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and run the stages."""
    parser = argparse.ArgumentParser(prog="python -m shots.pocket.train", description="Train the pocket model.")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the bank of latents")
    parser.add_argument("--weights", type=Path, default=networks.WEIGHTS, help="folder to export to")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage (repeatable)")
    parser.add_argument("--minutes", type=float, help=f"minutes for each trained stage (default {MINUTES})")
    parser.add_argument("--steps", type=int, help="at most so many steps a stage")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    plan = Plan(options.out, options.weights, options.minutes, options.steps, seed=options.seed)
    programs = dict(zip(STAGES, (train_vae, make_bank, train_image, train_video, export), strict=True))
    for stage in options.stage or STAGES:
        programs[stage](plan)


if __name__ == "__main__":
    main()
