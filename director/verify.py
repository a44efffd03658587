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


def verify_all(session: Session) -> dict[str, Any]:
    """Check everything. Damaged and missing files leave the ledger, so that the next render makes them anew; a file
    that cannot be read now may be whole, and is left alone."""
    if session.ledger is None or session.files is None:
        return {"schema": "longtake.verify.v1", "ok": True, "checked": 0, "problems": [], "leftovers": []}
    stored, found = _stored(session.ledger, session.files)
    films, film_problems = _films(session, session.ledger)
    problems = [problem for problem in found if problem["what"] != UNUSED] + film_problems
    return {
        "schema": "longtake.verify.v1",
        "ok": not problems,
        "checked": stored + films,
        "problems": problems,
        "leftovers": [problem for problem in found if problem["what"] == UNUSED],
    }


def show_verify(found: dict[str, Any]) -> None:
    """The same for a person."""
    console = screen()
    for problem in found["problems"]:
        console.print(f"{problem['what']}: {problem['path']}: {problem['state']}", style="red", soft_wrap=True)
        console.print(f"  {problem['next']}", soft_wrap=True)
    for leftover in found["leftovers"]:
        text = f"{leftover['what']}: {leftover['path']}: {leftover['state']}, {leftover['next']}"
        console.print(text, soft_wrap=True)
    console.print(f"{found['checked']} files checked, {len(found['problems'])} damaged, missing or unreadable")


def _stored(ledger: Ledger, files: Files) -> tuple[int, list[Problem]]:
    files = Files(files.root)  # which has read nothing yet, so that it reads everything
    uses = ledger.file_uses()
    problems = []
    try:
        present = set(files.ids())
    except OSError as error:
        present = set()
        problems.append(_unreadable("part of the store", Path(error.filename or files.root), error))
    for id in sorted(present | set(uses)):
        path = _place(files, id)
        used = ", ".join(f"{use.kind} of {use.key[:12]}" for use in uses.get(id, ())) or UNUSED
        try:
            _read(files, id)
        except (FileDamaged, FileMissing) as error:
            state = "missing" if isinstance(error, FileMissing) else "damaged"
            ledger.drop_file(id, state)
            done = "" if state == "missing" else _set_aside(path, files.root / ASIDE / id)
            mend = "the next render of its film makes it again" if id in uses else "nothing has to be done"
            problems.append({"what": used, "path": str(path), "state": state, "next": done + mend})
        except (FilesError, OSError) as error:
            problems.append(_unreadable(used, path, error))
    return len(present | set(uses)), problems


def _place(files: Files, id: str) -> Path:
    """Where a stored file should lie, whether it is there or not."""
    try:
        return files.path(id)
    except FileMissing as error:
        return error.path
    except OSError:  # its folder may not be entered
        return files.root / id


def _read(files: Files, id: str) -> None:
    """Read a stored file to its end, when `files` has not read it yet.

    Raises:
        FileMissing, FileDamaged: it is surely not there, or not what it was.
        FilesError, OSError: it cannot be read, which says nothing about its bytes.
    """
    try:
        files.open_verified(id)
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


def _unreadable(what: str, path: Path, error: Exception) -> Problem:
    said = f"{error.strerror or error}" if isinstance(error, OSError) else f"{error}"
    return {
        "what": what,
        "path": str(path),
        "state": "unreadable",
        "next": f"left as it is: {said}. Make it readable, or mend the disk, and run longtake verify again",
    }


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
