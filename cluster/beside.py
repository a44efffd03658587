"""Parts of one shot of windows, each on a camera of its own: what they say to each other besides frames.

After each step a part needs what the parts beside it say of that step (`shots.windows`), so none is more than one step
ahead of the next, and over all `count` parts the first is never more than count - 1 ahead of the last. Words travel
with the frames, one part a step: what one of them says after step i, all of them know when step i + count - 1 is done.

So all keep their checkpoints after the same steps, and a part that is told to stop names the step after which all do.
When several name one, they stop at the first, which everybody knows by then: nothing has to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .job import Part
from .relay import Inbox, Marks

if TYPE_CHECKING:
    import numpy as np
    import torch

    from shots.relay import Hear, Share
    from shots.windows import Beside

Say = Callable[[int, "np.ndarray", Marks], None]
"""(step, frames, marks): tells a neighbour; returns at once."""
BEGINNING = 0
"""Stands for what is said before the first step, where a number of a step is asked for."""
ON_ITS_WAY = 2.0
"""Seconds in which the last words of a part that has ended arrive."""


@dataclass(frozen=True)
class Side:
    """The part to the left or to the right. inbox: what it says. say: tells it something."""

    inbox: Inbox
    say: Say


Sides = tuple[Side | None, Side | None]
"""Left and right; None at the ends of the shot."""


class Abreast:
    """One part among those beside it. steps: of sampling. stop: whether this camera was told to stop."""

    def __init__(self, part: Part, steps: int, sides: Sides, stop: Callable[[], bool]) -> None:
        self._part, self._steps, self._stop = part, steps, stop
        self._left, self._right = sides
        self._keep = self._end = 0  # marks

    def begin(self, steps: Iterable[int]) -> int:
        """The step from which all parts can go on. steps: those from which this one could, besides the beginning.

        Raises:
            Interrupted: it was told to stop. NeighbourLost: another part is no more.
        """
        import numpy as np

        known = np.array(sorted({0, *steps}), dtype=np.int64)
        if self._left:
            known = np.intersect1d(known, self._hear(self._left, BEGINNING, self._stop))
        if self._right:
            self._right.say(BEGINNING, known, self._marks)
            known = self._hear(self._right, BEGINNING, self._stop)
        if self._left:
            self._left.say(BEGINNING, known[-1:], self._marks)
        return int(known[-1])

    @property
    def beside(self) -> Beside:
        """The neighbours, for `shots.shoot`."""
        from shots.windows import Beside

        left = (self._hears(self._left), self._tells(self._left)) if self._left else (None, None)
        right = (self._hears(self._right), self._tells(self._right)) if self._right else (None, None)
        return Beside(*left, *right)

    def keeps(self, step: int, due: Callable[[bool, int], bool]) -> bool:
        """Do all parts keep a checkpoint after this step? due: `Bookmark.due`; the first part asks it for all."""
        ahead = self._part.count - 1
        if self._stop() and not self._end:
            self._end = min(step + ahead, self._steps)
        if step == self._steps:
            return due(True, 0) or step == self._end
        if not self._left and step > self._keep and due(False, ahead):
            self._keep = step + ahead
        return step in (self._keep, self._end)

    def ends(self, step: int) -> bool:
        """Do all parts stop after this step?"""
        return step == self._end

    @property
    def _marks(self) -> Marks:
        return self._keep, self._end

    def _hear(self, side: Side, step: int, stop: Callable[[], bool]) -> np.ndarray:
        said = side.inbox.take(step, stop, ON_ITS_WAY)
        keep, end = side.inbox.marks(step)
        self._keep = max(self._keep, keep)
        self._end = min(self._end or end, end) if end else self._end
        side.inbox.forget(step)
        return said

    def _hears(self, side: Side) -> Hear:
        import numpy as np
        import torch

        def hear(step: int) -> torch.Tensor:
            # Whether to stop is not asked here: the neighbour goes on to where all stop, or is lost.
            # A copy: what comes out of a store of objects is read-only, which torch does not know.
            return torch.from_numpy(np.array(self._hear(side, step, lambda: False)))

        return hear

    def _tells(self, side: Side) -> Share:
        def tell(step: int, frames: torch.Tensor) -> None:
            side.say(step, frames.numpy(), self._marks)

        return tell
