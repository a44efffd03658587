"""A real Postgres for tests, as a pytest plugin: `postgres_url` is an empty database of its own for each test.

The server is the one that LONGTAKE_TEST_POSTGRES_URL names (its user must be allowed to create databases), else one
started here from `initdb` and `postgres`, found on PATH or under /usr/lib/postgresql. Without either, tests that want
it are skipped and the last lines of the run say so; with LONGTAKE_REQUIRE_POSTGRES=1, as in CI, they fail.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url

PASSWORD = "p@ss/w:rd%41"  # with every letter that an address must encode
_NONE = "no Postgres"
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB", "listen_addresses=")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """The address of a server, as its administrator."""
    given = os.environ.get("LONGTAKE_TEST_POSTGRES_URL")
    if given:
        yield make_url(given).set(drivername="postgresql")
        return
    binaries = _binaries()
    if binaries is None:
        _missed("no initdb and postgres on PATH or under /usr/lib/postgresql, no LONGTAKE_TEST_POSTGRES_URL")
    folder = Path(tempfile.mkdtemp(prefix="longtake-pg-", dir="/tmp"))  # a socket's path must be short
    try:
        yield from _served(binaries, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_of_its_own() -> Iterator[Server]:
    """A running server that the test may stop; what it says is recorded stays so when it is stopped."""
    binaries = _binaries()
    if binaries is None:
        _missed("no initdb and postgres on PATH or under /usr/lib/postgresql: a restart was not tested")
    folder = Path(tempfile.mkdtemp(prefix="longtake-pg-", dir="/tmp"))
    try:
        server = Server(binaries, folder, [s for s in _QUICK if not s.startswith("synchronous_commit")])
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: URL) -> Iterator[str]:
    """The address, with password, of an empty database that is dropped after the test."""
    name = f"longtake_{secrets.token_hex(6)}"
    _administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    yield postgres_server.set(database=name).render_as_string(hide_password=False)
    _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested. Read from the reports, which workers of pytest-xdist hand in as well."""
    skipped = (str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    missed = next((reason for reason in skipped if _NONE in reason), None)
    if missed:
        terminalreporter.write_sep("!", "POSTGRES WAS NOT EXERCISED", red=True, bold=True)
        terminalreporter.write_line(missed)


def _missed(reason: str) -> None:
    if os.environ.get("LONGTAKE_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"LONGTAKE_REQUIRE_POSTGRES=1, and there is no Postgres: {reason}")
    pytest.skip(f"{_NONE}: {reason}")


def _binaries() -> Path | None:
    """The folder that holds initdb and postgres."""
    on_path = shutil.which("initdb")
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -float(p.parent.name))
    for folder in [*([Path(on_path).resolve().parent] if on_path else []), *newest_first]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _as_servant(command: list[str]) -> list[str]:
    """Postgres refuses root, so root lends it another user; the server dies with us, even when we are killed."""
    if shutil.which("setpriv") is None:
        return ["su", "nobody", "-s", "/bin/sh", "-c", " ".join(command)] if os.geteuid() == 0 else command
    user = ["--reuid=nobody", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig", "QUIT", *command]


def _served(binaries: Path, folder: Path) -> Iterator[URL]:
    server = Server(binaries, folder, _QUICK)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


class Server:
    """A server of its own in `folder`, which can be stopped and started again. `settings` as on its command line."""

    def __init__(self, binaries: Path, folder: Path, settings: Sequence[str]) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = URL.create("postgresql", "longtake", PASSWORD, database="postgres", query={"host": str(folder)})
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, password):
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        quiet = {"check": True, "capture_output": True, "cwd": folder}
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "longtake", "-A", "scram-sha-256", "-N"]
        subprocess.run(_as_servant([*initdb, "-E", "UTF8", "--locale=C", f"--pwfile={password}"]), **quiet)
        options = [part for setting in settings for part in ("-c", setting)]
        self._command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *options]

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(_as_servant(self._command), cwd=self._folder, stdout=log, stderr=log)
        try:
            _await(self.url, self._process, self._folder / "log")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """At once, as when somebody pulls the plug: what it was doing is not finished."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)
            self._process = None


def _await(url: URL, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return _administer(url, "SELECT 1")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start:\n{log.read_text()}") from None
            time.sleep(0.05)


def _administer(url: URL, statement: str) -> None:
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)
