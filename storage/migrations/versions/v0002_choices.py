"""Pins, verdicts and retakes; how long a lease lasts; takes by the tail that they leave.

Revision ID: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add tables, a column that may be null, and an index: nothing that is there changes."""
    op.add_column("leases", sa.Column("ttl", sa.BigInteger, nullable=True))
    op.create_index("takes_by_tail", "takes", ["tail"])
    op.create_table("pins", *_place(), _text("note"), _time("created_at"), _time("removed_at", nullable=True))
    _one_only("pins_one_a_place", "pins", ["film", "shot", "clip"], "removed_at IS NULL")
    op.create_table(
        "verdicts",
        *_place(),
        _text("verdict"),
        _text("note"),
        _time("created_at"),
        _time("replaced_at", nullable=True),
    )
    _one_only("verdicts_one_a_take", "verdicts", ["film", "shot", "clip", "key"], "replaced_at IS NULL")
    picked = "replaced_at IS NULL AND verdict = 'picked'"
    _one_only("verdicts_one_picked", "verdicts", ["film", "shot", "clip"], picked)
    op.create_table(
        "retakes",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("film", "shot")),
        sa.Column("take", sa.Integer, primary_key=True),
        _text("seed"),
        _text("note"),
        _time("created_at"),
    )


def _place() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", Id, primary_key=True),
        _text("film"),
        _text("shot"),
        sa.Column("clip", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, sa.ForeignKey("clips.key"), nullable=False),
    ]


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _one_only(name: str, table: str, columns: list[str], where: str) -> None:
    """At most one row a `columns` among those where `where` holds."""
    op.create_index(name, table, columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
