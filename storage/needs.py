"""What is still needed, and taking leave of what is not.

Needed are the takes of
    every finished film that has not been written over by a later one,
    the last production of every film, however it ended: it may be continued,
    every production that runs now, and every film that is claimed now,
    every pin and every pick that holds,
and the prints of those takes. A file that no row names may belong to a row that is about to be written: `gc` gives it
a day.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from .database import Database, select_in
from .leases import FILM, owner_of
from .rows import Take, micros, storable
from .states import ProductionState, TakeState, Verdict
from .tables import leases, pins, prints, productions, slates, takes, verdicts, versions
from .takes import take_of

_NAMED = re.compile(r"[0-9a-f]{64}")

_PRINT = prints.c.take_file, prints.c.print_key, prints.c.file, prints.c.bytes


@dataclass(frozen=True, slots=True)
class PrintRow:
    """A print as the ledger knows it."""

    take_file: str
    print_key: str
    file: str
    bytes: int


class Needs(Database):
    """The part of the ledger that knows what may go."""

    def unneeded_takes(self, forget: Collection[str] = ()) -> list[Take]:
        """Accepted takes that nothing needs, the oldest first. `forget`: films that are needed no more."""
        with self._read() as connection:
            return _unneeded(connection, forget)

    def unfinished(self, keys: Iterable[str], forget: Collection[str] = ()) -> set[str]:
        """Those of these clips that are still to be rendered: without a take, and wanted by the last production of a
        film or by one under way. `forget` as for `unneeded_takes`."""
        with self._read() as connection:
            wanted = _needed(connection, set(forget)).intersection(keys)
            query = select(takes.c.key).where(takes.c.state == TakeState.ACCEPTED)
            return wanted - {row.key for row in select_in(connection, query, takes.c.key, wanted)}

    def remove_takes(self, ids: Iterable[int], reason: str, forget: Collection[str] = ()) -> list[Take]:
        """Serve these takes no more; those that are needed by now stay. What went; its files are the caller's."""
        wanted = set(ids)
        with self._durable() as connection:
            gone = [take for take in _unneeded(connection, forget) if take.id in wanted]
            values = {"state": TakeState.REMOVED, "dropped_at": micros(), "drop_reason": storable(reason)}
            for take in gone:
                connection.execute(update(takes).where(takes.c.id == take.id).values(values))
        return gone

    def unneeded_prints(self, but: Collection[int] = ()) -> list[PrintRow]:
        """Prints of what is no accepted take's video, or would be none without the takes `but`."""
        with self._read() as connection:
            videos = _videos(connection, but)
            rows = connection.execute(select(*_PRINT)).all()
        return [PrintRow(*row) for row in rows if row.take_file not in videos]

    def remove_prints(self) -> list[PrintRow]:
        """Forget prints of what is no accepted take's video any more; what they were."""
        videos = select(takes.c.video).where(takes.c.state == TakeState.ACCEPTED)
        with self._write() as connection:
            gone = connection.execute(delete(prints).where(prints.c.take_file.not_in(videos)).returning(*_PRINT))
            return [PrintRow(*row) for row in gone]

    def check(self) -> list[str]:
        """What is wrong with the database itself, a line each; empty when it is sound."""
        with self._read() as connection:
            if connection.dialect.name != "sqlite":
                return []  # Postgres checks its pages by itself, and says so in its log
            said = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return [line for line in said if line != "ok"] + [
            f"{row[0]} names a {row[2]} that is not there" for row in orphans
        ]


def _videos(connection: Connection, but: Collection[int]) -> set[str]:
    rows = connection.execute(select(takes.c.id, takes.c.video).where(takes.c.state == TakeState.ACCEPTED))
    return {row.video for row in rows if row.id not in but}


def _unneeded(connection: Connection, forget: Collection[str]) -> list[Take]:
    needed = _needed(connection, set(forget))
    rows = connection.execute(select(takes).where(takes.c.state == TakeState.ACCEPTED).order_by(takes.c.id))
    return [take_of(row) for row in rows if row.key not in needed]


def _needed(connection: Connection, forget: set[str]) -> set[str]:
    """Keys, and some more names that are as long."""
    claimed = _claimed(connection)
    films = set(connection.execute(select(productions.c.film).distinct()).scalars()) - forget | claimed
    runs = {*_last(connection, films), *_running(connection, claimed)}
    needed: set[str] = set()
    for kept, text in _finished(connection, films):
        # Whatever a film's record names is needed, whoever wrote it and however it is laid out.
        runs.add(kept)
        needed.update(_NAMED.findall(text))
    needed.update(
        row.key for row in select_in(connection, select(slates.c.key).distinct(), slates.c.production_id, runs)
    )
    for table, holds in (
        (pins, pins.c.removed_at.is_(None)),
        (verdicts, verdicts.c.replaced_at.is_(None) & (verdicts.c.verdict == Verdict.PICKED)),
    ):
        rows = connection.execute(select(table.c.film, table.c.key).where(holds))
        needed.update(row.key for row in rows if row.film not in forget)
    return needed


def _claimed(connection: Connection) -> set[str]:
    """Films that somebody may be rendering now: all but those whose owner is seen to be dead."""
    rows = connection.execute(select(leases).where(leases.c.host.is_not(None), leases.c.resource.startswith(FILM)))
    return {row.resource.removeprefix(FILM) for row in rows if owner_of(row).alive() is not False}


def _last(connection: Connection, films: set[str]) -> list[int]:
    rows = connection.execute(select(productions.c.film, func.max(productions.c.id)).group_by(productions.c.film))
    return [last for film, last in rows if film in films]


def _running(connection: Connection, claimed: set[str]) -> list[int]:
    """Productions under way; of a film that is claimed all, since its owner may be about to record another."""
    rows = connection.execute(select(productions.c.id, productions.c.film, productions.c.state))
    return [id for id, film, state in rows if state == ProductionState.RUNNING or film in claimed]


def _finished(connection: Connection, films: set[str]) -> list[tuple[int, str]]:
    """(production, all that its record says) of the films that have not been written over."""
    last = select(func.max(versions.c.id)).group_by(versions.c.film, versions.c.path)
    columns = versions.c.production_id, versions.c.film, versions.c.cut_json, versions.c.lineage_json
    rows = connection.execute(select(*columns).where(versions.c.id.in_(last)))
    return [(row.production_id, row.cut_json + row.lineage_json) for row in rows if row.film in films]
