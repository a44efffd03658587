"""How a job's work ends: done, stopped, or failed, with why and the last lines that were logged."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shots.errors import Interrupted, NeighbourLost, NotEnoughMemory, ShotsError
from storage.errors import FileDamaged, FileMissing, StorageError

from .job import Event, Failure, Job, JobFailed, JobStopped
from .secrets import hidden

log = logging.getLogger("longtake.camera")
LOG_LINES = 40


def ended(job: Job, emit: Callable[[Event], None], work: Callable[[], Event | None]) -> None:
    """Tell how a job's work has ended, where it has; never raises."""
    with _log_tail() as lines:
        try:
            if event := work():
                emit(event)
        except Interrupted:
            emit(JobStopped(job.id))
        except NeighbourLost as error:
            emit(JobStopped(job.id, str(error)))
        except BaseException as error:  # whatever a model or a driver throws must not end the night
            log.debug("job %s failed", job.id, exc_info=True)
            emit(JobFailed(job.id, _failure(error, lines)))


class NotLoaded(Exception):
    """The model could not be loaded; the cause says why."""


def _failure(error: BaseException, lines: deque[str]) -> Failure:
    loading = isinstance(error, NotLoaded)
    error = error.__cause__ if loading and error.__cause__ else error
    trace = "".join(traceback.format_exception(error))
    ours = isinstance(error, ShotsError | StorageError)
    memory = isinstance(error, NotEnoughMemory) or type(error).__name__ == "OutOfMemoryError"
    machine = loading or memory or isinstance(error, StorageError | OSError | MemoryError)
    message = str(error) if ours or str(error) else repr(error)
    file = error.id if isinstance(error, FileDamaged | FileMissing) else None
    said = hidden(message), hidden(trace), hidden("\n".join(lines))
    return Failure(type(error).__name__, *said, machine, file, memory)


class _Tail(logging.Handler):
    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self.lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.lines.append(self.format(record))
        except Exception:  # a library's malformed log call must not fail a clip
            self.handleError(record)


@contextmanager
def _log_tail() -> Iterator[deque[str]]:
    """The last lines that anything logged while the job ran."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    handler = _Tail(lines)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
