"""Numbers for Prometheus: which there are, and the two ways there. On Ray its own metrics carry them, from every node;
elsewhere a small server on this machine does. Where neither is asked for, nothing is imported and nothing counted.

Prometheus shows a counter's name with `_total`; Ray puts `ray_` before all names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from .job import ClipDone, Event, Job, JobDone, Stepped

log = logging.getLogger("longtake.metrics")
SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Metric:
    """One number, or one for each combination of `labels`."""

    kind: Literal["gauge", "counter", "histogram"]
    says: str
    labels: tuple[str, ...] = ()


METRICS = {
    "longtake_clips": Metric("gauge", "Clips of films under way: done, rendering, waiting, held.", ("film", "state")),
    "longtake_film_progress": Metric("gauge", "How much of a film is there, 0 to 1.", ("film",)),
    "longtake_films_ended": Metric("counter", "Films that ended: done, partial, failed, spent.", ("state",)),
    "longtake_queue_length": Metric("gauge", "Clips that wait for a camera."),
    "longtake_cameras": Metric("gauge", "Cameras that have worked: busy, waiting.", ("state",)),
    "longtake_nodes_aside": Metric("gauge", "Nodes that get no more work."),
    "longtake_retries": Metric("counter", "Failed tries that are tried again.", ("film", "error")),
    "longtake_lost_clips": Metric("counter", "Clips' worth of sampling lost to failures.", ("film",)),
    "longtake_step_seconds": Metric("histogram", "Seconds of a denoising step of a group.", ("model",)),
    "longtake_camera_busy_seconds": Metric("counter", "Seconds inside networks and VAE.", ("camera", "host")),
    "longtake_network_evaluations": Metric("counter", "Network evaluations of finished clips.", ("model",)),
    "longtake_frames": Metric("counter", "Frames of finished clips.", ("model",)),
}


class Meter(Protocol):
    """Where numbers go. Names and labels are those of METRICS."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """A gauge has this value now."""
        ...

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """A counter grows by so much; nothing happens for 0."""
        ...

    def observe(self, name: str, value: float, **labels: str) -> None:
        """A histogram gets one more value."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class RayMeter:
    """Ray's metrics, exported by every node's agent. What is said while Ray is not connected is dropped."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def set(self, name: str, value: float, **labels: str) -> None:
        if metric := self._metric(name):
            metric.set(value, tags=labels)

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        if value > 0 and (metric := self._metric(name)):
            metric.inc(value, tags=labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        if metric := self._metric(name):
            metric.observe(value, tags=labels)

    def close(self) -> None:
        self._made.clear()

    def _metric(self, name: str) -> Any:
        import ray
        from ray.util import metrics

        if not ray.is_initialized():
            return None
        if name not in self._made:
            what = METRICS[name]
            kind = {"gauge": metrics.Gauge, "counter": metrics.Counter, "histogram": metrics.Histogram}[what.kind]
            more = {"boundaries": list(SECONDS)} if what.kind == "histogram" else {}
            self._made[name] = kind(name, description=what.says, tag_keys=what.labels, **more)
        return self._made[name]


class ServedMeter:
    """A page for Prometheus at http://127.0.0.1:PORT/metrics, for as long as the render lasts.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int) -> None:
        import prometheus_client as client

        self._registry = client.CollectorRegistry()
        kinds: dict[str, Any] = {"gauge": client.Gauge, "counter": client.Counter, "histogram": client.Histogram}
        self._made: dict[str, Any] = {}
        for name, what in METRICS.items():
            more = {"buckets": SECONDS} if what.kind == "histogram" else {}
            self._made[name] = kinds[what.kind](name, what.says, what.labels, registry=self._registry, **more)
        self._server, self._thread = client.start_http_server(port, addr="127.0.0.1", registry=self._registry)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def set(self, name: str, value: float, **labels: str) -> None:
        self._of(name, labels).set(value)

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        self._of(name, labels).inc(max(0.0, value))

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._of(name, labels).observe(value)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)

    def _of(self, name: str, labels: dict[str, str]) -> Any:
        return self._made[name].labels(**labels) if labels else self._made[name]


class CameraMeter:
    """What cameras count: step times, busy seconds, network evaluations, frames."""

    def __init__(self, meter: Meter, clock: Callable[[], float] = time.perf_counter) -> None:
        self._meter, self._clock = meter, clock
        self._steps: dict[str, tuple[int, float]] = {}  # job -> its last step, and when
        self._busy: dict[str, float] = {}  # job -> seconds that have been counted

    def stepped(self, job: str, step: int, model: str, camera: str, host: str) -> None:
        """A job has come to this step."""
        now = self._clock()
        before, since = self._steps.get(job, (step, now))
        if step == before + 1:
            self._meter.observe("longtake_step_seconds", now - since, model=model)
            self._meter.add("longtake_camera_busy_seconds", now - since, camera=camera, host=host)
            self._busy[job] = self._busy.get(job, 0.0) + now - since
        self._steps[job] = step, now

    def clip(self, nfe: int, frames: int, model: str) -> None:
        """A clip is stored."""
        self._meter.add("longtake_network_evaluations", nfe, model=model)
        self._meter.add("longtake_frames", frames, model=model)

    def ended(self, job: str, busy: float, camera: str, host: str) -> None:
        """A job has ended. busy: its seconds inside networks and VAE, 0 where they are not known."""
        self._steps.pop(job, None)
        rest = busy - self._busy.pop(job, 0.0)
        self._meter.add("longtake_camera_busy_seconds", max(0.0, rest), camera=camera, host=host)


def metered(
    job: Job, camera: str, host: str, meter: CameraMeter, emit: Callable[[Event], None]
) -> Callable[[Event], None]:
    """`emit`, with every event of the job counted on its way; a mistake in counting ends nothing."""
    model = job.specs[0].model.id

    def counted(event: Event) -> None:
        try:
            if isinstance(event, Stepped):
                meter.stepped(job.id, event.step, model, camera, host)
            elif isinstance(event, ClipDone):
                meter.clip(event.take.nfe, event.take.frames, model)
            elif isinstance(event, JobDone):
                meter.ended(job.id, event.busy, camera, host)
        except Exception:
            log.debug("an event could not be counted", exc_info=True)
        emit(event)

    return counted
