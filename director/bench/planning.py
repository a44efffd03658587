"""`longtake plan` of a large storyboard, and a render of it that has nothing to do: seconds, and how they grow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from sqlalchemy import insert, select

from shots.spec import canonical
from storage.ledger import Ledger
from storage.rows import TakeRow, micros
from storage.states import ProductionState
from storage.tables import attempts
from storage.tables import takes as takes_table

from ..drawing import save
from ..finish import film_identity, sheets_identity
from ..places import Places, file_digest
from ..session import Session, look
from . import Result, Row


def storyboard(clips: int) -> str:
    """A film of shots with ten clips each."""
    shots = "".join(
        f"  - {{id: s{n:05d}, prompt: a red boat floating over the sea by day, frames: 44}}\n"
        for n in range(clips // 10)
    )
    head = "schema: longtake.storyboard.v1\nfilm: {id: large, fps: 8, size: [64, 64]}\n"
    recipe = "{chain: {kind: vidrd, order: forward, overlap: 4}}"
    return f"{head}defaults: {{model: pocket, clip_frames: 8, recipe: {recipe}}}\nshots:\n{shots}"


def idle_render(clips: int, db: str | None) -> float:
    """Seconds of a render that has nothing to do, with the ledger at `db`, or in SQLite."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "large.yaml").write_text(storyboard(clips))
        _pretend(folder, db)
        where = ("--db", db) if db else ()
        return _command(folder, "render", "large.yaml", "--progress", "none", *where)


def measure(quick: bool) -> Result:
    """Whole commands in processes of their own, start-up included, because that is what a person waits for."""
    sizes = (500, 1000, 2000) if quick else (2500, 5000, 10_000)
    planned, idle = {}, {}
    for clips in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "large.yaml").write_text(storyboard(clips))
            planned[clips] = _command(folder, "plan", "large.yaml")
            _pretend(folder)
            idle[clips] = _command(folder, "render", "large.yaml", "--progress", "none")
    rows = []
    for clips in sizes:
        last = clips == 10_000
        rows.append(
            Row(
                f"plan, {clips} clips",
                f"{planned[clips]:.2f} s",
                "",
                "< 5 s" if last else "",
                planned[clips] < 5 if last else None,
            )
        )
        ratio = idle[clips] / planned[clips]
        rows.append(
            Row(
                f"render with nothing to do, {clips} clips",
                f"{idle[clips]:.2f} s",
                f"{ratio:.2f} times plan",
                "<= 2",
                ratio <= 2,
            )
        )
    for what, seconds in (("plan", planned), ("render with nothing to do", idle)):
        growth = (seconds[sizes[2]] - seconds[sizes[1]]) / (seconds[sizes[1]] - seconds[sizes[0]]) / 2
        rows.append(
            Row(f"{what}: cost of a clip, upper half against lower", f"{growth:.2f}", "1.00 is linear", "report")
        )
    return Result("plan", rows, ["shots of 10 clips; the takes in the ledger all point to one small stored file"])


def _command(folder: Path, *arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "director", *arguments], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - began


def _pretend(folder: Path, db: str | None = None) -> None:
    """A ledger in which every clip of the film has a take and the film is cut, without rendering anything."""
    places = Places(folder / ".longtake", folder / "films", db)
    with look(places, create=True) as session:
        _fill(session, folder)


def record_at_once(ledger: Ledger, production: int, made: list[TakeRow]) -> None:
    """Accepted takes as after a long production; one after another, with a flush each, they would take an hour."""
    began = {
        "production_id": production,
        "state": "done",
        "host": "bench",
        "pid": 1,
        "device": "cpu",
        "worker": "bench",
    }
    began |= {"started_at": micros(), "ended_at": micros()}
    plain = [name for name in TakeRow.__slots__ if name not in ("seconds", "environment")]
    shared = {"state": "accepted", "device": "cpu", "accepted_at": micros()}
    with ledger._durable() as connection:
        connection.execute(insert(attempts), [began | {"key": take.key} for take in made])
        found = connection.execute(select(attempts.c.key, attempts.c.id).where(attempts.c.production_id == production))
        numbers = {row.key: row.id for row in found}
        rows = [
            {name: getattr(take, name) for name in plain}
            | {"seconds_json": json.dumps(take.seconds), "environment_json": json.dumps(take.environment)}
            | shared
            | {"attempt_id": numbers[take.key]}
            for take in made
        ]
        connection.execute(insert(takes_table), rows)


def _fill(session: Session, folder: Path) -> None:
    ledger, files = session.ledger, session.files
    assert ledger is not None
    assert files is not None
    (plan,) = session.plans([str(folder / "large.yaml")])
    file = files.put_bytes(b"stands for a take", ".mkv")
    survey = session.survey(plan)
    production = ledger.start_production(
        plan.film, plan.title, "large.yaml", plan.storyboard_digest, canonical(plan.to_dict()), survey.slate_rows()
    )
    rows = {
        clip.key: TakeRow(clip.key, file, file, file, 8, 64, 64, "", clip.nfe, {"total": 1.0}, 17, "bench")
        for clip in plan.clips
    }
    record_at_once(ledger, production, list(rows.values()))
    takes = ledger.takes(rows)
    for deliver in plan.deliver:
        out = session.places.films.absolute() / deliver.name
        out.parent.mkdir(exist_ok=True)
        out.write_bytes(b"stands for a film")
        identity = canonical({"identity": film_identity(plan, takes, deliver)})
        path = session.places.recorded(out)
        ledger.record_film(production, path, file_digest(out), plan.frames, plan.fps, identity, "{}")
    for name in ("contact", "seams"):
        sheet = session.places.films / f"{plan.film}.{name}.png"
        save(Image.new("RGB", (1, 1)), sheet, sheets_identity(plan, takes))
    ledger.end_production(production, ProductionState.DONE)
