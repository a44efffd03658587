"""Whether a ledger has the schema of this version, tables and indexes."""

from __future__ import annotations

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage import schema, tables
from storage.address import parse
from storage.database import connect


def check_newest(url: str) -> None:
    engine = connect(parse(url))
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert context.get_current_revision() == schema.HEAD
        assert compare_metadata(context, tables.metadata) == []
        indexes = {i["name"] for t in tables.metadata.tables for i in sqlalchemy.inspect(connection).get_indexes(t)}
    assert indexes == {i.name for t in tables.metadata.tables.values() for i in t.indexes}
    engine.dispose()
