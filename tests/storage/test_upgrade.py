"""Ledgers of every earlier version are brought to the newest schema with all that they hold."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from storage import schema
from storage.address import parse
from storage.database import connect
from storage.ledger import Ledger
from storage.states import AttemptState, ProductionState, TakeState, Verdict
from tests.storage.examples import key_of, slates_of
from tests.storage.newest import check_newest
from tests.storage.old_ledgers import FOLDER

KEYS = [row.key for row in slates_of(6)]


def test_every_earlier_version_is_here() -> None:
    wanted = {f"{revision}.{kind}.sql" for revision in schema.REVISIONS[:-1] for kind in ("sqlite", "postgres")}
    assert wanted <= {path.name for path in FOLDER.iterdir()}


@pytest.fixture(params=schema.REVISIONS[:-1])
def old(request: pytest.FixtureRequest, ledger_url: str) -> str:
    """The address of a ledger of an earlier version."""
    kind = "postgres" if "://" in ledger_url else "sqlite"
    text = (FOLDER / f"{request.param}.{kind}.sql").read_text()
    if kind == "sqlite":
        Path(ledger_url).parent.mkdir(parents=True)
        connection = sqlite3.connect(ledger_url)
        connection.executescript(text)
        connection.close()
        return ledger_url
    engine = connect(parse(ledger_url))
    with engine.begin() as connection:
        connection.exec_driver_sql(text.replace("%", "%%"))
    engine.dispose()
    return ledger_url


def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    engine = connect(parse(url))
    with engine.begin() as connection:
        names = set(sqlalchemy.inspect(connection).get_table_names()) - {schema.VERSION_TABLE}
        found = {
            name: [dict(r._mapping) for r in connection.execute(sqlalchemy.text(f"SELECT * FROM {name}"))]
            for name in names
        }
    engine.dispose()
    return found


def test_an_upgrade_keeps_every_row_and_every_value(old: str) -> None:
    before = rows_of(old)
    assert all(before.values()), "the old ledger has something in every table"
    Ledger.open(old).close()
    after = rows_of(old)
    for name, rows in before.items():
        kept = [{column: row[column] for column in rows[0]} for row in after[name]]
        assert sorted(map(str, kept)) == sorted(map(str, rows)), name


def test_an_upgraded_ledger_has_the_schema_of_a_new_one(old: str) -> None:
    Ledger.open(old).close()
    check_newest(old)


def test_an_upgraded_ledger_is_gone_on_with(old: str) -> None:
    with Ledger.open(old) as ledger:
        assert {f.film: (f.last.state, f.last.title) for f in ledger.films()} == {
            "harbour": (ProductionState.PARTIAL, "The harbour"),
            "night": (ProductionState.RUNNING, "Night ✨"),
        }
        assert set(ledger.takes(KEYS)) == {KEYS[0], KEYS[4]}
        assert ledger.dropped(KEYS) == {KEYS[3]: "altered"}
        (failure,) = [a for a in ledger.attempts(KEYS[1]) if a.state is AttemptState.FAILED]
        assert (failure.message, failure.log_tail) == ('it\'s "full"; -- no\nmemory', "last\\lines")
        assert [h.chain_key for h in ledger.holds()] == [KEYS[2]]
        assert str(ledger.film_versions("harbour")[0].fps) == "24000/1001"
        assert ledger.latest_slates("night") == {("dawn", 1): (key_of("blue"), '{"prompt": "blue, l\'été"}')}
        with ledger.claim_film("harbour") as lease:
            assert lease.fence == 2
            production = ledger.start_production("harbour", "t", "p", "d", "{}", slates_of(6), lease)
            assert production == 3
        ledger.pin("harbour", "dawn", {1: KEYS[0]})
        ledger.judge("harbour", "dawn", {1: KEYS[0]}, Verdict.PICKED)
        assert [pin.key for pin in ledger.pins("harbour")] == [KEYS[0]]
        assert ledger.take_by_id(1) == (ledger.take(KEYS[0]), TakeState.ACCEPTED)
