"""A film at a real ledger and a real store, with takes of plain colours in place of what a model would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from director.finish import Finish
from director.places import Places
from director.plan import plan
from director.planned import Plan, PlannedClip
from director.session import Session
from director.storyboard import load
from director.survey import Survey, survey
from shots.frames import write_take
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import Take, TakeRow
from storage.states import ProductionState
from tests.director.conftest import HEAD


class Studio:
    """Plans, pretends to render, cuts. Everything lies below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(folder / "data", folder / "films")
        self.ledger = Ledger.open(self.places.ledger_url)
        self.files = Files(self.places.files)
        self.session = Session(self.places, self.ledger, self.files)

    def plan(self, *shots: dict[str, Any], name: str = "film.json", **parts: Any) -> Plan:
        """The plan of a storyboard that is written to `name`."""
        path = self.folder / name
        head = HEAD | {"film": HEAD["film"] | parts.pop("film", {})}  # type: ignore[operator]
        path.write_text(json.dumps(head | {"defaults": {"clip_frames": 8}, "shots": list(shots)} | parts))
        return plan(load(path)[0])

    def survey(self, plan: Plan) -> Survey:
        """What of a plan is in the store."""
        return survey(plan, self.ledger, self.files)

    def begin(self, plan: Plan) -> int:
        """A production that has just started."""
        rows = self.survey(plan).slate_rows()
        return self.ledger.start_production(
            plan.film, plan.title, str(plan.storyboard), plan.storyboard_digest, plan.to_json(), rows
        )

    def shoot(self, plan: Plan, production: int) -> dict[str, Take]:
        """Takes of all clips; those that are missing are made."""
        for clip in self.survey(plan).missing:
            (attempt,) = self.ledger.begin_attempts(production, [clip.key], "cpu", "local")
            self.ledger.finish_attempt(attempt, self._take(clip))
        return self.ledger.takes([clip.key for clip in plan.clips])

    def render(self, plan: Plan) -> list[str]:
        """A whole production: the paths of the finished files."""
        finish = Finish(self.ledger, self.files, self.places)
        finish.check(plan)
        production = self.begin(plan)
        files = finish(plan, production, self.shoot(plan, production))
        self.ledger.end_production(production, ProductionState.DONE)
        return files

    def _take(self, clip: PlannedClip) -> TakeRow:
        spec = clip.spec
        frames = np.full((spec.frames, spec.height, spec.width, 3), int(clip.key[:2], 16), np.uint8)
        with self.files.scratch() as folder:
            write_take(folder / "take.mkv", frames, {})
            video = self.files.put_file(folder / "take.mkv")
        latents, tail = (self.files.put_bytes(f"{kind} {clip.key}".encode()) for kind in ("l", "t"))
        return TakeRow(
            clip.key, video, latents, tail, spec.frames, spec.width, spec.height, "d", clip.nfe, {"total": 2.5}, 1_000,
            "0", {"host": "here", "device": "cpu"}, spec.model.digest,
        )  # fmt: skip


def damage(path: Path) -> None:
    """Turn one byte of a file around."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
