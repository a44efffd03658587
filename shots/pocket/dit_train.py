"""Train pocket-dit from nothing: causal video VAE, bank of latents, first frames, clips. Resumable at any point.

The causal VAE's first latent is one picture and nothing else, so a single frame is a clip of one latent frame: the
image stage learns where the first frame of a moving subject is, and the video stage goes on with the same sequence,
only longer. One video step in ten leaves the first latent clean and gives its tokens timestep 0, which is what the
stock image-to-video pipeline of this architecture does when it continues from a given picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from safetensors.torch import load_file

from . import dit_networks as networks
from .checkpoints import Budget, Training
from .looks import SIZE
from .networks import load_weights, save_weights
from .plan import Plan
from .scenes import Scenes, caption, draw, render
from .train_vae import reconstruction_loss

MINUTES = {"dit_vae": 24.0, "dit_image": 8.0, "dit_video": 62.0}
"""Default budgets on one CPU core: those of the shipped weights."""
VAE_CLIPS = 4
"""Whole clips a step of the VAE; four times as many windows of them."""
CROP_SHARE = 0.8
BANK_SHARE = 1.5
"""Clips in the bank for each clip in the bank of the UNets: training sees more clips here."""
SNAPSHOTS = (0.08, 0.16, 0.3, 0.45, 0.6, 0.8)
"""Shares of the video budget after which the averaged weights are kept, for a curve of accuracy against clips."""
FIRST_FRAME_SHARE = 0.1


def _budget(plan: Plan, stage: str) -> Budget:
    return Budget(plan.minutes or MINUTES[stage], plan.steps)


def clips_of(scenes: Scenes, frames: int = networks.CLIP_FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips [B, 3, F, 64, 64] in -1..1 and subject masks [B, 1, F, 64, 64] in 0..1."""
    pictures, masks = render(scenes, frames)
    return (pictures / 127.5 - 1).transpose(1, 2).contiguous(), masks.transpose(1, 2)


def clip_loss(out: torch.Tensor, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The picture loss of every frame, and an L1 of the change from frame to frame, heavier on the subject."""
    flat = [tensor.transpose(1, 2).flatten(0, 1) for tensor in (out, x, mask)]
    loss = reconstruction_loss(*flat)
    if x.shape[2] == 1:
        return loss
    weight = 1 + 4 * mask[:, :, 1:].maximum(mask[:, :, :-1])
    return loss + 0.5 * (weight * (out.diff(dim=2) - x.diff(dim=2)).abs()).mean()


def crops_of(scenes: Scenes, frames: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Half-size windows of clips, [B, 3, F, 32, 32], each around a point near the subject's path, and their masks."""
    x, mask = clips_of(scenes, frames)
    size, room = SIZE // 2, rng.uniform(-12, 12, (2, len(scenes)))
    left, top = (
        np.clip(centre + shift - size / 2, 0, SIZE - size).astype(int)
        for centre, shift in zip((scenes.centre_x, scenes.centre_y), room, strict=True)
    )
    windows = [(..., slice(t, t + size), slice(c, c + size)) for t, c in zip(top, left, strict=True)]
    pictures, masks = (torch.stack([one[w] for one, w in zip(whole, windows, strict=True)]) for whole in (x, mask))
    return pictures, masks


def train_dit_vae(plan: Plan) -> None:
    """The video autoencoder, on fresh clips; latent noise and a small pull to zero stand in for the KL term.

    The frames of a clip are alike, so what counts is the number of scenes a step: for most of the budget it
    sees windows of clips, then whole ones. One step in ten has single frames, one longer clips.
    """
    torch.manual_seed(plan.seed)
    vae = networks.make_vae().to(memory_format=torch.channels_last_3d)
    groups = [{"params": list(vae.parameters()), "lr": 1e-3}]
    budget = _budget(plan, "dit_vae")
    training = Training(plan.out / "dit_vae", vae, groups, budget, hold=0.5, decay=0.99, seed=plan.seed)

    def loss() -> torch.Tensor:
        kind = training.rng.random()
        frames = 1 if kind < 0.1 else networks.CLIP_FRAMES + networks.TEMPORAL_RATIO * (kind > 0.9)
        many = VAE_CLIPS * (6 if frames == 1 else 1)
        if training.spent < CROP_SHARE:
            x, mask = crops_of(draw(4 * many, training.rng), frames, training.rng)
        else:
            x, mask = clips_of(draw(many, training.rng), frames)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        latent = vae.encode(x).latent_dist.mean
        out = vae.decode(latent + 0.1 * torch.randn_like(latent)).sample
        return clip_loss(out, x, mask) + 1e-3 * latent.pow(2).mean()

    training.run(loss)


@torch.no_grad()
def load_vae(plan: Plan) -> AutoencoderKLLTXVideo:
    """The trained autoencoder, with the statistics of its latents once the bank exists.

    Training never uses the posterior's variance, the encoder's last channel, but the stock image-to-video pipeline
    samples from it: it is made as good as zero.
    """
    vae = networks.make_vae()
    measured = plan.out / "dit_bank" / "vae.safetensors"
    load_weights(vae, measured if measured.exists() else plan.out / "dit_vae" / "average.safetensors")
    last = vae.encoder.conv_out.conv
    last.weight[-1] = 0
    last.bias[-1] = -12
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def make_dit_bank(plan: Plan) -> None:
    """Encode clips once: normalised latents [N, C, F, h, w] in fp16, with their scenes, for fresh captions."""
    path = plan.out / "dit_bank" / "bank.safetensors"
    if path.exists():
        return
    vae, many = load_vae(plan).to(memory_format=torch.channels_last_3d), int(BANK_SHARE * plan.bank_clips)
    scenes = draw(many, np.random.default_rng(plan.seed + 1), training=True)
    sample = torch.cat(
        [vae.encode(clips_of(scenes[i : i + 16])[0]).latent_dist.mean for i in range(0, min(256, many), 16)]
    )
    vae.latents_mean.copy_(sample.mean((0, 2, 3, 4)))
    vae.latents_std.copy_(sample.std((0, 2, 3, 4)))
    save_weights(path.with_name("vae.safetensors"), vae.state_dict())
    latents = []
    for first in range(0, many, 16):
        mean = vae.encode(clips_of(scenes[first : first + 16])[0]).latent_dist.mean
        latents.append(networks.normalise(vae, mean).to(torch.float16))
        if first % 2400 == 0:
            print(f"dit_bank {first}/{many} clips", flush=True)
    arrays = {f.name: torch.from_numpy(np.ascontiguousarray(getattr(scenes, f.name))) for f in fields(scenes)}
    save_weights(path, {"latents": torch.cat(latents), **arrays})


class Flow:
    """Batches of latents and text states from the bank, and the rectified-flow loss (Liu et al. 2022)."""

    def __init__(self, plan: Plan) -> None:
        bank = load_file(plan.out / "dit_bank" / "bank.safetensors")
        self.latents = bank.pop("latents")
        self.scenes = Scenes(**{name: value.numpy() for name, value in bank.items()})
        self.tokenizer = networks.make_tokenizer()
        self.encoder = networks.make_text_encoder(self.tokenizer)

    def text(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Text states [B, T, 64] and mask [B, T]."""
        return networks.encode_text(prompts, self.tokenizer, self.encoder)

    def batch(self, n: int, rng: np.random.Generator, frames: int) -> tuple[torch.Tensor, list[str]]:
        """The first latent frames of clips as tokens [B, T, C], with captions; one caption in ten is empty."""
        clips = rng.integers(0, len(self.latents), n)
        prompts = ["" if rng.random() < 0.1 else caption(self.scenes, int(clip), rng) for clip in clips]
        return networks.pack(self.latents[clips, :, :frames].float()), prompts

    def loss(
        self,
        transformer: LTXVideoTransformer3DModel,
        batch: tuple[torch.Tensor, list[str]],
        rng: np.random.Generator,
        given: int = 0,
    ) -> torch.Tensor:
        """The squared error of the velocity noise - x0; the first `given` tokens are clean and do not count."""
        x0, prompts = batch
        u = torch.from_numpy(rng.random(len(x0), dtype=np.float32))
        sigma = networks.SHIFT * u / (1 + (networks.SHIFT - 1) * u)
        level = sigma[:, None].expand(x0.shape[:2])
        if given:
            level = level.clone()
            level[:, :given] = 0
        noise = torch.randn_like(x0)
        x = torch.lerp(x0, noise, level[..., None])
        out = networks.velocity(transformer, x, level if given else sigma, self.text(prompts))
        return (out - (noise - x0))[:, given:].pow(2).mean()

    @torch.no_grad()
    def probe(self, transformer: LTXVideoTransformer3DModel, frames: int) -> dict[str, float]:
        """The rms difference of the x0 estimates for "left" and "right" from pure noise."""
        shape = (4, frames * networks.LATENT_SIZE**2, networks.LATENT_CHANNELS)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
        sides = [self.text([f"a red ball moving {side} over the sea"] * 4) for side in ("left", "right")]
        left, right = (networks.velocity(transformer, noise, torch.ones(4), text) for text in sides)
        return {"left_right": float((left - right).pow(2).mean().sqrt())}


def train_dit_image(plan: Plan) -> None:
    """The transformer on the first latent frame of clips: where things are, and what the words mean."""
    torch.manual_seed(plan.seed)
    transformer, flow = networks.make_transformer(), Flow(plan)
    groups = [{"params": list(transformer.parameters()), "lr": 1e-3}]
    training = Training(
        plan.out / "dit_image", transformer, groups, _budget(plan, "dit_image"), floor=0.3, seed=plan.seed + 2
    )

    def loss() -> torch.Tensor:
        batch = flow.batch(plan.image_batch // 2, training.rng, 1)
        return flow.loss(transformer, batch, training.rng)

    training.run(loss, lambda: flow.probe(transformer, 1))


def train_dit_video(plan: Plan) -> None:
    """The transformer on whole clips, from the image stage's weights, with a falling learning rate."""
    transformer, flow = networks.make_transformer(), Flow(plan)
    load_weights(transformer, plan.out / "dit_image" / "average.safetensors")
    groups = [{"params": list(transformer.parameters()), "lr": 1e-3}]
    folder = plan.out / "dit_video"
    training = Training(folder, transformer, groups, _budget(plan, "dit_video"), hold=0.4, seed=plan.seed + 3)

    def loss() -> torch.Tensor:
        batch = flow.batch(plan.clip_batch, training.rng, networks.LATENT_FRAMES)
        given = networks.LATENT_SIZE**2 if training.rng.random() < FIRST_FRAME_SHARE else 0
        return flow.loss(transformer, batch, training.rng, given)

    def probe() -> dict[str, float]:
        kept = len(list(folder.glob("at-*.safetensors")))
        if kept < len(SNAPSHOTS) and training.spent >= SNAPSHOTS[kept]:
            save_weights(folder / f"at-{training.step}.safetensors", training.average)
        return flow.probe(transformer, networks.LATENT_FRAMES)

    training.run(loss, probe)


def load_transformer(path: Path) -> LTXVideoTransformer3DModel:
    """The transformer with the weights of a safetensors file."""
    transformer = networks.make_transformer()
    load_weights(transformer, path)
    return transformer.eval().requires_grad_(False)


def _summary(state: Path, batch: int) -> dict[str, object]:
    found = json.loads(state.read_text(encoding="utf-8"))
    kept = {name: found[name] for name in ("step", "seconds", "spent", "history")}
    return {**kept, "batch": batch, "samples": batch * found["step"]}


def export_dit(plan: Plan) -> None:
    """Write the diffusers folder `pocket-dit`, from the averaged weights."""
    folder = plan.weights / networks.WEIGHTS.name
    transformer = load_transformer(plan.out / "dit_video" / "average.safetensors")
    sizes = networks.export(folder, load_vae(plan), transformer)
    batches = {"dit_vae": VAE_CLIPS, "dit_image": plan.image_batch // 2, "dit_video": plan.clip_batch}
    stages = {name: _summary(plan.out / name / "state.json", batch) for name, batch in batches.items()}
    record = {"stages": stages, "bank_clips": int(BANK_SHARE * plan.bank_clips), "bytes": sizes}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"export {folder}: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


STAGES: dict[str, Callable[[Plan], None]] = {
    "dit_vae": train_dit_vae,
    "dit_bank": make_dit_bank,
    "dit_image": train_dit_image,
    "dit_video": train_dit_video,
    "dit_export": export_dit,
}
