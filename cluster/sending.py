"""A camera that leaves: first its last checkpoint is sent to the store, where that is elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable

from storage.checkpoints import Checkpoints

from .job import Event, JobStopped, Sending

log = logging.getLogger("longtake.camera")
SEND_SECONDS = 45.0
"""Seconds for which it is tried."""


def sends_first(store: Checkpoints, emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """`emit`, which tells that a job has stopped when its last checkpoint is in the store, where that is elsewhere.

    The camera may be let go, and its machine with it, as soon as that is told. `Sending` is told before the wait.
    """

    def told(event: Event) -> None:
        if isinstance(event, JobStopped) and store.busy:
            emit(Sending(event.job))
            if not store.flush(SEND_SECONDS):
                log.warning("the last checkpoint was not sent within %.0f s: it is on this machine alone", SEND_SECONDS)
        emit(event)

    return told
