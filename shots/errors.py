"""What can go wrong while making pixels.

    ShotsError
    +-- SpecError          a clip spec or stored state that this version cannot read
    +-- ModelError
    |   +-- ModelNotFound      no such model here
    |   +-- ModelIncomplete    files are missing, or not what they should be
    |   +-- ModelRefuses       the model cannot do what is asked (size, frames, method)
    +-- NotEnoughMemory    the device's memory does not do, whatever was tried
    +-- BadFootage         the network returned something that is not a picture (NaN, wrong shape)
    +-- VideoUnreadable    a video file that is missing, damaged, or not what it should be
    +-- PrintRefused       a size, rate or codec that no print can have
    +-- Interrupted        asked to stop between two steps
    +-- NeighbourLost      the group that makes the clips before has ended without saying all

Every message says what, the given value, what is allowed and what to do next.
"""

from __future__ import annotations

from typing import Self


class ShotsError(Exception):
    """Root of all errors of this room."""


class SpecError(ShotsError):
    """A clip spec, or a stored state, that this version cannot read."""


class ModelError(ShotsError):
    """Something about a model. at: which of its settings, as a storyboard names it; none: the model itself."""

    at: tuple[str | int, ...] = ()

    def concerning(self, *at: str | int) -> Self:
        """The same error, of this setting."""
        self.at = at
        return self


class ModelNotFound(ModelError):
    """No model of that name here."""


class ModelIncomplete(ModelError):
    """The model's folder lacks files or holds files that cannot be read."""


class ModelRefuses(ModelError):
    """The model cannot make what is asked of it."""


class NotEnoughMemory(ShotsError):
    """The device's memory is not enough, on the last rung of the ladder (`shots.memory`), too."""


class BadFootage(ShotsError):
    """The network returned values that are not a picture."""


class VideoUnreadable(ShotsError):
    """A video file is missing, damaged, or not what it should be."""


class PrintRefused(ShotsError):
    """A size, rate or codec that no print can have."""


class Interrupted(ShotsError):
    """Asked to stop; raised between two steps."""


class NeighbourLost(ShotsError):
    """The group that makes the clips before, at the same time, has ended without handing over all that was needed."""
