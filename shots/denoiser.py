"""What a network's output means. The only place that knows of prediction types."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .errors import ModelRefuses
from .levels import Level


class Prediction(NamedTuple):
    """The clean sample and the noise that a network sees in x: `x = alpha x0 + sigma eps`. Shapes as x."""

    x0: torch.Tensor
    eps: torch.Tensor


Denoise = Callable[[torch.Tensor, Level], Prediction]
"""x at a level -> what is in it. Guidance takes the branches' and returns one more; the sampler cannot tell."""

Reading = Callable[[torch.Tensor, torch.Tensor, Level], Prediction]
"""(network output, x, level) -> Prediction."""


def read_epsilon(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """eps = output; x0 = (x - sigma eps) / alpha."""
    return Prediction((x - level.sigma * output) / level.alpha, output)


def read_velocity(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """v = alpha eps - sigma x0 (Salimans and Ho 2022): x0 = alpha x - sigma v, eps = alpha v + sigma x."""
    return Prediction(level.alpha * x - level.sigma * output, level.alpha * output + level.sigma * x)


def read_sample(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """x0 = output; eps = (x - alpha x0) / sigma."""
    return Prediction(output, (x - level.alpha * output) / level.sigma)


READINGS: dict[str, Reading] = {
    "epsilon": read_epsilon,
    "v_prediction": read_velocity,
    "sample": read_sample,
}


def reading_of(prediction_type: str, levels: tuple[Level, ...]) -> Reading:
    """How to read a network of this prediction type over these levels (the last is never given to the network).

    Raises:
        ModelRefuses: the type is unknown, or the grid holds a level at which it says nothing about x0.
    """
    if prediction_type not in READINGS:
        raise ModelRefuses(f"prediction type {prediction_type!r} is not one of {', '.join(READINGS)}")
    if prediction_type == "epsilon" and any(level.alpha == 0.0 for level in levels[:-1]):
        raise ModelRefuses(
            "the scheduler starts at pure noise (rescale_betas_zero_snr), where a network that predicts epsilon"
            " says nothing about the picture; such schedules need v_prediction"
        )
    return READINGS[prediction_type]
