"""Runs: storyboards that were handed to a cluster as one package, to be worked off by a driver there.

A run is handed over once or more often (`resume`); each hand-over is a submission with a job on the cluster. What the
cluster says of that job is not kept here: the driver itself says that it begins, that it is still there, and how it
ended. What people want of it are wishes in the run's row, which the driver asks for; so they reach it from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from .database import Database, clock, locked
from .errors import IllegalTransition, NotRecorded
from .owner import Owner
from .rows import Run, Submission, seconds, seconds_or_none, storable
from .states import RunState, check_run
from .tables import insert_new, pictures, runs, submissions

Wish = Literal["pause", "cancel"]
OVER = (RunState.DONE, RunState.CANCELLED)
"""Submissions after which nobody needs the package any more."""


class Runs(Database):
    """The part of the ledger about runs."""

    def add_run(
        self, run: str, package: str, films: Sequence[str], options: Mapping[str, object], job: str, address: str
    ) -> Run:
        """Record a run and its first submission, before the cluster hears of it. package: a file id in the store."""
        with self._durable() as connection:
            now = clock(connection)
            row = {"id": run, "package": package, "films_json": json.dumps(list(films)), "created_at": now}
            row |= {"options_json": json.dumps(dict(options), sort_keys=True), "host": Owner.here().host}
            connection.execute(insert(runs), row)
            _submit(connection, run, 1, job, address, now)
            return _run(connection, run)

    def submit_again(self, run: str, job: str, address: str) -> Run:
        """Record one more submission of a run whose last one has ended; what was wished is wished no more.

        Raises IllegalTransition while the last one may still be worked on, and when the run is done; NotRecorded.
        """
        with self._durable() as connection:
            last = _last(connection, run)
            if last.state in (RunState.SUBMITTED, RunState.RUNNING, RunState.DONE):
                raise IllegalTransition(
                    f"Run {run} is {last.state}; what can be handed over again is a run that has ended without being "
                    "done. `longtake status` says how it stands."
                )
            connection.execute(update(runs).where(runs.c.id == run).values(wish=None, wished_at=None))
            _submit(connection, run, last.number + 1, job, address, clock(connection))
            return _run(connection, run)

    def run_begins(self, run: str, number: int) -> None:
        """This process is the driver of a submission from now on. Raises IllegalTransition when it has ended, or when
        there is a later one; NotRecorded."""
        here = Owner.here()
        with self._write() as connection:
            last = _last(connection, run)
            if last.number != number:
                raise IllegalTransition(
                    f"Submission {number} of run {run} is over: {last.number} is the newest. Let that one work."
                )
            now = clock(connection)
            values = {"host": here.host, "pid": here.pid, "began_at": now, "heard_at": now}
            _go(connection, run, last, RunState.RUNNING, values)

    def run_heard(self, run: str, number: int) -> str | None:
        """The driver is there; what is wished of it, `pause` or `cancel`, or None. Raises NotRecorded."""
        with self._write() as connection:
            heard = update(submissions).where(submissions.c.run == run, submissions.c.number == number)
            connection.execute(heard.values(heard_at=clock(connection)))
            return _wish(connection, run)

    def run_ends(self, run: str, number: int, state: RunState, exit_code: int | None = None, message: str = "") -> None:
        """How a submission ended. What ended already, or was followed by another, stays as it is. Raises NotRecorded,
        IllegalTransition."""
        with self._durable() as connection:
            last = _last(connection, run)
            if last.number != number or last.state == state:
                return
            values = {"exit_code": exit_code, "message": storable(message), "ended_at": clock(connection)}
            _go(connection, run, last, state, values)

    def wish(self, run: str, wish: Wish | None) -> Run:
        """Ask a run to pause or to be cancelled; None takes it back. Raises NotRecorded."""
        with self._write() as connection:
            _last(connection, run)
            connection.execute(update(runs).where(runs.c.id == run).values(wish=wish, wished_at=clock(connection)))
            return _run(connection, run)

    def run_wish(self, run: str) -> str | None:
        """What is wished of a run: `pause`, `cancel` or None. Raises NotRecorded."""
        with self._read() as connection:
            return _wish(connection, run)

    def keep_pictures(self, film: str, files: Collection[str]) -> None:
        """These stored start images of a film are needed from now on; what it had before and has no more is not."""
        with self._write() as connection:
            old = pictures.c.film == film
            connection.execute(delete(pictures).where(old, pictures.c.file.not_in(files)))
            for file in sorted(files):
                row = {"film": film, "file": file, "created_at": clock(connection)}
                connection.execute(insert_new(connection, pictures), row)

    def find_run(self, run: str) -> Run | None:
        """A run, or None."""
        with self._read() as connection:
            return next(iter(_found(connection, [run])), None)

    def runs(self, most: int = 100) -> list[Run]:
        """The runs that were handed over last, the newest first."""
        with self._read() as connection:
            newest = select(runs.c.id).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(most)
            return _found(connection, list(connection.execute(newest).scalars()))


def packages(connection: Connection) -> list[tuple[str, str]]:
    """(file, run) of every package that may be worked on once more."""
    newest = select(submissions.c.run, func.max(submissions.c.number).label("number")).group_by(submissions.c.run)
    last = newest.subquery()
    here = (submissions.c.run == last.c.run) & (submissions.c.number == last.c.number)
    query = (
        select(runs.c.package, runs.c.id)
        .join(submissions, submissions.c.run == runs.c.id)
        .join(last, here)
        .where(submissions.c.state.not_in(OVER))
    )
    return [(row.package, row.id) for row in connection.execute(query)]


def _submit(connection: Connection, run: str, number: int, job: str, address: str, now: int) -> None:
    row = {"run": run, "number": number, "job": job, "address": address, "submitted_at": now}
    connection.execute(insert(submissions), row | {"state": RunState.SUBMITTED})


def _last(connection: Connection, run: str) -> Row[Any]:
    """The newest submission, with the run's row locked: one speaks at a time. Raises NotRecorded."""
    known = connection.execute(locked(select(runs.c.id).where(runs.c.id == run))).one_or_none()
    if known is None:
        raise _unknown(run)
    query = select(submissions).where(submissions.c.run == run).order_by(submissions.c.number.desc()).limit(1)
    return connection.execute(query).one()


def _go(connection: Connection, run: str, last: Row[Any], state: RunState, values: dict[str, Any]) -> None:
    check_run(run, last.state, state)
    this = update(submissions).where(submissions.c.run == run, submissions.c.number == last.number)
    connection.execute(this.values(values | {"state": state}))


def _wish(connection: Connection, run: str) -> str | None:
    row = connection.execute(select(runs.c.wish).where(runs.c.id == run)).one_or_none()
    if row is None:
        raise _unknown(run)
    wish: str | None = row.wish
    return wish


def _run(connection: Connection, run: str) -> Run:
    (found,) = _found(connection, [run])
    return found


def _found(connection: Connection, ids: Sequence[str]) -> list[Run]:
    """The runs of these names, in that order; the unknown are left out."""
    now = clock(connection)
    handed: dict[str, list[Submission]] = {}
    query = select(submissions).where(submissions.c.run.in_(ids)).order_by(submissions.c.number)
    for row in connection.execute(query):
        handed.setdefault(row.run, []).append(_submission(row, now))
    rows = {row.id: row for row in connection.execute(select(runs).where(runs.c.id.in_(ids)))}
    return [
        Run(
            row.id,
            row.package,
            tuple(json.loads(row.films_json)),
            json.loads(row.options_json),
            row.host,
            row.wish,
            seconds(row.created_at),
            tuple(handed[row.id]),
        )
        for row in (rows[id] for id in ids if id in rows)
    ]


def _submission(row: Row[Any], now: int) -> Submission:
    return Submission(
        row.number,
        row.job,
        row.address,
        RunState(row.state),
        row.message,
        row.exit_code,
        row.host,
        row.pid,
        seconds(row.submitted_at),
        seconds_or_none(row.began_at),
        seconds_or_none(row.ended_at),
        seconds_or_none(row.heard_at),
        None if row.heard_at is None else max(0.0, seconds(now - row.heard_at)),
    )


def _unknown(run: str) -> NotRecorded:
    return NotRecorded(
        f"The ledger holds no run {run}. `longtake runs` lists them; a run is known to the ledger that it was "
        "submitted with (--db, LONGTAKE_DB_URL)."
    )
