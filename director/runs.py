"""How runs stand, and what can be asked of them, from any machine that reaches the ledger and the cluster.

The driver's own word in the ledger comes first. Where it has not said how it ended, the cluster is asked for its job;
a job that ended without a word, or that nobody knows any more, is lost and never done. `resume` goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.text import Text

from cluster.errors import ClusterUnreachable
from cluster.secrets import hidden
from storage.ledger import Ledger
from storage.rows import Run
from storage.states import RunState

from .errors import UsageError
from .session import Session
from .streams import screen

if TYPE_CHECKING:
    from cluster.ray_jobs import Jobs

QUIET = 60.0
"""Seconds after which a driver that nobody hears is taken for dead, where the cluster does not answer."""
OPEN = (RunState.SUBMITTED, RunState.RUNNING)
EXITS = {RunState.DONE: 0, RunState.PARTIAL: 3, RunState.SPENT: 5, RunState.FAILED: 1}
COLOURS = {"done": "green", "running": "cyan", "waiting": "cyan", "lost": "red", "failed": "red"}
Reach = Callable[[str], "Jobs"]
"""Opens the jobs of a cluster by its address."""


@dataclass(frozen=True)
class Standing:
    """How a run stands: a state of `RunState`, or `waiting` (the cluster has not begun), or `unknown` (nobody can be
    asked). note: why, or what the driver said. over: nothing works on it now."""

    run: Run
    state: str
    note: str
    over: bool

    @property
    def exit_code(self) -> int:
        """What `longtake submit --wait` ends with."""
        return EXITS.get(RunState(self.state), 75) if self.over else 75


def reach(address: str) -> Jobs:
    """The jobs of a cluster. Raises ClusterUnreachable; UsageError for an address with a password in it."""
    if "@" in urlsplit(address).netloc:
        raise UsageError(
            "the cluster's address holds a password, which would be recorded with the run; give the address without "
            "it, and a token in RAY_AUTH_TOKEN where the cluster asks for one"
        )
    from cluster.ray_token import use_token

    use_token()
    from cluster.ray_jobs import Jobs

    return Jobs(address)


def find(session: Session, name: str) -> tuple[Ledger, Run]:
    """A run by its id. Raises UsageError, which names the newest ones."""
    ledger = session.ledger
    run = ledger.find_run(name) if ledger else None
    if ledger is None or run is None:
        known = ", ".join(run.id for run in ledger.runs(10)) if ledger else ""
        raise UsageError(
            f"the ledger {session.places.ledger_shown} holds no run {name!r}; it holds: {known or 'none'}. "
            "Runs are known to the ledger that they were submitted with (--db, LONGTAKE_DB_URL)"
        )
    return ledger, run


def standing(ledger: Ledger, run: Run, ask: Reach = reach) -> Standing:
    """How a run stands. Only a run that has not ended by its own word makes the cluster be asked."""
    last = run.last
    if last.state not in OPEN:
        back = last.state is RunState.LOST and (last.heard_at or 0) > (last.ended_at or 0)  # it was out of reach only
        return Standing(run, "running" if back else str(last.state), last.message or "", not back)
    try:
        job = ask(last.address).find(last.job)
    except ClusterUnreachable as error:
        return _unheard(run, f"the cluster does not answer from here: {error}")
    if job.state == "pending":
        return Standing(run, "waiting", "the cluster has not started it yet", False)
    if job.state == "running":
        begun = last.state is RunState.RUNNING
        return Standing(run, "running", "" if begun else "its driver is starting", False)
    now = ledger.find_run(run.id)  # it may have said its last word while we asked
    if now is not None and (now.last.number, now.last.state) != (last.number, last.state):
        return standing(ledger, now, ask)
    if job.state == "absent":  # from elsewhere the same address may be another cluster: its driver is asked, too
        return _unheard(run, f"the cluster at {last.address} knows no job {last.job}")
    if run.wish:
        wished = RunState.CANCELLED if run.wish == "cancel" else RunState.PAUSED
        return Standing(run, wished, f"ended when asked to {run.wish}", True)
    code = "" if job.exit_code is None else f" with exit code {job.exit_code}"
    note = f"its job ended{code} without a word from its driver: {hidden(job.message.strip())[-1000:]}"
    return Standing(run, RunState.LOST if last.state is RunState.RUNNING else RunState.FAILED, note, True)


def _unheard(run: Run, why: str) -> Standing:
    """The cluster does not say; the driver's last word to the ledger says a little."""
    last = run.last
    silent = last.silent if last.silent is not None else time.time() - last.submitted_at
    heard = f"its driver was last heard of {silent:.0f} s ago" if last.silent is not None else "its driver never began"
    if last.silent is not None and silent < QUIET:
        return Standing(run, "running", f"{heard}; {why}", False)
    return Standing(run, "unknown" if silent < QUIET else RunState.LOST, f"{heard}, and {why}", silent >= QUIET)


def settle(ledger: Ledger, run: Run, ask: Reach = reach) -> Standing:
    """As `standing`, and the ledger is told of an end that the driver did not tell."""
    found = standing(ledger, run, ask)
    last = found.run.last
    if found.over and last.state in OPEN:
        ledger.run_ends(run.id, last.number, RunState(found.state), None, found.note)
        settled = ledger.find_run(run.id)
        assert settled is not None
        return Standing(settled, str(settled.last.state), settled.last.message or "", True)
    return found


def pause(ledger: Ledger, run: Run, ask: Reach = reach) -> Standing:
    """Ask a run to stop with its checkpoints written, for `resume` to go on with. Raises UsageError."""
    found = settle(ledger, run, ask)
    if found.over:
        raise UsageError(f"run {run.id} is {found.state}: there is nothing to pause. {_next(found)}".strip())
    ledger.wish(run.id, "pause")
    return found


def cancel(ledger: Ledger, run: Run, now: bool = False, ask: Reach = reach) -> Standing:
    """End a run for good; what it made stays. now: by a signal to its job, where the driver does not listen.

    Raises:
        UsageError: it is done, or cancelled already.
    """
    found = settle(ledger, run, ask)
    if found.state in (RunState.DONE, RunState.CANCELLED):
        raise UsageError(f"run {run.id} is {found.state}: there is nothing to cancel")
    if found.over:
        ledger.run_ends(run.id, found.run.last.number, RunState.CANCELLED, None, f"cancelled when it was {found.state}")
        return standing(ledger, find_again(ledger, run), ask)
    ledger.wish(run.id, "cancel")
    if now:
        ask(run.last.address).stop(run.last.job)
    return found


def again(
    session: Session, ledger: Ledger, run: Run, jobs: Jobs, environment: dict[str, str], more: Sequence[str] = ()
) -> Run:
    """Hand a run that has ended without being done to a cluster once more. more: words for its driver's command line.

    Raises:
        UsageError: it is done, or still at work. FileMissing, FileDamaged: its package. ClusterUnreachable, JobRefused.
    """
    from .submit import job_of, submit

    assert session.files is not None
    found = settle(ledger, run, lambda address: jobs if address == jobs.address else reach(address))
    if found.state == RunState.DONE:
        raise UsageError(f"run {run.id} is done; submit its storyboards again to render what has changed since")
    if found.state == RunState.CANCELLED:
        raise UsageError(f"run {run.id} was cancelled; submit its storyboards again: what it made is kept")
    if not found.over:
        raise UsageError(f"run {run.id} is {found.state}{f' ({found.note})' if found.note else ''}; wait for its end")
    session.files.open_verified(run.package)
    handed = ledger.submit_again(run.id, job_of(run.id, found.run.last.number + 1), jobs.address)
    submit(session, handed, environment, jobs, more)
    return handed


def find_again(ledger: Ledger, run: Run) -> Run:
    """The run as the ledger has it now."""
    now = ledger.find_run(run.id)
    assert now is not None
    return now


def wait(ledger: Ledger, run: Run, seconds: float | None = None, ask: Reach = reach) -> Standing:
    """Until nothing works on a run any more, or `seconds` are over."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        found = settle(ledger, find_again(ledger, run), ask)
        if found.over or (deadline is not None and time.monotonic() > deadline):
            return found
        time.sleep(0.5)


def runs_among(session: Session, names: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The runs that are named, as data; and the films: those named otherwise, and those of the runs that have begun."""
    ledger = session.ledger
    if ledger is None:
        return [], list(names)
    found = {name: run for name in names if not ledger.film(name) and (run := ledger.find_run(name))}
    films = [name for name in names if name not in found]
    films += [film for run in found.values() for film in run.films if ledger.film(film)]
    return [document(standing(ledger, run)) for run in found.values()], list(dict.fromkeys(films))


def document(found: Standing) -> dict[str, Any]:
    """A run as data."""
    run, last = found.run, found.run.last
    return {
        "run": run.id,
        "state": str(found.state),
        "note": found.note,
        "wish": run.wish,
        "films": list(run.films),
        "only": _only(run),
        "submitted": _clock(run.created_at),
        "submitted_from": run.host,
        "cluster": last.address,
        "driver": None if last.host is None else {"host": last.host, "pid": last.pid, "silent_seconds": last.silent},
        "submissions": [
            {
                "number": each.number,
                "job": each.job,
                "state": str(each.state),
                "exit_code": each.exit_code,
                "message": each.message or "",
                "submitted": _clock(each.submitted_at),
                "ended": None if each.ended_at is None else _clock(each.ended_at),
            }
            for each in run.submissions
        ],
        "next": _next(found),
    }


def show_runs(documents: Sequence[dict[str, Any]]) -> None:
    """The same for a person, the newest first."""
    console = screen()
    if not documents:
        console.print("no run was submitted with this ledger yet: longtake submit film.yaml")
    for one in documents:
        colour = COLOURS.get(one["state"], "yellow")
        console.print(Text(one["run"], "bold"), Text(one["state"], colour), f"submitted {one['submitted']}")
        wished = f"asked to {one['wish']}" if one["wish"] and one["state"] in ("running", "waiting") else ""
        only = one["only"] and f"only: {one['only']}"
        for line in (f"films: {', '.join(one['films'])}", only, wished, one["note"]):
            if line:
                console.print(f"  {line}", soft_wrap=True)
        if one["next"]:
            console.print(f"  next: {one['next']}", soft_wrap=True)


def _only(run: Run) -> str:
    """The clips that were selected, in words; empty for all."""
    told: Any = run.options.get("only", {})
    bounds = [f"{word} {told[name]}" for word, name in (("from", "since"), ("until", "until")) if name in told]
    return ", ".join([*told.get("words", ()), *bounds, *(name for name in ("failed", "stale") if name in told)])


def _next(found: Standing) -> str:
    name = found.run.id
    if not found.over:
        return f"longtake logs -f {name}" if found.state == "running" else f"longtake status {name}"
    if found.state in (RunState.DONE, RunState.CANCELLED):
        return ""
    more = " --gpu-hours HOURS" if found.state == RunState.SPENT else ""
    return f"longtake logs {name}, longtake resume {name}{more}" if found.note else f"longtake resume {name}{more}"


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
