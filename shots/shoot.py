"""Clip specs in, footage out: the one place where methods are put in order.

Order of a step: IV-Mixed's walk, VidRD's copies, guidance around the network (CFG or CFG++ with skip guidance,
VideoGuide outermost), the sampler's line, VideoGuide's refresh, the average of windows. The first noise is the
prior's, then the chain's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec

import numpy as np
import torch

from .anchor import LastPicture, read_picture
from .chain import Tail, check_chain
from .checkpoint import Checkpoint
from .denoising import Denoising
from .errors import SpecError
from .exposure import Exposure, Footage, needs_vae
from .loading import Loading
from .model import Model, load, one_thread
from .price import predicted_nfe
from .relay import LiveTail, Share
from .spec import Anchor, ClipSpec, ModelRef, Windows
from .windows import Beside

__all__ = [
    "Checkpoint",
    "Exposure",
    "Footage",
    "LastPicture",
    "LiveTail",
    "Model",
    "Tail",
    "expose",
    "load",
    "needs_vae",
    "predicted_nfe",
    "shoot",
]

P = ParamSpec("P")
OnStep = Callable[[int, int], None]
OnState = Callable[[int, Callable[[], Checkpoint]], None]
"""(steps done, what makes a checkpoint of this moment)."""


@dataclass(frozen=True, eq=False)
class Watch:
    """Who is told of each step: on_step(done, steps), and on_state, which may keep a checkpoint. Either may raise
    (Interrupted) to stop; on_state comes first. on_share, beside: groups that run at the same time."""

    on_step: OnStep | None = None
    on_state: OnState | None = None
    on_share: Share | None = None
    beside: Beside | None = None


def expose(
    specs: Sequence[ClipSpec],
    model: Model,
    tail: Tail | LiveTail | LastPicture | None = None,
    on_step: OnStep | None = None,
    others: Mapping[ModelRef, Model] | None = None,
    start: Checkpoint | None = None,
    on_state: OnState | None = None,
    on_share: Share | None = None,
    beside: Beside | None = None,
) -> Iterator[Exposure]:
    """Denoise consecutive clips of one chain in lockstep; whoever asks for them decodes them (`Exposure.develop`).

    tail: what the clip before the first one left, None at the start of a chain. others: the models that the recipe
    names besides the clips' own (a teacher, an image model). start: a checkpoint of these very clips to go on from.
    on_step(done, steps) is called after every step and may raise (Interrupted) to stop; on_state before it.
    on_share: is told what the last clip leaves to the next, as soon as it is known (`relay`); a `LiveTail` hears it.
    beside: who denoises the other windows of the shot at the same time. With a start, all of them go on from the same
    step.

    Anchored clips depend on each other's pictures: they come one by one, and each must be developed before the next is
    asked for.

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
    return _together(specs, models, None if isinstance(tail, LastPicture) else tail, start, watch)


def _developed(expose: Callable[P, Iterator[Exposure]]) -> Callable[P, Iterator[Footage]]:
    def shoot(*args: P.args, **kwargs: P.kwargs) -> Iterator[Footage]:
        """As `expose`, to the same arguments, and each clip is decoded as it is asked for: footage, one by one."""
        exposures = expose(*args, **kwargs)
        return (footage for exposure in exposures for footage in exposure.develop())

    return shoot


shoot = _developed(expose)


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
) -> Iterator[Exposure]:
    """One clip after another, each from the last picture of the one before."""
    before: object = tail
    for spec in specs:
        if spec.previous is not None and not (isinstance(before, LastPicture) and before.key == spec.previous):
            raise SpecError(f"clip {spec.index} begins with the last picture of clip {spec.previous}; give its tail")
        picture = before.picture if isinstance(before, LastPicture) else None
        mine = start if start is not None and start.keys == (spec.key,) else None
        exposure = _lockstep((spec,), models, None, mine, watch, picture)
        yield exposure
        before = exposure.picture


def _together(
    specs: tuple[ClipSpec, ...],
    models: Mapping[ModelRef, Model],
    tail: Tail | LiveTail | None,
    start: Checkpoint | None,
    watch: Watch,
) -> Iterator[Exposure]:
    yield _lockstep(specs, models, tail, start, watch)


def _lockstep(
    specs: tuple[ClipSpec, ...],
    models: Mapping[ModelRef, Model],
    tail: Tail | LiveTail | None,
    start: Checkpoint | None,
    watch: Watch,
    picture: np.ndarray | None = None,
) -> Exposure:
    began = time.perf_counter()
    model = models[specs[0].model]
    images = [read_picture(spec.image) if spec.image else picture for spec in specs]
    denoising = Denoising(specs, models, tail, images, watch.on_share, watch.beside)
    with torch.inference_mode(), one_thread():
        x = denoising.run(start, watch.on_step, watch.on_state)
    # Copied outside inference mode: whoever gets these may change them in place.
    latents = [clip.to("cpu", copy=True) for clip in x]
    del x
    states = [_left(denoising.left, spec.key) if denoising.left else None for spec in specs]
    tails, network = denoising.tails(), denoising.network_seconds / len(specs)
    sampling = (time.perf_counter() - began) / len(specs)
    return Exposure(specs, model, latents, tails, denoising.nfe, states, network, sampling)


def _left(group: Checkpoint, key: str) -> Checkpoint | None:
    """What one clip of a group of drafts has left, without the pictures, which are shown already."""
    part = group.part((key,))
    return part and Checkpoint.joined([part], (key,))
