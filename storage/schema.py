"""Bring a ledger's schema to the newest revision, or refuse it. alembic is loaded only when there is work for it."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Engine, inspect, text

from .address import Address
from .database import translated
from .errors import LedgerForeign, LedgerMissing, LedgerTooNew
from .tables import metadata

REVISIONS = ("0001", "0002", "0003")
HEAD = REVISIONS[-1]
# Its own name, so that another program's alembic in the same Postgres database is not disturbed.
VERSION_TABLE = "longtake_version"
_MIGRATION_LOCK = 0x6C6F6E67_74616B65  # "longtake"; any number that nobody else uses

log = logging.getLogger("longtake.storage")


def bring_to_head(engine: Engine, address: Address, create: bool) -> None:
    """Create or upgrade the schema. Any number of processes may do this at once: one works, the others wait.

    Raises LedgerMissing when there is nothing and `create` is false, LedgerTooNew, LedgerForeign.
    """
    with translated(address):
        with engine.execution_options(mode="read").begin() as connection:
            found = _accepted(connection, address)
        if found == HEAD:
            return
        if found is None and not create:
            raise missing(address)
        with engine.execution_options(mode="durable").begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
            if _accepted(connection, address) != HEAD:
                log.info("bringing the ledger %s from revision %s to %s", address.shown, found, HEAD)
                upgrade(connection)


def missing(address: Address) -> LedgerMissing:
    """The error for a ledger that has not begun."""
    return LedgerMissing(
        f"No ledger at {address.shown}: nothing has been rendered there yet. `longtake render` makes one."
    )


def _accepted(connection: Connection, address: Address) -> str | None:
    """The revision in the database, None for an empty one. Raises when it is not one of ours."""
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    if VERSION_TABLE in present:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
        if found is None or found in REVISIONS:
            return found
        raise LedgerTooNew(
            f"The ledger {address.shown} has schema revision {found}; this longtake knows revisions up to {HEAD}. "
            "It was written by a newer longtake: upgrade with `pip install --upgrade longtake`, or name another "
            "ledger with --db. Nothing was changed."
        )
    # A Postgres database may be shared with others; an SQLite file with tables that are not ours is not ours.
    foreign = present if address.path is not None else present & set(metadata.tables)
    if foreign:
        raise LedgerForeign(
            f"The database {address.shown} is not a longtake ledger: it holds tables of another program "
            f"({', '.join(sorted(foreign)[:5])}). Name another with --db. Nothing was changed."
        )
    return None


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` inside the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
