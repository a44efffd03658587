"""A camera renders jobs with a warm model. The same class runs in this process and inside a Ray actor."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shots.errors import Interrupted, ShotsError
from shots.spec import ClipSpec, ModelRef
from storage.errors import FileDamaged, FileMissing, StorageError
from storage.files import Files
from storage.rows import TakeRow

from .environment import code_version, environment
from .job import ClipDone, Event, Failure, Job, JobDone, JobFailed, JobStopped, Loading, Started, Stepped, Worker

if TYPE_CHECKING:
    from shots.shoot import Footage, Model

log = logging.getLogger("longtake.camera")
LOG_LINES = 40


class Camera:
    """Holds one model warm and renders jobs with it, one at a time.

    files: root folder of the content-addressed store, shared by all cameras and the producer.
    device: `auto`, `cpu`, `cuda`, `cuda:1` ... threads: samples evaluated at the same time on a CPU.
    """

    def __init__(
        self, files: str | Path, name: str = "camera", device: str = "auto", threads: int | None = None
    ) -> None:
        self._files = Files(Path(files))
        self._name = name
        self._device = device
        self._threads = threads
        self._model: tuple[ModelRef, Model] | None = None
        self._desk = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-desk")  # encodes while the network goes on

    def worker(self) -> Worker:
        """Who this camera is, for the ledger."""
        device = str(self._model[1].device) if self._model else self._device
        return Worker(self._name, socket.gethostname(), os.getpid(), device, code_version(), environment())

    def shoot(self, job: Job, emit: Callable[[Event], None], stop: Callable[[], bool]) -> None:
        """Render a job, telling `emit` everything that happens. Never raises: the last event is an ending."""
        with _log_tail() as lines:
            try:
                emit(self._shoot(job, emit, stop))
            except Interrupted:
                emit(JobStopped(job.id))
            except BaseException as error:  # whatever a model or a driver throws must not end the night
                log.debug("job %s failed", job.id, exc_info=True)
                emit(JobFailed(job.id, _failure(error, lines)))

    def close(self) -> None:
        """Let go of the model and the desk."""
        self._desk.shutdown(wait=False, cancel_futures=True)
        if self._model:
            self._model[1].close()
            self._model = None
        self._files.close()

    def _shoot(self, job: Job, emit: Callable[[Event], None], stop: Callable[[], bool]) -> JobDone:
        began = time.perf_counter()
        emit(Started(job.id, self.worker()))
        from shots.chain import Tail
        from shots.shoot import shoot

        model = self._warm(job, emit)
        worker = self.worker()  # only now it knows the device
        emit(Stepped(job.id, 0, job.specs[0].sampler.steps))
        tail = Tail.from_bytes(self._files.open_verified(job.tail).read_bytes()) if job.tail else None

        def on_step(step: int, steps: int) -> None:
            emit(Stepped(job.id, step, steps))
            if stop():
                raise Interrupted

        filed: deque[Future[ClipDone]] = deque()
        busy = 0.0
        for index, footage in enumerate(shoot(job.specs, model, tail, on_step)):
            busy += footage.seconds["network"] + footage.seconds["vae"]
            filed.append(self._desk.submit(self._file, job, index, footage, worker))
            while filed and filed[0].done():
                emit(filed.popleft().result())
        while filed:
            emit(filed.popleft().result())
        return JobDone(job.id, busy, time.perf_counter() - began)

    def _warm(self, job: Job, emit: Callable[[Event], None]) -> Model:
        ref = job.specs[0].model
        if self._model is None or self._model[0] != ref:
            from shots.shoot import load

            emit(Loading(job.id, ref.id))
            if self._model:
                self._model[1].close()
                self._model = None
            try:
                self._model = (ref, load(ref, device=self._device, threads=self._threads))
            except Exception as error:
                raise _NotLoaded from error
        return self._model[1]

    def _file(self, job: Job, index: int, footage: Footage, worker: Worker) -> ClipDone:
        """Encode and store one clip: latents and tail first, since only they are dear."""
        from shots import frames

        latents = self._files.put_bytes(footage.latents_bytes(), ".safetensors")
        tail = self._files.put_bytes(footage.tail.to_bytes(), ".safetensors") if footage.tail else None
        with self._files.scratch() as folder:
            path = folder / "take.mkv"
            tags = {"longtake": json.dumps(_record(job, index, footage.spec, worker), sort_keys=True)}
            frames.write_take(path, footage.frames, tags)
            size = path.stat().st_size
            video = self._files.put_file(path, ".mkv")
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
            frames_digest=frames.frames_digest(footage.frames),
            nfe=footage.nfe,
            seconds=footage.seconds,
            bytes=stored,
            code_version=worker.code_version,
            environment=worker.environment | {"device": worker.device, "worker": worker.name},
            model_digest=footage.spec.model.digest,
        )
        return ClipDone(job.id, index, row)


def _record(job: Job, index: int, spec: ClipSpec, worker: Worker) -> dict[str, object]:
    """The lineage that a take carries in its own file."""
    return {
        "kind": "longtake.take",
        "version": 1,
        "key": spec.key,
        "slate": {"film": job.film, "shot": job.shot, "clip": job.first + index},
        "spec": spec.to_dict(),
        "tail": job.tail if index == 0 else None,
        "code_version": worker.code_version,
        "environment": worker.environment | {"device": worker.device},
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class _NotLoaded(Exception):
    """The model could not be loaded; the cause says why."""


def _failure(error: BaseException, lines: deque[str]) -> Failure:
    loading = isinstance(error, _NotLoaded)
    error = error.__cause__ if loading and error.__cause__ else error
    trace = "".join(traceback.format_exception(error))
    ours = isinstance(error, ShotsError | StorageError)
    machine = loading or isinstance(error, StorageError | OSError | MemoryError)
    message = str(error) if ours or str(error) else repr(error)
    file = error.id if isinstance(error, FileDamaged | FileMissing) else None
    return Failure(type(error).__name__, message, trace, "\n".join(lines), machine, file)


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
