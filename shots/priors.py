"""Where a clip's first noise comes from. Every prior is marginally N(0, 1) in each frame."""

from __future__ import annotations

import math

import torch

from .rng import clip_noise, frame_noise
from .spec import ClipSpec, Iid, Pyoco


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


def draw(spec: ClipSpec, shape: tuple[int, int, int, int]) -> torch.Tensor:
    """The clip's noise [C, F, h, w] by its recipe's prior, before any chaining. Correlation stays within the clip."""
    own = clip_noise(spec.seed, "frames", spec.start, shape)
    match spec.recipe.prior:
        case Iid():
            return own
        case Pyoco(mode="mixed", alpha=alpha):
            shared = frame_noise(spec.seed, "shared", spec.index, (shape[0], *shape[2:]))
            return mixed(shared, own, alpha)
        case Pyoco(alpha=alpha):
            return progressive(own, alpha)
