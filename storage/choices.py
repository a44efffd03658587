"""What people decide about takes: pins, picks and rejections, and more takes of a shot.

Nothing is forgotten: what is undone keeps its row and gets the time of its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, insert, select, update

from .database import Database
from .rows import Judged, Pin, Retake, micros, seconds, seconds_or_none, storable
from .states import Verdict
from .tables import insert_new, pins, retakes, verdicts
from .takes import clips_missing


class Choices(Database):
    """The part of the ledger about what people chose."""

    def pin(self, film: str, shot: str, keys: Mapping[int, str], note: str = "") -> list[Pin]:
        """Clips of a shot (by number, from 1) stay those of these keys, whatever the storyboard says.

        A clip that was pinned to another key is so no more. Raises NotRecorded for a key that was never planned.
        """
        now = micros()
        rows = _rows(film, shot, keys, note, now)
        with self._write() as connection:
            clips_missing(connection, keys.values())
            _end(connection, pins, _at(pins, film, shot, keys), "removed_at", now)
            return [_pin(connection.execute(insert(pins).returning(pins), row).one()) for row in rows]

    def unpin(self, film: str, shot: str, clip: int | None = None) -> list[Pin]:
        """Let a clip of a shot, or all of them, follow the storyboard again; the pins that were taken away."""
        with self._write() as connection:
            query = select(pins).where(pins.c.film == film, pins.c.shot == shot, pins.c.removed_at.is_(None))
            if clip is not None:
                query = query.where(pins.c.clip == clip)
            found = connection.execute(query.order_by(pins.c.clip)).all()
            _end(connection, pins, pins.c.id.in_([row.id for row in found]), "removed_at", micros())
        return [_pin(row) for row in found]

    def pins(self, film: str | None = None, history: bool = False) -> list[Pin]:
        """The pins of a film, or of all, that hold now, the oldest first; with `history` also those taken away."""
        with self._read() as connection:
            return [_pin(row) for row in connection.execute(_chosen(pins, film, pins.c.removed_at, history))]

    def judge(self, film: str, shot: str, keys: Mapping[int, str], verdict: Verdict, note: str = "") -> list[Judged]:
        """Pick or reject the takes of these keys in these clips of a shot, or (Verdict.NONE) take that back.

        Who is picked takes the place of who was picked there before. Raises NotRecorded.
        """
        now = micros()
        rows = [row | {"verdict": verdict} for row in _rows(film, shot, keys, note, now)]
        made = insert(verdicts).returning(verdicts)
        with self._write() as connection:
            clips_missing(connection, keys.values())
            for row in rows:
                there = _at(verdicts, film, shot, [row["clip"]])
                same = verdicts.c.key == row["key"]
                if verdict is Verdict.PICKED:
                    same |= verdicts.c.verdict == Verdict.PICKED
                _end(connection, verdicts, there & same, "replaced_at", now)
            return [_judged(connection.execute(made, row).one()) for row in rows]

    def verdicts(self, film: str | None = None, history: bool = False) -> list[Judged]:
        """What is thought now of takes of a film, or of all, the oldest first; `history`: and what was before."""
        query = _chosen(verdicts, film, verdicts.c.replaced_at, history)
        if not history:
            query = query.where(verdicts.c.verdict != Verdict.NONE)
        with self._read() as connection:
            return [_judged(row) for row in connection.execute(query)]

    def add_retake(self, film: str, shot: str, seed: int, after: int = 1, note: str = "") -> Retake:
        """One more take of a shot. Its number is the next one after `after` and after all retakes so far."""
        with self._write() as connection:
            while True:  # again, when another process has just taken the number
                last = connection.execute(
                    select(func.max(retakes.c.take)).where(retakes.c.film == film, retakes.c.shot == shot)
                ).scalar_one()
                row = {"film": film, "shot": shot, "take": max(after, last or 1) + 1, "seed": str(seed)}
                row |= {"note": storable(note), "created_at": micros()}
                made = connection.execute(insert_new(connection, retakes).returning(retakes), row).one_or_none()
                if made is not None:
                    return _retake(made)

    def retakes(self, film: str, shot: str | None = None) -> list[Retake]:
        """The retakes of a film, or of one shot of it, by shot and number."""
        query = select(retakes).where(retakes.c.film == film).order_by(retakes.c.shot, retakes.c.take)
        if shot is not None:
            query = query.where(retakes.c.shot == shot)
        with self._read() as connection:
            return [_retake(row) for row in connection.execute(query)]


def _rows(film: str, shot: str, keys: Mapping[int, str], note: str, now: int) -> list[dict[str, Any]]:
    shared = {"film": film, "shot": shot, "note": storable(note), "created_at": now}
    return [shared | {"clip": clip, "key": key} for clip, key in sorted(keys.items())]


def _at(table: Table, film: str, shot: str, clips: Any) -> Any:
    return (table.c.film == film) & (table.c.shot == shot) & table.c.clip.in_(list(clips))


def _end(connection: Connection, table: Table, which: Any, column: str, now: int) -> None:
    connection.execute(update(table).where(which, table.c[column].is_(None)).values({column: now}))


def _chosen(table: Table, film: str | None, ended: Any, history: bool) -> Select[Any]:
    query = select(table).order_by(table.c.id)
    if film is not None:
        query = query.where(table.c.film == film)
    return query if history else query.where(ended.is_(None))


def _pin(row: Row[Any]) -> Pin:
    at = seconds(row.created_at), seconds_or_none(row.removed_at)
    return Pin(row.id, row.film, row.shot, row.clip, row.key, row.note, *at)


def _judged(row: Row[Any]) -> Judged:
    at = seconds(row.created_at), seconds_or_none(row.replaced_at)
    return Judged(row.id, row.film, row.shot, row.clip, row.key, Verdict(row.verdict), row.note, *at)


def _retake(row: Row[Any]) -> Retake:
    return Retake(row.film, row.shot, row.take, int(row.seed), row.note, seconds(row.created_at))
