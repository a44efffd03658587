"""Commands about the store: checking, making room, moving, carrying a film elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .options import Data, Db, Json, say
from .places import places


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what there is a whole copy of; write missing sidecars again.")
    ] = False,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Check every stored file and finished film against its hash. What is damaged is rendered again at the next run."""
    from .session import look
    from .verify import show_verify, verify_all

    with look(places(data, db=db)) as session:
        found = verify_all(session, repair)
    say(found, as_json, show_verify)
    raise typer.Exit(0 if found["ok"] else 1)


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this, only show what would go.")] = False,
    forget: Annotated[
        list[str] | None, typer.Option("--forget", metavar="FILM", help="A film of which nothing is needed any more.")
    ] = None,
    older_than: Annotated[float, typer.Option("--older-than", min=0, help="Only takes older than so many days.")] = 0.0,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Show, or with --yes remove, stored files that nothing needs: no film, pin, pick, or running production."""
    from .housekeeping import make_room, show_room
    from .session import look

    with look(places(data, db=db)) as session:
        found = make_room(session, yes, forget or [], older_than)
    say(found, as_json, show_room)


def move(
    target: Annotated[str, typer.Argument(help="A folder, or a URL that fsspec knows (s3://bucket/name ...).")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the files here when they all are there.")] = False,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Move the stored files to another place, which is the store from then on (LONGTAKE_STORE comes first)."""
    from .housekeeping import move as moved
    from .housekeeping import show_moved
    from .session import look

    with look(places(data, db=db)) as session:
        found = moved(session, target, remove, lambda done, of: None)
    say(found, as_json, show_moved)
    raise typer.Exit(0 if found["whole"] else 1)


def export(
    film: Annotated[str, typer.Argument(help="A film id, as `longtake status` lists it.", metavar="FILM")],
    folder: Annotated[Path, typer.Argument(help="New or empty folder.", metavar="FOLDER")],
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Write one film as a folder that another machine can continue: takes, ledger, storyboard, sounds, fonts."""
    from .housekeeping import export as exported
    from .housekeeping import show_carried
    from .session import look

    with look(places(data, db=db)) as session:
        found = exported(session, film, folder)
    say(found, as_json, show_carried)


def import_(
    folder: Annotated[Path, typer.Argument(help="A folder that `longtake export` has written.", metavar="FOLDER")],
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Add an exported film to this ledger and store, every byte checked."""
    from .housekeeping import bring, show_carried
    from .session import look

    with look(places(data, db=db), create=True) as session:
        found = bring(session, folder)
    say(found, as_json, show_carried)


COMMANDS: dict[str, Callable[..., None]] = {
    "verify": verify,
    "gc": gc,
    "move": move,
    "export": export,
    "import": import_,
}
