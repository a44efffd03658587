"""Commands about why a clip is rendered, and about what people choose: pins and takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .options import Clips, Data, Db, Films, Json, say
from .places import places

Place = Annotated[str, typer.Argument(help="SHOT, SHOT/CLIP or FIRST..LAST.", metavar="SELECTOR")]
Shot = Annotated[str, typer.Argument(help="SHOT, or FILM:SHOT.", metavar="SHOT")]
Number = Annotated[int, typer.Argument(min=1, help="Number of the take, as `longtake takes` lists it.")]
Note = Annotated[str, typer.Option("--note", help="A word about it, kept in the ledger.")]


def why(clips: Clips, as_json: Json = False, data: Data = None, db: Db = None) -> None:
    """Why clips are to be rendered, or are not: the whole difference from the nearest take that stood there."""
    from .session import look
    from .why import show_why
    from .why import why as explained

    with look(places(data, db=db)) as session:
        found = explained(session, clips)
    say(found, as_json, show_why)


def pin(
    place: Place,
    take: Annotated[
        str, typer.Argument(help="A take's number, the start of its clip's key, or `last`: what stood there last.")
    ] = "last",
    note: Note = "",
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Keep clips as they are, whatever the storyboard says, until they are unpinned."""
    from .pins import pin as pinned
    from .pins import show_pins
    from .session import look

    with look(places(data, db=db)) as session:
        found = pinned(session, place, take, note)
    say(found, as_json, show_pins)


def unpin(place: Place, as_json: Json = False, data: Data = None, db: Db = None) -> None:
    """Let pinned clips follow the storyboard again."""
    from .pins import show_pins
    from .pins import unpin as unpinned
    from .session import look

    with look(places(data, db=db)) as session:
        found = unpinned(session, place)
    say(found, as_json, show_pins)


def takes(
    clips: Annotated[
        list[str] | None, typer.Argument(help="SHOT, FILM:SHOT or FILM; left out: all of the film.", metavar="SELECTOR")
    ] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Contact sheet to write.")] = None,
    as_json: Json = False,
    data: Data = None,
    films: Films = None,
    db: Db = None,
) -> None:
    """List the takes of shots, and draw them on a contact sheet (FILM.takes.png beside the films)."""
    from .session import look
    from .takes import sheet as drawn
    from .takes import show_takes, takes_of

    with look(places(data, films, db)) as session:
        found = takes_of(session, clips or [])
        found["sheet"] = str(drawn(session, clips or [], sheet))
    say(found, as_json, show_takes)
    if not as_json:
        typer.echo(found["sheet"])


def pick(shot: Shot, take: Number, note: Note = "", as_json: Json = False, data: Data = None, db: Db = None) -> None:
    """Show this take of a shot in the film; a draft is rendered in full from now on."""
    from .session import look
    from .takes import pick as picked
    from .takes import show_takes

    with look(places(data, db=db)) as session:
        say(picked(session, shot, take, note), as_json, show_takes)


def reject(shot: Shot, take: Number, note: Note = "", as_json: Json = False, data: Data = None, db: Db = None) -> None:
    """Do without this take of a shot as it is now; its files are kept until `longtake gc`."""
    from .session import look
    from .takes import reject as rejected
    from .takes import show_takes

    with look(places(data, db=db)) as session:
        say(rejected(session, shot, take, note), as_json, show_takes)


def retake(
    shot: Shot,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the new take. Default: derived.")] = None,
    note: Note = "",
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Ask for one more take of a shot, from a new seed. The next render makes it; earlier takes are kept."""
    from .session import look
    from .takes import retake as asked
    from .takes import show_takes

    with look(places(data, db=db)) as session:
        say(asked(session, shot, seed, note), as_json, show_takes)


COMMANDS: tuple[Callable[..., None], ...] = (why, pin, unpin, takes, pick, reject, retake)
