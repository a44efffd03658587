"""A model in memory: the pipeline, its card, and the threads that evaluate it on a CPU."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from .backbones.capture import Backbone
from .backbones.families import BY_NAME
from .errors import ModelIncomplete, ModelRefuses
from .levels import sampling_scheduler
from .loading import Loading
from .loras import add_loras
from .memory import FIRST, Placement, device_bytes, empty_cache
from .models import ModelCard, describe
from .quantize import config_of
from .spec import ModelRef

log = logging.getLogger("longtake.shots")

Result = TypeVar("Result")


class Pool:
    """CPU threads with one intra-op thread each.

    A network's last bits change with the batch size and with the number of intra-op threads, so the unit of work
    on a CPU is one sample on one thread, and a group's samples are spread over the pool: the same bits however
    many run at once.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ModelRefuses(f"a model cannot run on {threads} threads; give 1 or more")
        self.threads = threads
        before = torch.get_num_threads()
        started = threading.Barrier(threads + 1)
        self._workers = ThreadPoolExecutor(threads, "longtake-network", _single, (started,))
        for _ in range(threads):
            self._workers.submit(int)
        started.wait()
        # Setting the count in a worker sets it for threads yet to be born, too; put that back.
        torch.set_num_threads(before)

    def map(self, work: Callable[..., Result], *items: Iterable[Any]) -> list[Result]:
        """`work` over the items, in their order. The first failure is raised, once what has begun is done, and what has
        not is dropped."""
        asked = [self._workers.submit(_without_gradients, work, *args) for args in zip(*items, strict=True)]
        try:
            return [future.result() for future in asked]
        finally:
            _drop(asked)
            wait(asked)

    def close(self) -> None:
        """Let the threads go."""
        self._workers.shutdown(wait=True, cancel_futures=True)


def _single(started: threading.Barrier) -> None:
    # The first question makes torch set up this thread's own count, which would otherwise overwrite ours later.
    torch.get_num_threads()
    torch.set_num_threads(1)
    started.wait()


def _without_gradients(work: Callable[..., Result], *args: Any) -> Result:
    with torch.inference_mode():
        return work(*args)


def _drop(asked: list[Future[Any]]) -> None:
    for future in asked:
        future.cancel()


@dataclass(eq=False)
class Model:
    """A loaded model. One shoot at a time; `close` when done. `pool` is None on an accelerator."""

    card: ModelCard
    backbone: Backbone
    device: torch.device
    pool: Pool | None
    relief: Callable[[], bool] | None = None
    """Has whatever else is on the device at this moment come to its end, and says whether there was anything."""

    @property
    def rung(self) -> int:
        """How far down the ladder of `memory` this model is."""
        return self.backbone.placement.rung

    @property
    def fallen(self) -> int:
        """The rung, where memory has made it go further down than it was asked to begin; else 0."""
        return self.rung if self.rung > FIRST[self.card.loading.offload] else 0

    def settle(self, rung: int) -> None:
        """Go to a rung of the ladder, or further down where that does not do.

        Raises:
            NotEnoughMemory: the last one does not.
        """
        self.backbone.placement.settle(rung)

    def lower(self, problem: str) -> None:
        """One rung down; called outside `except`, which would hold on to what the failed call had in memory. Where
        somebody else was on the device, the same rung, alone.

        Raises:
            NotEnoughMemory: there is none further down.
        """
        if not self.relieved(problem):
            self.backbone.placement.lower(problem)

    def relieved(self, problem: str) -> bool:
        """Has somebody else left the device, so that what failed may be tried once more as it was?"""
        gc.collect()
        if self.relief is None or not self.relief():
            return False
        log.warning("not enough memory on %s for two things at once (%s); going on one by one", self.device, problem)
        empty_cache(self.device)
        return True

    def mark(self) -> Any:
        """This moment in what the device was told by this thread; None on a CPU, which does what it is told at once."""
        if self.device.type != "cuda":
            return None
        with torch.cuda.device(self.device):
            return torch.cuda.current_stream().record_event()

    @contextmanager
    def aside(self, ready: Any = None) -> Iterator[None]:
        """Within: what this thread has the device do runs beside what others have it do, in a stream of its own. It
        begins when `ready` (see `mark`) has passed and is done in the end, so that nothing made within is half made.

        What is within must use nothing that others still write to, and nothing that they may let go of.
        """
        if self.device.type != "cuda":
            yield
            return
        stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(stream):
            if ready is not None:
                stream.wait_event(ready)
            try:
                yield
            finally:
                stream.synchronize()

    def enduring(self, work: Callable[[], Result]) -> Result:
        """`work()`, and again with less in memory for as long as that was not enough. It must bear being repeated."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError as error:
                problem = str(error)
            self.lower(problem)

    @property
    def memory(self) -> int:
        """Bytes of the device, 0 where nobody knows."""
        return device_bytes(self.device)

    @property
    def pipe(self) -> Any:
        """The diffusers pipeline."""
        return self.backbone.pipe

    @property
    def threads(self) -> int:
        """Samples evaluated side by side on a CPU; 1 on an accelerator, which takes them as one batch."""
        return self.pool.threads if self.pool else 1

    def map(self, work: Callable[..., Result], *items: Iterable[Any]) -> list[Result]:
        """`work` over the items without gradients: on the pool, or one after another on an accelerator."""
        if self.pool:
            return self.pool.map(work, *items)
        return [_without_gradients(work, *args) for args in zip(*items, strict=True)]

    def close(self) -> None:
        """Free the threads and the weights."""
        if self.pool:
            self.pool.close()
        self.backbone.forget()
        gc.collect()
        empty_cache(self.device)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within: the caller's own tensor operations use one thread; its setting is put back afterwards.

    The loop's sums over small tensors are faster so: shared out, they wait for a helper thread that has no core
    while the pool has them all (measured on two busy cores: 40 ms for what takes one).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load(wanted: ModelCard | ModelRef, device: str = "auto", threads: int | None = None, rung: int = 0) -> Model:
    """Read a model's weights with diffusers' own `from_pretrained`.

    device: "auto" (an accelerator where there is one), or a torch device. threads: samples evaluated side by side
    on a CPU, all cores unless told. rung: where on the ladder of `memory` to begin.

    Raises:
        ModelNotFound, ModelIncomplete: see `describe`. ModelRefuses: the files here are not those that were planned,
        or a LoRA is of another model. NotEnoughMemory: for its largest layer.
    """
    card = wanted if isinstance(wanted, ModelCard) else _card_of(wanted)
    place = torch.device(_accelerator() if device == "auto" else device)
    pipe, family = _pipeline(card), BY_NAME[card.family]
    placement = Placement(pipe, place, family.denoisers, card.loading.offload, card.loading.slicing)
    placement.settle(rung)
    pool = Pool(threads if threads is not None else os.cpu_count() or 1) if place.type == "cpu" else None
    log.info("loaded %s (%s) on %s", card.id, card.digest[:19], place)
    return Model(card, Backbone(pipe, family, placement), place, pool)


def _card_of(ref: ModelRef) -> ModelCard:
    card = describe(ref.id, dtype=ref.dtype, loading=Loading.of(ref))
    if card.digest != ref.digest:
        raise ModelRefuses(
            f"model {ref.id} here is {card.digest}, but the plan was made for {ref.digest}: its files have"
            " changed since, or differ between machines; plan again, or bring the planned files back"
        )
    return card


def _accelerator() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _pipeline(card: ModelCard) -> Any:
    family = BY_NAME[card.family]
    with quiet():
        import diffusers

        cls = getattr(diffusers, family.pipeline)
    index = cls.load_config(card.path)
    # Parts that decide no pixels (safety checkers, image encoders) are not loaded.
    settings = {part: None for part, of in index.items() if isinstance(of, list) and part not in family.parts}
    dtype, quantized = getattr(torch, card.dtype), card.loading.quantized
    with quiet():
        try:
            if quantized:
                settings["quantization_config"] = config_of(quantized, dtype, {p: index[p][0] for p in quantized.parts})
            pipe = cls.from_pretrained(
                card.path,
                dtype=dtype,
                variant=card.loading.variant,
                use_safetensors=True,
                local_files_only=True,
                **settings,
            )
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, AttributeError) as error:
            raise ModelIncomplete(
                f"{card.path}: diffusers cannot load it{' quantized' if quantized else ''}: {error};"
                f" {'leave `quantization` out' if quantized else 'copy or download the model again'}"
            ) from error
        add_loras(pipe, card.loading.loras, card.lora_files)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = sampling_scheduler(pipe.scheduler)
    _tiled(pipe.vae, card.loading)
    return pipe


def _tiled(vae: Any, loading: Loading) -> None:
    if loading.slicing and not hasattr(vae, "use_slicing"):
        raise ModelRefuses(f"{type(vae).__name__} has no slicing; leave `slicing` out")
    try:
        if loading.tiling:
            vae.enable_tiling()
    except (NotImplementedError, AttributeError):
        raise ModelRefuses(f"{type(vae).__name__} has no tiling; leave `tiling` out") from None


@contextmanager
def quiet() -> Any:
    """No loading bars and no advice of the libraries within: a render shows its own progress."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [(lib, lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries]
    for lib in libraries:
        lib.disable_progress_bar()
        lib.set_verbosity_error()
    try:
        yield
    finally:
        for lib, verbosity, bars in before:
            lib.set_verbosity(verbosity)
            if bars:
                lib.enable_progress_bar()
