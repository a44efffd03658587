"""Where clips that are sampled are decoded while the camera samples the next ones.

    camera     | sample job 1 | sample job 2          | sample job 3
    darkroom                  | decode, encode job 1  | decode, encode job 2

One job is in it at most, so what waits for the VAE never piles up. What happens in it is told to whoever gave the job,
and to nobody else: when its decoding fails, that job fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from .job import Job

DecodeBeside = Literal["auto", "on", "off"]
"""Whether clips are decoded beside the sampling of the next. auto: where it can pay, on CUDA with everything in memory.
on: also on a CPU, which gains nothing by it."""
DECODE_BESIDE: tuple[str, ...] = get_args(DecodeBeside)


class Darkroom:
    """Two threads share a device: the one that samples, within `sampling`, and the one in here. Either may ask to be
    alone on it: the first with `clear`, the second with `alone`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._news = threading.Condition()
        self._sampling = self._alone = False
        self._thread: threading.Thread | None = None
        self.job: Job | None = None
        """What is in it."""
        self.crowded = False
        """Whether something was sampled while that was decoded."""

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Within: this thread, and no other, has the device sample. Waits while another does, or while somebody in here
        needs the device alone."""
        with self._news:
            self._news.wait_for(lambda: not self._sampling and not self._alone)
            self._sampling = True
            self.crowded = self.job is not None
        try:
            yield
        finally:
            with self._news:
                self._sampling = False
                self._news.notify_all()

    def enter(self, job: Job, work: Callable[[], None]) -> None:
        """Begin `work`, which must not raise, in a thread of its own. The darkroom must be clear."""
        with self._news:
            assert self.job is None
            self.job, self.crowded = job, False
            # A daemon: decoding a long clip may take longer than a person waits after Ctrl-C.
            self._thread = threading.Thread(target=self._work, args=(work,), name=f"{self._name}-darkroom", daemon=True)
        self._thread.start()

    @property
    def inside(self) -> bool:
        """Is it the thread in here that asks?"""
        return threading.current_thread() is self._thread

    def clear(self) -> None:
        """Wait until nothing is in here. By the thread that samples, which samples nothing meanwhile."""
        with self._news:
            before, self._sampling = self._sampling, False
            self._news.notify_all()
            self._news.wait_for(lambda: self.job is None)
            self._sampling = before

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within: nothing is sampled. Waits until that is so. By the thread in here."""
        with self._news:
            self._news.wait_for(lambda: not self._sampling)
            self._alone = True
        try:
            yield
        finally:
            with self._news:
                self._alone = False
                self._news.notify_all()

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._news:
                self.job = None
                self._news.notify_all()
