"""Takes by the places where they stood: what a clip of a film was before, and which clips end alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, func, select

from .database import Database, select_in
from .rows import PlacedTake, Take
from .states import TakeState
from .tables import clips, productions, slates, takes
from .takes import take_of

Place = tuple[str, int]
"""A shot's id and a clip's number in it, from 1."""


class Placed(Database):
    """The part of the ledger about takes in their places."""

    def takes_at(self, film: str, shot: str, clip: int | None = None) -> dict[int, list[PlacedTake]]:
        """The takes that ever stood in a clip of a shot, or in each of them: {clip: takes}, the newest first."""
        here = _standing(film).where(slates.c.shot == shot)
        if clip is not None:
            here = here.where(slates.c.clip == clip)
        placed = here.add_columns(slates.c.clip, takes.c.id).distinct().subquery()
        rows = (
            select(takes, clips.c.spec_json, placed.c.clip)
            .join(placed, placed.c.id == takes.c.id)
            .join(clips, clips.c.key == takes.c.key)
            .order_by(placed.c.clip, takes.c.id.desc())
        )
        found: dict[int, list[PlacedTake]] = {}
        with self._read() as connection:
            for row in connection.execute(rows):
                found.setdefault(row.clip, []).append(PlacedTake(take_of(row), row.spec_json))
        return found

    def nearest_takes(self, film: str, places: Iterable[Place]) -> dict[Place, tuple[Take, str]]:
        """{place: (the newest take that stood there, its spec JSON)}; places where none did are absent."""
        wanted = set(places)
        newest = _standing(film).add_columns(slates.c.shot, slates.c.clip, func.max(takes.c.id).label("id"))
        newest = newest.group_by(slates.c.shot, slates.c.clip)
        with self._read() as connection:
            rows = select_in(connection, newest, slates.c.shot, (shot for shot, _ in wanted))
            ids = {(row.shot, row.clip): row.id for row in rows if (row.shot, row.clip) in wanted}
            query = select(takes, clips.c.spec_json).join(clips, clips.c.key == takes.c.key)
            by_id = {
                row.id: (take_of(row), row.spec_json) for row in select_in(connection, query, takes.c.id, ids.values())
            }
        return {place: by_id[id] for place, id in ids.items()}

    def same_tails(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """{key: the other clips that left the same tail, bit for bit}; clips without a take or a twin are absent.

        What follows one of them follows all: a tail is everything that the next clip takes over.
        """
        twins = takes.alias()
        query = (
            select(takes.c.key, twins.c.key.label("twin"))
            .join(twins, (twins.c.tail == takes.c.tail) & (twins.c.key != takes.c.key))
            .where(takes.c.state == TakeState.ACCEPTED)
            .order_by(twins.c.id.desc())
        )
        found: dict[str, dict[str, None]] = {}
        with self._read() as connection:
            for row in select_in(connection, query, takes.c.key, keys):
                found.setdefault(row.key, {})[row.twin] = None
        return {key: list(others) for key, others in found.items()}

    def take_by_id(self, id: int) -> tuple[Take, TakeState] | None:
        """A take by its number, also one that is served no more; None when there is none."""
        with self._read() as connection:
            row = connection.execute(select(takes).where(takes.c.id == id)).one_or_none()
        return None if row is None else (take_of(row), TakeState(row.state))


def _standing(film: str) -> Select[Any]:
    """Accepted takes of clips that stood in a production of `film`; columns are to be added."""
    return (
        select()
        .select_from(slates)
        .join(productions, productions.c.id == slates.c.production_id)
        .join(takes, takes.c.key == slates.c.key)
        .where(productions.c.film == film, takes.c.state == TakeState.ACCEPTED)
    )
