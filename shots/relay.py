"""One shot on several cameras at the same time: what a group of clips hears of the group before it, state by state.

A stored `Tail` holds all that a clip leaves to the next one. Its parts are known long before the clip is done: the
first noise at once, and the last M frames entering step i as soon as step i begins. A clip's state depends on no later
state of the clip before it (`chain`), so a group can follow one that is still running, at most a step behind:

    group 1   noise | step 0 | step 1 | step 2 | ...
    group 2         noise | step 0 | step 1 | step 2 | ...

Who carries the frames is not told here: `Share` is called with them on one side, `Hear` waits for them on the other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

NOISE = -1
"""Stands for the first noise where a number of a state is asked for."""

Hear = Callable[[int], torch.Tensor]
"""Waits for a state of the clip before: float32 [C, M, h, w] on the CPU, of `NOISE` [C, N, h, w].

Raises Interrupted when it was told to stop, NeighbourLost when nobody will tell any more.
"""

Share = Callable[[int, torch.Tensor], None]
"""Is told each state of a group's last clip after that clip's own copies, float32 [C, M, h, w] on the CPU; before them
`NOISE` [C, N, h, w]. A group that goes on from a checkpoint tells everything so far first."""


class LiveTail:
    """The tail of a clip that somebody else is making now: `Tail`'s noise and states, each of which waits until it is
    there. key: of that clip. waiting: somebody is waiting, or was when it ended with an error."""

    def __init__(self, key: str, hear: Hear) -> None:
        self.key = key
        self.waiting = False
        self._hear = hear
        self._noise: torch.Tensor | None = None

    @property
    def noise(self) -> torch.Tensor:
        """What the clip started from, [C, N, h, w]."""
        if self._noise is None:
            self._noise = self[NOISE]
        return self._noise

    @property
    def states(self) -> LiveTail:
        """What `self[state]` waits for."""
        return self

    def __getitem__(self, state: int) -> torch.Tensor:
        """Its last M frames entering step `state`, after its own copies, [C, M, h, w]."""
        self.waiting = True
        heard = self._hear(state)
        self.waiting = False
        return heard
