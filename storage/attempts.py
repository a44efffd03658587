"""Attempts: who ran a clip, when, and how it ended. The first finished one of a clip makes its take."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from .database import Database, locked, select_in
from .owner import Owner
from .productions import running, unknown
from .rows import Attempt, Take, TakeRow, micros, seconds, seconds_or_none, storable
from .states import AttemptState, TakeState, check_attempt
from .tables import attempts, clips, productions, takes
from .takes import accepted, clips_missing, take_of

# Made once: SQLAlchemy takes longer to put a statement together than SQLite to run it.
_BEGINS = insert(attempts).returning(attempts.c.id, sort_by_parameter_order=True)
_ACCEPTS = insert(takes).returning(takes)
_ENDS = update(attempts).where(attempts.c.id == bindparam("attempt"))
_ONE = locked(select(attempts).where(attempts.c.id == bindparam("attempt")))


class Attempts(Database):
    """The part of the ledger about attempts."""

    def begin_attempts(
        self, production: int, keys: Sequence[str], device: str, worker: str, owner: Owner | None = None
    ) -> list[int]:
        """Say that these clips are being rendered; the attempts' numbers, in the order of `keys`.

        Raises LeaseLost when the film was taken over, NotRecorded.
        """
        if not keys:
            return []
        owner = owner or Owner.here()
        row = {
            "production_id": production,
            "state": AttemptState.RUNNING,
            "host": owner.host,
            "pid": owner.pid,
            "device": device,
            "worker": worker,
            "started_at": micros(),
        }
        with self._write() as connection:
            running(connection, production)
            clips_missing(connection, keys)
            return list(connection.execute(_BEGINS, [row | {"key": key} for key in keys]).scalars())

    def finish_attempt(self, attempt: int, made: TakeRow) -> Take:
        """Record what an attempt made; the clip's accepted take, which is another's when another was first.

        The files must be in the store before. Asking twice is asking once. An attempt that had been given up as lost
        may still finish. Raises NotRecorded, IllegalTransition.
        """
        with self._durable() as connection:
            row = _attempt(connection, attempt, made.key)
            if connection.dialect.name != "sqlite":
                # All who finish this clip pass here one by one; SQLite has let in one writer only.
                connection.execute(locked(select(clips.c.key).where(clips.c.key == made.key))).one()
            first = accepted(connection, made.key)
            if row.state in (AttemptState.DONE, AttemptState.DUPLICATE) and first is not None:
                return first
            end = AttemptState.DUPLICATE if first else AttemptState.DONE
            check_attempt(attempt, row.state, end)
            if first is None:
                first = _accept(connection, attempt, row.device, made)
            _end(connection, row, end, message=_difference(first, made), error_type=None)
            return first

    def fail_attempt(self, attempt: int, error_type: str, message: str, trace: str = "", log_tail: str = "") -> str:
        """Record a failure; its digest, equal for failures that look alike. Raises NotRecorded, IllegalTransition."""
        digest = failure_digest(error_type, message)
        self._end(
            attempt,
            AttemptState.FAILED,
            error_type=storable(error_type),
            message=storable(message),
            trace=storable(trace),
            log_tail=storable(log_tail),
            failure_digest=digest,
        )
        return digest

    def interrupt_attempt(self, attempt: int, message: str = "") -> None:
        """Record that we were asked to stop. Raises NotRecorded, IllegalTransition."""
        self._end(attempt, AttemptState.INTERRUPTED, message=storable(message))

    def attempts(self, key: str) -> list[Attempt]:
        """All attempts of a clip, the first one first."""
        return self.attempts_of([key]).get(key, [])

    def attempts_of(self, keys: Iterable[str]) -> dict[str, list[Attempt]]:
        """All attempts of each clip, the first one first, with what went wrong; clips without any are absent."""
        found: dict[str, list[Attempt]] = {}
        with self._read() as connection:
            for row in select_in(connection, select(attempts).order_by(attempts.c.id), attempts.c.key, keys):
                found.setdefault(row.key, []).append(_shown(row))
        return found

    def failures(self, keys: Iterable[str]) -> dict[str, list[Attempt]]:
        """Failed attempts of each clip since it last succeeded or was released, the oldest first; others are absent."""
        return self._since_success(keys, AttemptState.FAILED)

    def losses(self, keys: Iterable[str]) -> dict[str, list[Attempt]]:
        """As `failures`, of attempts whose process died: killed, out of memory, or brought down by the clip itself."""
        return self._since_success(keys, AttemptState.LOST)

    def camera_seconds(self, film: str) -> float:
        """Seconds that cameras have worked on a film, in all its productions, whether anything came of it or not.

        A camera that renders several clips together is counted once. What a process that died was doing is not
        counted: nobody knows when it ended.
        """
        query = (
            select(attempts.c.host, attempts.c.pid, attempts.c.worker, attempts.c.started_at, attempts.c.ended_at)
            .join(productions, productions.c.id == attempts.c.production_id)
            .where(productions.c.film == film, attempts.c.ended_at.is_not(None))
            .where(attempts.c.state != AttemptState.LOST)
            .order_by(attempts.c.started_at)
        )
        total, until = 0, dict[tuple[str, int, str], int]()
        with self._read() as connection:
            for row in connection.execute(query):
                camera = row.host, row.pid, row.worker
                begun = max(row.started_at, until.get(camera, 0))
                total += max(0, row.ended_at - begun)
                until[camera] = max(row.ended_at, until.get(camera, 0))
        return seconds(total)

    def _since_success(self, keys: Iterable[str], state: AttemptState) -> dict[str, list[Attempt]]:
        earlier = attempts.alias()
        success = select(func.coalesce(func.max(earlier.c.id), 0)).where(
            earlier.c.key == attempts.c.key, earlier.c.state == AttemptState.DONE
        )
        query = select(attempts).where(
            attempts.c.state == state,
            attempts.c.forgiven_at.is_(None),
            attempts.c.id > success.scalar_subquery(),
        )
        found: dict[str, list[Attempt]] = {}
        with self._read() as connection:
            for row in select_in(connection, query.order_by(attempts.c.id), attempts.c.key, keys):
                found.setdefault(row.key, []).append(_shown(row))
        return found

    def _end(self, attempt: int, state: AttemptState, **values: str) -> None:
        with self._write() as connection:
            row = _attempt(connection, attempt)
            check_attempt(attempt, row.state, state)
            _end(connection, row, state, **values)


def failure_digest(error_type: str, message: str) -> str:
    """Names a failure. Numbers and addresses in the message do not count: they differ between equal failures."""
    alike = re.sub(r"0x[0-9a-fA-F]+|\d+", "#", message)
    return hashlib.sha256(f"{error_type}\n{alike}".encode(errors="backslashreplace")).hexdigest()


def _attempt(connection: Connection, attempt: int, key: str | None = None) -> Row[Any]:
    row = connection.execute(_ONE, {"attempt": attempt}).one_or_none()
    if row is None or key not in (None, row.key):
        raise unknown("attempt", attempt if key is None else f"{attempt} of clip {key}")
    return row


def _end(connection: Connection, attempt: Row[Any], state: AttemptState, **values: str | None) -> None:
    ended = max(micros(), attempt.started_at)  # a clock may be put back while a clip is rendered
    connection.execute(_ENDS, {"attempt": attempt.id, "state": state, "ended_at": ended, **values})


def _accept(connection: Connection, attempt: int, device: str, made: TakeRow) -> Take:
    row = {
        "key": made.key,
        "attempt_id": attempt,
        "state": TakeState.ACCEPTED,
        "video": made.video,
        "latents": made.latents,
        "tail": made.tail,
        "frames": made.frames,
        "width": made.width,
        "height": made.height,
        "frames_digest": made.frames_digest,
        "nfe": made.nfe,
        "seconds_json": json.dumps(dict(made.seconds), sort_keys=True),
        "bytes": made.bytes,
        "model_digest": made.model_digest,
        # A camera knows its device when the model is loaded, which may be after the attempt has begun.
        "device": str(made.environment.get("device") or device),
        "code_version": made.code_version,
        "environment_json": json.dumps(dict(made.environment), sort_keys=True),
        "accepted_at": micros(),
    }
    return take_of(connection.execute(_ACCEPTS, row).one())


def _difference(first: Take, made: TakeRow) -> str | None:
    """Two takes of one clip should be equal. When they are not, that is worth knowing."""
    if first.frames_digest == made.frames_digest:
        return None
    return f"its frames differ from those of take {first.id}: {made.frames_digest}, accepted {first.frames_digest}"


def _shown(row: Row[Any]) -> Attempt:
    return Attempt(
        row.id,
        row.production_id,
        row.key,
        AttemptState(row.state),
        row.host,
        row.pid,
        row.device,
        row.worker,
        seconds(row.started_at),
        seconds_or_none(row.ended_at),
        row.error_type,
        row.message,
        row.trace,
        row.log_tail,
        row.failure_digest,
    )
