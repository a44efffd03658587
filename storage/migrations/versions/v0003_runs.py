"""Runs that were handed to a cluster, the run of a production, nodes set aside, and how much memory was needed.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add tables and a column that may be null: nothing that is there changes."""
    op.add_column("productions", sa.Column("run", sa.Text, nullable=True))
    op.create_index("productions_by_run", "productions", ["run"])
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name) for name in ("package", "films_json", "options_json", "host")),
        _text("wish", nullable=True),
        _time("wished_at", nullable=True),
        _time("created_at"),
    )
    op.create_table(
        "submissions",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        *(_text(name) for name in ("job", "address", "state")),
        _text("message", nullable=True),
        sa.Column("exit_code", sa.Integer, nullable=True),
        _text("host", nullable=True),
        sa.Column("pid", sa.BigInteger, nullable=True),
        _time("submitted_at"),
        *(_time(name, nullable=True) for name in ("began_at", "heard_at", "ended_at")),
    )
    op.create_table(
        "pictures", *(sa.Column(name, sa.Text, primary_key=True) for name in ("film", "file")), _time("created_at")
    )
    op.create_table(
        "asides",
        sa.Column("id", Id, primary_key=True),
        *(_text(name) for name in ("host", "reason")),
        _time("created_at"),
        _time("ended_at", nullable=True),
    )
    where = "ended_at IS NULL"
    op.create_index(
        "asides_one_a_host",
        "asides",
        ["host"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
    op.create_table(
        "rungs",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("model_digest", "device", "size")),
        sa.Column("rung", sa.Integer, nullable=False),
        _time("updated_at"),
    )
    op.create_table("progress", sa.Column("film", sa.Text, primary_key=True), _time("at"), _text("report_json"))


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)
