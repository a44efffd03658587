"""Capture and replay: ask a diffusers pipeline how it would call its network, then make those calls ourselves.

The pipeline is run with its network's `forward` replaced by one that records its arguments and stops. So text
encoding, layouts, sizes and timesteps are the pipeline's own, with no copy of its code here, and our loop changes
only the sample and the timestep. Decoding goes through the pipeline too.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..denoiser import READINGS, Prediction
from ..errors import ModelRefuses
from ..levels import Level, Noising, levels_of, noising_of, prediction_of
from ..memory import Placement
from .families import Ask, Family
from .prompts import Prompts

REMEMBERED = 32
"""Captured calls kept: one holds a prompt's embedding repeated for every frame."""


@dataclass(frozen=True, eq=False)
class Call:
    """How the pipeline would call its network for one prompt.

    shape: of one sample without its batch axis, (C, F, h, w). kwargs: all arguments but sample and time.
    levels: the scheduler's grid. time: as the pipeline gives it, for its dtype and shape. beside [1, c, F, h, w]:
    channels that the pipeline puts after those of the sample, the same at every step. held [1, C, n, h, w]: leading
    frames that are given.
    """

    shape: tuple[int, int, int, int]
    kwargs: dict[str, Any]
    levels: tuple[Level, ...]
    time: torch.Tensor
    beside: torch.Tensor | None = None
    held: torch.Tensor | None = None


class _Recorded(Exception):
    """Thrown out of the pipeline by the recording network, with the call's arguments by name."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__("the network was called")
        self.arguments = arguments


@contextmanager
def recording(network: torch.nn.Module) -> Iterator[None]:
    """Within: this thread's call of the network raises `_Recorded`; other threads' calls run as ever.

    Afterwards its `forward` is what it was, whatever happened.
    """
    asking, forward = threading.get_ident(), network.forward
    signature = inspect.signature(forward)

    def record(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != asking:
            return forward(*args, **kwargs)
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

    def __init__(self, pipe: Any, family: Family, placement: Placement | None = None) -> None:
        """placement: where the pipeline's parts are; unless told, where they were found."""
        self.pipe = pipe
        self.family = family
        if placement is None:
            placement = Placement(pipe, pipe.device, family.denoisers)
            placement.settle(0)
        self.placement = placement
        self.prompts = Prompts()
        networks = {name: getattr(pipe, name, None) for name in family.denoisers}
        self.networks: dict[str, Any] = {name: network for name, network in networks.items() if network is not None}
        # diffusers' own answer: the first parameter's would be that of its storage where weights are quantized.
        self.dtype = self.network.dtype
        self._calls: OrderedDict[tuple[Any, ...], Call] = OrderedDict()
        self._noising: Noising | None = None
        # Wan's VAE keeps what it is doing in itself: two threads that decode at once would mix up their clips.
        alone = hasattr(getattr(pipe, "vae", None), "clear_cache")
        self._vae: AbstractContextManager[object] = threading.Lock() if alone else nullcontext()

    @property
    def network(self) -> Any:
        """The network; the first of them where there are several (`networks`)."""
        return next(iter(self.networks.values()), None)

    @property
    def noising(self) -> Noising:
        """The model's schedule at any time."""
        if self._noising is None:
            self._noising = noising_of(self.pipe.scheduler)
        return self._noising

    def network_at(self, level: Level) -> Any:
        """The network that the pipeline asks at this level: one of `networks`."""
        return self.networks[self.family.denoiser_at(self.pipe, level)]

    def _brought(self, level: Level) -> Any:
        """That network, on the device."""
        self.placement.working(self.family.denoiser_at(self.pipe, level))
        return self.network_at(level)

    def capture(
        self,
        prompt: str,
        width: int,
        height: int,
        frames: int,
        steps: int,
        image: np.ndarray | None = None,
        scale: float | None = None,
    ) -> Call:
        """The call for a prompt; remembered. A negative prompt is captured as a prompt of its own.

        image: [H, W, 3] uint8, the picture that the clip begins with. scale: guidance of a distilled model.

        Raises:
            ModelRefuses: the pipeline takes no image, or needs one, or cannot be captured.
        """
        ask = Ask(prompt, width, height, frames, steps, image, scale)
        wanted = (prompt, width, height, frames, steps, _fingerprint(image), scale)
        if wanted not in self._calls:
            self._calls[wanted] = self._capture(ask)
            while len(self._calls) > REMEMBERED:
                self._calls.popitem(last=False)
        self._calls.move_to_end(wanted)
        return self._calls[wanted]

    def forget(self) -> None:
        """Drop the captured calls and the pipeline."""
        self._calls.clear()
        self.prompts.clear()
        self.placement.parts.clear()
        self.networks.clear()
        self.pipe = self._noising = None

    def _capture(self, ask: Ask) -> Call:
        pipe = self.family.pipeline_for(self.pipe, ask)
        arguments = self.family.captured(pipe, self._arguments(pipe, ask))
        sample = arguments.pop(self.family.sample)
        time = arguments.pop(self.family.timestep)
        size = self.family.latent_size(sample, arguments, ask)
        whole = self.family.unpack(pipe, sample, size)
        channels = self.family.latent_channels(pipe, whole)
        beside = whole[:, channels:].clone() if whole.shape[1] > channels else None
        given = self.family.held_frames(pipe, ask)
        held = whole[:, :channels, :given].clone() if given else None
        return Call((channels, *size), arguments, levels_of(pipe.scheduler), time, beside, held)

    def _arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        with ExitStack() as stack, torch.inference_mode():
            for network in self.networks.values():
                stack.enter_context(recording(network))
            self.placement.reading()
            stack.enter_context(self.prompts.remembered(pipe))
            stack.enter_context(self.family.prepared(pipe, ask))
            try:
                # A generator of its own: capturing must not advance anyone's random state.
                pipe(**self.family.arguments(pipe, ask), generator=torch.Generator().manual_seed(0))
            except _Recorded as recorded:
                return recorded.arguments
        names = " or ".join(self.networks)
        raise ModelRefuses(f"{type(pipe).__name__} never called its {names}; it cannot be captured")

    def begun(self, noise: torch.Tensor, calls: Sequence[Call]) -> torch.Tensor:
        """The state [B, C, F, h, w] that the pipeline starts from: the noise, in some with a little of the picture."""
        held = _joined([call.held for call in calls])
        if held is None or not self.family.imprint:
            return noise
        fresh = torch.tensor(1.0 - self.family.imprint, device=noise.device)
        return noise * fresh + held[:, :, :1].to(noise) * (1.0 - fresh)

    def evaluate(self, x: torch.Tensor, level: Level, calls: Sequence[Call]) -> torch.Tensor:
        """The network's output for samples x [B, C, F, h, w], one call each; float32, shape as x.

        Frames that a call holds are shown to the network as given, whatever x has there, and its answer for them is
        the one that leads x to them.
        """
        kwargs = self._arguments_together(calls)
        first = calls[0]
        fed = self._fed(x, calls)
        times = self.family.times(_time(level, first.time, x.device), first.time.to(x.device), len(calls))
        output = self._brought(level)(**kwargs, **times, **{self.family.sample: self.family.pack(self.pipe, fed)})
        answer = output[0] if isinstance(output, tuple) else output.sample
        channels, frames, height, width = first.shape
        # Networks that were trained to know their variance, too, give it in channels after the others.
        found = self.family.unpack(self.pipe, answer, (frames, height, width))[:, :channels].float()
        held = _joined([call.held for call in calls])
        return found if held is None else torch.cat([self._leading_to(held, x, level), found[:, :, held.shape[2] :]], 2)

    def _arguments_together(self, calls: Sequence[Call]) -> dict[str, Any]:
        shared = self.family.shared
        return {name: _together(name, [call.kwargs[name] for call in calls], shared) for name in calls[0].kwargs}

    def _fed(self, x: torch.Tensor, calls: Sequence[Call]) -> torch.Tensor:
        """What the network is shown: given frames in their place, given channels after the others."""
        held, beside = _joined([call.held for call in calls]), _joined([call.beside for call in calls])
        fed = x if held is None else torch.cat([held.to(x.dtype), x[:, :, held.shape[2] :]], dim=2)
        fed = fed.to(self.dtype)
        return fed if beside is None else torch.cat([fed, beside.to(fed.dtype)], dim=1)

    def _leading_to(self, held: torch.Tensor, x: torch.Tensor, level: Level) -> torch.Tensor:
        scheduler = self.pipe.scheduler
        reading = READINGS[prediction_of(scheduler.config, type(scheduler).__name__)]
        x0 = held.to(torch.float32)
        return reading.write(Prediction(x0, (x[:, :, : held.shape[2]] - level.alpha * x0) / level.sigma), level)

    def video_of(self, latents: torch.Tensor) -> torch.Tensor:
        """Video [1, 3, F, H, W], about -1 to 1, of latents [C, F, h, w]."""
        self.placement.working("vae")
        with self._vae:
            return self.family.decoded(self.pipe, latents.unsqueeze(0).to(self.pipe.vae.dtype))

    def latents_of(self, video: torch.Tensor) -> torch.Tensor:
        """Latents [C, F, h, w] float32 of a video [1, 3, F, H, W] in -1 to 1: `video_of` backwards, or nearly."""
        self.placement.working("vae")
        with self._vae:
            return self.family.encoded(self.pipe, video.to(self.pipe.vae.dtype))[0].float()

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames [F, H, W, 3] uint8 of latents [C, F, h, w], rounded as diffusers rounds its own pictures."""
        video = (self.video_of(latents)[0] * 0.5 + 0.5).clamp(0, 1)
        pictures = video.permute(1, 2, 3, 0).cpu().float().numpy()
        if not np.isfinite(pictures).all():
            raise ValueError("the VAE returned values that are not numbers")
        return (pictures * 255).round().astype(np.uint8)


def _fingerprint(image: np.ndarray | None) -> str | None:
    return None if image is None else f"{image.shape}{hashlib.sha256(image.tobytes()).hexdigest()}"


def _joined(values: list[torch.Tensor | None]) -> torch.Tensor | None:
    found = [value for value in values if value is not None]
    return torch.cat(found) if found else None


def _time(level: Level, like: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The time as a number of the pipeline's own kind; between two training steps, whole numbers will not do."""
    whole = not like.is_floating_point() and level.t is not None and float(level.t).is_integer()
    kind = like.dtype if whole or like.is_floating_point() else torch.float32
    return torch.tensor(level.t, dtype=kind, device=device)


def _together(name: str, values: list[Any], shared: Sequence[str]) -> Any:
    """One argument for several samples: tensors are joined along the batch axis, anything else must agree."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], torch.Tensor) and name not in shared:
        return torch.cat(values)
    if any(not _same(value, values[0]) for value in values[1:]):
        raise ModelRefuses("these clips need different settings of the network and cannot share a batch")
    return values[0]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
