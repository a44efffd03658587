"""Guidance: takes the evaluation of branches, returns a denoise. Mixing is done in x0 and eps alike.

All weights of a mix sum to one, so mixing x0 and eps is mixing the networks' outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from .denoiser import Denoise, Prediction
from .levels import Level
from .spec import Cfg, CfgPlusPlus, Guidance

Branch = Literal["cond", "uncond"]
Evaluate = Callable[[torch.Tensor, Level, Sequence[Branch]], tuple[Prediction, ...]]
"""(x, level, branches) -> one prediction a branch. All are asked at once, so that they can run side by side."""


def cfg(evaluate: Evaluate, scale: float) -> Denoise:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598): e = e_u + scale (e_c - e_u).

    At scale 1 that is e_c, and only the conditional branch is evaluated.
    """

    def conditional(x: torch.Tensor, level: Level) -> Prediction:
        (cond,) = evaluate(x, level, ("cond",))
        return cond

    def guided(x: torch.Tensor, level: Level) -> Prediction:
        cond, uncond = evaluate(x, level, ("cond", "uncond"))
        return Prediction(_towards(uncond.x0, cond.x0, scale), _towards(uncond.eps, cond.eps, scale))

    return conditional if scale == 1.0 else guided


def cfg_plus_plus(evaluate: Evaluate, scale: float) -> Denoise:
    """CFG++ (Chung et al. 2024, arXiv 2406.08070): x0 from the mix, renoised with the unconditional eps."""

    def guided(x: torch.Tensor, level: Level) -> Prediction:
        cond, uncond = evaluate(x, level, ("cond", "uncond"))
        return Prediction(_towards(uncond.x0, cond.x0, scale), uncond.eps)

    return guided


def guided_by(guidance: Guidance, evaluate: Evaluate) -> Denoise:
    """The denoise that a recipe's guidance asks for."""
    match guidance:
        case Cfg(scale=scale):
            return cfg(evaluate, scale)
        case CfgPlusPlus(scale=scale):
            return cfg_plus_plus(evaluate, scale)


def _towards(start: torch.Tensor, end: torch.Tensor, share: float) -> torch.Tensor:
    return start + share * (end - start)
