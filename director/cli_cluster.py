"""Commands about runs: storyboards that are handed to a Ray cluster, and asked about from anywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    AcceptStale,
    Cameras,
    CheckpointEvery,
    Data,
    Db,
    Deadline,
    DecodeBeside,
    Failed,
    Films,
    From,
    GpuHours,
    GpusPerCamera,
    Hook,
    Json,
    Lockstep,
    On,
    Priority,
    RetryHeld,
    Shots,
    Stale,
    Storyboards,
    Until,
    Webhooks,
    print_json,
)
from .places import Places, places
from .stop import Stop, Stopped

if TYPE_CHECKING:
    from storage.ledger import Ledger
    from storage.rows import Run

    from .session import Session

Name = Annotated[str, typer.Argument(help="A run's id, as `submit` prints it and `longtake runs` lists it.")]
Address = Annotated[
    str | None,
    typer.Option("--address", help="The cluster's dashboard, http://head:8265 (RAY_ADDRESS). Else this machine's."),
]
Send = Annotated[
    list[str] | None,
    typer.Option(
        "--send", metavar="NAME", help="Environment variable to give to the job: whoever reads its jobs reads it."
    ),
]
Shared = Annotated[
    list[Path] | None,
    typer.Option("--shared", metavar="FOLDER", help="A folder that every node sees at the same path."),
]
Submission = Annotated[int | None, typer.Option("--submission", min=1, help="Which hand-over. Default: the last.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show its log until it ends; exit with the run's exit code.")]


def submit(
    storyboards: Storyboards,
    address: Address = None,
    cameras: Cameras = None,
    gpus_per_camera: GpusPerCamera = None,
    lockstep: Lockstep = 8,
    retry_held: RetryHeld = False,
    checkpoint_every: CheckpointEvery = "30",
    decode_beside: DecodeBeside = "auto",
    priority: Priority = None,
    deadline: Deadline = None,
    gpu_hours: GpuHours = None,
    hook: Hook = None,
    webhooks: Webhooks = True,
    shot: Shots = None,
    since: From = None,
    until: Until = None,
    failed: Failed = False,
    stale: Stale = False,
    accept_stale: AcceptStale = None,
    shared: Shared = None,
    send: Send = None,
    wait: Wait = False,
    as_json: Json = False,
    data: Data = None,
    films: Films = None,
    db: Db = None,
    db_there: Annotated[
        str | None, typer.Option("--db-there", metavar="URL", help="The ledger's address as the cluster sees it.")
    ] = None,
) -> None:
    """Hand storyboards to a Ray cluster and print the run's id: packed with all their files, rendered there.

    The ledger must be a Postgres that the cluster reaches, and the store a folder that it shares or a URL. With a
    selection only those clips are rendered, and what they continue. Commands of `--hook` run on the cluster's head.
    """
    from .runs import document, reach, standing
    from .selectors import selection
    from .session import Rendering, look
    from .submit import Handover, hand_over

    rendering: dict[str, Any] = {"cameras": cameras, "gpus": gpus_per_camera, "lockstep": lockstep}
    rendering |= {"retry_held": retry_held, "checkpoint_every": checkpoint_every, "decode_beside": decode_beside}
    rendering |= {"priority": priority, "deadline": deadline, "gpu_hours": gpu_hours}
    rendering |= {"webhooks": webhooks} | ({"hooks": hook} if hook else {})
    Rendering(**rendering).check()
    where = places(data, films, db)
    only, accepted = selection(shot or (), since, until, failed, stale), selection(accept_stale or ())
    how = Handover(rendering, shared or (), send or (), _films(films), db_there, only, accepted)
    jobs = reach(address or "")
    with look(where, create=True) as session:
        run = hand_over(session, storyboards, how, jobs)
        if wait:
            _follow_to_the_end(session, run)
        if as_json:
            assert session.ledger is not None
            print_json(document(standing(session.ledger, run)))
            return
    typer.echo(run.id)
    typer.echo(f"longtake status {run.id}{where.options()} says how it stands", err=True)


def runs(
    most: Annotated[int, typer.Option("--most", min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Runs that were handed to a cluster: how each stands, and how to go on."""
    from .runs import document, show_runs, standing
    from .session import look

    with look(places(data, db=db)) as session:
        ledger = session.ledger
        found = [document(standing(ledger, run)) for run in ledger.runs(most)] if ledger else []
    if as_json:
        print_json({"schema": "longtake.runs.v1", "runs": found})
    else:
        show_runs(found)


def logs(
    run: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    number: Submission = None,
    address: Address = None,
    data: Data = None,
    db: Db = None,
) -> None:
    """What a run's driver prints on the cluster."""
    from .errors import UsageError
    from .runs import find, reach
    from .session import look

    with look(places(data, db=db)) as session:
        _, found = find(session, run)
    chosen = next((each for each in found.submissions if each.number == (number or found.last.number)), None)
    if chosen is None:
        raise UsageError(f"--submission {number}: run {run} was handed over {len(found.submissions)} times")
    jobs = reach(address or chosen.address)
    for piece in jobs.follow(chosen.job) if follow else [jobs.logs(chosen.job)]:
        _echo(piece)


def pause(run: Name, wait: Wait = False, data: Data = None, db: Db = None) -> None:
    """Stop a run between two steps, with its checkpoints written. `longtake resume` goes on with it."""
    from .runs import pause as asked

    _wished(run, places(data, db=db), wait, asked)


def cancel(
    run: Name,
    now: Annotated[
        bool, typer.Option("--now", help="By a signal to its job, where its driver does not listen.")
    ] = False,
    wait: Wait = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """End a run for good. Clips that are finished are kept, and used when they are needed again."""
    from .runs import cancel as asked

    _wished(run, places(data, db=db), wait, lambda ledger, found: asked(ledger, found, now))


def resume(
    run: Name,
    retry_held: RetryHeld = False,
    gpu_hours: GpuHours = None,
    address: Address = None,
    send: Send = None,
    wait: Wait = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Hand a run over once more that was paused, or ended without being done: the same package, on any cluster."""
    from .runs import again, find, reach
    from .session import look
    from .submit import sent

    with look(places(data, db=db)) as session:
        ledger, found = find(session, run)
        here = address or next(
            (os.environ[n] for n in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS") if n in os.environ), ""
        )
        environment = sent(send or ())
        more = (["--retry-held"] if retry_held else []) + ([f"--gpu-hours={gpu_hours!r}"] if gpu_hours else [])
        handed = again(session, ledger, found, reach(here or found.last.address), environment, more)
        if wait:
            _follow_to_the_end(session, handed)
    typer.echo(f"{run} is handed over again (submission {handed.last.number}); longtake status {run}", err=True)


def nodes(
    take_back: Annotated[
        list[str] | None, typer.Option("--take-back", metavar="HOST", help="Give this node work again.")
    ] = None,
    set_aside: Annotated[
        list[str] | None, typer.Option("--set-aside", metavar="HOST", help="Give this node no more work.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever asks.")] = "set aside by hand",
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Nodes that get no work, and why: those that failed too much, and those set aside by hand. Runs see it at once."""
    from .errors import UsageError
    from .session import look

    with look(places(data, db=db), create=bool(set_aside)) as session:
        ledger = session.ledger
        for host in set_aside or ():
            assert ledger is not None
            ledger.set_aside(host, reason)
        for host in take_back or ():
            if ledger is None or not ledger.take_back(host):
                raise UsageError(f"--take-back {host}: it is not set aside; `longtake nodes` lists those that are")
        found = ledger.aside() if ledger else {}
    if as_json:
        print_json({"schema": "longtake.nodes.v1", "aside": found})
        return
    for host, why in found.items():
        typer.echo(f"{host} gets no work: {why}")
    if not found:
        typer.echo("no node is set aside")


def _films(films: Path | None) -> Path | None:
    """The folder for finished films that was named, by the option or the variable."""
    told = os.environ.get("LONGTAKE_FILMS")
    return films or (Path(told) if told else None)


def _wished(run: str, where: Places, wait: bool, ask: Callable[[Ledger, Run], object]) -> None:
    from .runs import document, find, find_again, show_runs, standing
    from .runs import wait as await_end
    from .session import look

    with look(where) as session:
        ledger, found = find(session, run)
        ask(ledger, found)
        now = await_end(ledger, found) if wait else standing(ledger, find_again(ledger, found))
    show_runs([document(now)])


def _follow_to_the_end(session: Session, run: Run) -> None:
    """Show a run's log until it ends; ends this command with the run's exit code."""
    from cluster.errors import ClusterError

    from .runs import reach, settle
    from .runs import wait as await_end

    assert session.ledger is not None
    typer.echo(run.id)
    try:
        for piece in reach(run.last.address).follow(run.last.job):
            _echo(piece)
        found = await_end(session.ledger, run)
    except ClusterError as error:
        if not settle(session.ledger, run).over:
            typer.echo(f"its log cannot be followed: {error}", err=True)
        found = await_end(session.ledger, run)
    except Stopped as stopped:
        typer.echo(f"you do not look on any more, and {run.id} goes on: longtake logs -f {run.id}", err=True)
        raise typer.Exit(stopped.code) from None
    typer.echo(f"{run.id} is {found.state}{f': {found.note}' if found.note else ''}", err=True)
    raise typer.Exit(found.exit_code)


def _echo(text: str) -> None:
    from cluster.secrets import hidden

    sys.stdout.write(hidden(text))
    sys.stdout.flush()


def commands(stop: Stop) -> tuple[Callable[..., None], ...]:
    """The commands. stop: what hears the signals of this process."""

    def drive(
        run: Name,
        number: Submission = None,
        on: On = "ray",
        retry_held: RetryHeld = False,
        gpu_hours: GpuHours = None,
        db: Db = None,
    ) -> None:
        """Work off a run here: what its job on the cluster does. Fetches the package from the store, and renders it."""
        from .drive import drive as work

        told = {"retry_held": retry_held, "gpu_hours": gpu_hours}
        how = {"on": on} | {name: value for name, value in told.items() if value}
        raise typer.Exit(work(run, number, db, how, stop))

    return submit, runs, logs, pause, cancel, resume, nodes, drive
