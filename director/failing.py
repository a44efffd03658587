"""What is done about a clip that failed: again, elsewhere, in halves, on a larger camera, or no more. Pure.

Some failures say nothing about the clip: a node that died, a disk or a network that was away, a device that has too
little memory. Those are tried again after a pause that doubles, on another camera where there is one. The others come
from the clip and its model. They are tried once more; a second time with the same trace is no accident, and the clip
is held with its trace, until somebody says `--retry-held`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.job import Failure
from storage.attempts import failure_digest
from storage.rows import Attempt

from .places import Places
from .planned import Plan

SAME = 2
"""Failures with one and the same trace that hold a chain."""
MACHINE_TRIES = 3
"""Equal failures of a machine, after which a run does without the chain."""
MOST_TRIES = 6
"""Failures of any kind without a clip done in between, after which a run does without the chain."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
GIB = 2**30


@dataclass(frozen=True)
class Remedy:
    """again: after `pause` seconds. halves: as two groups. larger: on a camera with more memory. hold: not before
    somebody says so. leave: not in this run. why: for hold and leave."""

    kind: Literal["again", "halves", "larger", "hold", "leave"]
    pause: float = 0.0
    why: str = ""


def remedy(
    failure: Failure, past: Sequence[Attempt], tries: int, divisible: bool, memory: int, most_memory: int
) -> Remedy:
    """What to do about the `tries`-th failure in a row of a group.

    past: failed attempts of its first missing clip, this one among them. divisible: whether the group has two clips
    that can be rendered one after the other. memory: bytes of the device it failed on; most_memory: of the largest
    device there is; 0 where nobody knows.
    """
    what = f"{failure.error}: {failure.message}"
    if failure.memory and divisible:
        return Remedy("halves")
    if failure.memory and memory:
        if most_memory > memory:
            return Remedy("larger")
        return Remedy("hold", why=f"{what} ({memory / GIB:.1f} GiB, the most that a camera here has, are too little)")
    if failure.machine or failure.memory or failure.worker:
        alike = failure_digest(failure.error, failure.message)
        equal = sum(each.failure_digest == alike for each in past)
        over = tries >= MOST_TRIES or (tries >= MACHINE_TRIES and equal >= MACHINE_TRIES and not failure.worker)
        return Remedy("leave", why=what) if over else Remedy("again", pause(tries))
    if sum(_alike(each, failure) for each in past) >= SAME:
        return Remedy("hold", why=what)
    return Remedy("leave", why=what) if tries >= MOST_TRIES else Remedy("again")


def pause(tries: int) -> float:
    """Seconds before the next try: 1, 2, 4 ... 60."""
    return float(min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE))


def rerun(where: Places, plan: Plan, slate: str) -> str:
    """The command that renders a held clip in this process, with its trace; slate: `shot/clip`."""
    command = f"longtake -v render --retry-held --shot {shlex.quote(slate)} {shlex.quote(str(plan.storyboard))}"
    return f"{where.reminder}{command}{where.options()}"


def _alike(attempt: Attempt, failure: Failure) -> bool:
    same = attempt.failure_digest == failure_digest(failure.error, failure.message)
    return same and _shape(attempt.trace or "") == _shape(failure.trace)


def _shape(trace: str) -> str:
    """A trace without numbers and addresses, which differ between equal failures."""
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "#", trace)
