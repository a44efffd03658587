"""Connections and short transactions, the same on SQLite and Postgres.

SQLite: write-ahead log; a writing transaction takes the write lock at its beginning (BEGIN IMMEDIATE), so none fails
in its middle; a reading one sees a snapshot and waits for nobody. `synchronous` is NORMAL: a killed process loses
nothing and a power cut at most the last moments. A *durable* transaction, the one that records a take or a film, is
FULL: a take may have cost an hour, and flushing it costs milliseconds. Postgres flushes every commit by itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Engine, Row, Select, create_engine, event
from sqlalchemy.exc import DBAPIError

from .address import Address
from .errors import LedgerUnreachable, StoreFull, StoreUnwritable
from .faults import BUSY_SECONDS, translate
from .rows import micros

# SQLite before 3.32 takes 999 variables a statement.
CHUNK = 900
T = TypeVar("T", str, int)


def connect(address: Address) -> Engine:
    """An engine for `address`; creates the folder of an SQLite file. Nothing is opened yet."""
    if address.path is None:
        return _postgres(address)
    try:
        address.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = StoreFull if error.errno == errno.ENOSPC else StoreUnwritable
        raise kind(
            f"The ledger's folder {address.path.parent} cannot be created: {error.strerror}. "
            "Make room or change the permission there, or name another ledger with --db."
        ) from None
    return _sqlite(address)


def _postgres(address: Address) -> Engine:
    given = address.url.query
    defaults = {"connect_timeout": 10, "application_name": "longtake"}
    return create_engine(
        address.url,
        hide_parameters=True,
        pool_pre_ping=True,  # a server that was restarted since costs one ping, not a failed clip
        connect_args={k: v for k, v in defaults.items() if k not in given},
    )


def _sqlite(address: Address) -> Engine:
    engine = create_engine(address.url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # else the driver begins transactions by itself, deferred
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -65536")  # 64 MiB: keys are hashes, so inserts touch pages everywhere
    _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """The change to a write-ahead log, made once in a file's life, does not wait for other connections; so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("mode", "write")
    if mode == "read":
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if mode == 'durable' else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class Database:
    """An open database at `address`. The parts of the ledger derive from it."""

    def __init__(self, engine: Engine, address: Address) -> None:
        self._engine = engine
        self._modes = {mode: engine.execution_options(mode=mode) for mode in ("read", "write", "durable")}
        self._address = address
        self._pid = os.getpid()

    @property
    def url_shown(self) -> str:
        """The address without its password."""
        return self._address.shown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url_shown!r})"

    def close(self) -> None:
        """Close all connections. What was recorded is recorded."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, mode: str) -> Iterator[Connection]:
        if self._pid != os.getpid():
            # A forked child must not speak through its parent's connections, nor close them.
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        with translated(self._address), self._modes[mode].begin() as connection:
            yield connection

    def _read(self) -> contextlib.AbstractContextManager[Connection]:
        return self._transaction("read")

    def _write(self) -> contextlib.AbstractContextManager[Connection]:
        return self._transaction("write")

    def _durable(self) -> contextlib.AbstractContextManager[Connection]:
        return self._transaction("durable")


@contextlib.contextmanager
def translated(address: Address) -> Iterator[None]:
    """Errors of the drivers become errors of this room. The original is not chained: it may hold a password."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error, address) from None
    except OSError as error:
        if not isinstance(error, ConnectionError | TimeoutError):
            raise
        raise LedgerUnreachable(f"The ledger {address.shown} does not answer: {error}. Check the server.") from None


def select_in(
    connection: Connection, statement: Select[Any], column: Column[T], values: Iterable[T]
) -> Iterator[Row[Any]]:
    """Rows of `statement` whose `column` is one of `values`, of which there may be any number."""
    wanted = list(dict.fromkeys(values))
    for start in range(0, len(wanted), CHUNK):
        yield from connection.execute(statement.where(column.in_(wanted[start : start + CHUNK])))


def clock(connection: Connection) -> int:
    """Microseconds since the epoch by the clock that all users of this database share."""
    if connection.dialect.name == "sqlite":
        return micros()
    now: int = connection.exec_driver_sql(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    ).scalar_one()
    return now


def locked(statement: Select[Any]) -> Select[Any]:
    """`statement` with its rows locked until the transaction ends (SQLite has locked everything already).

    Rows may still be referred to: whoever adds an attempt of a clip need not wait for one who finishes another.
    """
    return statement.with_for_update(key_share=True)
