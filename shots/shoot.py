"""Clip specs in, footage out: the one place where methods are put in order.

Order of a step: IV-Mixed's walk, VidRD's copies, guidance around the network (CFG or CFG++ with skip guidance,
VideoGuide outermost), the sampler's line, VideoGuide's refresh, the average of windows. The first noise is the
prior's, then the chain's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from safetensors.torch import save

from .anchor import LastPicture, read_picture
from .chain import Tail, check_chain
from .checkpoint import Checkpoint
from .denoising import Denoising
from .errors import BadFootage, SpecError
from .loading import Loading
from .model import Model, load, one_thread
from .price import predicted_nfe
from .relay import LiveTail, Share
from .spec import Anchor, ClipSpec, ModelRef, Windows, canonical
from .windows import Beside

__all__ = ["Checkpoint", "Footage", "LastPicture", "LiveTail", "Model", "Tail", "load", "predicted_nfe", "shoot"]

OnStep = Callable[[int, int], None]
OnState = Callable[[int, Callable[[], Checkpoint]], None]
"""(steps done, what makes a checkpoint of this moment)."""


@dataclass(frozen=True, eq=False)
class Footage:
    """One clip, made.

    latents [C, F, h, w] float32 on the CPU; frames [F, H, W, 3] uint8; nfe: network evaluations, counted; seconds:
    this clip's share of the wall time of its group inside the "network" and the "vae", and of all ("total"). state: of
    a draft, where it stands after its last step, for whoever goes on with it.
    """

    spec: ClipSpec
    latents: torch.Tensor
    frames: np.ndarray
    tail: Tail | LastPicture | None
    nfe: int
    seconds: dict[str, float]
    state: Checkpoint | None = None

    def latents_bytes(self) -> bytes:
        """The latents as a safetensors file with the clip's key; equal footage gives equal bytes."""
        # One metadata entry, as in a tail: the library writes several in an order that changes from run to run.
        about = canonical(["Latents", 1, self.spec.key])
        return save({"latents": self.latents.contiguous()}, {"longtake": about})


@dataclass(frozen=True, eq=False)
class Watch:
    """Who is told of each step: on_step(done, steps), and on_state, which may keep a checkpoint. Either may raise
    (Interrupted) to stop; on_state comes first. on_share, beside: groups that run at the same time."""

    on_step: OnStep | None = None
    on_state: OnState | None = None
    on_share: Share | None = None
    beside: Beside | None = None


def shoot(
    specs: Sequence[ClipSpec],
    model: Model,
    tail: Tail | LiveTail | LastPicture | None = None,
    on_step: OnStep | None = None,
    others: Mapping[ModelRef, Model] | None = None,
    start: Checkpoint | None = None,
    on_state: OnState | None = None,
    on_share: Share | None = None,
    beside: Beside | None = None,
) -> Iterator[Footage]:
    """Denoise consecutive clips of one chain in lockstep, then decode and yield them one by one.

    tail: what the clip before the first one left, None at the start of a chain. others: the models that the recipe
    names besides the clips' own (a teacher, an image model). start: a checkpoint of these very clips to go on from.
    on_step(done, steps) is called after every step and may raise (Interrupted) to stop; on_state before it.
    on_share: is told what the last clip leaves to the next, as soon as it is known (`relay`); a `LiveTail` hears it.
    beside: who denoises the other windows of the shot at the same time. With a start, all of them go on from the same
    step.

    Anchored clips depend on each other's pictures: they are denoised and decoded one after another.

    Raises, before anything runs:
        SpecError: the clips do not belong together, or not to the tail. ModelRefuses: not this model's size or frames.
    While running:
        BadFootage: the network or the VAE returned something that is not a picture. NeighbourLost: by a live tail.
    """
    specs = tuple(specs)
    check_chain(specs, None if isinstance(tail, LastPicture) else tail, bool(beside and beside.hear_left))
    _check_beside(specs[0], beside)
    _check_model(specs[0], model)
    models = dict(others or {}) | {specs[0].model: model}
    missing = [ref.id for ref in specs[0].models if ref not in models]
    if missing:
        raise SpecError(
            f"clip {specs[0].index} needs the models {', '.join(missing)}, too; load them and pass `others`"
        )
    watch = Watch(on_step, on_state, on_share, beside)
    if isinstance(specs[0].recipe.chain, Anchor):
        return _anchored(specs, models, tail, start, watch)
    return _lockstep(specs, models, None if isinstance(tail, LastPicture) else tail, start, watch)


def _check_beside(spec: ClipSpec, beside: Beside | None) -> None:
    if beside is None:
        return
    if not isinstance(spec.recipe.chain, Windows):
        raise SpecError(
            f"clip {spec.index} is chained by {spec.recipe.chain.kind}, and only windows are denoised beside others, "
            "both ways; let it follow a live tail instead"
        )
    if spec.sampler.stop_after is not None:
        raise SpecError(
            f"clip {spec.index} is one of windows that several groups denoise at the same time: these go on to the "
            "last step; give all windows to one group to make a draft"
        )


def _check_model(spec: ClipSpec, model: Model) -> None:
    card = model.card
    told = Loading.of(spec.model)
    if (spec.model.digest, spec.model.dtype, told.pixels) != (card.digest, card.dtype, card.loading.pixels):
        raise SpecError(
            f"clip {spec.index} is for model {spec.model.digest} in {spec.model.dtype}, but {card.id} is loaded,"
            f" which is {card.digest} in {card.dtype}, or it has other LoRAs, quantization or tiling; load the model"
            " that the clip names"
        )
    card.check_frames(spec.frames)
    card.check_size(spec.width, spec.height)
    card.check_steps(spec.sampler.steps)


def _anchored(
    specs: tuple[ClipSpec, ...],
    models: Mapping[ModelRef, Model],
    tail: Tail | LiveTail | LastPicture | None,
    start: Checkpoint | None,
    watch: Watch,
) -> Iterator[Footage]:
    """One clip after another, each from the last picture of the one before."""
    before: object = tail
    for spec in specs:
        if spec.previous is not None and not (isinstance(before, LastPicture) and before.key == spec.previous):
            raise SpecError(f"clip {spec.index} begins with the last picture of clip {spec.previous}; give its tail")
        picture = before.picture if isinstance(before, LastPicture) else None
        mine = start if start is not None and start.keys == (spec.key,) else None
        for footage in _lockstep((spec,), models, None, mine, watch, picture):
            before = footage.tail
            yield footage


def _lockstep(
    specs: tuple[ClipSpec, ...],
    models: Mapping[ModelRef, Model],
    tail: Tail | LiveTail | None,
    start: Checkpoint | None,
    watch: Watch,
    picture: np.ndarray | None = None,
) -> Iterator[Footage]:
    began = time.perf_counter()
    model = models[specs[0].model]
    images = [read_picture(spec.image) if spec.image else picture for spec in specs]
    denoising = Denoising(specs, models, tail, images, watch.on_share, watch.beside)
    with torch.inference_mode(), one_thread():
        x = denoising.run(start, watch.on_step, watch.on_state)
    # Copied outside inference mode: whoever gets these may change them in place.
    latents = [clip.to("cpu", copy=True) for clip in x]
    del x
    tails = denoising.tails()
    denoised = time.perf_counter() - began
    for first in range(0, len(specs), model.threads):
        wave = range(first, min(first + model.threads, len(specs)))
        began = time.perf_counter()
        pictures = _decoded([specs[k] for k in wave], model, [latents[k] for k in wave])
        decoding = (time.perf_counter() - began) / len(wave)
        for k, frames in zip(wave, pictures, strict=True):
            seconds = {
                "network": denoising.network_seconds / len(specs),
                "vae": decoding,
                "total": denoised / len(specs) + decoding,
            }
            left = LastPicture(specs[k].key, frames[-1]) if isinstance(specs[k].recipe.chain, Anchor) else tails[k]
            state = _left(denoising.left, specs[k].key) if denoising.left else None
            yield Footage(specs[k], latents[k], frames, left, denoising.nfe[k], seconds, state)


def _left(group: Checkpoint, key: str) -> Checkpoint | None:
    """What one clip of a group of drafts has left, without the pictures, which are shown already."""
    part = group.part((key,))
    return part and Checkpoint.joined([part], (key,))


def _decoded(specs: Sequence[ClipSpec], model: Model, latents: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """The clips' pictures, with less in memory where it was not enough."""
    return model.enduring(lambda: model.map(_decode, specs, repeat(model, len(specs)), latents))


def _decode(spec: ClipSpec, model: Model, latents: torch.Tensor) -> np.ndarray:
    try:
        frames = model.backbone.decode(latents.to(model.device))
    except ValueError as error:
        raise BadFootage(f"clip {spec.index}, decoding: {error}; another dtype (float32) may help") from None
    if frames.shape != (spec.frames, spec.height, spec.width, 3):
        raise BadFootage(
            f"clip {spec.index}, decoding: the VAE of {model.card.id} made {frames.shape} instead of"
            f" {(spec.frames, spec.height, spec.width, 3)}"
        )
    return frames
