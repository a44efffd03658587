"""A camera renders jobs with a warm model. The same class runs in this process and inside a Ray actor."""

from __future__ import annotations

import logging
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shots.errors import Interrupted, NeighbourLost, NotEnoughMemory, ShotsError
from shots.spec import Anchor, ModelRef, Windows
from storage.errors import FileDamaged, FileMissing, StorageError
from storage.remote import open_files
from storage.rows import TakeRow

from .beside import Abreast, Sides
from .bookmark import Bookmark, Every
from .desk import Encode
from .desk import encode as encode_here
from .device import memory_of
from .environment import LIBRARIES, code_version, environment
from .heritage import Heritage
from .job import ClipDone, Event, Failure, Job, JobDone, JobFailed, JobStopped, Loading, Started, Stepped, Worker
from .milestones import Milestones, forget
from .pictures import with_pictures
from .relay import Baton, Inbox, live_tail
from .secrets import hidden

if TYPE_CHECKING:
    from shots.shoot import Checkpoint, Footage, LastPicture, LiveTail, Model, Tail

log = logging.getLogger("longtake.camera")
LOG_LINES = 40


class Camera:
    """Holds one model warm and renders jobs with it, one at a time.

    files: folder or URL of the content-addressed store, shared by all cameras and the producer.
    device: `auto`, `cpu`, `cuda`, `cuda:1` ... threads: samples evaluated at the same time on a CPU.
    checkpoint_every: what a crash may cost of the sampling.
    encode: what makes a stored take of frames; by default this process does, beside the network.
    """

    def __init__(
        self,
        files: str | Path,
        name: str = "camera",
        device: str = "auto",
        threads: int | None = None,
        checkpoint_every: Every = Every(),
        encode: Encode | None = None,
    ) -> None:
        self._files = open_files(files)
        self._encode = encode or partial(encode_here, self._files)
        self._name = name
        self._device = device
        self._threads = threads
        self._every = checkpoint_every
        self._models: dict[ModelRef, Model] = {}
        self._memory = -1
        self._rungs: dict[tuple[ModelRef, int, int, int], int] = {}
        self._desk = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-desk")  # encodes while the network goes on

    def worker(self) -> Worker:
        """Who this camera is, for the ledger."""
        device = next((str(model.device) for model in self._models.values()), self._device)
        if self._memory < 0:
            self._memory = memory_of(device)
        return Worker(
            self._name, socket.gethostname(), os.getpid(), device, code_version(), environment(), self._memory
        )

    def shoot(
        self,
        job: Job,
        emit: Callable[[Event], None],
        stop: Callable[[], bool],
        inbox: Inbox | None = None,
        baton: Baton | None = None,
        sides: Sides = (None, None),
    ) -> None:
        """Render a job, telling `emit` everything that happens. Never raises: the last event is an ending.

        inbox: what the job that this one follows says, when it runs at the same time. baton: for the one that follows.
        sides: of a part of windows, the cameras that render the others.
        """
        with _log_tail() as lines:
            try:
                emit(self._shoot(job, emit, stop, inbox, baton, sides))
            except Interrupted:
                emit(JobStopped(job.id))
            except NeighbourLost as error:
                emit(JobStopped(job.id, str(error)))
            except BaseException as error:  # whatever a model or a driver throws must not end the night
                log.debug("job %s failed", job.id, exc_info=True)
                emit(JobFailed(job.id, _failure(error, lines)))

    def stored_tail(self, id: str) -> Tail:
        """A tail from the store. Raises FileMissing, FileDamaged, SpecError."""
        from shots.shoot import Tail

        return Tail.from_bytes(self._files.open_verified(id).read_bytes())

    def forget(self, keys: Collection[str]) -> None:
        """All clips of a job of windows are stored, by several cameras: what its parts have kept has done its work."""
        forget(self._files.root, keys)

    def close(self) -> None:
        """Let go of the model and the desk."""
        self._desk.shutdown(wait=False, cancel_futures=True)
        for model in self._models.values():
            model.close()
        self._models.clear()
        self._files.close()

    def _shoot(
        self,
        job: Job,
        emit: Callable[[Event], None],
        stop: Callable[[], bool],
        inbox: Inbox | None,
        baton: Baton | None,
        sides: Sides,
    ) -> JobDone:
        began = time.perf_counter()
        emit(Started(job.id, self.worker()))
        from shots.shoot import LiveTail, shoot

        models = self._warm(job, emit)
        worker = self._at_work(models[job.specs[0].model])
        last = job.specs[0].sampler.made
        emit(Stepped(job.id, 0, last))
        abreast = Abreast(job.part, last, sides, stop) if job.part else None
        bookmark, start = self._bookmark(job, _maker(worker), abreast)

        def on_state(step: int, make: Callable[[], Checkpoint]) -> None:
            if abreast:
                due = abreast.keeps(step, bookmark.due)
            else:
                due = bookmark.due(step == last) or stop() or bool(inbox and inbox.missed)
            if due:
                bookmark.keep(make)

        def on_step(step: int, steps: int) -> None:
            emit(Stepped(job.id, step, steps))
            if abreast.ends(step) if abreast else stop():
                raise Interrupted

        heritage = Heritage(job, models)
        filed: deque[Future[ClipDone]] = deque()
        busy = 0.0
        model, share = models[job.specs[0].model], baton.share if baton else None
        tail = live_tail(job, inbox, stop) if inbox else self._tail(job)
        specs, beside = with_pictures(job.specs, self._files), abreast.beside if abreast else None
        footages = shoot(specs, model, tail, on_step, models, start, on_state, share, beside)
        for index, footage in enumerate(footages):
            if index == 0 and isinstance(tail, LiveTail):
                heritage.begins_with(self._heard(job, tail))
            busy += footage.seconds["network"] + footage.seconds["vae"]
            filed.append(self._desk.submit(self._file, heritage, index, footage, worker))
            while filed and filed[0].done():
                emit(filed.popleft().result())
        while filed:
            emit(filed.popleft().result())
        bookmark.close()
        return JobDone(job.id, busy, time.perf_counter() - began, self._reached(job))

    def _bookmark(self, job: Job, made_by: str, abreast: Abreast | None) -> tuple[Bookmark, Checkpoint | None]:
        """Where the job's checkpoints lie, and the one that it goes on from; parts of windows agree on it."""
        if not isinstance(job.specs[0].recipe.chain, Windows):
            bookmark = Bookmark(self._files.root, job.keys, made_by, self._every)
            return bookmark, bookmark.start(self._files, job.starts)
        milestones = Milestones(self._files.root, job, made_by, self._every)
        if abreast is None:
            return milestones, milestones.start(self._files, job.starts)
        starts = milestones.starts(self._files, job.starts)
        return milestones, starts.get(abreast.begin(starts))

    def _reached(self, job: Job) -> int:
        """Where on the memory ladder the job ended, remembered for clips of its size; 0: where it was told to begin."""
        spec = job.specs[0]
        rung = max(self._models[ref].fallen for ref in spec.models)
        self._rungs[spec.model, spec.width, spec.height, spec.frames] = rung
        return rung

    def _tail(self, job: Job) -> Tail | LastPicture | None:
        """What the clip before the job's first one has left; stored without its name, which the job knows."""
        if job.tail is None:
            return None
        from shots.shoot import LastPicture

        before = job.specs[0].previous or ""
        if isinstance(job.specs[0].recipe.chain, Anchor):
            return replace(LastPicture.from_bytes(self._files.open_verified(job.tail).read_bytes()), key=before)
        return replace(self.stored_tail(job.tail), key=before)

    def _heard(self, job: Job, tail: LiveTail) -> str:
        """The file of the tail that the job began with while it was being made: the one that its clip leaves, too."""
        from shots.chain import heard

        return self._files.put_bytes(replace(heard(tail, job.specs[0]), key="").to_bytes(), ".safetensors")

    def _warm(self, job: Job, emit: Callable[[Event], None]) -> dict[ModelRef, Model]:
        """The models that the job needs; those that it does not need make room."""
        from shots.shoot import load

        spec = job.specs[0]
        needed = spec.models
        rung = max(job.rung, self._rungs.get((spec.model, spec.width, spec.height, spec.frames), 0))
        for ref in [ref for ref in self._models if ref not in needed]:
            self._models.pop(ref).close()
        for ref in needed:
            if ref in self._models:
                self._models[ref].settle(rung)
                continue
            emit(Loading(job.id, ref.id))
            try:
                self._models[ref] = load(ref, device=self._device, threads=self._threads, rung=rung)
            except Exception as error:
                raise _NotLoaded from error
        return self._models

    def _at_work(self, model: Model) -> Worker:
        """Who this camera is, now that it knows the device."""
        worker = self.worker()
        if model.device.type != "cuda":
            return worker
        import torch

        name = torch.cuda.get_device_name(model.device)
        return replace(worker, environment=worker.environment | {"device_name": name, "cuda": torch.version.cuda or ""})

    def _file(self, heritage: Heritage, index: int, footage: Footage, worker: Worker) -> ClipDone:
        """Encode and store one clip: latents and tail first, since only they are dear."""
        from shots import frames

        state = footage.state.to_bytes(_maker(worker)) if footage.state else footage.latents_bytes()
        latents = self._files.put_bytes(state, ".safetensors")
        # Without its name: equal tails are one file, which is how the director finds out that what follows can stay.
        nameless = replace(footage.tail, key="") if footage.tail else None
        tail = self._files.put_bytes(nameless.to_bytes(), ".safetensors") if nameless else None
        digest = frames.frames_digest(footage.frames)
        tags = {"longtake": heritage.record(index, footage, worker, latents, tail, digest)}
        video, size = self._encode(footage.frames, tags)
        count, height, width, _ = footage.frames.shape
        stored = size + self._files.size(latents) + (self._files.size(tail) if tail else 0)
        row = TakeRow(
            key=footage.spec.key,
            video=video,
            latents=latents,
            tail=tail,
            frames=count,
            width=width,
            height=height,
            frames_digest=digest,
            nfe=footage.nfe,
            seconds=footage.seconds,
            bytes=stored,
            code_version=worker.code_version,
            environment=heritage.environment(worker),
            model_digest=footage.spec.model.digest,
        )
        return ClipDone(heritage.job.id, index, row)


def _maker(worker: Worker) -> str:
    """Whose checkpoints may be gone on from: the same code with the same libraries, on the same kind of device."""
    libraries = (f"{name} {worker.environment[name]}" for name in LIBRARIES)
    return ", ".join([f"longtake {worker.code_version}", *libraries, f"on {worker.device.partition(':')[0]}"])


class _NotLoaded(Exception):
    """The model could not be loaded; the cause says why."""


def _failure(error: BaseException, lines: deque[str]) -> Failure:
    loading = isinstance(error, _NotLoaded)
    error = error.__cause__ if loading and error.__cause__ else error
    trace = "".join(traceback.format_exception(error))
    ours = isinstance(error, ShotsError | StorageError)
    memory = isinstance(error, NotEnoughMemory) or type(error).__name__ == "OutOfMemoryError"
    machine = loading or memory or isinstance(error, StorageError | OSError | MemoryError)
    message = str(error) if ours or str(error) else repr(error)
    file = error.id if isinstance(error, FileDamaged | FileMissing) else None
    said = hidden(message), hidden(trace), hidden("\n".join(lines))
    return Failure(type(error).__name__, *said, machine, file, memory)


class _Tail(logging.Handler):
    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self.lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.lines.append(self.format(record))
        except Exception:  # a library's malformed log call must not fail a clip
            self.handleError(record)


@contextmanager
def _log_tail() -> Iterator[deque[str]]:
    """The last lines that anything logged while the job ran."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    handler = _Tail(lines)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
