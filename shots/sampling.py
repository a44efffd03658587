"""The sampling loop. It knows neither guidance nor chains: it takes functions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch

from .denoiser import Denoise
from .levels import Level

Edit = Callable[[torch.Tensor, Level], torch.Tensor]
"""x at a level -> x at the same level."""


def ddim(
    x: torch.Tensor,
    levels: tuple[Level, ...],
    denoise: Denoise,
    before: tuple[Edit, ...] = (),
    on_step: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """DDIM with eta 0 (Song et al. 2021, arXiv 2010.02502, eq. 12): x' = alpha' x0 + sigma' eps.

    x [K, C, F, h, w] at levels[0]; the result is at levels[-1]. `before` edits x at the start of each step, in
    order. `on_step(done, steps)` is called after each step and may raise to stop.
    """
    for here, there in pairwise(levels):
        for edit in before:
            x = edit(x, here)
        x0, eps = denoise(x, here)
        # Separate products and a sum: each is correctly rounded, so an element's bits do not depend on its neighbours.
        x = there.alpha * x0 + there.sigma * eps
        if on_step is not None:
            on_step(here.i + 1, len(levels) - 1)
    return x
