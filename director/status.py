"""Films, shots and clips: what is done, what failed, and the command that goes on from here."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from storage.ledger import Ledger
from storage.rows import Attempt, Film, Hold, SlateRow, Take

from .errors import UsageError
from .places import Places
from .session import Session


def status_of(session: Session, names: Sequence[str]) -> dict[str, Any]:
    """The document behind `longtake status`. `names` are film ids or storyboard files; all films when empty.

    Raises:
        UsageError: a name that is no recorded film.
    """
    document: dict[str, Any] = {"schema": "longtake.status.v1", "ledger": None, "films": []}
    if session.ledger is None:
        if names:
            raise UsageError(f"nothing has been rendered here yet ({session.places.ledger_url}), so no {names[0]!r}")
        return document
    document["ledger"] = session.ledger.url_shown
    document["films"] = [
        _film(session.ledger, session.places, film) for film in _wanted(session, session.ledger, names)
    ]
    return document


def _wanted(session: Session, ledger: Ledger, names: Sequence[str]) -> list[Film]:
    if not names:
        return ledger.films()
    films = []
    for name in names:
        ids = [plan.film for plan in session.plans([name])] if Path(name).suffix else [name]
        for id in ids:
            film = ledger.film(id)
            if film is None:
                known = ", ".join(f.film for f in ledger.films()) or "none"
                raise UsageError(f"no film {id!r} has been rendered here; recorded films: {known}")
            films.append(film)
    return films


def _film(ledger: Ledger, places: Places, film: Film) -> dict[str, Any]:
    slates = ledger.slates(film.last.id)
    keys = [slate.key for slate in slates]
    takes = ledger.takes(keys)
    failures = ledger.failures(key for key in keys if key not in takes)
    holds = {hold.shot: hold for hold in ledger.holds(film.film)}
    holder = ledger.holder(film.film)
    running = holder is not None and holder.alive is not False
    shots: dict[str, list[SlateRow]] = defaultdict(list)
    for slate in slates:
        shots[slate.shot].append(slate)
    versions = ledger.film_versions(film.film)
    current = [v for v in versions if versions and v.production == versions[0].production]
    state = "running" if running else ("interrupted" if film.last.state == "running" else str(film.last.state))
    return {
        "film": film.film,
        "title": film.last.title,
        "state": state,
        "storyboard": film.last.storyboard_path,
        "productions": film.productions,
        "started": _clock(film.last.started_at),
        "clips": len(slates),
        "done": sum(key in takes for key in keys),
        "message": film.last.message or "",
        "files": [str(places.found(v.path)) for v in current],
        "running_on": f"{holder.host} (process {holder.pid})" if running and holder else None,
        "shots": [_shot(name, rows, takes, failures, holds.get(name)) for name, rows in shots.items()],
        "next": _next(film, state, bool(holds), all(key in takes for key in keys)),
    }


def _shot(
    name: str, rows: list[SlateRow], takes: dict[str, Take], failures: dict[str, list[Attempt]], hold: Hold | None
) -> dict[str, Any]:
    failed = [
        {
            "clip": row.clip,
            "key": row.key,
            "attempts": len(failures[row.key]),
            "error": failures[row.key][-1].error_type,
            "message": failures[row.key][-1].message,
        }
        for row in rows
        if row.key in failures
    ]
    done = sum(row.key in takes for row in rows)
    return {"shot": name, "clips": len(rows), "done": done, "failed": failed, "held": hold.reason if hold else None}


def _next(film: Film, state: str, held: bool, whole: bool) -> str:
    """What to do now, as a command."""
    board = film.last.storyboard_path
    if state == "running":
        return "wait, or stop it with Ctrl-C in its terminal; nothing finished is lost"
    if held:
        return f"mend the cause named above, then: longtake render --retry-held {board}"
    if not whole or state != "done":
        return f"longtake render {board}"
    return ""


def show_status(document: dict[str, Any]) -> None:
    """The same for a person."""
    console = Console()
    if not document["films"]:
        console.print("nothing has been rendered here yet: longtake new film.yaml, then longtake render film.yaml")
    for film in document["films"]:
        _show_film(console, film)


def _show_film(console: Console, film: dict[str, Any]) -> None:
    colour = {"done": "green", "running": "cyan"}.get(film["state"], "yellow")
    console.print(f"[bold]{film['film']}[/bold]", f"[{colour}]{film['state']}[/{colour}]", end=" ")
    console.print(f"{film['done']}/{film['clips']} clips, last started {film['started']}", highlight=False)
    if film["running_on"]:
        console.print(f"  rendering on {film['running_on']}", highlight=False)
    for path in film["files"]:
        console.print(f"  {path}", markup=False, highlight=False, soft_wrap=True)
    for shot in film["shots"]:
        if film["state"] != "done" or shot["done"] < shot["clips"] or shot["held"]:
            console.print(f"  {shot['shot']}: {shot['done']}/{shot['clips']} clips", markup=False, highlight=False)
        for clip in shot["failed"]:
            text = f"    clip {clip['clip']} failed {clip['attempts']} times: {clip['error']}: {clip['message']}"
            console.print(text, style="red", markup=False, highlight=False)
        if shot["held"]:
            console.print(f"    held: {shot['held']}", style="red", markup=False, highlight=False)
    if film["message"] and film["state"] != "done":
        console.print(f"  {film['message']}", markup=False, highlight=False)
    if film["next"]:
        console.print(f"  next: {film['next']}", markup=False, highlight=False, soft_wrap=True)


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
