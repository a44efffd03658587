"""Who may render a film. One process at a time; a dead one is replaced.

A lease is a row with an owner, an expiry and a *fence*, a number that grows with every claim. Whoever writes in the
name of an older fence is told so (LeaseLost). A process that is seen to be dead, because it ran on this machine, is
replaced at once; one that is seen to be alive never is; one on another machine is replaced when its lease expires.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Row, select, update

from .database import Database, clock, locked
from .errors import FilmBusy, LeaseLost
from .owner import Owner
from .rows import Holder, seconds
from .states import ProductionState
from .tables import attempts, insert_new, leases, productions

TTL = 30.0


@dataclass(frozen=True)
class Lease:
    """The right to render `film`, until released or lost. A context manager that releases it."""

    ledger: Leases
    film: str
    fence: int
    owner: Owner
    ttl: float

    def renew(self) -> None:
        """Say that we are alive; call it every `ttl` / 3 seconds. Raises LeaseLost."""
        self.ledger._renew(self)

    def release(self) -> None:
        """Let others claim the film. Does nothing when the lease was lost."""
        self.ledger._release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


class Leases(Database):
    """The part of the ledger that says who may render what."""

    def claim_film(self, film: str, owner: Owner | None = None, ttl: float = TTL) -> Lease:
        """The exclusive right to render `film`; attempts that its last, dead owner left running become lost.

        Raises FilmBusy, naming host, process and time.
        """
        owner = owner or Owner.here()
        with self._write() as connection:
            connection.execute(insert_new(connection, leases).values(resource=_resource(film), fence=0))
            row = connection.execute(locked(select(leases).where(leases.c.resource == _resource(film)))).one()
            now = clock(connection)
            _refuse_if_held(film, row, now)
            connection.execute(
                update(leases)
                .where(leases.c.resource == _resource(film))
                .values(
                    fence=row.fence + 1,
                    host=owner.host,
                    machine=owner.machine,
                    pid=owner.pid,
                    pid_started=owner.started,
                    acquired_at=now,
                    expires_at=now + int(ttl * 1e6),
                )
            )
            _abandon(connection, film, now)
        return Lease(self, film, row.fence + 1, owner, ttl)

    def holder(self, film: str) -> Holder | None:
        """Who has claimed `film` now, or None."""
        with self._read() as connection:
            row = connection.execute(select(leases).where(leases.c.resource == _resource(film))).one_or_none()
        if row is None or row.host is None:
            return None
        alive = _owner(row).alive()
        return Holder(row.host, row.pid, seconds(row.acquired_at), seconds(row.expires_at), alive)

    def _renew(self, lease: Lease) -> None:
        with self._write() as connection:
            held = update(leases).where(*_held_by(lease))
            done = connection.execute(held.values(expires_at=clock(connection) + int(lease.ttl * 1e6)))
            if done.rowcount != 1:
                raise lost(lease.film)

    def _release(self, lease: Lease) -> None:
        with self._write() as connection:
            connection.execute(update(leases).where(*_held_by(lease)).values(host=None))


def check_fence(connection: Connection, film: str, fence: int | None) -> None:
    """Raises LeaseLost when `film` has been claimed again since `fence`. No fence: no question."""
    if fence is None:
        return
    query = select(leases.c.fence, leases.c.host).where(leases.c.resource == _resource(film))
    row = connection.execute(query.with_for_update(read=True)).one_or_none()  # no claim until we have written
    if row is None or row.fence != fence:
        raise lost(film)


def lost(film: str) -> LeaseLost:
    """The error for a process that has been replaced."""
    return LeaseLost(
        f"Film {film!r} has been taken over by another process, because this one was silent for too long. "
        "Finished clips are kept. Let the other one end, then run the same command again."
    )


def _resource(film: str) -> str:
    return f"film:{film}"


def _held_by(lease: Lease) -> tuple[Any, ...]:
    return leases.c.resource == _resource(lease.film), leases.c.fence == lease.fence, leases.c.host.is_not(None)


def _owner(row: Row[Any]) -> Owner:
    return Owner(row.host, row.machine, row.pid, row.pid_started)


def _refuse_if_held(film: str, row: Row[Any], now: int) -> None:
    if row.host is None:
        return
    alive = _owner(row).alive()
    if alive is False or (alive is None and row.expires_at <= now):
        return
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds(row.acquired_at)))
    end = "Wait for it, or stop that process"
    if alive is None:
        end = f"Wait for it; if that process is dead, try again in {(row.expires_at - now) / 1e6:.0f} s"
    raise FilmBusy(
        f"Film {film!r} is being rendered by process {row.pid} on {row.host} since {since}. {end}. "
        "`longtake status` shows how far it is.",
        row.host,
        row.pid,
        seconds(row.acquired_at),
    )


def _abandon(connection: Connection, film: str, now: int) -> None:
    """What earlier owners of `film` left running is lost. Only for the one that has just claimed it."""
    of_film = select(productions.c.id).where(productions.c.film == film)
    for table, ids in ((attempts, attempts.c.production_id), (productions, productions.c.id)):
        connection.execute(
            update(table)
            .where(ids.in_(of_film), table.c.state == ProductionState.RUNNING)
            .values(state=ProductionState.LOST, ended_at=now, message="its process died")
        )
