"""The driver of a run: what its job on the cluster does. It fetches the package, renders, and says how it ended.

Its name stands in the ledger with the time at which it was last heard of; wishes (`longtake pause`, `cancel`) are read
in the same breath, and end it as a signal would: between two steps, with checkpoints written.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.environment import code_version
from cluster.secrets import hidden
from storage.errors import FileMissing, LedgerError, StorageError
from storage.ledger import Ledger
from storage.rows import Run
from storage.states import RunState

from .errors import UsageError
from .insist import insist
from .package import unpack
from .places import Places
from .selectors import selection
from .session import Rendering, Session, look
from .stop import Stop, Stopped

if TYPE_CHECKING:
    from .observer import FilmResult

log = logging.getLogger("longtake.drive")
BEAT = 2.0
"""Seconds between two words to the ledger."""
STEP_SECONDS = 600.0
"""Seconds that a step of a large model may take: so long a wish waits for cameras to stop, and write checkpoints."""
ENDS = {0: RunState.DONE, 1: RunState.FAILED, 3: RunState.PARTIAL, 5: RunState.SPENT}
WISHED = {"pause": RunState.PAUSED, "cancel": RunState.CANCELLED}


def drive(name: str, number: int | None, database: str | None, how: Mapping[str, Any], stop: Stop) -> int:
    """Work off a submission of a run (the newest, unless `number` says which); the exit code.

    how: fields of `session.Rendering` that take the place of those that the run was submitted with.

    Raises:
        UsageError: no such run in any ledger that is known here. Stopped: a signal or a wish. And all that a
            render raises; each time the ledger has been told.
    """
    with _Found(name, database) as (session, ledger, run):
        number = number or run.last.number
        ledger.run_begins(name, number)
        with _Voice(ledger, name, number, stop) as voice:
            try:
                results = _render(session, run, how, stop)
            except Stopped:
                wish = voice.wish()
                voice.ends(WISHED.get(wish or "", RunState.INTERRUPTED), 75, f"asked to {wish}" if wish else "a signal")
                raise
            except BaseException as error:
                voice.ends(RunState.FAILED, 1, hidden(f"{type(error).__name__}: {error}"))
                raise
            code = Rendering.exit_code(results)
            message = "; ".join(f"{r.plan.film}: {r.message}" for r in results if r.message)
            voice.ends(ENDS.get(code, RunState.FAILED), code, message)
        return code


def workplace(places: Places, run: str) -> Path:
    """Where a run's package is unpacked."""
    return places.data.absolute() / "runs" / run


def _render(session: Session, run: Run, given: Mapping[str, Any], stop: Stop) -> list[FilmResult]:
    assert session.files is not None
    assert session.ledger is not None
    if (theirs := run.options.get("code_version")) != code_version():
        log.warning("the run was submitted by longtake %s, this is %s", theirs, code_version())
    folder = workplace(session.places, run.id)
    shutil.rmtree(folder, ignore_errors=True)
    boards = unpack(_package(session, run), folder)
    submitted: Any = run.options["rendering"]
    how = Rendering(**({"on": "ray", "progress": "plain"} | submitted | dict(given)))
    how.check()
    session.ledger.run = run.id
    said: Any = run.options
    only, accepted = (selection(**said.get(name, {})) for name in ("only", "accept_stale"))
    accept = None if accepted.everything else accepted
    results = session.render([str(board) for board in boards], how, stop, selection=only, accept_stale=accept)
    if all(result.state == "done" for result in results):
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _package(session: Session, run: Run) -> Path:
    assert session.files is not None
    try:
        return session.files.open_verified(run.package)
    except FileMissing as error:
        raise UsageError(
            f"the package of run {run.id} is not in the store of this machine: {error.shown} does not exist. Submitter "
            "and cluster need the same store: a folder that both see at the same path, or a URL (LONGTAKE_STORE)"
        ) from None


class _Voice:
    """The driver's word to the ledger while this is open; `stop` is told of wishes."""

    def __init__(self, ledger: Ledger, run: str, number: int, stop: Stop) -> None:
        self._ledger, self._run, self._number, self._stop = ledger, run, number, stop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="longtake-voice", daemon=True)

    def __enter__(self) -> _Voice:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def wish(self) -> str | None:
        """What is wished of the run, None also where the ledger does not answer now."""
        try:
            return self._ledger.run_wish(self._run)
        except StorageError:
            return None

    def ends(self, state: RunState, code: int, message: str) -> None:
        """Say how it ended; the first word counts."""
        self._over.set()
        insist(lambda: self._ledger.run_ends(self._run, self._number, state, code, message))

    def _beat(self) -> None:
        while True:
            try:
                wish = self._ledger.run_heard(self._run, self._number)
                if wish in WISHED and self._stop.asked is None:
                    log.warning("asked to %s: it stops between two steps", wish)
                    self._stop.grace, self._stop.asked = STEP_SECONDS, 75
            except StorageError as error:
                log.warning("the ledger could not be told that the driver is there: %s", error)
            if self._over.wait(BEAT):
                return


class _Found(AbstractContextManager[tuple[Session, Ledger, Run]]):
    """The ledger that knows the run: the one of this machine's own environment, else the one that was told."""

    def __init__(self, name: str, database: str | None) -> None:
        own = os.environ.get("LONGTAKE_DB_URL")
        self._name, self._tried = name, list(dict.fromkeys(url for url in (own, database) if url))
        self._stack = ExitStack()

    def __enter__(self) -> tuple[Session, Ledger, Run]:
        said = []
        for url in self._tried:
            try:
                with Ledger.open(url, create=False) as ledger:
                    run = ledger.find_run(self._name)
                    said.append(f"{ledger.url_shown} holds no such run")
            except LedgerError as error:
                run = None
                said.append(str(error))
            if run is not None:
                session = self._stack.enter_context(look(_places(run.options, url)))
                assert session.ledger is not None
                return session, session.ledger, run
        raise UsageError(
            f"no ledger that this machine knows holds the run {self._name} ({'; '.join(said) or 'none is named'}). "
            "Driver and submitter need the same Postgres: set LONGTAKE_DB_URL in the cluster's environment, with the "
            "password there, in PGPASSWORD or in ~/.pgpass"
        )

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _places(options: Any, database: str) -> Places:
    """Where things lie for the driver. What this machine's environment says of the store, and of the films where the
    submitter named no folder, comes first."""
    if options.get("store"):
        os.environ.setdefault("LONGTAKE_STORE", str(options["store"]))
    told = options.get("data")
    data = told if told and Path(told).is_dir() else os.environ.get("LONGTAKE_DIR") or Path.home() / ".longtake"
    films = options.get("films") or os.environ.get("LONGTAKE_FILMS") or options["usual_films"]
    return Places(Path(data), Path(str(films)), database)
