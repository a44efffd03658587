"""What the database drivers report, in the words of this room."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError

from .address import Address
from .errors import (
    LedgerDamaged,
    LedgerError,
    LedgerLocked,
    LedgerUnreachable,
    StorageError,
    StoreFull,
    StoreUnwritable,
)

BUSY_SECONDS = 30

_SQLITE: tuple[tuple[str, type[StorageError], str], ...] = (
    (
        "SQLITE_NOTADB",
        LedgerDamaged,
        "is not a database. Move it away, or name another ledger with --db; a new one will be made",
    ),
    (
        "SQLITE_CORRUPT",
        LedgerDamaged,
        "is damaged. Restore it from a backup, or move it away and render again: the stored files stay",
    ),
    (
        "SQLITE_BUSY",
        LedgerLocked,
        f"stayed locked by another process for {BUSY_SECONDS} s. Find it (`fuser` on the file) and let it end",
    ),
    ("SQLITE_LOCKED", LedgerLocked, "is locked by another connection. Try again"),
    ("SQLITE_FULL", StoreFull, "cannot grow: the disk is full. Make room and run the same command again"),
    (
        "SQLITE_READONLY",
        StoreUnwritable,
        "cannot be written: the file, its folder or the disk is read-only. Make it writable, or name another with --db",
    ),
    (
        "SQLITE_CANTOPEN",
        LedgerUnreachable,
        "cannot be opened. Check that it is a file and that you may write it and its folder, or name another with --db",
    ),
    ("SQLITE_PERM", LedgerUnreachable, "cannot be opened: no permission. Change its mode, or name another with --db"),
    ("SQLITE_IOERR", LedgerUnreachable, "cannot be read or written: the disk reports an error. Check the disk"),
)

_POSTGRES: tuple[tuple[str, type[StorageError], str], ...] = (
    ("28", LedgerUnreachable, "The server refuses this user or password. Correct them in LONGTAKE_DB_URL or --db"),
    ("3D", LedgerUnreachable, "The server has no database of that name. Create it with `createdb`"),
    ("42501", LedgerUnreachable, "The user lacks a permission. Let it create and write tables in that database"),
    ("25006", StoreUnwritable, "The server takes no writes now (a standby, perhaps). Name the one that does"),
    ("531", StoreFull, "The server's disk is full. Make room and run the same command again"),
    ("55P03", LedgerLocked, "Another process keeps what we need locked. Try again"),
    ("40", LedgerLocked, "Another process was changing the same rows. Run the same command again"),
    ("XX00", LedgerDamaged, "The server reports damaged data. Restore it from a backup"),
    ("08", LedgerUnreachable, "The connection broke. Run the same command again when the server is back"),
    ("57", LedgerUnreachable, "The server is shutting down. Run the same command again when it is back"),
)


def translate(error: DBAPIError, address: Address) -> StorageError:
    """The error of this room that says what `error` means to a person."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, address)
    return _of_postgres(error, address)


def _of_sqlite(cause: sqlite3.Error, address: Address) -> StorageError:
    name = getattr(cause, "sqlite_errorname", "")
    for code, kind, meaning in _SQLITE:
        if name.startswith(code):
            return kind(f"The ledger {address.shown} {meaning}. (SQLite says: {cause})")
    return LedgerError(f"The ledger {address.shown} refused a change. (SQLite says: {cause})")


def _of_postgres(error: DBAPIError, address: Address) -> StorageError:
    said = address.hide(" ".join(str(error.orig).split()))
    state = getattr(error.orig, "sqlstate", None) or ""
    for code, kind, meaning in _POSTGRES:
        if state.startswith(code) if state else meaning.startswith(_guess(said)):
            return kind(f"The ledger {address.shown} cannot be used. {meaning}. (Postgres says: {said})")
    if isinstance(error, IntegrityError) or state:
        return LedgerError(f"The ledger {address.shown} refused a change. (Postgres says: {said})")
    return LedgerUnreachable(
        f"The ledger {address.shown} does not answer. Check that the server runs and that host and port are right. "
        f"(Postgres says: {said})"
    )


def _guess(said: str) -> str:
    """A refused login comes without a code: the driver knows only the server's words."""
    if "authentication failed" in said or "no password supplied" in said or 'role "' in said:
        return "The server refuses this user"
    if 'database "' in said and "does not exist" in said:
        return "The server has no database"
    return "\x00"
