"""Where a clip's first noise comes from. Every prior is marginally N(0, 1) in each frame. Frames are latent frames."""

from __future__ import annotations

import math

import torch

from .rng import clip_noise, frame_noise
from .spec import ClipSpec, FreeNoise, Iid, Pyoco, Windows


def blend(old: torch.Tensor, new: torch.Tensor, alpha: float) -> torch.Tensor:
    """`a old + b new` with a = alpha / sqrt(1 + alpha^2), b = 1 / sqrt(1 + alpha^2): variance stays 1.

    alpha 0 gives `new` bit for bit.
    """
    length = math.hypot(1.0, alpha)
    return (alpha / length) * old + (1.0 / length) * new


def mixed(shared: torch.Tensor, own: torch.Tensor, alpha: float) -> torch.Tensor:
    """PYoCo's mixed noise (arXiv 2305.10474, eq. 4): Cov(e_i, e_j) = alpha^2 / (1 + alpha^2) for i != j.

    shared [C, h, w], own [C, F, h, w] both standard normal.
    """
    return blend(shared.unsqueeze(1), own, alpha)


def progressive(own: torch.Tensor, alpha: float) -> torch.Tensor:
    """PYoCo's progressive noise (arXiv 2305.10474, eq. 5): Cov(e_i, e_j) = (alpha / sqrt(1 + alpha^2))^|i-j|.

    own [C, F, h, w] standard normal.
    """
    frames = [own[:, 0]]
    for j in range(1, own.shape[1]):
        frames.append(blend(frames[-1], own[:, j], alpha))
    return torch.stack(frames, dim=1)


def shuffled(seed: int, frame: int, frames: int, stride: int) -> int:
    """FreeNoise (arXiv 2310.15169): which of the first clip's `frames` noises frame `frame` of the shot uses.

    The first clip's are its own. From then on each run of `stride` frames uses the noise of the `stride` frames that
    have just left the window, in a random new order. So in every clip that begins at a multiple of `stride` each of
    the `frames` noises occurs once: within a clip they are independent, far apart they repeat.
    """
    while frame >= frames:
        run, place = divmod(frame - frames, stride)
        # The order that standard normals sort in: the one kind of random number whose stream a golden test watches.
        order = frame_noise(seed, "shuffle", run, (stride,)).argsort(stable=True)
        frame = run * stride + int(order[place])
    return frame


def draw(spec: ClipSpec, shape: tuple[int, int, int, int]) -> torch.Tensor:
    """The clip's noise [C, F, h, w] by its recipe's prior, before any chaining.

    PYoCo's correlation stays within the clip, except among clips that are denoised together as `windows`: they share
    frames, whose noise must be one, so there it runs through the whole shot.
    """
    match spec.recipe.prior:
        case Iid():
            return clip_noise(spec.seed, "frames", spec.start, shape)
        case Pyoco(mode=mode, alpha=alpha):
            return _correlated(spec, shape, mode, alpha)
        case FreeNoise():
            return _shuffled(spec, shape)


def _correlated(spec: ClipSpec, shape: tuple[int, int, int, int], mode: str, alpha: float) -> torch.Tensor:
    channels, frames, height, width = shape
    whole = isinstance(spec.recipe.chain, Windows)
    if mode == "mixed":
        shared = frame_noise(spec.seed, "shared", 0 if whole else spec.index, (channels, height, width))
        return mixed(shared, clip_noise(spec.seed, "frames", spec.start, shape), alpha)
    first = 0 if whole else spec.start
    length = spec.start + frames - first
    own = clip_noise(spec.seed, "frames", first, (channels, length, height, width))
    return progressive(own, alpha)[:, length - frames :]


def _shuffled(spec: ClipSpec, shape: tuple[int, int, int, int]) -> torch.Tensor:
    channels, frames, height, width = shape
    stride = frames - (spec.overlap if isinstance(spec.recipe.chain, Windows) else 0)
    sources = [shuffled(spec.seed, spec.start + j, frames, stride) for j in range(frames)]
    return torch.stack([frame_noise(spec.seed, "frames", f, (channels, height, width)) for f in sources], dim=1)
