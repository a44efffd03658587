"""Which camera shoots what next. Pure: no clocks, no Ray."""

from __future__ import annotations

from collections.abc import Sequence

from .job import Job


def pick(waiting: Sequence[Job], warm: str | None) -> int | None:
    """Index of the job that a free camera should take, None when nothing waits.

    The camera's warm model (by digest) goes first, because loading one costs more than any ordering gains;
    among equals the longest job, so that the last camera does not start a long chain when the others are done.
    Ties go to the order of arrival.
    """
    if not waiting:
        return None
    return max(range(len(waiting)), key=lambda n: (waiting[n].specs[0].model.digest == warm, len(waiting[n].specs), -n))
