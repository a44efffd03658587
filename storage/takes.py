"""Takes: what has been computed, by key; and the clips they are takes of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select, update

from .database import Database, select_in
from .productions import unknown
from .rows import Clip, FileUse, Sample, Take, micros, seconds, storable
from .runs import packages
from .states import TakeState
from .tables import clips, pictures, prints, takes

_ACCEPTED = takes.c.state == TakeState.ACCEPTED
_OF_CLIP = select(takes).where(_ACCEPTED, takes.c.key == bindparam("clip"))


class Takes(Database):
    """The part of the ledger about takes and clips."""

    def takes(self, keys: Iterable[str]) -> dict[str, Take]:
        """The accepted takes of these clips; those without one are absent."""
        with self._read() as connection:
            rows = select_in(connection, _takes(), takes.c.key, keys)
            return {row.key: take_of(row) for row in rows}

    def take(self, key: str) -> Take | None:
        """The accepted take of a clip, or None."""
        with self._read() as connection:
            return accepted(connection, key)

    def drop_take(self, key: str, reason: str) -> bool:
        """A file of the clip's take is gone or altered: never return that take again. False when there was none."""
        with self._write() as connection:
            return _drop(connection, takes.c.key == key, reason) > 0

    def drop_file(self, file: str, reason: str) -> list[FileUse]:
        """A stored file is gone or altered: takes and prints that use it are returned no more. What used it."""
        with self._write() as connection:
            used = file_uses(connection, file).get(file, [])
            _drop(connection, or_(takes.c.video == file, takes.c.latents == file, takes.c.tail == file), reason)
            connection.execute(prints.delete().where(or_(prints.c.file == file, prints.c.take_file == file)))
        return used

    def dropped(self, keys: Iterable[str]) -> dict[str, str]:
        """Why the last take of each clip was dropped; clips that have a take, or never had one, are absent."""
        accepted_keys = select(takes.c.key).where(_ACCEPTED)
        query = select(takes.c.key, takes.c.drop_reason).where(
            takes.c.state == TakeState.DAMAGED, takes.c.key.not_in(accepted_keys)
        )
        with self._read() as connection:
            return {
                row.key: row.drop_reason or ""
                for row in select_in(connection, query.order_by(takes.c.id), takes.c.key, keys)
            }

    def file_uses(self) -> dict[str, list[FileUse]]:
        """Every file that an accepted take or a print needs, and what for."""
        with self._read() as connection:
            return file_uses(connection)

    def clip(self, key: str) -> Clip | None:
        """A clip that was planned once, or None."""
        with self._read() as connection:
            row = connection.execute(select(clips).where(clips.c.key == key)).one_or_none()
        return None if row is None else Clip(row.key, row.spec_json, seconds(row.created_at))

    def find_clips(self, prefix: str, most: int = 100) -> list[str]:
        """Keys that begin with `prefix`, in order, `most` of them at the most."""
        begins = func.substr(clips.c.key, 1, len(prefix)) == prefix
        with self._read() as connection:
            return list(
                connection.execute(select(clips.c.key).where(begins).order_by(clips.c.key).limit(most)).scalars()
            )

    def speeds(self, model_digest: str, device: str, most: int = 50) -> list[Sample]:
        """The last measurements of a model on a device, the newest first; empty when there are none."""
        query = select(takes).where(takes.c.model_digest == model_digest, takes.c.device == device)
        with self._read() as connection:
            rows = connection.execute(query.order_by(takes.c.id.desc()).limit(most))
            return [Sample(r.frames, r.width, r.height, r.nfe, json.loads(r.seconds_json), r.bytes) for r in rows]


def accepted(connection: Connection, key: str) -> Take | None:
    """The accepted take of a clip, or None."""
    row = connection.execute(_OF_CLIP, {"clip": key}).one_or_none()
    return None if row is None else take_of(row)


def take_of(row: Row[Any]) -> Take:
    """A row of `takes` as a Take."""
    return Take(
        key=row.key,
        video=row.video,
        latents=row.latents,
        tail=row.tail,
        frames=row.frames,
        width=row.width,
        height=row.height,
        frames_digest=row.frames_digest,
        nfe=row.nfe,
        seconds=json.loads(row.seconds_json),
        bytes=row.bytes,
        code_version=row.code_version,
        environment=dict(_environment(row.environment_json)),
        model_digest=row.model_digest,
        id=row.id,
        attempt=row.attempt_id,
        device=row.device,
        accepted_at=seconds(row.accepted_at),
    )


def clips_missing(connection: Connection, keys: Iterable[str]) -> None:
    """Raises NotRecorded when one of the clips was never planned."""
    wanted = list(keys)
    known = {row.key for row in select_in(connection, select(clips.c.key), clips.c.key, wanted)}
    for key in wanted:
        if key not in known:
            raise unknown("clip", key)


def file_uses(connection: Connection, file: str | None = None) -> dict[str, list[FileUse]]:
    """As `Takes.file_uses`, of one file when it is named."""
    uses: dict[str, list[FileUse]] = {}
    for column in (takes.c.video, takes.c.latents, takes.c.tail):
        query = select(column.label("file"), takes.c.key.label("used_by")).where(_ACCEPTED, column.is_not(None))
        _collect(connection, query if file is None else query.where(column == file), column.name, uses)
    query = select(prints.c.file, prints.c.take_file.label("used_by"))
    _collect(connection, query if file is None else query.where(prints.c.file == file), "print", uses)
    for package, run in packages(connection):
        if file in (None, package):
            uses.setdefault(package, []).append(FileUse("package", run))
    query = select(pictures.c.file, pictures.c.film.label("used_by")).order_by(pictures.c.film)
    _collect(connection, query if file is None else query.where(pictures.c.file == file), "picture", uses)
    return uses


def _collect(connection: Connection, query: Select[Any], kind: str, uses: dict[str, list[FileUse]]) -> None:
    for row in connection.execute(query):
        uses.setdefault(row.file, []).append(FileUse(kind, row.used_by))


def _takes() -> Select[Any]:
    return select(takes).where(_ACCEPTED)


def _drop(connection: Connection, which: Any, reason: str) -> int:
    dropped = {"state": TakeState.DAMAGED, "dropped_at": micros(), "drop_reason": storable(reason)}
    return connection.execute(update(takes).where(which, _ACCEPTED).values(dropped)).rowcount


@lru_cache(maxsize=64)
def _environment(text: str) -> dict[str, object]:
    """The clips of a night share one environment: it is read once."""
    environment: dict[str, object] = json.loads(text)
    return environment
