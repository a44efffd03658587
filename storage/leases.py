"""Who may render a film. One process at a time; a dead one is replaced.

A lease is a row with an owner, an expiry and a *fence*, a number that grows with every claim. Whoever writes in the
name of an older fence is told so (LeaseLost). A process that is seen to be dead, because it ran on this machine, is
replaced at once; one that is seen to be alive never is; one on another machine is replaced when its lease expires.
All times are by the database server's clock on Postgres, by this machine's on SQLite.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Row, case, select, update

from .database import Database, clock, locked
from .errors import FilmBusy, LeaseLost
from .owner import Owner
from .rows import Holder, seconds
from .states import ProductionState
from .tables import attempts, insert_new, leases, productions

TTL = 30.0
FILM = "film:"
"""What the name of a film's lease begins with."""


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
            refused = _refusal(film, row, now)
            if refused is None:
                claim = update(leases).where(leases.c.resource == _resource(film))
                connection.execute(claim.values(held_from(owner, now, ttl) | {"fence": row.fence + 1}))
                _abandon(connection, film, now)
            else:
                shorten(connection, row, now)
        if refused is not None:
            raise refused
        return Lease(self, film, row.fence + 1, owner, ttl)

    def holder(self, film: str) -> Holder | None:
        """Who has claimed `film` now, or None."""
        with self._read() as connection:
            row = connection.execute(select(leases).where(leases.c.resource == _resource(film))).one_or_none()
        if row is None or row.host is None:
            return None
        alive = owner_of(row).alive()
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


def check_not_anothers(connection: Connection, film: str) -> None:
    """Raises LeaseLost when another process than this one has claimed `film` now."""
    row = connection.execute(select(leases).where(leases.c.resource == _resource(film))).one_or_none()
    if row is not None and row.host is not None and owner_of(row) != Owner.here():
        raise lost(film)


def held_from(owner: Owner, now: int, ttl: float) -> dict[str, object]:
    """The columns of a lease that `owner` claims `now` for `ttl` seconds."""
    return {
        "host": owner.host,
        "machine": owner.machine,
        "pid": owner.pid,
        "pid_started": owner.started,
        "acquired_at": now,
        "expires_at": now + int(ttl * 1e6),
        "ttl": int(ttl * 1e6),
    }


def lost(film: str) -> LeaseLost:
    """The error for a process that has been replaced."""
    return LeaseLost(
        f"Film {film!r} has been taken over by another process, because this one was silent for too long. "
        "Finished clips are kept. Let the other one end, then run the same command again."
    )


def _resource(film: str) -> str:
    return FILM + film


def _held_by(lease: Lease) -> tuple[Any, ...]:
    return leases.c.resource == _resource(lease.film), leases.c.fence == lease.fence, leases.c.host.is_not(None)


def owner_of(row: Row[Any]) -> Owner:
    """The process that a lease's row names."""
    return Owner(row.host, row.machine, row.pid, row.pid_started)


def _refusal(film: str, row: Row[Any], now: int) -> FilmBusy | None:
    if row.host is None:
        return None
    alive = owner_of(row).alive()
    if alive is False or (alive is None and row.expires_at <= now):
        return None
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds(row.acquired_at)))
    end = "Wait for it, or stop that process"
    if alive is None:
        left = min(row.expires_at - now, _lasts(row)) / 1e6
        end = f"Wait for it; if that process is dead, try again in {left:.0f} s"
    return FilmBusy(
        f"Film {film!r} is being rendered by process {row.pid} on {row.host} since {since}. {end}. "
        "`longtake status` shows how far it is.",
        row.host,
        row.pid,
        seconds(row.acquired_at),
    )


def _lasts(row: Row[Any]) -> int:
    return int(TTL * 1e6) if row.ttl is None else int(row.ttl)


def shorten(connection: Connection, row: Row[Any], now: int) -> None:
    """A lease that ends later than one that begins now was written before the clock was put back, by an hour perhaps.
    From now on it lasts as long as any; its owner, should it live, renews it before that."""
    if row.expires_at > now + _lasts(row):
        connection.execute(update(leases).where(leases.c.resource == row.resource).values(expires_at=now + _lasts(row)))


def _abandon(connection: Connection, film: str, now: int) -> None:
    """What earlier owners of `film` left running is lost. Only for the one that has just claimed it."""
    of_film = select(productions.c.id).where(productions.c.film == film)
    for table, ids in ((attempts, attempts.c.production_id), (productions, productions.c.id)):
        connection.execute(
            update(table)
            .where(ids.in_(of_film), table.c.state == ProductionState.RUNNING)
            .values(
                {
                    "state": ProductionState.LOST,
                    "message": "its process died",
                    "ended_at": case((table.c.started_at > now, table.c.started_at), else_=now),
                }
            )
        )
