"""What a network's output means, both ways. The only place that knows of prediction types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Reading:
    """One parametrisation. read(output, x, level) -> Prediction; write(prediction, level) -> output, its inverse.

    A reading can be called; that reads.
    """

    read: Callable[[torch.Tensor, torch.Tensor, Level], Prediction]
    write: Callable[[Prediction, Level], torch.Tensor]

    def __call__(self, output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
        """As `read`."""
        return self.read(output, x, level)


def read_epsilon(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """eps = output; x0 = (x - sigma eps) / alpha."""
    return Prediction((x - level.sigma * output) / level.alpha, output)


def write_epsilon(prediction: Prediction, level: Level) -> torch.Tensor:
    """output = eps."""
    return prediction.eps


def read_velocity(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """v = alpha eps - sigma x0 (Salimans and Ho 2022): x0 = alpha x - sigma v, eps = alpha v + sigma x."""
    return Prediction(level.alpha * x - level.sigma * output, level.alpha * output + level.sigma * x)


def write_velocity(prediction: Prediction, level: Level) -> torch.Tensor:
    """output = alpha eps - sigma x0."""
    return level.alpha * prediction.eps - level.sigma * prediction.x0


def read_sample(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """x0 = output; eps = (x - alpha x0) / sigma."""
    return Prediction(output, (x - level.alpha * output) / level.sigma)


def write_sample(prediction: Prediction, level: Level) -> torch.Tensor:
    """output = x0."""
    return prediction.x0


def read_flow(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """u = eps - x0 (rectified flow, arXiv 2209.03003; alpha = 1 - sigma): x0 = x - sigma u, eps = x + alpha u."""
    return Prediction(x - level.sigma * output, x + level.alpha * output)


def write_flow(prediction: Prediction, level: Level) -> torch.Tensor:
    """output = eps - x0."""
    return prediction.eps - prediction.x0


def read_flow_inverted(output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
    """u = x0 - eps, the flow backwards (Mochi): x0 = x + sigma u, eps = x - alpha u."""
    return Prediction(x + level.sigma * output, x - level.alpha * output)


def write_flow_inverted(prediction: Prediction, level: Level) -> torch.Tensor:
    """output = x0 - eps."""
    return prediction.x0 - prediction.eps


READINGS: dict[str, Reading] = {
    "epsilon": Reading(read_epsilon, write_epsilon),
    "v_prediction": Reading(read_velocity, write_velocity),
    "sample": Reading(read_sample, write_sample),
    "flow": Reading(read_flow, write_flow),
    "flow_inverted": Reading(read_flow_inverted, write_flow_inverted),
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
