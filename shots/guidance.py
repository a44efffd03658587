"""Guidance: takes the evaluation of branches, returns a denoise. Mixing is done in x0 and eps alike.

All weights of a mix sum to one, so mixing x0 and eps is mixing the networks' outputs. Only a standard deviation
depends on the space that it is taken in: rescaling is done in the space of the network's output, and clip by clip,
so that a clip's picture does not depend on those it is denoised with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .branches import Branch, branches
from .denoiser import Denoise, Prediction, Reading
from .errors import SpecError
from .levels import Level
from .spec import Cfg, CfgPlusPlus, Recipe

__all__ = ["Branch", "Evaluate", "branches", "guided", "rescaled"]

Evaluate = Callable[[torch.Tensor, Level, Sequence[Branch]], tuple[Prediction, ...]]
"""(x, level, branches) -> one prediction a branch. All are asked at once, so that they can run side by side."""


def guided(
    recipe: Recipe, evaluate: Evaluate, steps: int, space: Reading | None = None, distilled: bool = False
) -> Denoise:
    """The denoise that a recipe's guidance and STG ask for, each within its window.

    e = e_u + w (e_c - e_u) + g (e_c - e_p), with CFG of scale w (Ho and Salimans 2022, arXiv 2207.12598) and STG of
    scale g (Hyung et al. 2024, arXiv 2411.18664). Where CFG does not act: e_c + g (e_c - e_p). With CFG++ x0 is that of
    the mix, STG's term included, and eps the unconditional one. CFG's rescale acts on its own mix, before STG's term is
    added, STG's on the sum. steps: of the whole run, for the windows. space: how the network's outputs are read; needed
    where something is rescaled. distilled: see `branches`.

    Raises:
        SpecError: rescaling without a space.
    """
    guidance, stg = recipe.guidance, recipe.stg
    rescale = guidance.rescale if isinstance(guidance, Cfg) else 0.0
    if space is None and (rescale or (stg is not None and stg.rescale)):
        raise SpecError("guidance with rescale needs to know what the network returns; pass its reading as `space`")

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        asked = branches(recipe, level.i, steps, distilled)
        found = dict(zip(asked, evaluate(x, level, asked), strict=True))
        cond = mix = found["cond"]
        if "uncond" in found:
            mix = _towards(found["uncond"], cond, guidance.scale)
            if rescale and space is not None:
                mix = rescaled(mix, cond, rescale, x, level, space)
        if "skip" in found and stg is not None:
            mix = _away(mix, cond, found["skip"], stg.scale)
            if stg.rescale and space is not None:
                mix = rescaled(mix, cond, stg.rescale, x, level, space)
        if "uncond" in found and isinstance(guidance, CfgPlusPlus):
            return Prediction(mix.x0, found["uncond"].eps)
        return mix

    return denoise


def rescaled(
    mix: Prediction, cond: Prediction, share: float, x: torch.Tensor, level: Level, space: Reading
) -> Prediction:
    """`share` of the mix's standard deviation set back to the conditional's (Lin et al. 2023, arXiv 2305.08891, eq. 14
    to 16): e' = e (share std(e_c) / std(e) + 1 - share), in network outputs [K, C, F, h, w], each sample by itself.
    """
    output = space.write(mix, level)
    made, wanted = _deviations(output), _deviations(space.write(cond, level))
    # An output without any deviation has none to set back.
    ratio = torch.where(made > 0, wanted / made, torch.ones_like(made))
    return space.read(output * (share * ratio + (1.0 - share)), x, level)


def _deviations(outputs: torch.Tensor) -> torch.Tensor:
    """Standard deviation of each sample, [K, 1, 1, 1, 1]; of a copy of it alone, so that its place has no say."""
    each = torch.stack([output.clone(memory_format=torch.contiguous_format).std() for output in outputs])
    return each.view(-1, *[1] * (outputs.ndim - 1))


def _towards(start: Prediction, end: Prediction, share: float) -> Prediction:
    """start + share (end - start)."""
    return Prediction(start.x0 + share * (end.x0 - start.x0), start.eps + share * (end.eps - start.eps))


def _away(mix: Prediction, cond: Prediction, perturbed: Prediction, scale: float) -> Prediction:
    """mix + scale (cond - perturbed)."""
    return Prediction(mix.x0 + scale * (cond.x0 - perturbed.x0), mix.eps + scale * (cond.eps - perturbed.eps))
