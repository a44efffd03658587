"""Capture and replay: ask a diffusers pipeline how it would call its network, then make those calls ourselves.

The pipeline is run with its network's `forward` replaced by one that records its arguments and stops. So text
encoding, layouts, sizes and timesteps are the pipeline's own, with no copy of its code here, and our loop changes
only the sample and the timestep. Decoding goes through the pipeline too.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import ModelRefuses
from ..levels import Level, levels_of
from .families import Family

REMEMBERED = 32
"""Captured calls kept: one holds a prompt's embedding repeated for every frame."""


@dataclass(frozen=True, eq=False)
class Call:
    """How the pipeline would call its network for one prompt.

    shape: of one sample without its batch axis, (C, F, h, w). kwargs: all arguments but sample and timestep.
    levels: the scheduler's grid.
    """

    shape: tuple[int, int, int, int]
    kwargs: dict[str, Any]
    levels: tuple[Level, ...]


class _Recorded(Exception):
    """Thrown out of the pipeline by the recording network, with the call's arguments by name."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__("the network was called")
        self.arguments = arguments


@contextmanager
def recording(network: torch.nn.Module) -> Iterator[None]:
    """Within: calling the network raises `_Recorded`. Afterwards its `forward` is what it was, whatever happened."""
    signature = inspect.signature(network.forward)

    def record(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        raise _Recorded(dict(bound.arguments))

    own = network.__dict__.get("forward")
    network.__dict__["forward"] = record
    try:
        yield
    finally:
        del network.__dict__["forward"]
        if own is not None:
            network.__dict__["forward"] = own


class Backbone:
    """A pipeline as our loop sees it: capture calls, run the network, decode. One thread captures at a time."""

    def __init__(self, pipe: Any, family: Family) -> None:
        self.pipe = pipe
        self.family = family
        self.network: Any = getattr(pipe, family.denoiser)
        self.dtype = next(self.network.parameters()).dtype
        self._calls: OrderedDict[tuple[str, int, int, int, int], Call] = OrderedDict()

    def capture(self, prompt: str, width: int, height: int, frames: int, steps: int) -> Call:
        """The call for a prompt; remembered. A negative prompt is captured as a prompt of its own."""
        wanted = (prompt, width, height, frames, steps)
        if wanted not in self._calls:
            self._calls[wanted] = self._capture(*wanted)
            while len(self._calls) > REMEMBERED:
                self._calls.popitem(last=False)
        self._calls.move_to_end(wanted)
        return self._calls[wanted]

    def forget(self) -> None:
        """Drop the captured calls and the pipeline."""
        self._calls.clear()
        self.pipe = self.network = None

    def _capture(self, prompt: str, width: int, height: int, frames: int, steps: int) -> Call:
        arguments = self._arguments(prompt, width, height, frames, steps)
        sample = arguments.pop(self.family.sample)
        arguments.pop(self.family.timestep)
        return Call(tuple(sample.shape[1:]), arguments, levels_of(self.pipe.scheduler))

    def _arguments(self, prompt: str, width: int, height: int, frames: int, steps: int) -> dict[str, Any]:
        with recording(self.network), torch.inference_mode():
            try:
                # Guidance off: one branch at a time, so that the arguments are those of a single sample.
                self.pipe(
                    prompt=prompt,
                    width=width,
                    height=height,
                    num_frames=frames,
                    num_inference_steps=steps,
                    guidance_scale=1.0,
                    output_type="latent",
                    # A generator of its own: capturing must not advance anyone's random state.
                    generator=torch.Generator().manual_seed(0),
                )
            except _Recorded as recorded:
                return recorded.arguments
        raise ModelRefuses(f"{type(self.pipe).__name__} never called its {self.family.denoiser}; it cannot be captured")

    def evaluate(self, x: torch.Tensor, level: Level, calls: Sequence[Call]) -> torch.Tensor:
        """The network's output for samples x [B, C, F, h, w], one call each; float32, shape as x."""
        kwargs = {name: _together([call.kwargs[name] for call in calls]) for name in calls[0].kwargs}
        changing = {
            self.family.sample: x.to(self.dtype),
            self.family.timestep: torch.tensor(level.t, device=x.device),
        }
        return self.network(**kwargs, **changing).sample.float()

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames [F, H, W, 3] uint8 of latents [C, F, h, w], rounded as diffusers rounds its own pictures."""
        video = self.pipe.decode_latents(latents.unsqueeze(0).to(self.pipe.vae.dtype))
        pictures = self.pipe.video_processor.postprocess_video(video, output_type="np")[0]
        if not np.isfinite(pictures).all():
            raise ValueError("the VAE returned values that are not numbers")
        return (pictures * 255).round().astype(np.uint8)


def _together(values: list[Any]) -> Any:
    """One argument for several samples: tensors are joined along the batch axis, anything else must agree."""
    if len(values) == 1 or not isinstance(values[0], torch.Tensor):
        if any(value != values[0] for value in values[1:]):
            raise ModelRefuses("these clips need different settings of the network and cannot share a batch")
        return values[0]
    return torch.cat(values)
