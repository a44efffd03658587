"""What is sent in a thread beside the work: the newest of each name, never in the way, never more than a line bears.

Whoever works hands something over and goes on at once. What comes later under a name takes the place of what still
waits under it, so of a name at most one waits and one is on its way, however slow the line is. What fails is tried
again until something newer has taken its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

SHARE = 0.1
"""Part of the time that the line may be in use, but for what is eager."""
SOON, LATE = 0.2, 30.0
"""Seconds until what failed is tried again: at first, and at most."""


@dataclass(frozen=True)
class _Errand:
    run: Callable[[], object]
    eager: bool


class Errands:
    """A line of errands. The thread begins with the first one and ends when nothing waits.

    failed: told of each errand that raises, in that thread. went: told of each that does not.
    """

    def __init__(self, failed: Callable[[Exception], None], went: Callable[[], None]) -> None:
        self._failed, self._went = failed, went
        self._news = threading.Condition()  # guards all below
        self._waiting: dict[str, _Errand] = {}
        self._under_way = ""
        self._given_up = False  # what is under way
        self._rests = 0.0  # until then only what is eager is begun
        self._paused = 0.0  # until then nothing is begun: the last one failed
        self._pause = SOON
        self._hurry = 0  # who waits in `flush`
        self._thread: threading.Thread | None = None

    def put(self, name: str, run: Callable[[], object], eager: bool = False) -> None:
        """Have this done, in place of what waits under that name. Returns at once."""
        with self._news:
            self._waiting[name] = _Errand(run, eager)
            if self._thread is None or not self._thread.is_alive():  # a forked child has none
                self._thread = threading.Thread(target=self._work, name="longtake-errands", daemon=True)
                self._thread.start()
            self._news.notify_all()

    @property
    def busy(self) -> bool:
        """Whether anything waits or is on its way."""
        with self._news:
            return bool(self._waiting or self._under_way)

    def flush(self, seconds: float) -> bool:
        """Wait, so long at most, until everything is done, without a rest; whether it is."""
        with self._news:
            self._hurry += 1
            self._paused, self._pause = 0.0, SOON
            self._news.notify_all()
            try:
                return self._news.wait_for(lambda: not self._waiting and not self._under_way, seconds)
            finally:
                self._hurry -= 1

    def clear(self) -> None:
        """Let go of all that waits; what is under way is not tried again."""
        with self._news:
            self._waiting.clear()
            self._given_up = True
            self._news.notify_all()

    def _work(self) -> None:
        while (found := self._next()) is not None:
            name, errand = found
            began = time.monotonic()
            try:
                errand.run()
            except Exception as error:  # each plugin has errors of its own for what a network does
                self._failed(error)
                self._back(name, errand)
            else:
                self._went()
                self._done(time.monotonic() - began)

    def _next(self) -> tuple[str, _Errand] | None:
        """What is begun now, as soon as that may be; None when nothing waits, and then this thread is none any more."""
        with self._news:
            while self._waiting:
                now = time.monotonic()
                rests = 0.0 if self._hurry else self._rests
                due = {name: max(self._paused, 0.0 if it.eager else rests) for name, it in self._waiting.items()}
                name = min(due, key=lambda name: due[name])
                if due[name] <= now:
                    self._under_way, self._given_up = name, False
                    return name, self._waiting.pop(name)
                self._news.wait(due[name] - now)
            self._thread = None
            return None

    def _back(self, name: str, errand: _Errand) -> None:
        with self._news:
            if not self._given_up:
                self._waiting.setdefault(name, errand)
            self._paused = time.monotonic() + self._pause
            self._pause = self._pause if self._hurry else min(2 * self._pause, LATE)
            self._under_way = ""
            self._news.notify_all()

    def _done(self, took: float) -> None:
        with self._news:
            now = time.monotonic()
            self._rests, self._paused, self._pause = now + took * (1 / SHARE - 1), 0.0, SOON
            self._under_way = ""
            self._news.notify_all()
