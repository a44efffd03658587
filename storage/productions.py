"""Productions: one run of one film, the clips it needs, and the chains it has given up on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Row, Select, bindparam, func, insert, select, update

from .database import Database, locked, select_in
from .errors import NotRecorded
from .leases import Lease, check_fence, check_not_anothers
from .owner import Owner
from .rows import Film, Hold, Production, SlateRow, micros, seconds, seconds_or_none, storable
from .states import AttemptState, ProductionState, check_production
from .tables import attempts, clips, holds, insert_new, productions, slates

_AGAINST = (AttemptState.FAILED, AttemptState.LOST)
_RUN: Select[Any] = select(
    productions.c.film, productions.c.fence, productions.c.state, productions.c.started_at
).where(productions.c.id == bindparam("production"))
_SHOWN = [c for c in productions.c if c.name not in ("plan_json", "fence")]


class Productions(Database):
    """The part of the ledger about films and their productions. `run`: what they are made for, where it is a run."""

    run: str | None = None

    def start_production(
        self,
        film: str,
        title: str,
        storyboard_path: str,
        storyboard_digest: str,
        plan_json: str,
        slates: Sequence[SlateRow],
        lease: Lease | None = None,
    ) -> int:
        """Record that a film is being made of these clips; its number. With a lease, a later owner ends our writing.

        Raises LeaseLost.
        """
        owner = lease.owner if lease else Owner.here()
        now = micros()
        with self._write() as connection:
            check_fence(connection, film, lease.fence if lease else None)
            row = {
                "film": film,
                "title": storable(title),
                "storyboard_path": storable(storyboard_path),
                "storyboard_digest": storyboard_digest,
                "plan_json": plan_json,
                "state": ProductionState.RUNNING,
                "fence": lease.fence if lease else None,
                "host": owner.host,
                "pid": owner.pid,
                "started_at": now,
                "run": self.run,
            }
            made: int = connection.execute(insert(productions).returning(productions.c.id), row).scalar_one()
            _record_slates(connection, made, slates, now)
        return made

    def end_production(self, production: int, state: ProductionState, message: str = "") -> None:
        """How it ended. Raises IllegalTransition, LeaseLost, NotRecorded."""
        with self._write() as connection:
            row = running(connection, production)
            check_production(production, row.state, ProductionState(state))
            connection.execute(
                update(productions)
                .where(productions.c.id == production)
                .values(state=state, message=storable(message), ended_at=max(micros(), row.started_at))
            )

    def films(self) -> list[Film]:
        """All films, the one rendered last first."""
        with self._read() as connection:
            return _films(connection, select(func.max(productions.c.id), func.count()).group_by(productions.c.film))

    def film(self, film: str) -> Film | None:
        """One film, or None when it was never rendered."""
        query = select(func.max(productions.c.id), func.count()).where(productions.c.film == film)
        with self._read() as connection:
            found = _films(connection, query)
        return found[0] if found else None

    def productions(self, film: str) -> list[Production]:
        """Every run of a film, the last one first."""
        query = select(*_SHOWN).where(productions.c.film == film).order_by(productions.c.id.desc())
        with self._read() as connection:
            return [_production(row) for row in connection.execute(query)]

    def plan_json(self, production: int) -> str:
        """The plan as it was given at the start. Raises NotRecorded."""
        with self._read() as connection:
            query = select(productions.c.plan_json).where(productions.c.id == production)
            plan: str | None = connection.execute(query).scalar_one_or_none()
        if plan is None:
            raise unknown("production", production)
        return plan

    def slates(self, production: int) -> list[SlateRow]:
        """The clips of a production in film order."""
        with self._read() as connection:
            return [SlateRow(*row) for row in connection.execute(_slates(production))]

    def latest_slates(self, film: str) -> dict[tuple[str, int], tuple[str, str]]:
        """(shot, clip): (key, spec JSON) of the last production of `film`; empty when there was none."""
        last = select(func.max(productions.c.id)).where(productions.c.film == film).scalar_subquery()
        with self._read() as connection:
            return {(row.shot, row.clip): (row.key, row.spec_json) for row in connection.execute(_slates(last))}

    def hold(self, film: str, shot: str, chain_key: str, reason: str, failure_digest: str) -> None:
        """Do not try this chain again until released. Holding it twice is holding it once."""
        with self._write() as connection:
            connection.execute(
                insert_new(connection, holds).values(
                    film=film,
                    shot=shot,
                    chain_key=chain_key,
                    reason=storable(reason),
                    failure_digest=failure_digest,
                    created_at=micros(),
                )
            )

    def holds(self, film: str | None = None, shot: str | None = None) -> list[Hold]:
        """Chains that are held now, of one film (and shot) or of all."""
        with self._read() as connection:
            return _open_holds(connection, film, shot)

    def release_holds(self, film: str | None = None, shot: str | None = None) -> list[Hold]:
        """Let held chains be tried again, and forgive the failures of those shots; returns what was released."""
        now = micros()
        with self._write() as connection:
            released = _open_holds(connection, film, shot)
            connection.execute(update(holds).where(holds.c.id.in_([h.id for h in released])).values(released_at=now))
            keys = select(slates.c.key).join(productions, productions.c.id == slates.c.production_id)
            connection.execute(
                update(attempts)
                .where(attempts.c.state.in_(_AGAINST), attempts.c.forgiven_at.is_(None))
                .where(attempts.c.key.in_(_narrowed(keys, productions.c.film, film, slates.c.shot, shot)))
                .values(forgiven_at=now)
            )
        return released


def running(connection: Connection, production: int) -> Row[Any]:
    """The row of a production that may still be written for. Raises NotRecorded, LeaseLost."""
    row = connection.execute(_RUN, {"production": production}).one_or_none()
    if row is None:
        raise unknown("production", production)
    # The lease first, then the production: a claim locks them in this order too.
    check_fence(connection, row.film, row.fence)
    if connection.dialect.name != "sqlite":  # where nobody else writes now
        row = connection.execute(locked(_RUN), {"production": production}).one()
    return row


def film_of(connection: Connection, production: int) -> str:
    """The film of a production that this process may finish now. Raises NotRecorded, LeaseLost.

    A render that finds all clips of its last, ended production in place cuts for that one again: its fence is an old
    one, so who has claimed the film is asked instead.
    """
    row = connection.execute(_RUN, {"production": production}).one_or_none()
    if row is None:
        raise unknown("production", production)
    if row.fence is not None and row.state in (ProductionState.RUNNING, ProductionState.LOST):
        check_fence(connection, row.film, row.fence)
    elif row.fence is not None:
        check_not_anothers(connection, row.film)
    film: str = row.film
    return film


def unknown(what: str, name: object) -> NotRecorded:
    """The error for something that the ledger does not hold."""
    return NotRecorded(f"The ledger holds no {what} {name}. `longtake status` lists what it holds.")


def _record_slates(connection: Connection, production: int, rows: Sequence[SlateRow], now: int) -> None:
    """Clips by key (those already known stay), then where each sits. Sorted, so that two writers cannot wait for
    each other in a ring."""
    specs = {row.key: row.spec_json for row in rows}
    known = {row.key for row in select_in(connection, select(clips.c.key), clips.c.key, specs)}
    fresh = [{"key": k, "spec_json": specs[k], "created_at": now} for k in sorted(specs.keys() - known)]
    if fresh:
        connection.execute(insert_new(connection, clips), fresh)
    if rows:
        connection.execute(insert(slates), [_slate(production, i, row) for i, row in enumerate(rows)])


def _slate(production: int, position: int, row: SlateRow) -> dict[str, object]:
    return {
        "production_id": production,
        "shot": row.shot,
        "clip": row.clip,
        "take": row.take,
        "position": position,
        "key": row.key,
        "why": storable(row.why),
    }


def _slates(production: Any) -> Select[Any]:
    columns = slates.c.shot, slates.c.clip, slates.c.key, clips.c.spec_json, slates.c.why, slates.c.take
    return (
        select(*columns)
        .join(clips, clips.c.key == slates.c.key)
        .where(slates.c.production_id == production)
        .order_by(slates.c.position)
    )


def _films(connection: Connection, newest: Executable) -> list[Film]:
    """`newest`: the last production's number and how many there are, a row a film."""
    counts = {last: count for last, count in connection.execute(newest) if last is not None}
    query = select(*_SHOWN).where(productions.c.id.in_(list(counts))).order_by(productions.c.id.desc())
    found = [_production(row) for row in connection.execute(query)]
    return [Film(p.film, counts[p.id], p) for p in found]


def _production(row: Row[Any]) -> Production:
    return Production(
        row.id,
        row.film,
        row.title,
        row.storyboard_path,
        row.storyboard_digest,
        ProductionState(row.state),
        row.message,
        row.host,
        row.pid,
        seconds(row.started_at),
        seconds_or_none(row.ended_at),
        row.run,
    )


def _narrowed(
    query: Select[Any], film_column: Any, film: str | None, shot_column: Any, shot: str | None
) -> Select[Any]:
    if film is not None:
        query = query.where(film_column == film)
    return query if shot is None else query.where(shot_column == shot)


def _open_holds(connection: Connection, film: str | None, shot: str | None) -> list[Hold]:
    query = select(holds).where(holds.c.released_at.is_(None)).order_by(holds.c.id)
    rows = connection.execute(_narrowed(query, holds.c.film, film, holds.c.shot, shot))
    return [Hold(r.id, r.film, r.shot, r.chain_key, r.reason, r.failure_digest, seconds(r.created_at)) for r in rows]
