"""`longtake watch`: what goes on, read from the ledger alone, again and again. From anywhere that reaches it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from storage.errors import StorageError
from storage.ledger import Ledger
from storage.rows import Film, Run, Spell, Take

from .errors import UsageError
from .forecast import Cost, Forecast, cost_of, forecast
from .session import Session
from .status import cause
from .survey import DEVICES

SCHEMA = "longtake.watch.v1"
FRESH = 20.0
"""Seconds after which a report tells how things were, not how they are."""
SILENT = 120.0
"""Seconds after which a run whose driver says nothing is not waited for."""
SAMPLES_SECONDS = 15.0
"""Between two looks at how long clips have taken."""
Kind = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class PlannedKinds:
    """A production's clips: which belong to which shot, where each sits, and of what kind each is."""

    shots: dict[str, tuple[str, ...]]
    place: dict[str, str]
    kinds: dict[str, Kind]


@dataclass
class Watcher:
    """Looks at a session's ledger; remembers what does not change between two looks."""

    session: Session
    names: Sequence[str] = ()
    _plans: dict[int, PlannedKinds] = field(default_factory=dict)
    _samples: dict[str, tuple[float, dict[Kind, list[float]]]] = field(default_factory=dict)

    def look(self) -> dict[str, Any]:
        """The document behind the view, schema `longtake.watch.v1`.

        Raises:
            UsageError: a name that is no recorded film and no run.
        """
        ledger = self.session.ledger
        document: dict[str, Any] = {"schema": SCHEMA, "time": time.time(), "ledger": None, "films": [], "cameras": []}
        document |= {"runs": [], "aside": {}, "running": False}
        if ledger is None:
            if self.names:
                where = self.session.places.ledger_shown
                raise UsageError(f"nothing has been rendered here yet ({where}), so no {self.names[0]!r}")
            return document
        films, runs = self._wanted(ledger)
        reports = ledger.reports([film.film for film in films])
        fresh = {f: json.loads(r.text) for f, r in reports.items() if r.age <= FRESH and self.session.holder(f)}
        document["ledger"] = ledger.url_shown
        document["aside"] = ledger.aside()
        document["runs"] = [_run(run) for run in runs]
        document["films"] = [self._film(ledger, film, fresh.get(film.film)) for film in films]
        for number, film in enumerate(document["films"]):
            age = reports[film["film"]].age if film["film"] in reports else None
            document["films"][number]["heard"] = age if film["running_on"] else None
        cameras = {(c["name"], c["host"], c["pid"]): c for report in fresh.values() for c in report["cameras"]}
        document["cameras"] = [cameras[key] for key in sorted(cameras)]
        under_way = any(film["running_on"] for film in document["films"])
        document["running"] = under_way or any(_at_work(run) for run in document["runs"])
        return document

    def _wanted(self, ledger: Ledger) -> tuple[list[Film], list[Run]]:
        """The films and runs that the names mean; without names, what is being rendered, or else the last film."""
        if not self.names:
            films = ledger.films()
            running = [film for film in films if film.last.state == "running" and self.session.holder(film.film)]
            return running or films[:1], []
        films, runs = [], []
        for name in self.names:
            found, run = ledger.film(name), ledger.find_run(name)
            if run is not None:
                runs.append(run)
                films += [film for film in map(ledger.film, run.films) if film]
            elif found is not None:
                films.append(found)
            elif Path(name).suffix:
                films += [f for f in (ledger.film(plan.film) for plan in self.session.plans([name])) if f]
            else:
                known = ", ".join(f.film for f in ledger.films()) or "none"
                raise UsageError(f"no film and no run {name!r} is recorded here; recorded films: {known}")
        return list({film.film: film for film in films}.values()), runs

    def _film(self, ledger: Ledger, film: Film, live: dict[str, Any] | None) -> dict[str, Any]:
        last = film.last
        planned = self._planned(ledger, last.id)
        missing = ledger.missing(last.id) & planned.kinds.keys()
        holder = self.session.holder(film.film)
        holds = {h.chain_key: cause(h.reason) for h in ledger.holds(film.film) if h.chain_key in missing}
        spells = [spell for spell in ledger.spells(last.id) if holder or not spell.running]
        state = str(last.state) if last.state != "running" else "rendering" if holder else "interrupted"
        work = live["chains"] if live else []
        clips, ahead = len(planned.kinds), self._ahead(ledger, planned, missing, live, spells)
        sampled = sum(_begun(planned, missing, work).values())
        done = clips - len(missing)
        return {
            "film": film.film,
            "title": last.title,
            "state": live["state"] if live else state,
            "running_on": f"{holder.host} (process {holder.pid})" if holder else None,
            "run": last.run,
            "clips": clips,
            "done": done,
            "held": len(holds),
            "percent": round(100 * (done + sampled) / clips, 1) if clips else 100.0,
            "frames_per_second": live["frames_per_second"] if live else None,
            "eta_p50": ahead.p50 if holder else None,
            "eta_p90": ahead.p90 if holder else None,
            "seconds_spent": round(camera_seconds(spells), 1),
            "seconds_left": ahead.camera_seconds,
            "device": spells[-1].device if spells else None,
            "shots": _shots(planned, missing, holds, work),
            "last": _last(ledger.newest_take(last.id), planned),
            "message": last.message or "",
        }

    def _planned(self, ledger: Ledger, production: int) -> PlannedKinds:
        if production not in self._plans:
            self._plans = {production: planned_kinds(json.loads(ledger.plan_json(production)))} | self._plans
        return self._plans[production]

    def _ahead(
        self, ledger: Ledger, planned: PlannedKinds, missing: set[str], live: dict[str, Any] | None, spells: list[Spell]
    ) -> Forecast:
        """From what clips of the same model, size and evaluations took before; else from the steps of this run."""
        device = spells[-1].device if spells else None
        chains: list[list[tuple[float, Cost | None]]] = []
        begun = _begun(planned, missing, live["chains"] if live else [])
        for shot, keys in planned.shots.items():
            left = [(1.0, self._cost(ledger, planned.kinds[key], device)) for key in keys if key in missing]
            if left:
                chains.append([*left, (-begun.get(shot, 0.0), left[0][1])])
        found = forecast(chains, len(live["cameras"]) if live else 1)
        if found.p50 is None and live:
            return Forecast(live["eta_p50"], live["eta_p90"], live["camera_seconds_left"])
        return found

    def _cost(self, ledger: Ledger, kind: Kind, device: str | None) -> Cost | None:
        digest, now = kind[0], time.monotonic()
        read, samples = self._samples.get(digest, (-SAMPLES_SECONDS, {}))
        if now - read >= SAMPLES_SECONDS:
            samples = defaultdict(list)
            for each in (device,) if device else DEVICES:
                for s in ledger.speeds(digest, each, 200):
                    samples[digest, s.frames, s.width, s.height, s.nfe].append(s.seconds.get("total", 0.0))
                if samples:
                    break
            self._samples[digest] = now, samples
        return cost_of(samples.get(kind, []))


def planned_kinds(plan: dict[str, Any]) -> PlannedKinds:
    """What a recorded plan says of its clips, other takes among them."""
    shots: dict[str, list[str]] = {}
    place: dict[str, str] = {}
    kinds: dict[str, Kind] = {}
    for shot in plan["shots"]:
        for clip in _clips(shot):
            spec, slate = clip["spec"], clip["slate"]
            kinds[clip["key"]] = (
                spec["model"]["digest"], spec["frames"], spec["width"], spec["height"], clip["nfe"]
            )  # fmt: skip
            take = f" (take {slate['take']})" if slate["take"] > 1 else ""
            place.setdefault(clip["key"], f"{slate['film']}/{slate['shot']}/{slate['clip']}{take}")
            shots.setdefault(shot["id"], []).append(clip["key"])
    return PlannedKinds({shot: tuple(dict.fromkeys(keys)) for shot, keys in shots.items()}, place, kinds)


def _clips(shot: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from shot["clips"]
    for chain in shot.get("others", []):
        yield from chain


def camera_seconds(spells: Sequence[Spell]) -> float:
    """Seconds that cameras worked: what two spells of one camera share counts once."""
    total = 0.0
    by_camera = sorted(spells, key=lambda s: (s.host, s.worker, s.began))
    for _, of_camera in groupby(by_camera, key=lambda s: (s.host, s.worker)):
        until = 0.0
        for spell in of_camera:
            total += max(0.0, spell.ended - max(spell.began, until))
            until = max(until, spell.ended)
    return total


def _begun(planned: PlannedKinds, missing: set[str], work: list[dict[str, Any]]) -> dict[str, float]:
    """shot -> clips' worth of steps that are done of what cameras render now. A report may be older than a take."""
    begun: dict[str, float] = defaultdict(float)
    for each in work:
        begun[each["shot"]] += each["sampled"]
    return {shot: min(n, sum(key in missing for key in planned.shots.get(shot, ()))) for shot, n in begun.items()}


def _shots(
    planned: PlannedKinds, missing: set[str], holds: dict[str, str], work: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row a shot: clips, how many are done, who works on it, why it is held."""
    return [
        {
            "shot": shot,
            "clips": len(keys),
            "done": sum(key not in missing for key in keys),
            "held": next((holds[key] for key in keys if key in holds), None),
            "work": [w for w in work if w["shot"] == shot],
        }
        for shot, keys in planned.shots.items()
    ]


def _last(take: Take | None, planned: PlannedKinds) -> dict[str, Any] | None:
    if take is None:
        return None
    name = planned.place.get(take.key, take.key[:16])
    return {"name": name, "frames": take.frames, "at": take.accepted_at, "video": take.video}


def _at_work(run: dict[str, Any]) -> bool:
    """Whether something may still come of a run: it waits for its cluster, or its driver was heard of lately."""
    return run["state"] == "submitted" or (run["state"] == "running" and (run["silent"] or 0.0) < SILENT)


def _run(run: Run) -> dict[str, Any]:
    last = run.last
    return {
        "run": run.id,
        "state": str(last.state),
        "wish": run.wish,
        "films": list(run.films),
        "host": last.host,
        "address": last.address,
        "message": last.message or "",
        "silent": last.silent,
    }


def picture_of(session: Session, film: dict[str, Any]) -> Any:
    """The last frame of a film's newest take, as an image; None where it cannot be read from here."""
    if session.files is None or not film["last"]:
        return None
    from PIL import Image

    from shots.errors import ShotsError
    from shots.frames import read_take

    try:
        path = session.files.open_verified(film["last"]["video"])
        return Image.fromarray(read_take(path, film["last"]["frames"] - 1, 1)[0])
    except (StorageError, ShotsError, OSError, ValueError):
        return None
