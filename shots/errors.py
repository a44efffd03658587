"""What can go wrong while making pixels.

    ShotsError
    +-- SpecError          a clip spec or stored state that this version cannot read
    +-- ModelError
    |   +-- ModelNotFound      no such model here
    |   +-- ModelIncomplete    files are missing, or not what they should be
    |   +-- ModelRefuses       the model cannot do what is asked (size, frames, method)
    +-- BadFootage         the network returned something that is not a picture (NaN, wrong shape)
    +-- VideoUnreadable    a video file that is missing, damaged, or not what it should be
    +-- PrintRefused       a size, rate or codec that no print can have
    +-- Interrupted        asked to stop between two steps

Every message says what, the given value, what is allowed and what to do next.
"""


class ShotsError(Exception):
    """Root of all errors of this room."""


class SpecError(ShotsError):
    """A clip spec, or a stored state, that this version cannot read."""


class ModelError(ShotsError):
    """Something about a model."""


class ModelNotFound(ModelError):
    """No model of that name here."""


class ModelIncomplete(ModelError):
    """The model's folder lacks files or holds files that cannot be read."""


class ModelRefuses(ModelError):
    """The model cannot make what is asked of it."""


class BadFootage(ShotsError):
    """The network returned values that are not a picture."""


class VideoUnreadable(ShotsError):
    """A video file is missing, damaged, or not what it should be."""


class PrintRefused(ShotsError):
    """A size, rate or codec that no print can have."""


class Interrupted(ShotsError):
    """Asked to stop; raised between two steps."""
