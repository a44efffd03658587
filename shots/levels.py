"""Noise levels: `x_t = alpha_t x0 + sigma_t eps`, alpha^2 + sigma^2 = 1 (variance preserving)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import ModelRefuses


@dataclass(frozen=True, slots=True)
class Level:
    """One noise level. `i` counts steps from 0; `t` is the network's own time, None where no network is asked."""

    i: int
    t: float | None
    alpha: float
    sigma: float


def levels_of(scheduler: Any) -> tuple[Level, ...]:
    """The levels that a diffusers scheduler visits, after its `set_timesteps`, and the one after the last step.

    A step goes to the level of the next timestep. diffusers' DDIM goes `train // steps` indices down instead,
    which is the same level whenever `steps` divides the training length, and one index beside it otherwise.
    The level after the last step is the scheduler's own: noise-free, or that of the first training step.

    Raises:
        ModelRefuses: the scheduler has no `alphas_cumprod`, or its last-trained level leaves eps undefined.
    """
    cumulative = getattr(scheduler, "alphas_cumprod", None)
    if cumulative is None:
        raise ModelRefuses(
            f"{type(scheduler).__name__} has no alphas_cumprod; this version samples with schedulers of the DDPM kind"
        )
    times = [t.item() for t in scheduler.timesteps]
    products = [float(cumulative[int(t)]) for t in times] + [_final(scheduler)]
    named = zip([*times, None], products, strict=True)
    return tuple(Level(i, t, a**0.5, (1.0 - a) ** 0.5) for i, (t, a) in enumerate(named))


def _final(scheduler: Any) -> float:
    return float(getattr(scheduler, "final_alpha_cumprod", 1.0))
