"""The command that looks on: watch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from .options import Data, Db, Json, print_json
from .places import places


def watch(
    what: Annotated[
        list[str] | None, typer.Argument(help="Films, runs or storyboards; what is being rendered when left out.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One view, then end.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two views.")] = 2.0,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Watch films render, from any machine that reaches the ledger: chains, cameras, time left. Ctrl-C ends it."""
    from .session import look
    from .streams import screen
    from .watch import Watcher, picture_of
    from .watch_view import follow

    with look(places(data, db=db)) as session:
        watcher = Watcher(session, what or ())
        if as_json:
            print_json(watcher.look())
        elif once:
            follow(screen(), lambda: watcher.look() | {"running": False}, partial(picture_of, session), every)
        else:
            follow(screen(), watcher.look, partial(picture_of, session), every)


COMMANDS: tuple[Callable[..., None], ...] = (watch,)
