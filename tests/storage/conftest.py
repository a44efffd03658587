"""Ledgers on SQLite and on Postgres, other processes, and small disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from storage.files import Files
from storage.ledger import Ledger
from tests.storage.disks import SmallDisks
from tests.storage.examples import slates_of, start_harbour
from tests.storage.processes import Worker
from tests.storage.s3 import s3_bucket, s3_server

__all__ = ["s3_bucket", "s3_server"]


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    """start(command, ...) starts a worker and returns when it is ready; the test's end kills those that are left."""
    workers: list[Worker] = []

    def begin(*command: object) -> Worker:
        workers.append(Worker(*command))
        return workers[-1]

    yield begin
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.process.kill()
        worker.process.communicate()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a ledger that does not exist yet, on each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "data" / "ledger.sqlite")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger, on each kind of database."""
    with Ledger.open(ledger_url) as opened:
        yield opened


@pytest.fixture
def production(ledger: Ledger) -> int:
    """A production of the film "harbour": the shot "dawn" of three clips."""
    return start_harbour(ledger, slates_of(3))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisks]:
    """A disk that is soon full, or read-only."""
    disks = SmallDisks(tmp_path)
    yield disks
    disks.unmount()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """An empty store."""
    opened = Files(tmp_path / "files")
    yield opened
    opened.close()
