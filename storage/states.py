"""The states of attempts, productions, runs and takes, and which may follow which. The ledger enforces them.

An attempt or a production that is left `running` by a dead process is `lost`: marked so when its film is
claimed again. A lost attempt may still end in any way, because a process that was only slow may come back;
what it made is named by the clip's key and is as good as any. A lost production is over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from .errors import IllegalTransition


class AttemptState(StrEnum):
    """`duplicate`: finished, after another attempt's take of the same clip had been accepted."""

    RUNNING = "running"
    DONE = "done"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class ProductionState(StrEnum):
    """`partial`: finished with shots missing."""

    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class TakeState(StrEnum):
    """`damaged`: a file of it is gone or altered. `removed`: nothing needed it. Neither is served again."""

    ACCEPTED = "accepted"
    DAMAGED = "damaged"
    REMOVED = "removed"


class RunState(StrEnum):
    """One hand-over of a run to a cluster. `partial`: shots are missing. `spent`: its budget is used up. `lost`: its
    job has gone without a word; a driver that was only out of reach may still come back. What is not done may still
    be cancelled."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    SPENT = "spent"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Verdict(StrEnum):
    """What a person thinks of a take. At most one take of a place in a film is picked."""

    PICKED = "picked"
    REJECTED = "rejected"
    NONE = "none"


_OVER: frozenset[AttemptState] = frozenset(
    {AttemptState.DONE, AttemptState.DUPLICATE, AttemptState.FAILED, AttemptState.INTERRUPTED}
)
ATTEMPT_NEXT: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.RUNNING: _OVER | {AttemptState.LOST},
    AttemptState.LOST: _OVER,
} | {state: frozenset() for state in _OVER}
PRODUCTION_NEXT: Mapping[ProductionState, frozenset[ProductionState]] = {
    state: frozenset(set(ProductionState) - {state}) if state is ProductionState.RUNNING else frozenset()
    for state in ProductionState
}
_ENDED: frozenset[RunState] = frozenset(set(RunState) - {RunState.SUBMITTED, RunState.RUNNING, RunState.LOST})
RUN_NEXT: Mapping[RunState, frozenset[RunState]] = {
    RunState.SUBMITTED: _ENDED | {RunState.RUNNING, RunState.LOST},
    RunState.RUNNING: _ENDED | {RunState.LOST},
    RunState.LOST: _ENDED | {RunState.RUNNING},
} | {state: frozenset({RunState.CANCELLED}) for state in _ENDED}
RUN_NEXT = {**RUN_NEXT, RunState.DONE: frozenset(), RunState.CANCELLED: frozenset()}


def check_attempt(attempt: int, old: str, new: AttemptState) -> None:
    """Raises IllegalTransition unless an attempt may go from `old` to `new`."""
    _check(f"Attempt {attempt}", old, new, ATTEMPT_NEXT[AttemptState(old)])


def check_production(production: int, old: str, new: ProductionState) -> None:
    """Raises IllegalTransition unless a production may go from `old` to `new`."""
    _check(f"Production {production}", old, new, PRODUCTION_NEXT[ProductionState(old)])


def check_run(run: str, old: str, new: RunState) -> None:
    """Raises IllegalTransition unless a submission of a run may go from `old` to `new`."""
    _check(f"Run {run}", old, new, RUN_NEXT[RunState(old)])


def _check(what: str, old: str, new: str, allowed: Collection[StrEnum]) -> None:
    if new not in allowed:
        after = ", ".join(sorted(allowed)) or "nothing, it is over"
        raise IllegalTransition(f"{what} is {old} and cannot become {new}; allowed next: {after}. Begin a new one.")
