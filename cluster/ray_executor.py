"""The executor's four methods on Ray: a pool of Camera actors, each with a warm model.

An actor is a `Camera` in a process of its own; its events come back as a Ray stream. A worker that dies ends
its job with a transient failure and is replaced; nothing that was stored is lost, because clips and tails are
in the content-addressed store and never only in Ray's object store.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from .bookmark import EVERY
from .camera import Camera
from .environment import code_version
from .errors import ClusterMismatch, ClusterUnreachable, NoCamera
from .job import ENDINGS, Event, Failure, Job, JobFailed, JobStopped, Worker
from .schedule import pick

log = logging.getLogger("longtake.ray")
START_SECONDS = 120
KNOCK_SECONDS = 4


def _knock(address: str) -> None:
    """Find out quickly that nobody listens at `host:port`: Ray itself tries for minutes.

    Raises:
        ClusterUnreachable: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # `auto` and other words are Ray's to understand
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(f"no Ray cluster answers at {address!r}", error) from None


def _check_version(worker: Worker) -> None:
    if worker.code_version != code_version():
        raise ClusterMismatch(
            f"{worker.name} on {worker.host} runs longtake {worker.code_version}, we run {code_version()}: "
            "their pixels could differ. Install the same version on every node."
        )


def _unreachable(what: str, error: Exception) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"{what}: {error}. Check RAY_ADDRESS (and RAY_AUTH_MODE=token, when the cluster asks for a token), "
        "start a cluster with `ray start --head`, or use `--on local`."
    )


@dataclass
class _Seat:
    """A camera actor and what it is doing. `coming` is its first word, until it has been heard."""

    name: str
    actor: Any
    coming: Any = None
    since: float = 0.0
    job: Job | None = None
    stream: Any = None
    warm: str | None = None


class RayCamera:
    """A `Camera` inside a Ray actor (two threads: one renders, one hears `stop`)."""

    def __init__(self, files: str, name: str, device: str, threads: int, checkpoint_every: float) -> None:
        self._camera = Camera(files, name, device, threads, checkpoint_every)
        self._stop = threading.Event()

    def worker(self) -> Worker:
        """Who this camera is; also proves that the actor is up."""
        return self._camera.worker()

    def stop(self) -> None:
        """Stop the running job between two steps."""
        self._stop.set()

    def shoot(self, job: Job) -> Iterator[Event]:
        """Render a job; yields its events as they happen."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        thread = threading.Thread(target=self._camera.shoot, args=(job, events.put, self._stop.is_set), daemon=True)
        thread.start()
        while True:
            event = events.get()
            yield event
            if isinstance(event, ENDINGS):
                return


class OnRay:
    """Camera actors on a Ray cluster: the one at `address`, or one started here and stopped at `close`.

    cameras: how many actors; by default one a GPU, or on a cluster without GPUs one a CPU core.
    checkpoint_every: seconds, as for `Camera`.

    Raises:
        ClusterUnreachable: no Ray at the address.
        NoCamera: the cluster cannot hold even one camera.
        ClusterMismatch: a worker's code version differs from the driver's.
    """

    def __init__(
        self,
        files: str | Path,
        address: str | None = None,
        cameras: int | None = None,
        checkpoint_every: float = EVERY,
    ) -> None:
        self._every = checkpoint_every
        self._files = str(files) if "://" in str(files) else str(Path(files).resolve())
        self._own = address is None
        self._connect(address)
        try:
            self._seats = self._hire(cameras)
        except BaseException:
            self._disconnect()
            raise
        self._waiting: list[Job] = []
        self._spare: list[Event] = []
        self._stopping = False

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._seat_jobs()

    def wait(self, timeout: float) -> Sequence[Event]:
        try:
            return self._wait(timeout)
        except RayError as error:
            raise ClusterUnreachable(
                f"the Ray cluster went away: {error}. Finished clips are kept; run the same command again."
            ) from None

    def _wait(self, timeout: float) -> Sequence[Event]:
        events, self._spare = self._spare, []
        busy = {seat.stream: seat for seat in self._seats if seat.stream is not None}
        if not busy:
            if not events and timeout:
                time.sleep(min(timeout, 0.05))
            self._seat_jobs()
            return events
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=0.0 if events else timeout)
        while ready:
            for stream in ready:
                events.append(self._take(busy[stream]))
            busy = {seat.stream: seat for seat in self._seats if seat.stream is not None}
            ready = ray.wait(list(busy), num_returns=len(busy), timeout=0.0)[0] if busy else []
            if len(events) > 64:
                break
        self._seat_jobs()
        return events

    def cancel(self) -> None:
        self._stopping = True
        self._spare += [JobStopped(job.id) for job in self._waiting]
        self._waiting.clear()
        for seat in self._seats:
            if seat.job:
                seat.actor.stop.remote()

    def close(self) -> None:
        try:
            for seat in self._seats:
                ray.kill(seat.actor)
        except RayError as error:
            log.warning("cameras could not be ended: %s", error)
        finally:
            self._disconnect()

    def _take(self, seat: _Seat) -> Event:
        """The next event of a busy seat; a dead actor becomes a failure of its job."""
        assert seat.job is not None
        job = seat.job
        try:
            event: Event = ray.get(next(seat.stream))
        except (RayError, StopIteration) as error:
            event = self._bury(seat, job, error)
        if isinstance(event, ENDINGS):
            seat.job = seat.stream = None
        return event

    def _bury(self, seat: _Seat, job: Job, error: BaseException) -> Event:
        """Replace a dead actor; its job failed through no fault of its own, or was stopped."""
        log.warning("%s died: %s", seat.name, error)
        if isinstance(error, RayActorError | StopIteration):
            ray.kill(seat.actor)
            seat.actor, seat.warm = self._actor(seat.name), None
            seat.coming, seat.since = seat.actor.worker.remote(), time.monotonic()
        if self._stopping:
            return JobStopped(job.id)
        message = f"the worker died while rendering {job.film} {job.shot}"
        return JobFailed(job.id, Failure("WorkerDied", message, log_tail=str(error)))

    def _seat_jobs(self) -> None:
        """Give waiting jobs to free cameras, preferring the one that has the model warm."""
        self._meet_replacements()
        for seat in [seat for seat in self._seats if seat.job is None and seat.coming is None]:
            choice = pick(self._waiting, seat.warm)
            if choice is None or self._stopping:
                return
            job = self._waiting.pop(choice)
            seat.job, seat.warm = job, job.specs[0].model.digest
            seat.stream = seat.actor.shoot.options(num_returns="streaming").remote(job)

    def _meet_replacements(self) -> None:
        """A replaced camera gets jobs once it has answered; one that never does (its node is gone) leaves the pool."""
        for seat in [seat for seat in self._seats if seat.coming is not None]:
            if ray.wait([seat.coming], timeout=0)[0]:
                try:
                    _check_version(ray.get(seat.coming))
                    seat.coming = None
                except RayError as error:
                    log.warning("%s did not come back: %s", seat.name, error)
                    self._seats.remove(seat)
            elif time.monotonic() - seat.since > START_SECONDS:
                log.warning("%s did not come back within %d s", seat.name, START_SECONDS)
                ray.kill(seat.actor)
                self._seats.remove(seat)
        if not self._seats:
            raise NoCamera(
                "no camera is left: every worker died, and none came back. See `ray status`, then run again."
            )

    def _connect(self, address: str | None) -> None:
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")
        quiet = {"log_to_driver": False, "configure_logging": False}
        if address:
            _knock(address)
        try:
            if address:
                ray.init(address=address, namespace="longtake", **quiet)
            else:
                ray.init(address="local", include_dashboard=False, namespace="longtake", **quiet)
        except (ConnectionError, RayError, ValueError, RuntimeError, OSError) as error:
            where = f"no Ray cluster answers at {address!r}" if address else "a local Ray could not be started"
            raise _unreachable(where, error) from None

    def _hire(self, cameras: int | None) -> list[_Seat]:
        have = ray.cluster_resources()
        self._gpus = int(have.get("GPU", 0))
        cpus = int(have.get("CPU", 0))
        room = self._gpus or cpus
        if room < 1:
            raise NoCamera(f"the cluster offers {have}: a camera needs a GPU or a CPU core. Add a node and try again.")
        wanted = min(cameras or room, room)
        self._threads = max(1, cpus // wanted)
        seats = [_Seat(name, self._actor(name)) for name in (f"camera-{n + 1}" for n in range(wanted))]
        try:
            workers = ray.get([seat.actor.worker.remote() for seat in seats], timeout=START_SECONDS)
        except RayError as error:
            raise NoCamera(
                f"{wanted} cameras did not start in {START_SECONDS} s: {error}. Is longtake installed on every node?"
            ) from None
        for worker in workers:
            _check_version(worker)
        return seats

    def _actor(self, name: str) -> Any:
        resources = {"num_gpus": 1, "num_cpus": 1} if self._gpus else {"num_cpus": 1}
        actor = ray.remote(RayCamera).options(max_concurrency=2, max_restarts=0, **resources)
        device = "cuda" if self._gpus else "cpu"
        return actor.remote(self._files, name, device, self._threads, self._every)

    def _disconnect(self) -> None:
        if ray.is_initialized():
            ray.shutdown()
