"""Ctrl-C, SIGTERM and a closed terminal, as one flag that the run loop looks at.

The first signal asks: the loop ends between two steps, writes the ledger and says how to go on. A second
Ctrl-C ends the process at once; the ledger is valid at any moment, so nothing finished is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGHUP: 75}

GRACE = 2.0
"""Seconds that a person, or who else sends signals, is kept waiting."""


class Stopped(BaseException):
    """Told to stop while nothing was under way that needs an orderly end. A BaseException, like KeyboardInterrupt."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Stop:
    """Context manager: handles the signals while it is open. `asked` is the exit code to end with, or None. `grace`:
    seconds that cameras get to stop between two steps."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.grace = GRACE
        self._patient = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in EXIT_CODES}
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def patiently(self) -> None:
        """From now on the caller looks at `asked`; before this call a signal raises `Stopped` at once."""
        self._patient = True
        self.check()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While this is open a signal raises `Stopped`: for calls that block and cannot look at `asked`."""
        self.check()
        self._patient = False
        try:
            yield
        finally:
            self._listen()  # ray.init puts a SIGTERM handler of its own in our place
            self._patient = True

    def _listen(self) -> None:
        for number in EXIT_CODES:
            signal.signal(number, self._heard)

    def check(self) -> None:
        """Raise `Stopped` when a signal has come."""
        if self.asked is not None:
            raise Stopped(self.asked)

    def _heard(self, number: int, _: FrameType | None) -> None:
        code = EXIT_CODES[signal.Signals(number)]
        if self.asked is not None:
            os._exit(code)
        self.asked = code
        if not self._patient:
            raise Stopped(code)
