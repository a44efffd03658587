"""Every stored file and finished film against its hash. What is damaged is set aside, named, and made again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rich.console import Console

from storage.errors import FilesError
from storage.files import Files
from storage.ledger import Ledger

from .places import Places
from .session import Session


def verify_all(session: Session) -> dict[str, Any]:
    """Check everything; damaged and missing files leave the ledger, so that the next render makes them anew."""
    if session.ledger is None or session.files is None:
        return {"schema": "longtake.verify.v1", "ok": True, "checked": 0, "problems": []}
    checked, problems = _stored(session.ledger, session.files)
    films, film_problems = _films(session.ledger, session.places)
    problems += film_problems
    return {"schema": "longtake.verify.v1", "ok": not problems, "checked": checked + films, "problems": problems}


def show_verify(found: dict[str, Any]) -> None:
    """The same for a person."""
    console = Console()
    for problem in found["problems"]:
        console.print(f"{problem['what']}: {problem['path']}: {problem['state']}", style="red", markup=False)
        console.print(f"  {problem['next']}", markup=False, highlight=False)
    console.print(f"{found['checked']} files checked, {len(found['problems'])} damaged or missing")


def _stored(ledger: Ledger, files: Files) -> tuple[int, list[dict[str, str]]]:
    uses = ledger.file_uses()
    present = set(files.ids())
    problems = []
    for id in sorted(present | set(uses)):
        state = _state(files, id) if id in present else "missing"
        if state == "ok":
            continue
        used = ledger.drop_file(id, state)
        if id in present:
            files.remove(id)
        what = ", ".join(f"{use.kind} of {use.key[:12]}" for use in used) or "a file that nothing needs"
        path = str(files.root / id) if id not in present else id
        problems.append(
            {"what": what, "path": path, "state": state, "next": "removed; the next render of its film makes it again"}
        )
    return len(present | set(uses)), problems


def _state(files: Files, id: str) -> str:
    try:
        return "ok" if files.verify(id) else "damaged"
    except FilesError as error:
        return str(error)


def _films(ledger: Ledger, places: Places) -> tuple[int, list[dict[str, str]]]:
    """Finished films that still lie where they were written. A film that was moved away is not a problem."""
    latest: dict[str, str] = {}
    for film in ledger.films():
        for version in ledger.film_versions(film.film):
            latest.setdefault(version.path, version.file_digest)
    problems = []
    for recorded, digest in latest.items():
        path = places.found(recorded)
        if not path.is_file() or file_digest(path) == digest:
            continue
        aside = path.with_name(path.name + ".damaged")
        path.rename(aside)
        problems.append(
            {
                "what": "film",
                "path": str(path),
                "state": "damaged",
                "next": f"moved to {aside.name}; render cuts it again",
            }
        )
    return len(latest), problems


def file_digest(path: Path) -> str:
    """sha256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
