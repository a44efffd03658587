"""The first schema.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _big(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _int(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _id() -> sa.Column[int]:
    return sa.Column("id", Id, primary_key=True)


def _key() -> sa.Column[str]:
    return sa.Column("key", sa.Text, sa.ForeignKey("clips.key"), nullable=False)


def _production() -> sa.Column[int]:
    return sa.Column("production_id", Id, sa.ForeignKey("productions.id"), nullable=False)


def upgrade() -> None:
    """Make all tables."""
    _who_runs_what()
    _clips()
    _what_was_made()


def _who_runs_what() -> None:
    op.create_table(
        "leases",
        sa.Column("resource", sa.Text, primary_key=True),
        _big("fence"),
        _text("host", nullable=True),
        _text("machine", nullable=True),
        *(_big(name, nullable=True) for name in ("pid", "pid_started", "acquired_at", "expires_at")),
    )
    op.create_table(
        "productions",
        _id(),
        *(_text(name) for name in ("film", "title", "storyboard_path", "storyboard_digest", "plan_json", "state")),
        _text("message", nullable=True),
        _big("fence", nullable=True),
        _text("host"),
        _big("pid"),
        _big("started_at"),
        _big("ended_at", nullable=True),
    )
    op.create_index("productions_by_film", "productions", ["film", "id"])


def _clips() -> None:
    op.create_table("clips", sa.Column("key", sa.Text, primary_key=True), _text("spec_json"), _big("created_at"))
    op.create_table(
        "slates",
        sa.Column("production_id", Id, sa.ForeignKey("productions.id"), primary_key=True),
        sa.Column("shot", sa.Text, primary_key=True),
        sa.Column("clip", sa.Integer, primary_key=True),
        sa.Column("take", sa.Integer, primary_key=True),
        _int("position"),
        _key(),
        _text("why"),
    )
    op.create_index("slates_by_key", "slates", ["key"])
    op.create_table(
        "attempts",
        _id(),
        _production(),
        _key(),
        _text("state"),
        _text("host"),
        _big("pid"),
        _text("device"),
        _text("worker"),
        _big("started_at"),
        _big("ended_at", nullable=True),
        *(_text(name, nullable=True) for name in ("error_type", "message", "trace", "log_tail", "failure_digest")),
        _big("forgiven_at", nullable=True),
    )
    op.create_index("attempts_by_key", "attempts", ["key", "id"])
    op.create_index("attempts_by_production", "attempts", ["production_id", "state"])


def _what_was_made() -> None:
    op.create_table(
        "takes",
        _id(),
        _key(),
        sa.Column("attempt_id", Id, sa.ForeignKey("attempts.id"), nullable=False),
        *(_text(name) for name in ("state", "video", "latents")),
        _text("tail", nullable=True),
        *(_int(name) for name in ("frames", "width", "height")),
        _text("frames_digest"),
        _big("nfe"),
        _text("seconds_json"),
        _big("bytes"),
        *(_text(name) for name in ("model_digest", "device", "code_version", "environment_json")),
        _big("accepted_at"),
        _big("dropped_at", nullable=True),
        _text("drop_reason", nullable=True),
    )
    op.create_index("takes_by_model", "takes", ["model_digest", "device", "id"])
    _one_only("takes_one_accepted", "takes", ["key"], "state = 'accepted'")
    op.create_table(
        "prints",
        sa.Column("take_file", sa.Text, primary_key=True),
        sa.Column("print_key", sa.Text, primary_key=True),
        _text("file"),
        _big("bytes"),
        _big("created_at"),
    )
    op.create_table(
        "versions",
        _id(),
        _production(),
        *(_text(name) for name in ("film", "path", "file_digest")),
        _big("frames"),
        *(_text(name) for name in ("fps", "cut_json", "lineage_json")),
        _big("created_at"),
    )
    op.create_index("versions_by_film", "versions", ["film", "id"])
    op.create_index("versions_by_digest", "versions", ["file_digest"])
    op.create_table(
        "holds",
        _id(),
        *(_text(name) for name in ("film", "shot", "chain_key", "reason", "failure_digest")),
        _big("created_at"),
        _big("released_at", nullable=True),
    )
    _one_only("holds_one_open", "holds", ["film", "shot", "chain_key"], "released_at IS NULL")


def _one_only(name: str, table: str, columns: list[str], where: str) -> None:
    """At most one row a `columns` among those where `where` holds."""
    op.create_index(name, table, columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
