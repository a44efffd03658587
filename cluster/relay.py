"""Neighbours of one chain, each on a camera of its own: what one hears of the other (`Inbox`) and says to it (`Baton`).

Knows no Ray, and no torch until a clip is made. What is said is a state of a clip (`shots.relay`) as a numpy array.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shots.errors import Interrupted, NeighbourLost

from .job import Job

if TYPE_CHECKING:
    import numpy as np
    import torch

    from shots.relay import LiveTail
    from shots.shoot import Tail

Hand = Callable[[int, "np.ndarray"], None]
"""(state, frames): hands a state to the camera that follows; returns at once."""

BREATH = 0.1
"""Seconds after which somebody who waits looks whether it was told to stop."""
Marks = tuple[int, int]
"""Of parts that make every step together: the steps after which all of them keep a checkpoint, and stop; 0 for none."""
UNMARKED: Marks = (0, 0)


class Inbox:
    """What the job before says, kept until it is asked for: early or late, in any order, and some of it twice."""

    def __init__(self) -> None:
        self._said: dict[int, np.ndarray] = {}
        self._marks: dict[int, Marks] = {}
        self._lost = ""
        self._since = 0.0
        self._news = threading.Condition()
        self.missed = False

    def put(self, state: int, frames: np.ndarray, marks: Marks = UNMARKED) -> None:
        """The job before has said this."""
        with self._news:
            self._said[state], self._marks[state] = frames, marks
            self._news.notify_all()

    def marks(self, state: int) -> Marks:
        """What was said with a state that has been taken."""
        return self._marks.get(state, UNMARKED)

    def forget(self, state: int) -> None:
        """No state before this one will be asked for any more."""
        with self._news:
            for said in (self._said, self._marks):
                for old in [each for each in said if each < state]:
                    del said[old]

    def end(self, tail: Tail) -> None:
        """All has been said: this is the tail that was left."""
        from shots.relay import NOISE

        with self._news:
            self._said |= dict(enumerate([tail.noise.numpy(), *tail.states.numpy()], NOISE))
            self._news.notify_all()

    def lose(self, why: str) -> None:
        """Nothing more will be said."""
        with self._news:
            self._lost, self._since = why, time.monotonic()
            self._news.notify_all()

    def take(self, state: int, stop: Callable[[], bool], patience: float = 0.0) -> np.ndarray:
        """Wait for a state. patience: seconds for what is still on its way when nothing more will be said.

        Raises:
            Interrupted: `stop` says so. NeighbourLost: it was not said, and will not be; `missed` is true from now on.
        """
        with self._news:
            while state not in self._said:
                if stop():
                    raise Interrupted
                if self._lost and time.monotonic() - self._since >= patience:
                    self.missed = True
                    raise NeighbourLost(self._lost)
                self._news.wait(BREATH)
            return self._said[state]


class Baton:
    """What a job leaves to the one that follows it. All of it is kept, so that one that is seated late gets it, too."""

    def __init__(self) -> None:
        self._said: dict[int, np.ndarray] = {}
        self._hand: Hand | None = None
        self._lock = threading.Lock()

    def share(self, state: int, frames: torch.Tensor) -> None:
        """`on_share` of `shots.shoot`."""
        with self._lock:
            self._said[state] = frames.numpy()
            if self._hand:
                self._hand(state, self._said[state])

    def lead(self, hand: Hand) -> None:
        """From now on hand everything to this follower, what was said so far first."""
        with self._lock:
            self._hand = hand
            for state, frames in self._said.items():
                hand(state, frames)


def live_tail(job: Job, inbox: Inbox, stop: Callable[[], bool]) -> LiveTail:
    """The tail that the job begins with, while it is still being made elsewhere."""
    import numpy as np
    import torch

    from shots.relay import LiveTail

    # A copy: what comes out of a store of objects is read-only, which torch does not know.
    return LiveTail(job.specs[0].previous or "", lambda state: torch.from_numpy(np.array(inbox.take(state, stop))))
