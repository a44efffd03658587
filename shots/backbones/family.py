"""What a family of models is: what its folders hold, what its configs promise, how its network is fed. No torch here.

One small file a family says what is its own; what most families share is the default here. Between the network and the
rest of longtake stands one layout, [B, C, F, h, w].
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ModelRefuses

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..levels import Level

Configs = Mapping[str, Mapping[str, Any]]
"""Part name -> its config.json."""

ROOMY = 1023
"""Latent frames after the first one, for models whose positions have no end."""


@dataclass(frozen=True)
class Limits:
    """What a model can make. Frames `frames_min, frames_min + frames_step ... frames_max`; sizes in pixels.

    `native` values are those that the model's own pipeline would choose.
    """

    frames_min: int
    frames_max: int
    frames_step: int
    frames_native: int
    size_multiple: int
    size_native: tuple[int, int]


@dataclass(frozen=True)
class Traits:
    """What methods must know of a model, from its configs.

    frames_per_latent: r. Latent frame 0 stands for one picture and each later one for r of them (a causal VAE); 1 where
    every picture has a latent frame of its own. latent_multiple: latent frames are padded in front to a multiple of it.
    distilled: guidance is an input of the network, which then has no unconditional branch. start_image: can, must or
    cannot a clip begin with a given picture? size_most: the largest width and height, where positions end.
    """

    frames_per_latent: int = 1
    latent_multiple: int = 1
    distilled: bool = False
    start_image: Literal["no", "may", "must"] = "no"
    size_most: tuple[int, int] | None = None

    def latent_frames(self, frames: int) -> int:
        """Latent frames of a clip of so many pictures."""
        count = (frames - 1) // self.frames_per_latent + 1
        return -(-count // self.latent_multiple) * self.latent_multiple


@dataclass(frozen=True)
class Ask:
    """What a call of the pipeline is captured for. image: [H, W, 3] uint8. scale: guidance of a distilled model."""

    prompt: str
    width: int
    height: int
    frames: int
    steps: int
    image: np.ndarray | None = None
    scale: float | None = None


@dataclass(frozen=True)
class Family:
    """One kind of pipeline. Subclasses say what differs.

    name: ours. pipeline: its class in diffusers, as in model_index.json; aliases: others of the same parts. parts:
    component folders that decide pixels. weights: those of them that hold tensors. optional: those that a model may
    leave out. denoisers: attributes of its networks on the pipeline. sample, timestep: arguments of the network that
    change from step to step (all others are captured once). shared: arguments that are the same for all samples of a
    batch, and have no batch axis. libraries: what model_index.json calls the parts that diffusers keeps beside this
    pipeline. licence: of the published weights. makes_video: False where it can only be the image model of IV-Mixed
    sampling. loras: can diffusers put LoRAs into this pipeline? start_image: as in `Traits`. imprint: share of the
    given picture in every frame of the first noise. not_made: what the published pipeline makes besides the pictures.
    """

    name: str
    pipeline: str
    parts: tuple[str, ...]
    weights: tuple[str, ...]
    optional: tuple[str, ...] = ()
    denoisers: tuple[str, ...] = ("transformer",)
    sample: str = "hidden_states"
    timestep: str = "timestep"
    shared: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    licence: str = ""
    makes_video: bool = True
    loras: bool = True
    start_image: Literal["no", "may", "must"] = "no"
    imprint: float = 0.0
    not_made: str = ""

    def limits(self, configs: Configs) -> Limits:
        """Frames and sizes, from the parts' configs; KeyError, TypeError or ValueError where they say nothing."""
        raise NotImplementedError(f"family {self.name} says no limits")

    def traits(self, configs: Configs) -> Traits:
        """What methods must know, from the parts' configs."""
        return Traits(start_image=self.start_image)

    def fewest_steps(self, configs: Configs) -> int:
        """Of which its scheduler has a grid. One that is stretched to a given last level has a first one as well."""
        return 2 if configs["scheduler"].get("shift_terminal") else 1

    def scheduled(self, configs: Configs, width: int, height: int, frames: int, steps: int) -> dict[str, Any]:
        """What the pipeline tells its scheduler's `set_timesteps` besides the number of steps."""
        return {}

    def pipeline_for(self, pipe: Any, ask: Ask) -> Any:
        """The pipeline to capture, where an image asks for a sister of the one that was loaded.

        Raises:
            ModelRefuses: an image for a pipeline that takes none, or none for one that must have one.
        """
        if ask.image is not None and self.start_image == "no":
            raise ModelRefuses(f"{self.pipeline} takes no start image; leave `start_image` out, or use another model")
        if ask.image is None and self.start_image == "must":
            raise ModelRefuses(
                f"{self.pipeline} needs a picture to begin with; give `start_image`, or use another model"
            )
        return pipe

    def arguments(self, pipe: Any, ask: Ask) -> dict[str, Any]:
        """Arguments of the pipeline's call. Guidance is off: one branch at a time, for the arguments of one sample."""
        asked = {
            "prompt": ask.prompt,
            "width": ask.width,
            "height": ask.height,
            "num_frames": ask.frames,
            "num_inference_steps": ask.steps,
            "guidance_scale": 1.0,
            "output_type": "latent",
        }
        return asked if ask.image is None else asked | {"image": picture(ask.image)}

    def guided(self, pipe: Any, scale: float) -> dict[str, Any]:
        """What to change in `arguments` for the pipeline's own CFG, which benchmarks run against ours."""
        return {"guidance_scale": scale}

    def prepared(self, pipe: Any, ask: Ask) -> AbstractContextManager[None]:
        """Around the pipeline's call."""
        return nullcontext()

    def denoiser_at(self, pipe: Any, level: Level) -> str:
        """Which of `denoisers` the pipeline asks at this level."""
        return self.denoisers[0]

    def captured(self, pipe: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """The captured arguments as they are to be replayed."""
        return arguments

    def latent_size(self, sample: torch.Tensor, arguments: Mapping[str, Any], ask: Ask) -> tuple[int, int, int]:
        """(F, h, w) of a captured call: its sample, its other arguments, and what it was captured for."""
        frames, height, width = sample.shape[-3:]
        return frames, height, width

    def unpack(self, pipe: Any, sample: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
        """From the network's layout to [B, C, F, h, w]; size: (F, h, w)."""
        return sample

    def pack(self, pipe: Any, x: torch.Tensor) -> torch.Tensor:
        """From [B, C, F, h, w] to the network's layout."""
        return x

    def latent_channels(self, pipe: Any, sample: torch.Tensor) -> int:
        """Channels that are denoised; what the pipeline puts after them is the same at every step."""
        return int(sample.shape[1])

    def times(self, t: torch.Tensor, like: torch.Tensor, batch: int) -> dict[str, torch.Tensor]:
        """The arguments that say the time. t: of this step. like: the captured one, of a single sample.

        Where every token has a time of its own, those that were given are at time 0 throughout.
        """
        if like.ndim < 2:
            return {self.timestep: t.expand(batch) if like.ndim else t}
        return {self.timestep: t * (like != 0).to(t.dtype).expand(batch, *like.shape[1:])}

    def held_frames(self, pipe: Any, ask: Ask) -> int:
        """Leading latent frames that are given, and that the pipeline puts back before every step."""
        return 0

    def decoded(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Video [1, 3, F, H, W] in -1 to 1 from latents [1, C, F, h, w] in the VAE's dtype."""
        raise NotImplementedError(f"family {self.name} cannot decode")

    def encoded(self, pipe: Any, video: torch.Tensor) -> torch.Tensor:
        """Latents [1, C, F, h, w] of a video [1, 3, F, H, W] in -1 to 1: the middle of what the VAE thinks likely."""
        raise NotImplementedError(f"family {self.name} cannot encode")


def picture(image: np.ndarray) -> Any:
    """[H, W, 3] uint8 as the picture that a pipeline takes."""
    import PIL.Image

    return PIL.Image.fromarray(image)


def sister(pipe: Any, name: str, **settings: Any) -> Any:
    """Another pipeline of diffusers around the same parts."""
    import diffusers

    made = getattr(diffusers, name)(**pipe.components, **settings)
    made.set_progress_bar_config(disable=True)
    return made


def shifted(scheduler: Mapping[str, Any], tokens: int) -> float:
    """mu, by which flow matching's times are shifted for so many tokens: a line through two given points."""
    first, last = int(scheduler.get("base_image_seq_len", 256)), int(scheduler.get("max_image_seq_len", 4096))
    low, high = float(scheduler.get("base_shift", 0.5)), float(scheduler.get("max_shift", 1.15))
    slope = (high - low) / (last - first)
    return tokens * slope + (low - slope * first)


def whitened(latents: torch.Tensor, mean: Any, std: Any, scale: float = 1.0) -> torch.Tensor:
    """(latents - mean) scale / std, channel by channel: how a VAE's latents become those that a network sees."""
    return (latents - _channels(mean, latents)) * scale / _channels(std, latents)


def coloured(latents: torch.Tensor, mean: Any, std: Any, scale: float = 1.0) -> torch.Tensor:
    """latents std / scale + mean: the inverse of `whitened`."""
    return latents * _channels(std, latents) / scale + _channels(mean, latents)


def _channels(values: Any, latents: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.as_tensor(values).to(latents.device, latents.dtype).view(1, -1, 1, 1, 1)


def folded(x: torch.Tensor) -> torch.Tensor:
    """[B, C, F, h, w] -> [B F, C, h, w]: every frame a picture."""
    return x.transpose(1, 2).flatten(0, 1)


def unfolded(x: torch.Tensor, frames: int) -> torch.Tensor:
    """The inverse of `folded`."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)
