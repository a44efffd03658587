"""`longtake plan` of a large storyboard, and a render of it that has nothing to do: seconds, and how they grow."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from shots.spec import canonical
from storage.rows import Take, TakeRow
from storage.states import ProductionState

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


def _pretend(folder: Path) -> None:
    """A ledger in which every clip of the film has a take and the film is cut, without rendering anything."""
    places = Places(folder / ".longtake", folder / "films")
    with look(places, create=True) as session:
        _fill(session, folder)


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
    takes: dict[str, Take] = {}
    for clip in plan.clips:
        (attempt,) = ledger.begin_attempts(production, [clip.key], "cpu", "bench")
        row = TakeRow(clip.key, file, file, file, 8, 64, 64, "", clip.nfe, {"total": 1.0}, 17, "bench")
        takes[clip.key] = ledger.finish_attempt(attempt, row)
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
