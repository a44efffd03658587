"""Handing storyboards to a Ray cluster: what goes into a run, what must be shared, and the line that its job runs.

The truth is the package in the store and the run in the ledger; the job only says where to find them. It holds no
password: the cluster's own environment does (LONGTAKE_DB_URL, PGPASSWORD or ~/.pgpass, a store's keys), unless
`--send` names variables that it is to be given, which whoever may read the cluster's jobs can then read.
"""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cluster.environment import code_version
from cluster.errors import ClusterError
from storage.address import parse
from storage.elsewhere import without_secrets
from storage.rows import Run
from storage.states import RunState

from .errors import UsageError
from .package import Contents, contents, pack
from .places import Places
from .planned import Plan
from .selectors import Selection
from .session import Session

if TYPE_CHECKING:
    from cluster.ray_jobs import Jobs

DATABASE = "LONGTAKE_DB_URL"
_LOCAL_STORES = ("memory://", "local://")


@dataclass(frozen=True)
class Handover:
    """How a run is to be handed over. `rendering`: fields of `session.Rendering` for the driver.

    shared: folders that every node sees at the same path. send: names of environment variables for the job.
    films, database: as the cluster sees them, where that is not as it is here. only: the clips to render.
    accept_stale: those for which an earlier take will do.
    """

    rendering: Mapping[str, Any] = field(default_factory=dict)
    shared: Sequence[Path] = ()
    send: Sequence[str] = ()
    films: Path | None = None
    database: str | None = None
    only: Selection = field(default_factory=Selection)
    accept_stale: Selection = field(default_factory=Selection)


def hand_over(session: Session, storyboards: Sequence[str], how: Handover, jobs: Jobs) -> Run:
    """Pack, record and submit; the run.

    Raises:
        StoryboardError, CutError, SoundUnreadable: what `render` would say.
        UsageError: something that the cluster could not reach, clips that are not in the films, a hook that may hold a
            secret. ClusterUnreachable, JobRefused, StorageError.
    """
    from .finish import check_apart
    from .soundmarks import check_new_sounds

    assert session.ledger is not None
    assert session.files is not None
    plans = session.plans(storyboards)
    check_apart(plans)
    check_hooks(how.rendering.get("hooks", ()))
    clips = _clips(session, plans, how)
    for plan in plans:
        check_new_sounds(plan, {})
    found = contents(plans)
    here = is_here(jobs.address)
    if not here:
        check_shared(session.places, how, found)
    environment = sent(how.send)
    options = _options(session.places, how, here) | clips
    package = pack(found, session.files)
    name = f"{plans[0].film}-{secrets.token_hex(4)}"
    run = session.ledger.add_run(name, package, [plan.film for plan in plans], options, job_of(name, 1), jobs.address)
    submit(session, run, environment, jobs)
    return run


def submit(session: Session, run: Run, environment: Mapping[str, str], jobs: Jobs, more: Sequence[str] = ()) -> None:
    """Hand the newest submission of a recorded run to the cluster. more: words for its driver's command line.

    Raises ClusterUnreachable, JobRefused.
    """
    assert session.ledger is not None
    last = run.last
    words = ["drive", run.id, "--submission", str(last.number), "--db", str(run.options["database"]), *more]
    line = entrypoint(words, is_here(jobs.address))  # where to find the run; all else is in its row
    about = {"longtake_run": run.id, "longtake_submission": str(last.number)}
    try:
        jobs.submit(last.job, line, environment, about)
    except ClusterError as error:
        session.ledger.run_ends(run.id, last.number, RunState.FAILED, message=str(error))
        raise


def job_of(run: str, number: int) -> str:
    """The name of a submission on the cluster, where a name is used once."""
    return f"longtake-{run}-{number}"


def entrypoint(words: Sequence[str], here: bool) -> str:
    """The line for the job's shell. here: on this machine the same Python is tried first, as it may be on no PATH."""
    told = shlex.join(words)
    if not here:
        return f"exec longtake {told}"
    python = shlex.quote(sys.executable)
    return f"if [ -x {python} ]; then exec {python} -m director {told}; fi; exec longtake {told}"


def sent(names: Sequence[str]) -> dict[str, str]:
    """The variables to give to the job. Raises UsageError for one that is not set here."""
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UsageError(f"--send {missing[0]}: no such variable here; set it, or leave the option out")
    return {name: os.environ[name] for name in names}


def check_hooks(hooks: Sequence[str]) -> None:
    """Refuse hooks that are none, and those that the ledger must not hold.

    Raises:
        UsageError: which one, and where to say it instead.
    """
    from .hooks import targets

    for target in targets(hooks, ""):
        if target.secret:
            raise UsageError(
                f"--hook {target.event}={target.shown}: what follows the host of a web address may be a secret, and "
                "what is submitted stands in the ledger; say it in LONGTAKE_HOOKS in the cluster's environment, here "
                "with --send LONGTAKE_HOOKS, or, when it is none, under `on:` in the storyboard"
            )


def is_here(address: str) -> bool:
    """Whether a cluster's dashboard is said to be on this machine. A tunnel looks so too; the driver then says that
    it finds no such run."""
    host = urlsplit(address).hostname or ""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_ours(family, place) for family, _, _, _, place in found)


def check_shared(places: Places, how: Handover, found: Contents) -> None:
    """Refuse what a cluster on other machines plainly cannot reach.

    Raises:
        UsageError: a ledger, a store, a model or a films folder that only this machine has.
    """
    told = parse(places.ledger_url)
    if told.path is not None:
        raise UsageError(
            f"the ledger {told.shown} is an SQLite file, which processes of several machines cannot share (not on a "
            f"network disk either); name a Postgres that the cluster reaches with --db or {DATABASE}"
        )
    if told.loopback and how.database is None:
        raise UsageError(
            f"the ledger {told.shown} is on this machine, where the cluster does not reach it; give its address as "
            "the cluster sees it with --db-there postgresql://user@host/name"
        )
    _check_store(places, how.shared)
    if how.films is None:
        raise UsageError(
            "where should the cluster put finished films? --films names a folder as the cluster's head sees it, "
            "such as one that it shares"
        )
    if not how.films.is_absolute():
        raise UsageError(f"--films {how.films}: on a cluster it must be a full path, as its head sees it")
    for model in sorted(found.models):
        if not _below(model, how.shared):
            raise UsageError(
                f"the model {model} is a folder of this machine; put it where every node has it at the same path and "
                "say so with --shared FOLDER, or name a hub id that is in each node's cache"
            )


def _check_store(places: Places, shared: Sequence[Path]) -> None:
    store = places.store
    local = store.removeprefix("file://")
    if store.startswith(_LOCAL_STORES) or ("://" not in local and not _below(Path(local).absolute(), shared)):
        raise UsageError(
            f"the store {without_secrets(store)} is a folder of this machine; say --shared FOLDER when every node sees "
            "it at the same path, or move it to one that they reach: longtake move s3://bucket/name"
        )


def _below(path: Path, shared: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder.absolute()) for folder in shared)


def _ours(family: socket.AddressFamily, place: Any) -> bool:
    """Only an address of this machine can be bound to."""
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            trial.bind((place[0], 0))
        except OSError:
            return False
        return True


def _clips(session: Session, plans: Sequence[Plan], how: Handover) -> dict[str, Any]:
    """The selections for the driver, with films by their ids. Raises UsageError for what the films do not have."""
    only, accepted = how.only.bound(plans), how.accept_stale.bound(plans)
    for plan in plans:
        session.survey(plan, only, None if accepted.everything else accepted)
    said = {"only": only.written(), "accept_stale": accepted.written()}
    return {name: value for name, value in said.items() if value}


def _options(places: Places, how: Handover, here: bool) -> dict[str, Any]:
    """What the driver has to know and the ledger may hold."""
    store = places.store if "://" in places.store else str(Path(places.store).absolute())
    plain = without_secrets(store) == store
    database = parse(how.database).bare if how.database else parse(places.ledger_url).bare
    return {
        "rendering": dict(how.rendering),
        "store": store if plain else None,  # with its keys in the address, the head has to have it as LONGTAKE_STORE
        "films": str(how.films.absolute() if here else how.films) if how.films else None,
        "usual_films": str(places.films.absolute()),
        "data": str(places.data.absolute()) if here else None,
        "database": database,
        "code_version": code_version(),
    }
