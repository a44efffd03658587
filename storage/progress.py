"""What goes on at this moment. A process that renders a film says so every few seconds; only its last word is kept, and
nothing but displays reads it. And what a display asks often, of films of many thousand clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import and_, func, select, update

from .database import Database, clock, select_in
from .rows import Report, Spell, Take, seconds
from .states import AttemptState, TakeState
from .tables import attempts, insert_new, progress, slates, takes
from .takes import take_of


class Progress(Database):
    """The part of the ledger about what goes on at this moment."""

    def report(self, reports: Mapping[str, str]) -> None:
        """film -> what there is to say of it (JSON); it takes the place of what was said before."""
        with self._write() as connection:
            now = clock(connection)
            for film, text in sorted(reports.items()):
                row = {"film": film, "at": now, "report_json": text}
                done = connection.execute(update(progress).where(progress.c.film == film).values(row))
                if not done.rowcount:
                    connection.execute(insert_new(connection, progress).values(row))

    def reports(self, films: Iterable[str]) -> dict[str, Report]:
        """What was last said of these films; those of which nothing was are absent."""
        with self._read() as connection:
            now = clock(connection)
            rows = list(select_in(connection, select(progress), progress.c.film, films))
            return {row.film: Report(row.film, row.report_json, max(0.0, seconds(now - row.at))) for row in rows}

    def missing(self, production: int) -> set[str]:
        """Keys of the clips of a production that have no take."""
        there = and_(takes.c.key == slates.c.key, takes.c.state == TakeState.ACCEPTED)
        query = select(slates.c.key).outerjoin(takes, there)
        with self._read() as connection:
            return set(
                connection.execute(query.where(slates.c.production_id == production, takes.c.id.is_(None))).scalars()
            )

    def spells(self, production: int) -> list[Spell]:
        """When cameras worked for a production, a row a run of clips; those of lost processes, whose end nobody saw,
        are absent."""
        columns = attempts.c.host, attempts.c.worker, attempts.c.device, attempts.c.started_at
        running = func.sum(func.coalesce(attempts.c.ended_at - attempts.c.ended_at, 1))
        query = (
            select(*columns, func.max(attempts.c.ended_at).label("ended"), running.label("running"))
            .where(attempts.c.production_id == production, attempts.c.state != AttemptState.LOST)
            .group_by(*columns)
            .order_by(attempts.c.started_at)
        )
        with self._read() as connection:
            now = clock(connection)
            return [
                Spell(
                    row.host,
                    row.worker,
                    row.device,
                    seconds(row.started_at),
                    seconds(now if row.running else row.ended),
                    bool(row.running),
                )
                for row in connection.execute(query)
            ]

    def newest_take(self, production: int) -> Take | None:
        """The accepted take that a production made last, or None."""
        query = (
            select(takes)
            .join(attempts, attempts.c.id == takes.c.attempt_id)
            .where(attempts.c.production_id == production, takes.c.state == TakeState.ACCEPTED)
            .order_by(takes.c.id.desc())
            .limit(1)
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else take_of(row)
