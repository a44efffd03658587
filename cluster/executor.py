"""One interface for wherever work runs: submit, wait, cancel, close. `InProcess` runs it here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from .bookmark import EVERY
from .camera import Camera
from .job import Event, Job, JobStopped


class Executor(Protocol):
    """Runs jobs somewhere and reports events in the order they happen within each job."""

    def submit(self, job: Job) -> None:
        """Queue a job. Returns at once."""
        ...

    def wait(self, timeout: float) -> Sequence[Event]:
        """Events since the last call; waits up to `timeout` seconds for the first one."""
        ...

    def cancel(self) -> None:
        """Ask all jobs to stop between two steps; each ends with `JobStopped` (or whatever came first)."""
        ...

    def close(self) -> None:
        """Let go of all workers. Unfinished jobs are lost, stored clips are not."""
        ...


class InProcess:
    """One camera in a thread of this process. The model is loaded at the first job and stays warm."""

    def __init__(
        self,
        files: str | Path,
        device: str = "auto",
        threads: int | None = None,
        checkpoint_every: float = EVERY,
    ) -> None:
        self._camera = Camera(files, "local", device, threads, checkpoint_every)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stop = threading.Event()
        # A daemon: a step of a large model may take longer than a person waits after Ctrl-C.
        self._thread = threading.Thread(target=self._run, name="longtake-camera", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        events: list[Event] = []
        try:
            events.append(self._events.get(timeout=timeout))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            return events

    def cancel(self) -> None:
        self._stop.set()

    def close(self) -> None:
        stopping = self._stop.is_set()
        self._stop.set()
        self._jobs.put(None)
        self._thread.join(timeout=0.2 if stopping else 2.0)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._stop.is_set():
                self._events.put(JobStopped(job.id))
            else:
                self._camera.shoot(job, self._events.put, self._stop.is_set)
        self._camera.close()
