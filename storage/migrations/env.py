"""Run by alembic, inside the transaction that `storage.schema` has begun: all of a migration happens, or none."""

from __future__ import annotations

from alembic import context

from storage.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
