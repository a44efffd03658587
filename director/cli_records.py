"""Commands about where films and clips come from: lineage, its export, comparison, and making a thing again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .options import Data, Db, Device, Json, say
from .places import places

THING = (
    "A film or clip file, a film id (FILM@2: the cut before), FILM:SHOT/CLIP, a take's number, or a clip key's start."
)
Redact = Annotated[
    list[str] | None, typer.Option("--redact", metavar="WHAT", help="Leave out what others must not see: prompts.")
]


def lineage(
    what: Annotated[str, typer.Argument(help=THING)],
    as_json: Json = False,
    form: Annotated[
        str, typer.Option("--format", help="tree, json, prov (W3C PROV-JSON) or openlineage (one event a line).")
    ] = "tree",
    redact: Redact = None,
    data: Data = None,
    db: Db = None,
) -> None:
    """Where a film or clip comes from: prompt, seed, model, recipe, code, host, time. Files speak for themselves."""
    from .lineage import find, show_lineage
    from .provenance import check_format, export
    from .redaction import check, redacted
    from .session import look

    check_format(form)
    check(redact or ())
    with look(places(data, db=db)) as session:
        found = redacted(find(what, session), redact or ())
    if as_json or form != "tree":
        sys.stdout.write(export(found, "json" if as_json else form))
    else:
        show_lineage(found)


def diff(
    a: Annotated[str, typer.Argument(help=THING, metavar="A")],
    b: Annotated[str, typer.Argument(help="The other one.", metavar="B")],
    redact: Redact = None,
    as_json: Json = False,
    data: Data = None,
    db: Db = None,
) -> None:
    """Compare two takes or two films: settings, pictures, and what they were made with."""
    from .compare import compare, show_diff
    from .session import look

    with look(places(data, db=db)) as session:
        found = compare(session, a, b, redact)
    say(found, as_json, show_diff)


def reproduce(
    file: Annotated[Path, typer.Argument(help="A take (.mkv) or a film that longtake made.", metavar="FILE")],
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Where the model lies here, when not where it was.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Render a take or film again from its own record alone, and say whether it came out the same.

    Exit 0: bit for bit, or the same to rounding. Exit 1: different.
    """
    from .reproduce import Means, show_reproduced
    from .reproduce import reproduce as made_again

    found = made_again(file, Means(device, threads, model), lambda text: typer.echo(text, err=True))
    say(found, as_json, show_reproduced)
    raise typer.Exit(1 if found["result"] == "different" else 0)


def redact(
    film: Annotated[Path, typer.Argument(help="A finished film.", metavar="FILM")],
    out: Annotated[Path, typer.Argument(help="The copy to write.", metavar="COPY")],
    what: Annotated[list[str] | None, typer.Option("--redact", metavar="WHAT", help="Default: prompts.")] = None,
) -> None:
    """Copy a film without what others must not see in its lineage. Pictures and sound stay as they are."""
    from .retag import without

    without(film, out, what or ["prompts"])
    typer.echo(f"{out} is written, without {', '.join(what or ['prompts'])} in its lineage")


def sign(
    film: Annotated[Path, typer.Argument(help="A finished film.", metavar="FILM")],
    cert: Annotated[Path, typer.Option("--cert", help="Certificate chain in PEM, the signer's own first.")],
    key: Annotated[Path, typer.Option("--key", help="Its private key in PEM.")],
    out: Annotated[Path | None, typer.Option("--out", help="The signed copy. Default: FILM.signed.mp4")] = None,
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="es256, es384, es512, ps256, ps384, ps512 or ed25519.")
    ] = "es256",
    time_server: Annotated[str | None, typer.Option("--time-server", help="URL of a time-stamp authority.")] = None,
    redact: Redact = None,
    as_json: Json = False,
) -> None:
    """Write a copy of a film with signed content credentials (C2PA). Needs the extra longtake\\[c2pa]."""
    from .credentials import show_signed
    from .credentials import sign as signed

    found = signed(film, out, cert, key, algorithm, time_server, redact or [])
    say(found, as_json, show_signed)


COMMANDS: tuple[Callable[..., None], ...] = (lineage, diff, reproduce, redact, sign)
