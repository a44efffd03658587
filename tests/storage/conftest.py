"""Ledgers on SQLite and on Postgres, and other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from storage.ledger import Ledger
from tests.storage.examples import slates_of, start_harbour

REPOSITORY = Path(__file__).parents[2]


class Worker:
    """A process that runs tests/storage/worker.py."""

    def __init__(self, *command: object) -> None:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def hear(self) -> Any:
        """The next thing it says; None when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def go(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def rest(self) -> list[Any]:
        """Everything it still says, to its end."""
        return list(iter(self.hear, None))

    def kill(self, reap: bool = True) -> None:
        """kill -9. Without reaping it stays a zombie, as under a parent that does not care."""
        self.process.kill()
        if reap:
            self.process.wait(10)
        else:
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


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


class SmallDisks:
    """small_disk("1m") mounts an empty disk of that size; `read_only` turns it so. Needs root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted: list[Path] = []

    def __call__(self, size: str) -> Path:
        disk = self._folder / f"disk{len(self._mounted)}"
        disk.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk)
        self._mounted.append(disk)
        return disk

    def read_only(self, disk: Path) -> None:
        self._mount("-o", "remount,ro", disk)

    def unmount(self) -> None:
        for disk in self._mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    def _mount(self, *arguments: object) -> None:
        try:
            subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            message = f"FULL AND READ-ONLY DISKS WERE NOT TESTED: mount is not allowed here ({error})"
            warnings.warn(message, stacklevel=1)
            pytest.skip(message)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisks]:
    """A disk that is soon full, or read-only."""
    disks = SmallDisks(tmp_path)
    yield disks
    disks.unmount()
