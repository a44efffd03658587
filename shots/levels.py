"""Noise levels, `x_t = alpha_t x0 + sigma_t eps`, and the schedules they come from. No torch here.

Three kinds of schedule, told apart by the scheduler's config alone:

    vp          alpha^2 + sigma^2 = 1, from a table of `alphas_cumprod` (DDPM, DDIM and their relatives)
    flow        alpha = 1 - sigma (rectified flow, arXiv 2209.03003); the network's time is train_steps * sigma
    inverted    the same, but the network's time is train_steps * alpha (Mochi)
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ModelRefuses

Kind = Literal["vp", "flow", "inverted"]


@dataclass(frozen=True, slots=True)
class Level:
    """One noise level. `i` counts steps from 0; `t` is the network's own time, None where no network is asked."""

    i: int
    t: float | None
    alpha: float
    sigma: float


def kind_of(config: Mapping[str, Any], name: str) -> Kind:
    """The kind of schedule that a diffusers scheduler of class `name` with this config follows.

    Raises:
        ModelRefuses: neither betas nor flow matching.
    """
    if name.startswith("FlowMatch") or config.get("use_flow_sigmas"):
        return "inverted" if config.get("invert_sigmas") else "flow"
    if "beta_schedule" in config or "beta_start" in config or config.get("trained_betas") is not None:
        return "vp"
    raise ModelRefuses(
        f"{name} has neither betas (schedules of the DDPM kind) nor the sigmas of flow matching; this version"
        " samples with schedulers of these two kinds"
    )


def prediction_of(config: Mapping[str, Any], name: str) -> str:
    """What the network of a model with this scheduler predicts: a name in `denoiser.READINGS`.

    Raises:
        ModelRefuses: as `kind_of`.
    """
    kind = kind_of(config, name)
    if kind == "vp":
        return str(config.get("prediction_type", "epsilon"))
    return "flow" if kind == "flow" else "flow_inverted"


def levels_of(scheduler: Any) -> tuple[Level, ...]:
    """The levels that a diffusers scheduler visits, after its `set_timesteps`, and the one after the last step.

    A step goes to the level of the next timestep. diffusers' DDIM goes `train // steps` indices down instead,
    which is the same level whenever `steps` divides the training length, and one index beside it otherwise.
    The level after the last step is the scheduler's own: noise-free, or that of the first training step.

    Raises:
        ModelRefuses: the scheduler has neither `alphas_cumprod` nor flow matching's sigmas.
    """
    kind = kind_of(scheduler.config, type(scheduler).__name__)
    times = [t.item() for t in scheduler.timesteps]
    pairs = _of_products(scheduler, times) if kind == "vp" else _of_sigmas(scheduler, kind)
    named = zip([*times, None], pairs, strict=True)
    return tuple(Level(i, t, alpha, sigma) for i, (t, (alpha, sigma)) in enumerate(named))


def _of_products(scheduler: Any, times: list[float]) -> list[tuple[float, float]]:
    cumulative = scheduler.alphas_cumprod
    products = [float(cumulative[int(t)]) for t in times] + [float(getattr(scheduler, "final_alpha_cumprod", 1.0))]
    return [(a**0.5, (1.0 - a) ** 0.5) for a in products]


def _of_sigmas(scheduler: Any, kind: Kind) -> list[tuple[float, float]]:
    sigmas = [s.item() for s in scheduler.sigmas]
    return [(s, 1.0 - s) if kind == "inverted" else (1.0 - s, s) for s in sigmas]


def sampling_scheduler(scheduler: Any) -> Any:
    """The scheduler whose grid our one-step loop walks: this one, or its one-step relative of the same noise.

    Schedulers with a memory or an intermediate point (PNDM, Heun, DPM-Solver of the DDPM kind) visit some levels
    twice or name them in their own way; the config of each describes the same schedule to DDIM, or to the Euler of
    flow matching. Multistep schedulers of flow matching (UniPC, DPM-Solver++) keep their own grid.
    """
    import diffusers

    name = type(scheduler).__name__
    if kind_of(scheduler.config, name) != "vp":
        if name.startswith("FlowMatch") and getattr(scheduler, "order", 1) != 1:
            return diffusers.FlowMatchEulerDiscreteScheduler.from_config(scheduler.config)
        return scheduler
    if name.startswith("CogVideoX"):
        return diffusers.CogVideoXDDIMScheduler.from_config(scheduler.config)
    return scheduler if name == "DDIMScheduler" else diffusers.DDIMScheduler.from_config(scheduler.config)


@dataclass(frozen=True)
class Noising:
    """A schedule at any training time, not only on a grid.

    products, angles: of the vp kind, alpha_t^2 and atan2(sigma_t, alpha_t) at t = 0, 1 ...; empty for the other kinds.
    scheduler: a copy of the one it was made from, to ask for grids.
    """

    kind: Kind
    train_steps: int
    products: tuple[float, ...] = field(repr=False)
    angles: tuple[float, ...] = field(repr=False)
    scheduler: Any = field(repr=False)

    def level(self, t: float, i: int = 0) -> Level:
        """The level at the network's time `t`; between two training steps, the angle is interpolated.

        Raises:
            ValueError: `t` lies outside of what the network was trained on.
        """
        last = self.train_steps - 1 if self.kind == "vp" else self.train_steps
        if not 0 <= t <= last:
            raise ValueError(f"time {t} is outside of this schedule, which has 0 to {last}")
        if self.kind != "vp":
            share = t / self.train_steps
            return Level(i, t, share, 1.0 - share) if self.kind == "inverted" else Level(i, t, 1.0 - share, share)
        low = int(t)
        if low == t:
            return Level(i, t, self.products[low] ** 0.5, (1.0 - self.products[low]) ** 0.5)
        angle = self.angles[low] + (t - low) * (self.angles[low + 1] - self.angles[low])
        return Level(i, t, math.cos(angle), math.sin(angle))

    def match(self, level: Level) -> Level:
        """The level of this schedule with the same signal-to-noise ratio alpha / sigma; `i` is kept.

        One that is already of this schedule comes back as it is. A ratio that this schedule never reaches gives its
        nearest end. `carry` takes a state from one to the other.
        """
        if self._has(level):
            return level
        if self.kind != "vp":
            sigma = level.sigma / (level.alpha + level.sigma)
            return self.level(self.train_steps * (1.0 - sigma if self.kind == "inverted" else sigma), level.i)
        angle = math.atan2(level.sigma, level.alpha)
        high = bisect_left(self.angles, angle)
        nearest = min(high, len(self.angles) - 1)
        if high in (0, len(self.angles)) or self.angles[nearest] == angle:
            return self.level(nearest, level.i)
        low = high - 1
        share = (angle - self.angles[low]) / (self.angles[high] - self.angles[low])
        return Level(level.i, low + share, math.cos(angle), math.sin(angle))

    def grid(self, steps: int, **told: Any) -> tuple[Level, ...]:
        """The levels that the model's own scheduler visits in so many steps.

        told: what else its `set_timesteps` must know, as `mu` where the shift depends on the size of the picture.
        """
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(**({} if "sigmas" in told else {"num_inference_steps": steps}), **told)
        return levels_of(scheduler)

    def _has(self, level: Level) -> bool:
        if level.t is None or not 0 <= level.t <= self.train_steps - (self.kind == "vp"):
            return False
        return self.level(level.t, level.i) == level


def noising_of(scheduler: Any) -> Noising:
    """The schedule of a diffusers scheduler.

    Raises:
        ModelRefuses: as `levels_of`.
    """
    kind = kind_of(scheduler.config, type(scheduler).__name__)
    products = tuple(float(a) for a in scheduler.alphas_cumprod) if kind == "vp" else ()
    angles = tuple(math.atan2((1.0 - a) ** 0.5, a**0.5) for a in products)
    return Noising(kind, int(scheduler.config.num_train_timesteps), products, angles, copy.deepcopy(scheduler))


def carry(x: Any, here: Level, there: Level) -> Any:
    """A state at `here` as one at `there`, for two levels of equal signal-to-noise ratio: a factor, or `x` itself.

    With alpha / sigma equal, (alpha' + sigma') / (alpha + sigma) is both alpha' / alpha and sigma' / sigma, and it is
    defined at pure noise and at none (a variance-preserving y is y / (alpha + sigma) to a flow: exact).
    """
    factor = (there.alpha + there.sigma) / (here.alpha + here.sigma)
    return x if factor == 1.0 else factor * x
