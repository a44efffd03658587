"""The levels that a scheduler visits, from its config alone: what `plan` needs to count steps by their noise. No torch.

Rendering asks the scheduler itself. These are its formulas once more, in its order of operations and its precision, for
the kinds that video models come with; tests hold the two together, level by level. `None` for any other kind: then
the scheduler has to be asked, and torch with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .levels import Level, kind_of

Floats = NDArray[np.floating[Any]]


def grid_of(config: Mapping[str, Any], steps: int, told: Mapping[str, Any]) -> tuple[Level, ...] | None:
    """The levels of so many steps, and the one after the last; None where only the scheduler itself knows.

    config: the scheduler's scheduler_config.json. told: what the family's pipeline tells `set_timesteps` besides.
    """
    name = str(config.get("_class_name"))
    if any(config.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta")):
        return None
    if kind_of(config, name) == "vp":
        pairs = _vp(config, name, steps) if not told else None
    elif name in ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"):
        pairs = _flow(config, steps, told)
    elif name == "UniPCMultistepScheduler":
        pairs = _unipc(config, steps, told)
    else:
        pairs = None
    if pairs is None:
        return None
    times, noise = pairs
    return tuple(Level(i, t, *ends) for i, (t, ends) in enumerate(zip([*times, None], noise, strict=True)))


Pairs = tuple[Sequence[float], list[tuple[float, float]]]
"""The network's times, and (alpha, sigma) there and after the last step."""


def _flow(config: Mapping[str, Any], steps: int, told: Mapping[str, Any]) -> Pairs:
    """FlowMatchEulerDiscreteScheduler, inverted or not."""
    train, shift = int(config.get("num_train_timesteps", 1000)), float(config.get("shift", 1.0))
    sigmas: Floats
    if "sigmas" in told:
        sigmas = np.array(told["sigmas"]).astype(np.float32)
    else:
        ends: Floats = np.array([train, 1], np.float32) / np.float32(train)
        if not config.get("use_dynamic_shifting"):
            ends = _shifted(ends, shift)
        sigmas = np.linspace(float(ends[0]) * train, float(ends[1]) * train, steps) / train
    sigmas = _curved(sigmas, config, shift, told).astype(np.float32)
    if config.get("invert_sigmas"):
        alphas = 1.0 - sigmas
        return (alphas * np.float32(train)).tolist(), [(a, 1.0 - a) for a in [*alphas.tolist(), 1.0]]
    return (sigmas * np.float32(train)).tolist(), [(1.0 - s, s) for s in [*sigmas.tolist(), 0.0]]


def _unipc(config: Mapping[str, Any], steps: int, told: Mapping[str, Any]) -> Pairs:
    """UniPCMultistepScheduler on flow matching, as Wan's folders have it."""
    train = int(config.get("num_train_timesteps", 1000))
    sigmas = np.array(told["sigmas"]) if "sigmas" in told else np.linspace(1, 1 / train, steps + 1)[:-1]
    sigmas = _curved(sigmas, config, float(config.get("flow_shift", 1.0)), told)
    if abs(sigmas[0] - 1) < 1e-6:
        sigmas[0] -= 1e-6
    last = sigmas[-1] if config.get("final_sigmas_type") == "sigma_min" else 0.0
    noise = np.concatenate([sigmas, [last]]).astype(np.float32).tolist()
    return (sigmas * train).astype(np.int64).tolist(), [(1.0 - s, s) for s in noise]


def _curved(sigmas: Floats, config: Mapping[str, Any], shift: float, told: Mapping[str, Any]) -> Floats:
    """Shifted as the size asks (`mu`) or by a constant, then stretched to a given end."""
    if config.get("use_dynamic_shifting"):
        mu = told["mu"] if config.get("time_shift_type") == "linear" else math.exp(told["mu"])
        sigmas = mu / (mu + (1 / sigmas - 1) ** 1.0)
    else:
        sigmas = _shifted(sigmas, shift)
    if config.get("shift_terminal"):
        clean = 1 - sigmas
        sigmas = 1 - (clean / (clean[-1] / (1 - config["shift_terminal"])))
    return sigmas


def _shifted(sigmas: Floats, shift: float) -> Floats:
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def _vp(config: Mapping[str, Any], name: str, steps: int) -> Pairs | None:
    """DDIMScheduler, or CogVideoX's, with this config: the two that stand in for all variance-preserving schedulers."""
    cog = name.startswith("CogVideoX")
    products = _products(config, cog)
    if products is None:
        return None
    times = _times(config, len(products), steps)
    last = 1.0 if config.get("set_alpha_to_one", True) else float(products[0])
    kept = [float(products[t]) for t in times] + [last]
    return times, [(a**0.5, (1.0 - a) ** 0.5) for a in kept]


def _products(config: Mapping[str, Any], cog: bool) -> Floats | None:
    """alpha_t^2 at every training step; float32, but float64 in CogVideoX's scheduler."""
    first, last, curve = (0.00085, 0.012, "scaled_linear") if cog else (0.0001, 0.02, "linear")
    train, curve = int(config.get("num_train_timesteps", 1000)), config.get("beta_schedule", curve)
    if config.get("trained_betas") is not None or curve not in ("linear", "scaled_linear"):
        return None
    ends = float(config.get("beta_start", first)), float(config.get("beta_end", last))
    kind = np.float64 if cog and curve == "scaled_linear" else np.float32
    power = 1 if curve == "linear" else 2
    betas = _line(ends[0] ** (1 / power), ends[1] ** (1 / power), train, kind) ** power
    zero = bool(config.get("rescale_betas_zero_snr"))
    products: Floats = np.cumprod(1 - betas, dtype=kind)
    if cog:
        shift = float(config.get("snr_shift_scale", 3.0))
        products = products / (shift + (1 - shift) * products)
        return _ending_in_noise(products) if zero else products
    if zero:
        products = _ending_in_noise(products)
        alphas = np.concatenate([products[:1], products[1:] / products[:-1]])
        products = np.cumprod(1 - (1 - alphas), dtype=kind)
    return products


def _line(first: float, last: float, count: int, kind: Any) -> Floats:
    """torch.linspace: counted from whichever end is nearer."""
    step = (kind(last) - kind(first)) / kind(count - 1)
    places = np.arange(count, dtype=kind)
    return np.where(places < count // 2, kind(first) + step * places, kind(last) - step * (kind(count - 1) - places))


def _ending_in_noise(products: Floats) -> Floats:
    """Rescaled so that nothing of the clip is left at the last training step (arXiv 2305.08891, algorithm 1)."""
    roots = np.sqrt(products)
    return ((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))) ** 2


def _times(config: Mapping[str, Any], train: int, steps: int) -> list[int]:
    spacing = config.get("timestep_spacing", "leading")
    if spacing == "linspace":
        return [round(t) for t in np.linspace(0, train - 1, steps)[::-1].tolist()]
    if spacing == "trailing":
        return [round(t) - 1 for t in np.arange(train, 0, -train / steps).tolist()]
    offset = int(config.get("steps_offset", 0))
    return [step * (train // steps) + offset for step in reversed(range(steps))]
