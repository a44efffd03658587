"""How large a made-up network is, and its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ..rng import frame_noise


@dataclass(frozen=True)
class Size:
    """heads, layers: of a transformer. wide: how many times wider than the narrowest that its classes accept, for a
    transformer's heads and a UNet's levels alike. Three layers are the fewest of which one in the middle can be
    skipped."""

    heads: int = 2
    layers: int = 3
    wide: int = 1


TINY = Size()
"""For tests: milliseconds a call."""

SMALL = Size(heads=4, layers=12, wide=4)
"""For measurements on a CPU: its matrices take the time, not what stands around them."""


def fill(module: torch.nn.Module, seed: int) -> None:
    """Weights from our own named streams: golden values must not hang on how torch draws its random numbers."""
    for i, (name, parameter) in enumerate(module.named_parameters()):
        shape = tuple(parameter.shape)
        if len(shape) > 1:
            scale = 1 / math.sqrt(math.prod(shape[1:]))
            parameter.data.copy_(scale * frame_noise(seed, "weights", i, shape))
        elif name.endswith("bias"):
            parameter.data.zero_()


def filled(pipe: Any) -> Any:
    """The pipeline, all of its networks filled."""
    modules = {n: m for n, m in sorted(pipe.components.items()) if isinstance(m, torch.nn.Module)}
    for seed, module in enumerate(modules.values()):
        fill(module, seed)
        module.eval()
    return pipe
