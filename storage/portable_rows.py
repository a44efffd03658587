"""The rows of one film, taken out of a ledger and put into another, where their numbers are others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, insert, select

from .database import Database, select_in
from .productions import unknown
from .states import AttemptState, ProductionState, TakeState
from .tables import (
    attempts,
    clips,
    holds,
    insert_new,
    pins,
    prints,
    productions,
    retakes,
    slates,
    takes,
    verdicts,
    versions,
)

FORMAT = "longtake.export.v1"
Rows = dict[str, list[dict[str, Any]]]
"""Table name -> rows, column by column, in the order of their numbers."""
_OPEN = (AttemptState.RUNNING, ProductionState.RUNNING)
_OWN = ("film", "started_at", "host", "pid")
"""What a production is known by in every ledger."""


class Portable(Database):
    """The part of the ledger that gives and takes whole films."""

    def export_rows(self, film: str) -> Rows:
        """All rows of a film: its productions, their clips and attempts, the accepted takes, the prints of those, its
        finished files, holds, pins, verdicts and retakes. What runs is given as lost. Raises NotRecorded."""
        with self._read() as connection:
            runs = [_without_run(row) for row in _plain(connection.execute(_of(productions, film)))]
            if not runs:
                raise unknown("film", repr(film))
            numbers = [run["id"] for run in runs]
            rows: Rows = {"productions": runs}
            rows["slates"] = _among(connection, slates, slates.c.production_id, numbers)
            chosen = {
                t.name: _plain(connection.execute(_of(t, film))) for t in (pins, verdicts, retakes, holds, versions)
            }
            keys = {row["key"] for name in ("pins", "verdicts") for row in chosen[name]}
            keys |= {row["key"] for row in rows["slates"]}
            rows["clips"] = _among(connection, clips, clips.c.key, keys)
            rows["takes"] = [
                row for row in _among(connection, takes, takes.c.key, keys) if row["state"] == TakeState.ACCEPTED
            ]
            made_by = {row["attempt_id"] for row in rows["takes"]}
            tried = _among(connection, attempts, attempts.c.key, keys)
            rows["attempts"] = [row for row in tried if row["production_id"] in numbers or row["id"] in made_by]
            rows["prints"] = _among(connection, prints, prints.c.take_file, [row["video"] for row in rows["takes"]])
        for row in (*rows["productions"], *rows["attempts"]):
            if row["state"] in _OPEN:
                row |= {
                    "state": AttemptState.LOST,
                    "ended_at": row["started_at"],
                    "message": "it ran when it was exported",
                }
        return rows | chosen

    def import_rows(self, film: str, rows: Rows, absent: Collection[str] = ()) -> dict[str, int]:
        """Add the rows of a film; {table: rows that are new here}. Takes and prints that need a file of `absent`, and
        takes of clips that have one, stay behind."""
        with self._durable() as connection:
            return _Import(connection, film, rows, set(absent)).run()


def files_of(rows: Rows) -> set[str]:
    """File ids that these rows name."""
    named = {row[column] for row in rows["takes"] for column in ("video", "latents", "tail")}
    return {file for file in named | {row["file"] for row in rows["prints"]} if file is not None}


class _Import:
    def __init__(self, connection: Connection, film: str, rows: Rows, absent: set[str]) -> None:
        self.connection, self.film, self.rows, self.absent = connection, film, rows, absent
        self.runs: dict[int, int] = {}  # production there -> here
        self.tried: dict[int, int] = {}  # attempt there -> here
        self.fresh: set[int] = set()  # productions there that are new here
        self.added: dict[str, int] = {}

    def run(self) -> dict[str, int]:
        self._new("clips", sorted(self.rows["clips"], key=lambda row: str(row["key"])), clips)
        self._productions()
        self._numbered("slates", slates)
        self._attempts()
        self._takes()
        self._new("prints", [row for row in self.rows["prints"] if row["file"] not in self.absent], prints)
        self._numbered("versions", versions)
        self._new("retakes", self.rows["retakes"], retakes)
        for table in (pins, verdicts, holds):
            self._chosen(table)
        return self.added

    def _new(self, name: str, rows: list[dict[str, Any]], table: Table) -> None:
        """Rows that are named alike in every ledger."""
        self.added[name] = sum(
            self.connection.execute(insert_new(self.connection, table), row).rowcount for row in rows
        )

    def _productions(self) -> None:
        here = {
            tuple(row[name] for name in _OWN): row["id"]
            for row in _plain(self.connection.execute(_of(productions, self.film)))
        }
        for row in self.rows["productions"]:
            known = here.get(tuple(row[name] for name in _OWN))
            if known is None:
                self.fresh.add(row["id"])
                # The lease it was made under is not ours.
                known = self._insert(productions, row | {"fence": None})
            self.runs[row["id"]] = known
        self.added["productions"] = len(self.fresh)

    def _numbered(self, name: str, table: Table) -> None:
        """Rows that belong to a production, when it is new here."""
        new = [row for row in self.rows[name] if row["production_id"] in self.fresh]
        for row in new:
            values = row | {"production_id": self.runs[row["production_id"]]}
            self.connection.execute(insert(table), {k: v for k, v in values.items() if k != "id"})
        self.added[name] = len(new)

    def _attempts(self) -> None:
        """An attempt for another film made a take that this one uses: it is put to this one's first production."""
        first = min(self.runs.values())
        here = {
            _who(row): row["id"]
            for row in _among(self.connection, attempts, attempts.c.key, {r["key"] for r in self.rows["attempts"]})
        }
        for row in self.rows["attempts"]:
            known = here.get(_who(row))
            if known is None:
                known = self._insert(attempts, row | {"production_id": self.runs.get(row["production_id"], first)})
                self.added["attempts"] = self.added.get("attempts", 0) + 1
            self.tried[row["id"]] = known
        self.added.setdefault("attempts", 0)

    def _takes(self) -> None:
        self.added["takes"] = 0
        for row in self.rows["takes"]:
            if not self.absent & {row["video"], row["latents"], row["tail"]}:
                values = {k: v for k, v in row.items() if k != "id"} | {"attempt_id": self.tried[row["attempt_id"]]}
                self.added["takes"] += self.connection.execute(insert_new(self.connection, takes), values).rowcount

    def _chosen(self, table: Table) -> None:
        """Choices are taken over where none holds; those of the past come with the film, once."""
        here = _plain(self.connection.execute(_of(table, self.film)))
        known = {(row["shot"], row["created_at"]) for row in here}
        new = [row for row in self.rows[table.name] if (row["shot"], row["created_at"]) not in known]
        plain = [{k: v for k, v in row.items() if k != "id"} for row in new]
        self._new(table.name, plain, table)

    def _insert(self, table: Table, row: dict[str, Any]) -> int:
        values = {k: v for k, v in row.items() if k != "id"}
        number: int = self.connection.execute(insert(table).returning(table.c.id), values).scalar_one()
        return number


def _without_run(row: dict[str, Any]) -> dict[str, Any]:
    """Runs stay behind: elsewhere nobody knows them. So the rows are as they were before there were any."""
    return {name: value for name, value in row.items() if name != "run"}


def _who(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("key", "started_at", "host", "pid", "worker"))


def _of(table: Table, film: str) -> Select[Any]:
    order = table.c.id if "id" in table.c else table.c.take
    return select(table).where(table.c.film == film).order_by(order)


def _among(connection: Connection, table: Table, column: Any, values: Iterable[Any]) -> list[dict[str, Any]]:
    rows = _plain(select_in(connection, select(table), column, values))
    order = (
        "id" if "id" in table.c else "position" if "position" in table.c else next(iter(table.primary_key.columns)).name
    )
    return sorted(rows, key=lambda row: row[order])


def _plain(rows: Iterable[Row[Any]]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in rows]
