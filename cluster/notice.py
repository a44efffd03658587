"""How long it takes until the death of a camera is noticed."""

from __future__ import annotations

import os
import signal
import time

from .executor import Executor
from .job import ENDINGS, Job, JobFailed, Started, Stepped


def seconds_to_notice(executor: Executor, job: Job, at_most: float = 120.0) -> float:
    """Kill the camera that renders `job`, on this machine, after its first step; seconds until its `JobFailed` comes.

    The job must take some time, and be the only one.

    Raises:
        TimeoutError: it was not noticed in `at_most` seconds, or the job ended before it could be killed.
    """
    executor.submit(job)
    pid, killed, limit = 0, 0.0, time.monotonic() + at_most
    while time.monotonic() < limit:
        for event in executor.wait(0.05):
            if isinstance(event, Started):
                pid = event.worker.pid
            elif isinstance(event, Stepped) and event.step and not killed:
                os.kill(pid, signal.SIGKILL)
                killed = time.monotonic()
            elif isinstance(event, ENDINGS):
                if killed and isinstance(event, JobFailed):
                    return time.monotonic() - killed
                raise TimeoutError(f"job {job.id} ended before its camera could be killed: {event}")
    raise TimeoutError(f"nobody noticed within {at_most:.0f} s that the camera of job {job.id} died")
