"""Films, shots and clips: what is done, what failed, and the command that goes on from here."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from storage.ledger import Ledger
from storage.rows import Attempt, Film, Hold, SlateRow, Take
from storage.states import RunState

from .choices import ACCEPTED
from .errors import UsageError
from .places import Places
from .session import Session
from .streams import screen


def status_of(session: Session, names: Sequence[str]) -> dict[str, Any]:
    """The document behind `longtake status`. `names` are film ids or storyboard files; all films when empty.

    Raises:
        UsageError: a name that is no recorded film.
    """
    document: dict[str, Any] = {"schema": "longtake.status.v1", "ledger": None, "films": [], "aside": {}}
    if session.ledger is None:
        if names:
            raise UsageError(f"nothing has been rendered here yet ({session.places.ledger_shown}), so no {names[0]!r}")
        return document
    document["ledger"] = session.ledger.url_shown
    document["aside"] = session.ledger.aside()
    document["films"] = [_film(session, session.ledger, film) for film in _wanted(session, session.ledger, names)]
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


def _film(session: Session, ledger: Ledger, film: Film) -> dict[str, Any]:
    slates = ledger.slates(film.last.id)
    keys = [slate.key for slate in slates]
    takes = ledger.takes(keys)
    failures = ledger.failures(key for key in keys if key not in takes)
    holds = _holds(ledger, film.film, slates, takes)
    holder = session.holder(film.film)
    running = holder is not None
    shots: dict[str, list[SlateRow]] = {shot: [] for shot in _in_film_order(slates)}
    for slate in slates:
        shots[slate.shot].append(slate)
    versions = ledger.film_versions(film.film)
    recorded = dict.fromkeys(v.path for v in versions if v.production == versions[0].production)
    files = [session.places.found(path) for path in recorded]
    pins = ledger.pins(film.film)
    pinned = ledger.takes([pin.key for pin in pins])
    state = "running" if running else ("interrupted" if film.last.state == "running" else str(film.last.state))
    whole = all(key in takes for key in keys)
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
        "files": [str(path) for path in files],
        "running_on": f"{holder.host} (process {holder.pid})" if running and holder else None,
        "pins": [
            {"shot": p.shot, "clip": p.clip, "key": p.key, "note": p.note}
            | {"take": pinned[p.key].id if p.key in pinned else None}
            for p in pins
        ],
        "accepted": [f"{s.shot}/{s.clip}: {s.why}" for s in slates if s.why.startswith(ACCEPTED)],
        "shots": [
            _shot(name, rows, takes, failures, holds.get(name))
            | _alone(film, name, rows, holds.get(name), session.places)
            | {"reproduce_on": _far(ledger, film) if name in holds else None}
            for name, rows in shots.items()
        ],
        "next": _next(_resumable(ledger, film), state, bool(holds), whole, session.places, files[:1]),
    }


def _in_film_order(slates: Sequence[SlateRow]) -> list[str]:
    """The shots: of each, the takes that the film does not show are recorded before those of the film."""
    return list(dict.fromkeys(slate.shot for slate in reversed(slates)))[::-1]


def _holds(ledger: Ledger, film: str, slates: list[SlateRow], takes: dict[str, Take]) -> dict[str, Hold]:
    """Shot -> hold that keeps one of its clips from being rendered. Holds of clips that are done, or that the
    storyboard has no more, keep nothing."""
    shots = {slate.key: slate.shot for slate in slates if slate.key not in takes}
    return {shots[hold.chain_key]: hold for hold in ledger.holds(film) if hold.chain_key in shots}


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
            "where": f"{failures[row.key][-1].worker} on {failures[row.key][-1].host}",
            "trace": failures[row.key][-1].trace,
            "log_tail": failures[row.key][-1].log_tail,
        }
        for row in rows
        if row.key in failures
    ]
    done = sum(row.key in takes for row in rows)
    return {
        "shot": name,
        "clips": len(rows),
        "done": done,
        "failed": failed,
        "held": cause(hold.reason) if hold else None,
    }


def cause(reason: str) -> str:
    """Why a chain is held, without the command that was right where it happened; here another one may be."""
    return reason.partition("; to see it fail: ")[0]


def _alone(film: Film, shot: str, rows: list[SlateRow], hold: Hold | None, where: Places) -> dict[str, str | None]:
    """The command that renders the clip which a hold names, in this process and alone, to see it fail."""
    if hold is None:
        return {"reproduce": None}
    clip = next(row.clip for row in rows if row.key == hold.chain_key)
    chosen = f"--retry-held --shot {shlex.quote(f'{shot}/{clip}')}"
    command = f"longtake -v render {chosen} {shlex.quote(film.last.storyboard_path)}{where.options()}"
    return {"reproduce": where.reminder + command}


def _resumable(ledger: Ledger, film: Film) -> Film:
    """The film, without its run where that was cancelled: it cannot be resumed."""
    run = ledger.find_run(film.last.run) if film.last.run else None
    cancelled = run is not None and run.last.state == RunState.CANCELLED
    return replace(film, last=replace(film.last, run=None)) if cancelled else film


def _far(ledger: Ledger, film: Film) -> str | None:
    """The machine that has the storyboard of a run, which its driver has unpacked there; None where it is here."""
    run = ledger.find_run(film.last.run) if film.last.run else None
    return None if run is None or Path(film.last.storyboard_path).is_file() else run.last.host


def _next(film: Film, state: str, held: bool, whole: bool, where: Places, files: Sequence[Path]) -> str:
    """What to do now, as a command that can be pasted. files: the newest one of the film, where there is one."""
    command = f"{shlex.quote(film.last.storyboard_path)}{where.options(files[0].parent if files else None)}"
    if state == "running":
        return "wait, or stop it with Ctrl-C in its terminal; nothing finished is lost"
    if film.last.run and (held or not whole or state != "done"):
        mend = "mend the cause named above, then: " if held else ""
        return f"{mend}{where.reminder}longtake resume {film.last.run}{' --retry-held' if held else ''}"
    if held:
        return f"mend the cause named above, then: {where.reminder}longtake render --retry-held {command}"
    if not whole or state != "done":
        return f"{where.reminder}longtake render {command}"
    return ""


def show_status(document: dict[str, Any]) -> None:
    """The same for a person."""
    console = screen()
    if not document["films"]:
        console.print("nothing has been rendered here yet: longtake new film.yaml, then longtake render film.yaml")
    for host, reason in document.get("aside", {}).items():
        console.print(f"node {host} is set aside and gets no work: {reason}", style="yellow", soft_wrap=True)
    for film in document["films"]:
        _show_film(console, film)


def _show_film(console: Console, film: dict[str, Any]) -> None:
    colour = {"done": "green", "running": "cyan"}.get(film["state"], "yellow")
    console.print(Text(film["film"], "bold"), Text(film["state"], colour), Text(film["title"], "italic"), end=" ")
    console.print(f"{film['done']}/{film['clips']} clips, last started {film['started']}")
    if film["running_on"]:
        console.print(f"  rendering on {film['running_on']}")
    for path in film["files"]:
        gone = "" if Path(path).is_file() else " is not there; the next render cuts it again"
        console.print(f"  {path}{gone}", soft_wrap=True)
    for shot in film["shots"]:
        if film["state"] != "done" or shot["done"] < shot["clips"] or shot["held"]:
            console.print(f"  {shot['shot']}: {shot['done']}/{shot['clips']} clips")
        for clip in shot["failed"]:
            times = "once" if clip["attempts"] == 1 else f"{clip['attempts']} times"
            text = (
                f"    clip {clip['clip']} failed {times}, last on {clip['where']}: {clip['error']}: {clip['message']}"
            )
            console.print(text, style="red", soft_wrap=True)
        if shot["held"]:
            console.print(f"    held: {shot['held']}", style="red", soft_wrap=True)
            for line in _evidence(film["film"], shot["failed"]):
                console.print(f"    {line}", style="dim", soft_wrap=True, markup=False)
            where = f"on {shot['reproduce_on']}, where its driver ran" if shot["reproduce_on"] else "here"
            console.print(f"    to see it fail {where}: {shot['reproduce']}", soft_wrap=True)
    for pin in film["pins"]:
        note = f" ({pin['note']})" if pin["note"] else ""
        what = f"take {pin['take']}" if pin["take"] else f"clip {pin['key'][:16]}, which has no take now"
        console.print(f"  {pin['shot']}/{pin['clip']} is pinned to {what}{note}", soft_wrap=True)
    for line in film["accepted"]:
        console.print(f"  {line}", soft_wrap=True)
    if film["message"] and film["state"] != "done":
        console.print(f"  {film['message']}", soft_wrap=True)
    if film["next"]:
        console.print(f"  next: {film['next']}", soft_wrap=True)


def _evidence(film: str, failed: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Where in the code a clip failed and what was logged last, and where all of it is."""
    trace, log = next(((each["trace"] or "", each["log_tail"] or "") for each in failed), ("", ""))
    places = [line.strip() for line in trace.splitlines() if line.lstrip().startswith("File ")]
    if places:
        yield f"in {places[-1]}"
    if lines := [line for line in log.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]:  # not those of a trace
        yield f"last logged: {lines[-1][:200]}"
    if places or lines:
        yield f"its trace and log: longtake status {shlex.quote(film)} --json"


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
