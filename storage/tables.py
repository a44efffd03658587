"""The schema, one for SQLite and Postgres. Times are integer microseconds since the epoch, UTC.

    leases       who may work on what; a row stays after release, so that its fence only grows
    productions  one run of one film
    clips        what can be computed: a key and the spec it is the hash of
    slates       where a clip sat in a production (shot, clip, take), and why it was to be rendered
    attempts     who ran a clip, when, how it ended
    takes        what came of it; at most one accepted take a key, which the index promises
    prints       a take encoded for one film specification
    versions     finished films
    holds        chains that are not tried again until released
    pins         clips that stay what they are, whatever the storyboard says
    verdicts     what a person thinks of a take: picked, rejected, neither
    retakes      more takes of a shot, each with its seed
    runs         storyboards that were handed to a cluster, as one package, and what is wished of them
    submissions  each time that a run was handed to a cluster: its job there, its driver, how it ended
    pictures     stored start images of a film: cameras on other machines have no other way to them
    asides       nodes that get no work until they are taken back, or until a time that is set beforehand
    rungs        how far down the memory ladder a model had to go for clips of a size on a device
    progress     what the process that renders a film said of it last, every few seconds

Pins and verdicts name a clip's key, not a row of takes: a take that was damaged and is made again is still the one
that was chosen. What was undone stays, with its time.

`migrations/versions` holds the same schema as a history; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Connection, ForeignKey, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql, sqlite

metadata = MetaData()
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER


def _time(name: str, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _text(name: str, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _one_only(name: str, *columns: Column[Any], where: str) -> None:
    """Of rows for which `where` holds, at most one has the same values in these columns."""
    Index(name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where))


leases = Table(
    "leases",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    _text("host", nullable=True),  # null: nobody holds it
    _text("machine", nullable=True),
    Column("pid", BigInteger),
    Column("pid_started", BigInteger),
    _time("acquired_at", nullable=True),
    _time("expires_at", nullable=True),
    Column("ttl", BigInteger),  # microseconds that a claim or renewal lasts; null in rows from before
)

productions = Table(
    "productions",
    metadata,
    Column("id", Id, primary_key=True),
    _text("film"),
    _text("title"),
    _text("storyboard_path"),
    _text("storyboard_digest"),
    _text("plan_json"),
    _text("state"),
    _text("message", nullable=True),
    Column("fence", BigInteger),
    _text("host"),
    Column("pid", BigInteger, nullable=False),
    _time("started_at"),
    _time("ended_at", nullable=True),
    _text("run", nullable=True),  # no reference: a film that is carried elsewhere leaves its runs behind
    Index("productions_by_film", "film", "id"),
    Index("productions_by_run", "run"),
)

clips = Table(
    "clips",
    metadata,
    Column("key", Text, primary_key=True),
    _text("spec_json"),
    _time("created_at"),
)

slates = Table(
    "slates",
    metadata,
    Column("production_id", Id, ForeignKey("productions.id"), primary_key=True),
    Column("shot", Text, primary_key=True),
    Column("clip", Integer, primary_key=True),
    Column("take", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("key", Text, ForeignKey("clips.key"), nullable=False),
    _text("why"),
    Index("slates_by_key", "key"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("production_id", Id, ForeignKey("productions.id"), nullable=False),
    Column("key", Text, ForeignKey("clips.key"), nullable=False),
    _text("state"),
    _text("host"),
    Column("pid", BigInteger, nullable=False),
    _text("device"),
    _text("worker"),
    _time("started_at"),
    _time("ended_at", nullable=True),
    _text("error_type", nullable=True),
    _text("message", nullable=True),
    _text("trace", nullable=True),
    _text("log_tail", nullable=True),
    _text("failure_digest", nullable=True),
    _time("forgiven_at", nullable=True),
    Index("attempts_by_key", "key", "id"),
    Index("attempts_by_production", "production_id", "state"),
)

takes = Table(
    "takes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", Text, ForeignKey("clips.key"), nullable=False),
    Column("attempt_id", Id, ForeignKey("attempts.id"), nullable=False),
    _text("state"),
    _text("video"),
    _text("latents"),
    _text("tail", nullable=True),
    Column("frames", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    _text("frames_digest"),
    Column("nfe", BigInteger, nullable=False),
    _text("seconds_json"),
    Column("bytes", BigInteger, nullable=False),
    _text("model_digest"),
    _text("device"),
    _text("code_version"),
    _text("environment_json"),
    _time("accepted_at"),
    _time("dropped_at", nullable=True),
    _text("drop_reason", nullable=True),
    Index("takes_by_model", "model_digest", "device", "id"),
    Index("takes_by_tail", "tail"),
)
_one_only("takes_one_accepted", takes.c.key, where="state = 'accepted'")

prints = Table(
    "prints",
    metadata,
    Column("take_file", Text, primary_key=True),
    Column("print_key", Text, primary_key=True),
    _text("file"),
    Column("bytes", BigInteger, nullable=False),
    _time("created_at"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("production_id", Id, ForeignKey("productions.id"), nullable=False),
    _text("film"),
    _text("path"),
    _text("file_digest"),
    Column("frames", BigInteger, nullable=False),
    _text("fps"),
    _text("cut_json"),
    _text("lineage_json"),
    _time("created_at"),
    Index("versions_by_film", "film", "id"),
    Index("versions_by_digest", "file_digest"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Id, primary_key=True),
    _text("film"),
    _text("shot"),
    _text("chain_key"),
    _text("reason"),
    _text("failure_digest"),
    _time("created_at"),
    _time("released_at", nullable=True),
)
_one_only("holds_one_open", holds.c.film, holds.c.shot, holds.c.chain_key, where="released_at IS NULL")

pins = Table(
    "pins",
    metadata,
    Column("id", Id, primary_key=True),
    _text("film"),
    _text("shot"),
    Column("clip", Integer, nullable=False),
    Column("key", Text, ForeignKey("clips.key"), nullable=False),
    _text("note"),
    _time("created_at"),
    _time("removed_at", nullable=True),
)
_one_only("pins_one_a_place", pins.c.film, pins.c.shot, pins.c.clip, where="removed_at IS NULL")

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Id, primary_key=True),
    _text("film"),
    _text("shot"),
    Column("clip", Integer, nullable=False),
    Column("key", Text, ForeignKey("clips.key"), nullable=False),
    _text("verdict"),
    _text("note"),
    _time("created_at"),
    _time("replaced_at", nullable=True),
)
_one_only(
    "verdicts_one_a_take",
    verdicts.c.film,
    verdicts.c.shot,
    verdicts.c.clip,
    verdicts.c.key,
    where="replaced_at IS NULL",
)
_one_only(
    "verdicts_one_picked",
    verdicts.c.film,
    verdicts.c.shot,
    verdicts.c.clip,
    where="replaced_at IS NULL AND verdict = 'picked'",
)

retakes = Table(
    "retakes",
    metadata,
    Column("film", Text, primary_key=True),
    Column("shot", Text, primary_key=True),
    Column("take", Integer, primary_key=True),
    _text("seed"),  # digits: a seed may be larger than any integer that a database holds
    _text("note"),
    _time("created_at"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    *(_text(name) for name in ("package", "films_json", "options_json", "host")),
    _text("wish", nullable=True),
    _time("wished_at", nullable=True),
    _time("created_at"),
)

submissions = Table(
    "submissions",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    *(_text(name) for name in ("job", "address", "state")),
    _text("message", nullable=True),
    Column("exit_code", Integer),
    _text("host", nullable=True),  # of the driver, once there is one
    Column("pid", BigInteger),
    _time("submitted_at"),
    *(_time(name, nullable=True) for name in ("began_at", "heard_at", "ended_at")),
)

pictures = Table(
    "pictures",
    metadata,
    Column("film", Text, primary_key=True),
    Column("file", Text, primary_key=True),
    _time("created_at"),
)

asides = Table(
    "asides",
    metadata,
    Column("id", Id, primary_key=True),
    _text("host"),
    _text("reason"),
    _time("created_at"),
    _time("ended_at", nullable=True),
)
_one_only("asides_one_a_host", asides.c.host, where="ended_at IS NULL")

rungs = Table(
    "rungs",
    metadata,
    Column("model_digest", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("size", Text, primary_key=True),
    Column("rung", Integer, nullable=False),
    _time("updated_at"),
)

progress = Table(
    "progress",
    metadata,
    Column("film", Text, primary_key=True),
    _time("at"),
    _text("report_json"),
)


def insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that leaves rows alone which are there already (both databases write this alike)."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
