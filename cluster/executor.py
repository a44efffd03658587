"""One interface for wherever work runs: submit, withdraw, wait, desk, cancel, close. `InProcess` runs it here."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from .bookmark import Every
from .camera import Camera
from .darkroom import DecodeBeside
from .desk import Desk
from .job import ENDINGS, Event, Job, JobStopped, Sampled
from .schedule import Schedule, Seat


class Executor(Protocol):
    """Runs jobs somewhere and reports events in the order they happen within each job."""

    def submit(self, job: Job) -> None:
        """Queue a job. Returns at once.

        A job that `follows` another and has no tail yet waits until it is submitted once more, with its tail; where
        that is possible it is begun at the same time as the other, and what is submitted of it later means nothing.
        """
        ...

    def withdraw(self, job_id: str) -> None:
        """Do without a job: one that waits goes without an event, one that runs is stopped between two steps."""
        ...

    def wait(self, timeout: float) -> Sequence[Event]:
        """Events since the last call; waits up to `timeout` seconds for the first one."""
        ...

    def most_memory(self) -> int:
        """Bytes of the largest device that a camera has, 0 where nobody knows."""
        ...

    def desk(self) -> Desk | None:
        """Where work that needs no camera is done, from any thread; None: by whoever asks."""
        ...

    def cancel(self) -> None:
        """Ask all jobs to stop between two steps; each ends with `JobStopped` (or whatever came first)."""
        ...

    def close(self) -> None:
        """Let go of all workers. Unfinished jobs are lost, stored clips are not."""
        ...


class InProcess:
    """One camera in a thread of this process. The model is loaded at the first job and stays warm.

    decode_beside: as for `Camera`.
    """

    def __init__(
        self,
        files: str | Path,
        device: str = "auto",
        threads: int | None = None,
        checkpoint_every: Every = Every(),
        decode_beside: DecodeBeside = "auto",
    ) -> None:
        self._camera = Camera(files, "local", device, threads, checkpoint_every, decode_beside=decode_beside)
        self._waiting = Schedule()
        self._news = threading.Condition()  # guards what waits, what runs, and what is unwanted
        self._running: dict[str, Job] = {}  # what the camera has: what it samples, and what it decodes beside that
        self._unwanted: set[str] = set()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stopping = self._closed = False
        # A daemon: a step of a large model may take longer than a person waits after Ctrl-C.
        self._thread = threading.Thread(target=self._run, name="longtake-camera", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        with self._news:
            if self._stopping:
                self._events.put(JobStopped(job.id))
            elif job.id not in self._running:
                self._waiting.add(job)
                self._news.notify()

    def withdraw(self, job_id: str) -> None:
        with self._news:
            if self._waiting.remove(job_id) is None and job_id in self._running:
                self._unwanted.add(job_id)

    def wait(self, timeout: float) -> Sequence[Event]:
        events: list[Event] = []
        try:
            events.append(self._events.get(timeout=timeout))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            return events

    def most_memory(self) -> int:
        return self._camera.worker().memory

    def desk(self) -> Desk | None:
        return None

    def cancel(self) -> None:
        with self._news:
            self._stopping = True
            for job in self._waiting:
                self._waiting.remove(job.id)
                self._events.put(JobStopped(job.id))

    def close(self) -> None:
        stopping = self._stopping
        with self._news:
            self._stopping = self._closed = True
            self._news.notify()
        self._thread.join(timeout=0.2 if stopping else 2.0)

    def _run(self) -> None:
        seat = Seat("local")
        while (job := self._next(seat)) is not None:
            began = time.monotonic()
            self._camera.shoot(job, self._hear, partial(self._unwelcome, job.id))
            with self._news:
                self._waiting.spent(job.film, time.monotonic() - began, job.id)
            seat = Seat("local", warm=job.specs[0].model.digest, chain=job.keys[-1])
        self._camera.close()

    def _hear(self, event: Event) -> None:
        """What the camera says, also of a job that it decodes beside another."""
        with self._news:
            if isinstance(event, Sampled):
                self._waiting.hand_down(event.job, event.tail)
            elif isinstance(event, ENDINGS):
                self._running.pop(event.job, None)
                self._unwanted.discard(event.job)
        self._events.put(event)

    def _unwelcome(self, job_id: str) -> bool:
        return self._stopping or job_id in self._unwanted

    def _next(self, seat: Seat) -> Job | None:
        """The job to shoot now, as soon as there is one; None when this executor is closed."""
        with self._news:
            while True:
                if self._closed:
                    return None
                if (job := self._waiting.take(seat, time.time())) is not None:
                    self._running[job.id] = job
                    return job
                self._news.wait()
