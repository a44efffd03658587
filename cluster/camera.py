"""A camera renders jobs with a warm model. The same class runs in this process and inside a Ray actor."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shots.errors import Interrupted
from shots.spec import Anchor, ModelRef, Windows
from storage.remote import open_files

from .beside import Abreast, Sides
from .bookmark import Bookmark, Every
from .darkroom import Darkroom, DecodeBeside
from .desk import Encode
from .desk import encode as encode_here
from .developing import Developing
from .device import memory_of
from .ending import NotLoaded, ended
from .environment import LIBRARIES, code_version, environment
from .heritage import Heritage
from .job import Event, Job, JobDone, Loading, Sampled, Started, Stepped, Worker
from .milestones import Milestones, forget
from .pictures import with_pictures
from .relay import Baton, Inbox, live_tail
from .sending import sends_first

if TYPE_CHECKING:
    from shots.shoot import Checkpoint, Exposure, LastPicture, LiveTail, Model, Tail

log = logging.getLogger("longtake.camera")
Size = tuple[ModelRef, int, int, int]
"""Model, width, height and frames: what decides how much memory a clip takes."""


class Camera:
    """Holds one model warm and renders jobs with it, one at a time; the clips of one may be decoded beside the next.

    files: folder or URL of the content-addressed store, shared by all cameras and the producer.
    device: `auto`, `cpu`, `cuda`, `cuda:1` ... threads: samples evaluated at the same time on a CPU.
    checkpoint_every: what a crash may cost of the sampling.
    encode: what makes a stored take of frames; by default this process does, beside the network.
    decode_beside: whether `shoot` may end when all is sampled, with `Sampled`, and decode while it is called again.
    """

    def __init__(
        self,
        files: str | Path,
        name: str = "camera",
        device: str = "auto",
        threads: int | None = None,
        checkpoint_every: Every = Every(),
        encode: Encode | None = None,
        decode_beside: DecodeBeside = "off",
    ) -> None:
        self._files = open_files(files)
        self._encode = encode or partial(encode_here, self._files)
        self._name = name
        self._device = device
        self._threads = threads
        self._every = checkpoint_every
        self._models: dict[ModelRef, Model] = {}
        self._memory = -1
        self._rungs: dict[Size, int] = {}
        self._apart: set[Size] = set()  # clips that are not decoded beside others: that was too much
        self._beside = decode_beside
        self._darkroom = Darkroom(name)
        self._crowd: Job | None = None  # what was in there in the course of this step
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

        After `Sampled` it returns before that one, which another thread tells; it may be called again meanwhile.
        inbox: what the job that this one follows says, when it runs at the same time. baton: for the one that follows.
        sides: of a part of windows, the cameras that render the others.
        """
        emit = sends_first(self._files.checkpoints, emit)
        with self._darkroom.sampling():
            ended(job, emit, lambda: self._shoot(job, emit, stop, inbox, baton, sides))

    def stored_tail(self, id: str) -> Tail:
        """A tail from the store. Raises FileMissing, FileDamaged, SpecError."""
        from shots.shoot import Tail

        return Tail.from_bytes(self._files.open_verified(id).read_bytes())

    def forget(self, keys: Collection[str]) -> None:
        """All clips of a job of windows are stored, by several cameras: what its parts have kept has done its work."""
        forget(self._files.checkpoints, keys)

    def close(self) -> None:
        """Let go of the model and the desk, when what is being decoded has come to its end."""
        self._darkroom.clear()
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
    ) -> JobDone | None:
        """None: the rest is done in the darkroom."""
        began = time.perf_counter()
        log.info("job %s: clips %d to %d of its shot", job.id, job.first, job.first + len(job.specs) - 1)
        emit(Started(job.id, self.worker()))
        from shots.shoot import LiveTail, expose

        models = self._warm(job, emit)
        worker = self._at_work(models[job.specs[0].model])
        last = job.specs[0].sampler.made
        emit(Stepped(job.id, 0, last))
        self._crowd = self._darkroom.job
        abreast = Abreast(job.part, last, sides, stop) if job.part else None
        bookmark, start = self._bookmark(job, _maker(worker), abreast)

        def on_state(step: int, make: Callable[[], Checkpoint]) -> None:
            if abreast:
                due = abreast.keeps(step, bookmark.due)
            else:
                due = bookmark.due(step == last) or stop() or bool(inbox and inbox.missed)
                due = due or (step == last and self._may_leave(job))
            if due:
                bookmark.keep(make)

        def on_step(step: int, steps: int) -> None:
            emit(Stepped(job.id, step, steps))
            self._crowd = self._darkroom.job
            # Told just now, `behind`: one step more, and a checkpoint.
            if abreast.ends(step) if abreast else stop() and not bookmark.behind:
                raise Interrupted

        heritage = Heritage(job, models)
        developing = Developing(heritage, worker, _maker(worker), self._files, self._encode, self._desk, emit)
        model, share = models[job.specs[0].model], baton.share if baton else None
        tail = live_tail(job, inbox, stop) if inbox else self._tail(job)
        specs, beside = with_pictures(job.specs, self._files), abreast.beside if abreast else None
        exposures = expose(specs, model, tail, on_step, models, start, on_state, share, beside)
        for index, exposure in enumerate(exposures):
            if index == 0 and isinstance(tail, LiveTail):
                heritage.begins_with(self._heard(job, tail))
            if self._may_leave(job) and exposure.specs[-1].key == job.keys[-1]:
                self._leave(job, exposure, developing, emit, stop, lambda: self._done(job, developing, bookmark, began))
                return None
            self._darkroom.clear()
            self._crowd = None
            developing.develop(exposure)
        return self._done(job, developing, bookmark, began)

    def _done(self, job: Job, developing: Developing, bookmark: Bookmark, began: float) -> JobDone:
        """All is decoded: wait until it is stored."""
        developing.finish()
        bookmark.close()
        rung, apart = self._reached(job), _size(job) in self._apart
        return JobDone(job.id, developing.busy, time.perf_counter() - began, rung, apart)

    def _may_leave(self, job: Job) -> bool:
        """May the job's clips be decoded beside the next ones? Where VAE and network are in memory together."""
        if self._beside == "off" or job.apart or job.part or _size(job) in self._apart:
            return False
        models = [self._models[ref] for ref in job.specs[0].models]
        places = ("cuda",) if self._beside == "auto" else ("cuda", "cpu")
        return all(model.rung == 0 and model.device.type in places for model in models)

    def _leave(
        self,
        job: Job,
        exposure: Exposure,
        developing: Developing,
        emit: Callable[[Event], None],
        stop: Callable[[], bool],
        done: Callable[[], JobDone],
    ) -> None:
        """Store what the next clip needs, and decode beside it."""
        tail = developing.keep(exposure)
        self._darkroom.clear()  # of the job before: one is enough to wait
        emit(Sampled(job.id, tail))

        def work() -> JobDone:
            self._develop_beside(job, exposure, developing, stop)
            return done()

        self._darkroom.enter(job, lambda: ended(job, emit, work))

    def _develop_beside(self, job: Job, exposure: Exposure, developing: Developing, stop: Callable[[], bool]) -> None:
        """Decode beside what is sampled meanwhile; where the memory is too little for both, when that is done."""
        import torch

        try:
            developing.develop(exposure, True, stop)
            return
        except torch.OutOfMemoryError as error:
            log.warning("not enough memory to decode job %s beside others: %s", job.id, error)
        if self._darkroom.crowded:
            self._apart.add(_size(job))
        with self._darkroom.alone():
            developing.develop(exposure, False, stop)

    def _relieve(self, job: Job) -> bool:
        """Sampling this job lacks memory: have what is being decoded come to its end, and decode nothing beside clips
        like these from now on. Whether there was anything."""
        if self._darkroom.inside:
            return False
        other, self._crowd = self._darkroom.job or self._crowd, None
        if other is None:
            return False
        self._apart |= {_size(job), _size(other)}
        self._darkroom.clear()
        return True

    def _bookmark(self, job: Job, made_by: str, abreast: Abreast | None) -> tuple[Bookmark, Checkpoint | None]:
        """Where the job's checkpoints lie, and the one that it goes on from; parts of windows agree on it."""
        if not isinstance(job.specs[0].recipe.chain, Windows):
            bookmark = Bookmark(self._files.checkpoints, job.keys, made_by, self._every)
            return bookmark, bookmark.start(self._files, job.starts)
        milestones = Milestones(self._files.checkpoints, job, made_by, self._every)
        if abreast is None:
            return milestones, milestones.start(self._files, job.starts)
        starts = milestones.starts(self._files, job.starts)
        return milestones, starts.get(abreast.begin(starts))

    def _reached(self, job: Job) -> int:
        """Where on the memory ladder the job ended, remembered for clips of its size; 0: where it was told to begin."""
        rung = max(self._models[ref].fallen for ref in job.specs[0].models)
        self._rungs[_size(job)] = rung
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
        from shots.shoot import load, needs_vae

        spec = job.specs[0]
        needed = spec.models
        rung = max(job.rung, self._rungs.get(_size(job), 0))
        if set(needed) != set(self._models) or rung or not self._may_leave(job) or needs_vae(spec, self._models):
            self._darkroom.clear()
        for ref in [ref for ref in self._models if ref not in needed]:
            self._models.pop(ref).close()
        for ref in needed:
            if ref in self._models:
                self._models[ref].settle(rung)
                self._models[ref].relief = partial(self._relieve, job)
                continue
            emit(Loading(job.id, ref.id))
            try:
                self._models[ref] = load(ref, device=self._device, threads=self._threads, rung=rung)
                self._models[ref].relief = partial(self._relieve, job)
            except Exception as error:
                raise NotLoaded from error
        return self._models

    def _at_work(self, model: Model) -> Worker:
        """Who this camera is, now that it knows the device."""
        worker = self.worker()
        if model.device.type != "cuda":
            return worker
        import torch

        name = torch.cuda.get_device_name(model.device)
        return replace(worker, environment=worker.environment | {"device_name": name, "cuda": torch.version.cuda or ""})


def _size(job: Job) -> Size:
    spec = job.specs[0]
    return spec.model, spec.width, spec.height, spec.frames


def _maker(worker: Worker) -> str:
    """Whose checkpoints may be gone on from: the same code with the same libraries, on the same kind of device."""
    libraries = (f"{name} {worker.environment[name]}" for name in LIBRARIES)
    return ", ".join([f"longtake {worker.code_version}", *libraries, f"on {worker.device.partition(':')[0]}"])
