"""The command line: one function a command. Heavy imports stand inside the functions, so that `--help` is quick.

Exit codes: 0 done; 1 failed; 2 usage or invalid storyboard; 3 finished with shots missing; 4 `plan --check`
found clips to render; 75 interrupted by SIGTERM, run again to go on; 130 Ctrl-C.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .places import places
from .stop import Stop

app = typer.Typer(
    name="longtake",
    help="A batch processor for long generated video: a storyboard goes in, a long film comes out.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or invalid storyboard, 3 shots missing, "
    "4 plan --check found changes, 75 interrupted (run again to go on), 130 Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Storyboards = Annotated[list[str], typer.Argument(help="Storyboard files or globs.", metavar="STORYBOARD")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder for ledger and files (LONGTAKE_DIR). Default: .longtake")
]
Films = Annotated[
    Path | None, typer.Option("--films", help="Folder for finished films (LONGTAKE_FILMS). Default: films")
]
Db = Annotated[
    str | None, typer.Option("--db", help="Database URL instead of SQLite in the data folder (LONGTAKE_DB_URL).")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_stop = Stop()


def main() -> None:
    """Entry point: runs a command and turns errors into messages and exit codes."""
    from .complain import guarded

    with _stop:
        code = guarded(app)
    if _stop.asked is not None:
        # Not sys.exit: it would wait for threads that are in the middle of a step or of a cut. Ledger and store are
        # valid at any moment, and what a cut leaves behind is swept by the next one.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to standard error.")] = False,
) -> None:
    _log_to_stderr(verbose)
    if version:
        from cluster.environment import code_version

        typer.echo(code_version())
        raise typer.Exit


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
    data: Data = None,
    db: Db = None,
) -> None:
    """Show what would be rendered, why, and at what cost. Renders nothing."""
    from .report import plan_json, show_plan
    from .session import look

    with look(places(data, db=db)) as session:
        surveys = [session.survey(plan) for plan in session.plans(storyboards)]
        if as_json:
            _print_json(plan_json(surveys))
        else:
            for survey in surveys:
                show_plan(survey)
    if check and any(survey.missing for survey in surveys):
        raise typer.Exit(4)


@app.command()
def render(
    storyboards: Storyboards,
    on: Annotated[
        str, typer.Option("--on", help="`local`: this process. `ray`: RAY_ADDRESS, or a local Ray.")
    ] = "local",
    cameras: Annotated[int | None, typer.Option("--cameras", min=1, help="Ray: camera processes at most.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ... (with --on local)")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads (with --on local).")] = None,
    lockstep: Annotated[int, typer.Option("--lockstep", min=1, help="Clips denoised together at most.")] = 8,
    retry_held: Annotated[bool, typer.Option("--retry-held", help="Try held shots again.")] = False,
    progress: Annotated[str, typer.Option("--progress", help="auto, live, plain or none.")] = "auto",
    as_json: Json = False,
    data: Data = None,
    films: Films = None,
    db: Db = None,
) -> None:
    """Render what is missing and cut the films. Stop it at any moment and run it again."""
    from .report import render_json, show_results
    from .session import Rendering, look

    how = Rendering(on, cameras, device, threads, lockstep, retry_held, progress if not as_json else "none")
    how.check()
    with look(places(data, films, db), create=True) as session:
        results = session.render(storyboards, how, _stop)
    if as_json:
        _print_json(render_json(results))
    else:
        show_results(results)
    raise typer.Exit(how.exit_code(results))


@app.command()
def status(
    films: Annotated[list[str] | None, typer.Argument(help="Films or storyboards; all when left out.")] = None,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Films, shots and clips: what is done, what failed, and how to go on."""
    from .session import look
    from .status import show_status, status_of

    with look(places(data, db=db)) as session:
        found = status_of(session, films or [])
    if as_json:
        _print_json(found)
    else:
        show_status(found)


@app.command()
def lineage(
    what: Annotated[
        str, typer.Argument(help="A film or clip file, a film id, FILM:SHOT/CLIP, or the start of a clip key.")
    ],
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Where a film or clip comes from: prompt, seed, model, recipe, code, host, time. Files speak for themselves."""
    from .lineage import find, show_lineage
    from .session import look

    with look(places(data, db=db)) as session:
        found = find(what, session)
    if as_json:
        _print_json(found)
    else:
        show_lineage(found)


@app.command()
def verify(as_json: Json = False, data: Data = None, db: Db = None) -> None:
    """Check every stored file and finished film against its hash. What is damaged is rendered again at the next run."""
    from .session import look
    from .verify import show_verify, verify_all

    with look(places(data, db=db)) as session:
        found = verify_all(session)
    if as_json:
        _print_json(found)
    else:
        show_verify(found)
    raise typer.Exit(0 if found["ok"] else 1)


@app.command()
def doctor(as_json: Json = False, data: Data = None, db: Db = None) -> None:
    """What this machine has: devices, memory, ffmpeg, database, Ray, models."""
    from .doctor import as_json as document
    from .doctor import examine
    from .report import show_findings

    findings = examine(places(data, db=db))
    if as_json:
        _print_json(document(findings))
    else:
        show_findings(findings)
    raise typer.Exit(1 if any(f.state == "bad" for f in findings) else 0)


@app.command()
def bench(
    which: Annotated[
        list[str] | None, typer.Argument(help="render, lockstep, orders, places, plan, splice; all when left out.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller cases; ratios are rougher.")] = False,
    as_json: Json = False,
) -> None:
    """Measure longtake on this machine, as ratios against a named rival in the same run."""
    from .bench import run, show

    tables = run(which or [], quick)
    if as_json:
        _print_json(tables)
    else:
        show(tables)


def _log_to_stderr(verbose: bool) -> None:
    """Our own warnings and everybody's errors; with -v all there is. Lower levels still reach a job's log tail."""

    def wanted(record: logging.LogRecord) -> bool:
        ours = record.name.startswith("longtake")
        return verbose or record.levelno >= (logging.WARNING if ours else logging.ERROR)

    handler = logging.StreamHandler()
    form = "%(asctime)s %(name)s %(message)s" if verbose else "%(levelname)s %(message)s"
    handler.setFormatter(logging.Formatter(form))
    handler.addFilter(wanted)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in ("matplotlib", "PIL", "asyncio", "alembic", "urllib3", "httpx", "filelock", "imageio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
