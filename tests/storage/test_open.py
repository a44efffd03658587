"""Opening a ledger: made, brought up to date, or refused with the reason."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory

import storage.database
from storage import errors, schema
from storage.address import parse
from storage.database import connect
from storage.ledger import Ledger
from tests.storage.disks import SmallDisks
from tests.storage.examples import slates_of, start_harbour, take_row
from tests.storage.newest import check_newest
from tests.storage.processes import Worker


def engine_of(url: str) -> sqlalchemy.Engine:
    return connect(parse(url))


def tables_in(url: str) -> set[str]:
    engine = engine_of(url)
    found = set(sqlalchemy.inspect(engine).get_table_names())
    engine.dispose()
    return found


def run(url: str, statement: str) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_new_ledger_has_the_newest_schema(ledger_url: str) -> None:
    Ledger.open(ledger_url).close()
    check_newest(ledger_url)


def test_the_known_revisions_are_those_that_are_shipped() -> None:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    shipped = [s.revision for s in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(shipped)) == schema.REVISIONS


def test_what_was_recorded_is_there_at_the_next_opening(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        start_harbour(ledger, slates_of(2))
    with Ledger.open(ledger_url, create=False) as ledger:
        assert [f.film for f in ledger.films()] == ["harbour"]


def test_asking_where_nothing_is_makes_nothing(ledger_url: str, tmp_path: Path) -> None:
    with pytest.raises(errors.LedgerMissing, match="nothing has been rendered there yet"):
        Ledger.open(ledger_url, create=False)
    assert list(tmp_path.iterdir()) == []
    if "://" in ledger_url:
        assert tables_in(ledger_url) == set()


def test_a_newer_ledger_is_refused_and_left_alone(ledger_url: str) -> None:
    Ledger.open(ledger_url).close()
    run(ledger_url, f"UPDATE {schema.VERSION_TABLE} SET version_num = '0042'")
    before = tables_in(ledger_url)
    with pytest.raises(errors.LedgerTooNew, match=r"0042.*up to 0003.*pip install --upgrade longtake.*--db"):
        Ledger.open(ledger_url)
    assert tables_in(ledger_url) == before


def test_the_database_of_another_program_is_refused_and_left_alone(ledger_url: str) -> None:
    engine = engine_of(ledger_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE clips (moz_id integer)")
    engine.dispose()
    with pytest.raises(errors.LedgerForeign, match=r"another program.*clips"):
        Ledger.open(ledger_url)
    assert tables_in(ledger_url) == {"clips"}


def test_a_migration_happens_as_a_whole_or_not_at_all(ledger_url: str) -> None:
    engine = engine_of(ledger_url)
    with engine.connect() as connection, connection.begin() as transaction:
        schema.upgrade(connection)
        assert "takes" in sqlalchemy.inspect(connection).get_table_names()
        transaction.rollback()
    engine.dispose()
    assert tables_in(ledger_url) == set()
    Ledger.open(ledger_url).close()


def test_processes_may_open_a_new_ledger_at_once(ledger_url: str, start: Callable[..., Worker]) -> None:
    workers = [start("open_ledger", ledger_url) for _ in range(3)]
    assert [w.hear() for w in workers] == ["ready"] * 3
    for worker in workers:
        worker.go()
    assert [w.rest() for w in workers] == [[0]] * 3
    assert [w.process.wait(10) for w in workers] == [0] * 3


def test_a_forked_child_opens_connections_of_its_own(ledger: Ledger) -> None:
    start_harbour(ledger, slates_of(1))
    child = os.fork()
    if child == 0:
        os._exit(0 if len(ledger.films()) == 1 and start_harbour(ledger, slates_of(1)) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(ledger.productions("harbour")) == 2


class TestSqliteFile:
    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        Ledger.open(tmp_path / "a" / "b" / "ledger.sqlite").close()
        assert (tmp_path / "a" / "b" / "ledger.sqlite").exists()

    def test_a_take_is_flushed_and_other_rows_are_not(self, tmp_path: Path) -> None:
        with Ledger.open(tmp_path / "l.sqlite") as ledger:
            levels = []
            for mode in (ledger._write, ledger._durable, ledger._write):
                with mode() as connection:
                    levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
                    assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
                    assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert levels == [1, 2, 1]  # NORMAL, FULL

    def test_readers_do_not_wait_for_a_writer(self, tmp_path: Path) -> None:
        path = tmp_path / "l.sqlite"
        with Ledger.open(path) as ledger, Ledger.open(path) as other, ledger._write():
            assert other.films() == []

    def test_what_is_not_a_database(self, tmp_path: Path) -> None:
        path = tmp_path / "holiday.jpg"
        path.write_bytes(b"\xff\xd8\xff\xe0" * 1000)
        with pytest.raises(errors.LedgerDamaged, match=r"holiday.jpg is not a database.*--db"):
            Ledger.open(path)
        assert path.read_bytes() == b"\xff\xd8\xff\xe0" * 1000

    def test_a_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(errors.LedgerUnreachable, match="cannot be opened"):
            Ledger.open(tmp_path)

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("not a folder")
        with pytest.raises(errors.StoreUnwritable, match=r"sub cannot be created: Not a directory.*--db"):
            Ledger.open(tmp_path / "data" / "sub" / "ledger.sqlite")

    def test_a_damaged_page_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "ledger.sqlite"
        with Ledger.open(path) as ledger:
            start_harbour(ledger, slates_of(500))
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        with pytest.raises(errors.LedgerDamaged, match=r"is damaged\. Restore it"), Ledger.open(path) as ledger:
            ledger.latest_slates("harbour")

    def test_a_locked_ledger_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "ledger.sqlite"
        monkeypatch.setattr(storage.database, "BUSY_SECONDS", 0)  # else this test takes as long
        with Ledger.open(path) as ledger:
            blocker = sqlite3.connect(path, isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            with pytest.raises(errors.LedgerLocked, match="locked by another process"):
                start_harbour(ledger, slates_of(1))
            blocker.execute("ROLLBACK")
            start_harbour(ledger, slates_of(1))
            blocker.close()

    def test_a_read_only_disk(self, small_disk: SmallDisks) -> None:
        disk = small_disk("1m")
        Ledger.open(disk / "ledger.sqlite").close()
        small_disk.read_only(disk)
        with pytest.raises(errors.StorageError, match=r"--db"):
            Ledger.open(disk / "new" / "ledger.sqlite")
        with pytest.raises(errors.StorageError, match=r"--db"), Ledger.open(disk / "ledger.sqlite") as ledger:
            start_harbour(ledger, slates_of(1))

    def test_a_full_disk_costs_only_what_did_not_fit(self, small_disk: SmallDisks) -> None:
        path = small_disk("1m") / "ledger.sqlite"
        with Ledger.open(path) as ledger:
            production = start_harbour(ledger, slates_of(1))
            (attempt,) = ledger.begin_attempts(production, [slates_of(1)[0].key], "cpu", "w")
            with pytest.raises(errors.StoreFull, match=r"the disk is full\. Make room"):
                start_harbour(ledger, slates_of(5000))
            assert [p.id for p in ledger.productions("harbour")] == [production]
            ledger.finish_attempt(attempt, take_row(slates_of(1)[0].key))
        assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


class TestPostgresServer:
    def test_a_wrong_password(self, postgres_url: str) -> None:
        wrong = sqlalchemy.make_url(postgres_url).set(password="swordfish")
        with pytest.raises(errors.LedgerUnreachable, match="refuses this user or password") as refused:
            Ledger.open(wrong.render_as_string(hide_password=False))
        assert "swordfish" not in str(refused.value)
        assert refused.value.__cause__ is None

    def test_no_such_database(self, postgres_url: str) -> None:
        wrong = sqlalchemy.make_url(postgres_url).set(database="nowhere")
        with pytest.raises(errors.LedgerUnreachable, match=r"no database of that name\. Create it"):
            Ledger.open(wrong.render_as_string(hide_password=False))

    def test_no_server(self) -> None:
        with pytest.raises(errors.LedgerUnreachable, match=r"does not answer\. Check that the server runs") as refused:
            Ledger.open("postgresql://ann:swordfish@127.0.0.1:1/films")
        assert "swordfish" not in str(refused.value)
        assert "ann:***@127.0.0.1:1/films" in str(refused.value)

    def test_a_user_who_may_not_make_tables(self, postgres_url: str) -> None:
        run(postgres_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        run(postgres_url, "CREATE ROLE guest LOGIN PASSWORD 'swordfish'")
        guest = sqlalchemy.make_url(postgres_url).set(username="guest", password="swordfish")
        try:
            with pytest.raises(errors.LedgerUnreachable, match="lacks a permission"):
                Ledger.open(guest.render_as_string(hide_password=False))
        finally:
            run(postgres_url, "DROP ROLE guest")

    def test_connections_that_the_server_dropped_are_opened_again(self, postgres_url: str) -> None:
        with Ledger.open(postgres_url) as ledger:
            start_harbour(ledger, slates_of(1))
            drop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            run(postgres_url, f"{drop} AND datname = current_database()")
            assert [f.film for f in ledger.films()] == ["harbour"]

    def test_a_connection_that_breaks_within_a_transaction(self, postgres_url: str) -> None:
        with Ledger.open(postgres_url) as ledger:
            suicide = "SELECT pg_terminate_backend(pg_backend_pid())"
            with pytest.raises(errors.LedgerUnreachable, match="Run the same command again"), ledger._write() as inside:
                inside.exec_driver_sql(suicide)
            assert ledger.films() == []

    def test_the_password_is_in_no_text_of_the_ledger(self, postgres_url: str) -> None:
        password = sqlalchemy.make_url(postgres_url).password
        assert password
        with Ledger.open(postgres_url) as ledger:
            assert ":***@" in ledger.url_shown
            assert password not in repr(ledger) + ledger.url_shown
