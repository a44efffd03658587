"""CFG and CFG++ written down by themselves, at every level: what `shots.guidance` is compared with, and a denoise for
tests of what stands around it."""

from __future__ import annotations

import torch

from shots.denoiser import Denoise, Prediction
from shots.guidance import Evaluate
from shots.levels import Level
from shots.spec import Cfg, CfgPlusPlus, Guidance


def cfg(evaluate: Evaluate, scale: float) -> Denoise:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598): e = e_u + scale (e_c - e_u).

    At scale 1 that is e_c, and only the conditional branch is evaluated.
    """

    def conditional(x: torch.Tensor, level: Level) -> Prediction:
        (cond,) = evaluate(x, level, ("cond",))
        return cond

    def mixed(x: torch.Tensor, level: Level) -> Prediction:
        cond, uncond = evaluate(x, level, ("cond", "uncond"))
        return _towards(uncond, cond, scale)

    return conditional if scale == 1.0 else mixed


def cfg_plus_plus(evaluate: Evaluate, scale: float) -> Denoise:
    """CFG++ (Chung et al. 2024, arXiv 2406.08070): x0 from the mix, renoised with the unconditional eps."""

    def mixed(x: torch.Tensor, level: Level) -> Prediction:
        cond, uncond = evaluate(x, level, ("cond", "uncond"))
        return Prediction(_towards(uncond, cond, scale).x0, uncond.eps)

    return mixed


def guided_by(guidance: Guidance, evaluate: Evaluate) -> Denoise:
    """CFG or CFG++ alone: no window, no STG, no rescale."""
    match guidance:
        case Cfg(scale=scale):
            return cfg(evaluate, scale)
        case CfgPlusPlus(scale=scale):
            return cfg_plus_plus(evaluate, scale)


def _towards(start: Prediction, end: Prediction, share: float) -> Prediction:
    """start + share (end - start)."""
    return Prediction(start.x0 + share * (end.x0 - start.x0), start.eps + share * (end.eps - start.eps))
