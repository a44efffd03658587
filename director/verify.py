"""Every stored file and finished film against its hash. What is damaged is set aside, named, and made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from storage.errors import FileDamaged, FileMissing, FilesError
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import FilmVersion

from .lineage import sidecar_of
from .places import file_digest
from .session import Session
from .streams import screen

ASIDE = "damaged"
"""Folder in the store, and suffix of a film, for what has been set aside."""
UNUSED = "a file that nothing needs"
"""Such as a damaged take that a render has made again since: set aside too, and no reason to worry."""
Problem = dict[str, str]
"""`what` it is for, `path`, `state` (damaged, missing or unreadable), `next`: what has been or is to be done."""


def verify_all(session: Session, repair: bool = False) -> dict[str, Any]:
    """Check everything. Damaged and missing files leave the ledger, so that the next render makes them anew; a file
    that cannot be read now may be whole, and is left alone.

    repair: put right what there is another whole copy of, write missing sidecars again, sweep what dead processes left.
    """
    if session.ledger is None or session.files is None:
        empty: dict[str, Any] = {"mended": [], "swept": 0, "problems": [], "leftovers": []}
        return {"schema": "longtake.verify.v1", "ok": True, "checked": 0} | empty
    stored, found = _stored(session.ledger, session.files, repair)
    films, film_problems = _films(session, session.ledger)
    wrong = [_ledger_problem(session, text) for text in session.ledger.check()]
    problems = wrong + [problem for problem in found if problem["what"] != UNUSED] + film_problems
    mended = [problem for problem in problems if problem["state"] == "mended"]
    problems = [problem for problem in problems if problem["state"] != "mended"]
    swept = session.files.sweep() if repair else 0
    return {
        "schema": "longtake.verify.v1",
        "ok": not problems,
        "checked": stored + films,
        "mended": mended + (_sidecars(session, session.ledger) if repair else []),
        "swept": swept,
        "problems": problems,
        "leftovers": [problem for problem in found if problem["what"] == UNUSED],
    }


def show_verify(found: dict[str, Any]) -> None:
    """The same for a person."""
    console = screen()
    for problem in found["problems"]:
        console.print(f"{problem['what']}: {problem['path']}: {problem['state']}", style="red", soft_wrap=True)
        console.print(f"  {problem['next']}", soft_wrap=True)
    for mended in found["mended"]:
        console.print(f"{mended['what']}: {mended['path']}: {mended['next']}", style="green", soft_wrap=True)
    if found["swept"]:
        console.print(f"{found['swept']} folders of dead processes removed")
    for leftover in found["leftovers"]:
        text = f"{leftover['what']}: {leftover['path']}: {leftover['state']}, {leftover['next']}"
        console.print(text, soft_wrap=True)
    console.print(f"{found['checked']} files checked, {len(found['problems'])} damaged, missing or unreadable")


def _stored(ledger: Ledger, files: Files, repair: bool) -> tuple[int, list[Problem]]:
    uses = ledger.file_uses()
    problems = []
    try:
        present = set(files.ids())
    except OSError as error:
        present = set()
        problems.append(_unreadable("part of the store", Path(error.filename or files.root), error))
    for id in sorted(present | set(uses)):
        path = files.place(id)
        used = ", ".join(f"{use.kind} of {use.key[:12]}" for use in uses.get(id, ())) or UNUSED
        try:
            _read(files, id)
        except (FileDamaged, FileMissing) as error:
            state = "missing" if isinstance(error, FileMissing) else "damaged"
            if repair and files.mend(id):
                mended = {"what": used, "path": path, "state": "mended", "next": f"{state}; put right from a copy"}
                problems.append(mended)
                continue
            ledger.drop_file(id, state)
            done = "" if state == "missing" else _aside(files, id)
            mend = "the next render of its film makes it again" if id in uses else "nothing has to be done"
            if any(use.kind == "package" for use in uses.get(id, ())):
                mend = "submit the storyboards of that run again"
            problems.append({"what": used, "path": path, "state": state, "next": done + mend})
        except (FilesError, OSError) as error:
            problems.append(_unreadable(used, path, error))
    return len(present | set(uses)), problems


def _read(files: Files, id: str) -> None:
    """Read a stored file to its end, where the store is.

    Raises:
        FileMissing, FileDamaged: it is surely not there, or not what it was.
        FilesError, OSError: it cannot be read, which says nothing about its bytes.
    """
    try:
        files.check(id)
    except FileDamaged as error:
        if len(error.found) != len(error.expected):  # not a hash: the disk gave nothing
            raise FilesError(error.found) from error
        raise
    except FileMissing as error:
        try:
            error.path.lstat()
        except FileNotFoundError:
            raise error from None
        raise FilesError("a link that leads nowhere") from error


def _unreadable(what: str, path: str | Path, error: Exception) -> Problem:
    said = f"{error.strerror or error}" if isinstance(error, OSError) else f"{error}"
    return {
        "what": what,
        "path": str(path),
        "state": "unreadable",
        "next": f"left as it is: {said}. Make it readable, or mend the disk, and run longtake verify again",
    }


def _aside(files: Files, id: str) -> str:
    """Move a damaged file of the store away; what has been done, for `next`."""
    try:
        aside = files.set_aside(id)
    except FilesError as error:
        return f"could not be moved away ({error}); "
    return f"moved to {aside}; " if aside else ""


def _ledger_problem(session: Session, text: str) -> Problem:
    mend = "bring back a copy of it, or move it away and render again: the takes' files stay in the store"
    return {"what": "the ledger", "path": session.places.ledger_shown, "state": f"damaged: {text}", "next": mend}


def _sidecars(session: Session, ledger: Ledger) -> list[Problem]:
    """Write the sidecars of whole films again that are gone or cannot be read."""
    from .finish import shown_lineage, write_sidecar

    mended = []
    for film in ledger.films():
        for version in ledger.film_versions(film.film):
            path = session.places.found(version.path)
            if path.is_file() and not _readable(sidecar_of(path)) and file_digest(path) == version.file_digest:
                write_sidecar(path, shown_lineage(version), version.file_digest)
                told = {"what": f"film {version.film}", "path": str(sidecar_of(path)), "state": "mended"}
                mended.append(told | {"next": "sidecar written again"})
    return mended


def _readable(sidecar: Path) -> bool:
    try:
        return isinstance(json.loads(sidecar.read_text()), dict)
    except (OSError, ValueError):
        return False


def _set_aside(path: Path, aside: Path) -> str:
    """Move a damaged file away; what has been done, for `next`."""
    try:
        aside.parent.mkdir(exist_ok=True)
        path.replace(aside)
    except OSError as error:
        return f"could not be moved to {aside} ({error.strerror}); "
    return f"moved to {aside}; "


def _films(session: Session, ledger: Ledger) -> tuple[int, list[Problem]]:
    """Finished films that still lie where they were written. A film that was moved away is not a problem, and one
    that is being rendered is in other hands."""
    latest: dict[str, FilmVersion] = {}
    for film in ledger.films():
        for version in ledger.film_versions(film.film):
            if version.path not in latest or latest[version.path].id < version.id:
                latest[version.path] = version
    problems = []
    for version in latest.values():
        path = session.places.found(version.path)
        try:
            if not path.is_file() or _known(path, version) or session.holder(version.film):
                continue
        except OSError as error:
            problems.append(_unreadable(f"film {version.film}", path, error))
            continue
        done = _set_aside(path, path.with_name(f"{path.name}.{ASIDE}"))
        mend = f"{done}the next render of {version.film} cuts it again"
        problems.append({"what": f"film {version.film}", "path": str(path), "state": "damaged", "next": mend})
    return len(latest), problems


def _known(path: Path, version: FilmVersion) -> bool:
    """Whether a film is what the ledger says, or what its sidecar says: a render that is killed in its last moment
    leaves a new film of which the ledger has not heard."""
    digest = file_digest(path)
    if digest == version.file_digest:
        return True
    try:
        sidecar = json.loads(sidecar_of(path).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(sidecar, dict) and sidecar.get("sha256") == digest
