"""The command line: one function a command. Heavy imports stand inside the functions, so that `--help` is quick.

Exit codes: 0 done; 1 failed; 2 usage or invalid storyboard; 3 finished with shots missing; 4 `plan --check`
found clips to render; 5 the hours of a film (gpu_hours) are spent; 75 interrupted by SIGTERM, run again to go on;
130 Ctrl-C.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import cli_choices, cli_cluster, cli_models, cli_records, cli_store, cli_watch
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
    Metrics,
    On,
    Priority,
    RetryHeld,
    Shots,
    Stale,
    Storyboards,
    Until,
    Webhooks,
    print_json,
    say,
)
from .places import places
from .stop import Stop

app = typer.Typer(
    name="longtake",
    help="A batch processor for long generated video: a storyboard goes in, a long film comes out.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or invalid storyboard, 3 shots missing, "
    "4 plan --check found changes, 5 gpu_hours spent, 75 interrupted (run again to go on), 130 Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_stop = Stop()


def main() -> None:
    """Entry point: runs a command and turns errors into messages and exit codes."""
    from .complain import guarded

    with _stop:
        code = guarded(app)
    if _stop.asked is None:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Not sys.exit: it would wait for threads that are in the middle of a step or of a cut, and a thread of torch's that
    # the interpreter's end overtakes aborts the process (seen once, after a film was done). All that must be closed is
    # closed; ledger and store are valid at any moment, and what a cut leaves behind is swept by the next one.
    os._exit(code)


def _show_version(asked: bool) -> None:
    if asked:
        from cluster.environment import code_version

        typer.echo(code_version())
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to standard error.")] = False,
) -> None:
    _log_to_stderr(verbose)


@app.command()
def new(path: Annotated[Path, typer.Argument(help="File to write; must not exist.")]) -> None:
    """Write a commented storyboard to start from."""
    from .starter import write

    write(path)
    typer.echo(f"{path} is written. Look at it, then: longtake render {path}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of storyboards, for completion in editors."""
    from .schema import schema_text

    typer.echo(schema_text(), nl=False)


@app.command()
def plan(
    storyboards: Storyboards,
    as_json: Json = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 4 when anything would be rendered.")] = False,
    shot: Shots = None,
    since: From = None,
    until: Until = None,
    failed: Failed = False,
    stale: Stale = False,
    accept_stale: AcceptStale = None,
    data: Data = None,
    db: Db = None,
) -> None:
    """Show what would be rendered, why, and at what cost. Renders nothing."""
    from .report import plan_json, show_plan
    from .selectors import selection
    from .session import look

    with look(places(data, db=db)) as session:
        plans = session.plans(storyboards)
        chosen = selection(shot or (), since, until, failed, stale).bound(plans)
        accepted = selection(accept_stale).bound(plans) if accept_stale else None
        surveys = [session.survey(plan, chosen, accepted) for plan in plans]
        if as_json:
            print_json(plan_json(surveys))
        else:
            for survey in surveys:
                show_plan(survey, session.recut(survey))
    if check and any(survey.wanted for survey in surveys):
        raise typer.Exit(4)


@app.command()
def render(
    storyboards: Storyboards,
    on: On = "local",
    cameras: Cameras = None,
    gpus_per_camera: GpusPerCamera = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ... With --on ray: of every camera.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads (with --on local).")] = None,
    lockstep: Lockstep = 8,
    retry_held: RetryHeld = False,
    progress: Annotated[str, typer.Option("--progress", help="auto, live, plain, json, openjd or none.")] = "auto",
    checkpoint_every: CheckpointEvery = "30",
    decode_beside: DecodeBeside = "auto",
    priority: Priority = None,
    deadline: Deadline = None,
    gpu_hours: GpuHours = None,
    hook: Hook = None,
    webhooks: Webhooks = True,
    metrics: Metrics = None,
    shot: Shots = None,
    since: From = None,
    until: Until = None,
    failed: Failed = False,
    stale: Stale = False,
    accept_stale: AcceptStale = None,
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", metavar="WHAT", help="Leave it out of films, sidecars and sheets: prompts."),
    ] = None,
    as_json: Json = False,
    data: Data = None,
    films: Films = None,
    db: Db = None,
) -> None:
    """Render what is missing and cut the films. Stop it at any moment and run it again.

    With a selection only those clips are rendered, and what they continue; a film is cut when it lacks nothing.
    """
    from .report import render_json, show_results
    from .selectors import selection
    from .session import Rendering, look

    shown = progress if not as_json else "none"
    how = Rendering(on, cameras, device, threads, lockstep, retry_held, shown, checkpoint_every, decode_beside)
    how = replace(how, gpus=gpus_per_camera, hooks=tuple(hook or ()), webhooks=webhooks, metrics=metrics)
    how = replace(how, redact=tuple(redact or ()), priority=priority, deadline=deadline, gpu_hours=gpu_hours)
    how.check()
    with look(places(data, films, db), create=True) as session:
        chosen = selection(shot or (), since, until, failed, stale)
        accepted = selection(accept_stale) if accept_stale else None
        results = session.render(storyboards, how, _stop, selection=chosen, accept_stale=accepted)
    if as_json:
        print_json(render_json(results))
    elif progress != "json":  # whose last lines say the same
        show_results(results)
    raise typer.Exit(how.exit_code(results))


for _command in cli_choices.COMMANDS:
    app.command()(_command)


@app.command()
def status(
    films: Annotated[
        list[str] | None, typer.Argument(help="Films, storyboards or runs; all films when left out.")
    ] = None,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Films, shots and clips, or runs: what is done, what failed, and how to go on."""
    from .runs import runs_among, show_runs
    from .session import look
    from .status import show_status, status_of

    with look(places(data, db=db)) as session:
        runs, named = runs_among(session, films or [])
        found = status_of(session, named) if named or not runs else {"schema": "longtake.status.v1", "films": []}
    if as_json:
        print_json(found | ({"runs": runs} if runs else {}))
        return
    if runs:
        show_runs(runs)
    if found["films"] or not runs:
        show_status(found)


for _command in (*cli_records.COMMANDS, *cli_models.COMMANDS, *cli_watch.COMMANDS):
    app.command()(_command)
for _name, _command in cli_store.COMMANDS.items():  # `import` is no name for a function
    app.command(_name)(_command)
for _command in cli_cluster.commands(_stop):
    app.command()(_command)


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Option("--model", help="Also whether this model fits into the memory here.")
    ] = None,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """What this machine has: devices, memory, ffmpeg, database, Ray, models."""
    from .doctor import as_json as document
    from .doctor import examine
    from .report import show_findings

    findings = examine(places(data, db=db), model)
    if as_json:
        print_json(document(findings))
    else:
        show_findings(findings)
    raise typer.Exit(1 if any(f.state == "bad" for f in findings) else 0)


@app.command()
def bench(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="cluster, continuity, lockstep, methods, places, plan, quality, render, splice, storage; "
            "all when left out."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller cases; ratios are rougher.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="With methods: an embedded model, a folder or a hub id, instead of every family."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure longtake on this machine, as ratios against a named rival in the same run."""
    from .bench import run, show

    say(run(which or [], quick, model), as_json, show)


class _Discreet(logging.Formatter):
    """Log lines and traces without passwords and tokens."""

    def format(self, record: logging.LogRecord) -> str:
        from cluster.secrets import hidden

        return hidden(super().format(record))


class _Stderr(logging.Handler):
    """Standard error as it is now: a live display takes its place while it is drawn, and prints above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def _log_to_stderr(verbose: bool) -> None:
    """Our own warnings and everybody's errors; with -v all there is. Lower levels still reach a job's log tail."""

    def wanted(record: logging.LogRecord) -> bool:
        ours = record.name.startswith("longtake")
        return verbose or record.levelno >= (logging.WARNING if ours else logging.ERROR)

    handler = _Stderr()
    form = "%(asctime)s %(name)s %(message)s" if verbose else "%(levelname)s %(message)s"
    handler.setFormatter(_Discreet(form))
    handler.addFilter(wanted)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in ("matplotlib", "PIL", "asyncio", "alembic", "urllib3", "httpx", "filelock", "imageio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
