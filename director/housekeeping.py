"""Making room, moving the files to another store, and carrying one film to another machine. Dry unless told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from storage import gc, portable, transfer
from storage.ledger import Ledger
from storage.remote import open_files

from .errors import UsageError
from .lettering import font_files
from .places import Places
from .report import size
from .session import Session
from .soundmarks import sound_files
from .streams import screen

Document = dict[str, Any]
DAY = 24 * 3600.0
BOARD = "storyboard"
"""Folder of an export for the storyboard and what it refers to."""


def make_room(session: Session, yes: bool, forget: Sequence[str], days: float) -> Document:
    """The document behind `longtake gc`: what nothing needs, removed when `yes`.

    Raises:
        UsageError: a film to forget that is not recorded, or that is being rendered.
    """
    if session.ledger is None or session.files is None:
        return {
            "schema": "longtake.gc.v1",
            "removed": False,
            "takes": [],
            "prints": 0,
            "files": 0,
            "checkpoints": 0,
            "bytes": 0,
            "kept": 0,
        }
    known = [film.film for film in session.ledger.films()]
    for film in forget:
        if film not in known:
            raise UsageError(f"--forget {film!r}: no such film; recorded films: {', '.join(known) or 'none'}")
        if holder := session.holder(film):
            raise UsageError(f"--forget {film!r}: it is being rendered on {holder.host} (process {holder.pid})")
    found = gc.plan(session.ledger, session.files, forget, days * DAY)
    if yes:
        found = gc.sweep(session.ledger, session.files, found, forget)
    places = _placed(session.ledger, known)
    takes = [{"take": take.id, "key": take.key, "of": places.get(take.key, "")} for take in found.takes]
    return {
        "schema": "longtake.gc.v1",
        "removed": yes,
        "takes": takes,
        "prints": found.prints,
        "files": len(found.files),
        "checkpoints": len(found.checkpoints),
        "bytes": found.bytes,
        "kept": found.kept,
        "kept_bytes": found.kept_bytes,
    }


def _placed(ledger: Ledger, films: Sequence[str]) -> dict[str, str]:
    """Key -> where its clip stood last."""
    return {
        slate.key: f"{film}:{slate.shot}/{slate.clip}"
        for film in films
        for production in reversed(ledger.productions(film))
        for slate in ledger.slates(production.id)
    }


def show_room(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for take in document["takes"]:
        where = take["of"] or take["key"][:16]
        console.print(f"{'removed' if document['removed'] else 'not needed'}: take {take['take']} of {where}")
    files, room = document["files"] + document["checkpoints"], size(document["bytes"])
    if document["removed"]:
        console.print(f"{files} files removed, {room} won; {document['kept']} files stay")
    elif files:
        console.print(f"{files} files, {room}, are not needed; longtake gc --yes removes them")
    else:
        console.print("everything in the store is needed")


def move(session: Session, target: str, remove: bool, say: Callable[[int, int], None]) -> Document:
    """Copy the files to another store, name it as the store from now on, and with `remove` delete them here.

    Raises:
        UsageError: nothing to move, the store itself, or a film that is being rendered.
    """
    if session.ledger is None or session.files is None:
        raise UsageError("nothing has been rendered here yet, so there is nothing to move")
    places = session.places
    place = target if "://" in target else str(Path(target).absolute())
    if place == places.store or place == str(Path(places.store).absolute()):
        raise UsageError(f"the files are in {target} already")
    for film in session.ledger.films():
        if holder := session.holder(film.film):
            raise UsageError(f"{film.film} is being rendered on {holder.host} (process {holder.pid}); wait for its end")
    before = places.store
    with closing(open_files(place)) as to:
        moved = transfer.copy_files(session.ledger, session.files, to, say)
        gone: dict[str, int] = {}
        if moved.whole:
            _name(places, place)
            gone = transfer.remove_moved(session.ledger, session.files, to) if remove else {}
    return {
        "schema": "longtake.move.v1",
        "store": place,
        "whole": moved.whole,
        "copied": len(moved.copied),
        "bytes": sum(moved.copied.values()),
        "already": moved.already,
        "missing": moved.missing,
        "removed": len(gone),
        "kept": "" if gone or not moved.whole else before,
    }


def _name(places: Places, place: str) -> None:
    part = places.moved.with_name(".store.part")
    part.write_text(place + "\n")
    part.replace(places.moved)


def show_moved(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for id, what in document["missing"].items():
        console.print(f"{id}: {what}", style="red", soft_wrap=True)
    done = f"{document['copied']} files copied ({size(document['bytes'])}), {document['already']} were there"
    console.print(f"{done}, {document['removed']} removed here", soft_wrap=True)
    if document["whole"]:
        console.print(f"the store is {document['store']} from now on", soft_wrap=True)
        if document["kept"]:
            console.print(f"the copies in {document['kept']} are used no more; they can be deleted", soft_wrap=True)
    else:
        console.print("the store stays where it is; longtake verify, render again, then move again", soft_wrap=True)


def export(session: Session, film: str, folder: Path) -> Document:
    """Write one film as a folder that another machine can continue: ledger rows, takes, storyboard, sounds, fonts.

    Raises:
        UsageError: no such film, or a file of its storyboard that cannot be copied. StoryboardError: it has mistakes.
    """
    known = [one.film for one in session.ledger.films()] if session.ledger else []
    if session.ledger is None or session.files is None or film not in known:
        raise UsageError(f"no film {film!r} has been rendered here; recorded films: {', '.join(known) or 'none'}")
    carried = portable.export_film(session.ledger, session.files, film, folder)
    board = _carry_board(session, film, folder / BOARD)
    return _carried("longtake.export.v1", carried, folder) | {"storyboard": board}


def _carry_board(session: Session, film: str, folder: Path) -> str | None:
    """Copy the storyboard and all that it names below its own folder; None when it is not there any more."""
    recorded = session.ledger.film(film) if session.ledger else None
    path = Path(recorded.last.storyboard_path) if recorded else None
    if path is None or not path.is_file():
        return None
    from .storyboard import load

    images = {str(shot.start_image) for shot in load([str(path)])[0].board.shots if shot.start_image is not None}
    (plan,) = session.plans([str(path)])
    for name in (path.name, *sorted(images.union(sound_files(plan), font_files(plan)))):
        to = folder / name
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / name, to)
        except OSError as error:
            raise UsageError(
                f"{path.parent / name}, of the film's storyboard, cannot be copied to {to}: {error.strerror or error}; "
                "mend that and export again: what is copied stays"
            ) from None
    return str(folder / path.name)


def bring(session: Session, folder: Path) -> Document:
    """Add an exported film to this ledger and store."""
    assert session.ledger is not None
    assert session.files is not None
    carried = portable.import_film(session.ledger, session.files, folder)
    boards = sorted((folder / BOARD).glob("*")) if (folder / BOARD).is_dir() else []
    board = next((str(path) for path in boards if path.suffix in (".yaml", ".yml", ".json")), None)
    return _carried("longtake.import.v1", carried, folder) | {"storyboard": board}


def _carried(schema: str, carried: portable.Carried, folder: Path) -> Document:
    return {
        "schema": schema,
        "film": carried.film,
        "folder": str(folder),
        "rows": carried.rows,
        "files": carried.files,
        "bytes": carried.bytes,
        "missing": carried.missing,
    }


def show_carried(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for id, what in document["missing"].items():
        console.print(f"left out: {id}: {what}", style="yellow", soft_wrap=True)
    done = "exported to" if "export" in document["schema"] else "imported from"
    text = f"{document['film']} is {done} {document['folder']}: {document['files']} files ({size(document['bytes'])})"
    console.print(text, soft_wrap=True)
    if document["storyboard"] and "import" in document["schema"]:
        console.print(f"longtake render {document['storyboard']} goes on with it", soft_wrap=True)
    elif not document["storyboard"]:
        console.print("its storyboard was not there; bring it yourself", style="yellow")
