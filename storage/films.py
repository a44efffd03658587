"""Prints (takes encoded for one film specification) and the finished films."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from sqlalchemy import Row, insert, select

from .database import Database, select_in
from .productions import film_of
from .rows import FilmVersion, micros, seconds, storable
from .tables import insert_new, prints, versions


class Films(Database):
    """The part of the ledger about what is made of takes."""

    def prints_of(self, take_files: Iterable[str], print_key: str) -> dict[str, str]:
        """Takes encoded so: {take file: print file}; those without one are absent."""
        query = select(prints.c.take_file, prints.c.file).where(prints.c.print_key == print_key)
        with self._read() as connection:
            return {row.take_file: row.file for row in select_in(connection, query, prints.c.take_file, take_files)}

    def record_print(self, take_file: str, print_key: str, file: str, bytes: int) -> str:
        """Remember a print; the print file that counts, which is the first one recorded."""
        key = {"take_file": take_file, "print_key": print_key}
        with self._write() as connection:
            connection.execute(
                insert_new(connection, prints).values(key | {"file": file, "bytes": bytes, "created_at": micros()})
            )
            query = select(prints.c.file).filter_by(**key)
            counts: str = connection.execute(query).scalar_one()
        return counts

    def record_film(
        self,
        production: int,
        path: str,
        file_digest: str,
        frames: int,
        fps: Fraction,
        cut_json: str,
        lineage_json: str,
    ) -> FilmVersion:
        """Remember a finished film file. Raises NotRecorded, and LeaseLost when another process has the film now."""
        with self._durable() as connection:
            row = {
                "production_id": production,
                "film": film_of(connection, production),
                "path": storable(path),
                "file_digest": file_digest,
                "frames": frames,
                "fps": str(fps),
                "cut_json": cut_json,
                "lineage_json": lineage_json,
                "created_at": micros(),
            }
            return _version(connection.execute(insert(versions).returning(versions), row).one())

    @contextmanager
    def while_ours(self, production: int) -> Iterator[None]:
        """Within, nobody else can claim the film: to put its file in place, which must be quick.

        Raises NotRecorded, and LeaseLost when another process has the film now.
        """
        with self._write() as connection:
            film_of(connection, production)
            yield

    def film_versions(self, film: str) -> list[FilmVersion]:
        """The finished files of a film, the last one first."""
        query = select(versions).where(versions.c.film == film).order_by(versions.c.id.desc())
        with self._read() as connection:
            return [_version(row) for row in connection.execute(query)]


def _version(row: Row[Any]) -> FilmVersion:
    return FilmVersion(
        row.id,
        row.production_id,
        row.film,
        row.path,
        row.file_digest,
        row.frames,
        Fraction(row.fps),
        row.cut_json,
        row.lineage_json,
        seconds(row.created_at),
    )
