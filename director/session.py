"""A sitting at one ledger and one store: load storyboards, look, render."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from cluster.bookmark import Every
from cluster.darkroom import DECODE_BESIDE, DecodeBeside
from cluster.secrets import keep_hidden
from storage.errors import LedgerMissing
from storage.files import Files
from storage.ledger import Ledger
from storage.remote import open_files
from storage.rows import Holder

from .choices import arranged
from .deadline import check_deadline
from .errors import UsageError
from .places import Places
from .planned import Plan
from .redaction import check as check_redaction
from .selectors import Selection
from .survey import Survey, survey

if TYPE_CHECKING:
    from cluster.executor import Executor

    from .observer import FilmResult
    from .progress import Quiet
    from .stop import Stop

PLACES_TO_RUN = ("local", "ray")
DISPLAYS = ("auto", "live", "plain", "json", "openjd", "none")
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
EXITS = {"failed": 1, "spent": 5, "partial": 3, "done": 0}


@dataclass(frozen=True)
class Rendering:
    """How to render, as the command line says it."""

    on: str = "local"
    cameras: int | None = None
    device: str = "auto"
    threads: int | None = None
    lockstep: int = 8
    retry_held: bool = False
    progress: str = "auto"
    checkpoint_every: str = "30"
    decode_beside: str = "auto"
    hooks: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    webhooks: bool = True
    metrics: int | None = None
    gpus: float | None = None
    priority: int | None = None
    deadline: str | None = None
    gpu_hours: float | None = None

    def check(self) -> None:
        """Raises UsageError for a place, display or device that does not exist."""
        beside = "--decode-beside", self.decode_beside, DECODE_BESIDE
        for name, value, known in (("--on", self.on, PLACES_TO_RUN), ("--progress", self.progress, DISPLAYS), beside):
            if value not in known:
                raise UsageError(f"{name} {value!r} is not known; choose one of: {', '.join(known)}")
        try:
            Every.parse(self.checkpoint_every)
        except ValueError:
            given = f"--checkpoint-every {self.checkpoint_every!r} is not known"
            raise UsageError(f"{given}; give seconds (30), steps (8 steps), or 0 for none") from None
        check_deadline(self.deadline)
        check_redaction(self.redact)
        if not DEVICES.fullmatch(self.device):
            raise UsageError(f"--device {self.device!r} is not known; choose auto, cpu, mps, cuda, or cuda:1 ...")

    @staticmethod
    def exit_code(results: Sequence[FilmResult]) -> int:
        """1 when a film failed, else 5 when the hours of one are spent, else 3 when one lacks shots, else 0."""
        states = {result.state for result in results}
        return next((code for state, code in EXITS.items() if state in states), 0)

    def terms(self, plan: Plan) -> Plan:
        """The plan with what the command line says of its production."""
        terms = plan.terms
        return replace(
            plan,
            terms=replace(
                terms,
                priority=terms.priority if self.priority is None else self.priority,
                deadline=self.deadline or terms.deadline,
                gpu_hours=self.gpu_hours or terms.gpu_hours,
            ),
        )

    def executor(self, files: str, ledger: Ledger) -> Executor:
        """Start the cameras. Imports ray only when it is asked for."""
        beside = cast(DecodeBeside, self.decode_beside)
        if self.on == "local":
            from cluster.executor import InProcess

            return InProcess(files, self.device, self.threads, Every.parse(self.checkpoint_every), beside)
        from cluster.ray_executor import OnRay

        from .dispatch import remembered

        return OnRay(
            files,
            os.environ.get("RAY_ADDRESS"),
            self.cameras,
            Every.parse(self.checkpoint_every),
            gpus=self.gpus,
            device=self.device,
            aside=ledger.aside,
            decode_beside=beside,
            rung=partial(remembered, ledger),
        )


class Session:
    """`ledger` and `files` are None when nothing has been recorded yet and nothing may be created."""

    def __init__(self, places: Places, ledger: Ledger | None, files: Files | None) -> None:
        self.places, self.ledger, self.files = places, ledger, files

    def plans(self, storyboards: Sequence[str]) -> list[Plan]:
        """Plans of all storyboards that the patterns name.

        Raises:
            StoryboardError: all that is wrong with them. CutError: shots that cannot be joined as asked.
        """
        from .cut import film_frames
        from .plan import plan
        from .storyboard import load

        plans = [plan(board) for board in load(storyboards)]
        for each in plans:
            film_frames(each.shots)  # raises what the cut would, before anything is rendered
        return plans

    def holder(self, film: str) -> Holder | None:
        """Who is rendering a film at this moment; None when nobody is, or the one who was has died."""
        holder = self.ledger.holder(film) if self.ledger else None
        if holder is None or holder.alive is False or (holder.alive is None and holder.expires_at <= time.time()):
            return None
        return holder

    def survey(self, plan: Plan, selection: Selection = Selection(), accept_stale: Selection | None = None) -> Survey:
        """What of a plan is in the store, and why the rest is not, with the choices that were made for it.

        Raises:
            UsageError: a selection names what the plan does not have, or a chosen clip does not fit.
        """
        plan = arranged(plan, self.ledger, accept_stale)
        return survey(plan, self.ledger, self.files, selection=selection)

    def recut(self, survey: Survey) -> bool:
        """Whether all clips of a film are there, but the film is not cut from them in this way, or is gone."""
        if survey.missing or self.ledger is None:
            return False
        from .finish import is_cut

        return not is_cut(survey.plan, survey.takes, self.ledger, self.places)

    def render(
        self,
        storyboards: Sequence[str],
        how: Rendering,
        stop: Stop,
        show: Quiet | None = None,
        selection: Selection = Selection(),
        accept_stale: Selection | None = None,
    ) -> list[FilmResult]:
        """Render what is missing of all storyboards and cut their films. Only for a session opened with `create`.

        show: what watches; by default the display that `how` names. selection: of what is missing, the clips to render.
        accept_stale: clips for which an earlier take will do, this once.
        """
        from .audience import audience
        from .failing import rerun
        from .finish import Finish, check_apart
        from .hooks import targets
        from .pictures import keep_pictures
        from .production import Production
        from .streams import screen

        ledger = self.ledger
        assert ledger is not None
        assert self.files is not None
        plans = [how.terms(plan) for plan in self.plans(storyboards)]
        check_apart(plans)
        selection = selection.bound(plans)
        accept_stale = accept_stale.bound(plans) if accept_stale else None
        for each in plans:
            self.survey(each, selection, accept_stale)  # raises what is wrong with it, before a film is claimed
        finish = Finish(ledger, self.files, self.places, how.redact)
        for each in plans:
            finish.check(each)
            for warning in each.warnings:
                sys.stderr.write(f"warning: {warning}\n")
        keep_pictures(ledger, self.files, plans)
        if show is None:
            hooks = targets(how.hooks)
            show = audience(how.progress, screen(stderr=True), ledger, hooks, how.webhooks, how.on, how.metrics)
        try:
            production = Production(
                ledger,
                executor=lambda: how.executor(self.places.store, ledger),
                cut=finish,
                show=show,
                stop=stop,
                lockstep=how.lockstep,
                rerun=partial(rerun, self.places),
                labs=how.on == "ray",
            )
            return production.run(
                plans, partial(self.survey, selection=selection, accept_stale=accept_stale), how.retry_held
            )
        except BaseException as error:
            show.run_stops(str(error) if isinstance(error, Exception) else "told to stop")
            raise
        finally:
            show.close()


@contextmanager
def look(places: Places, create: bool = False) -> Iterator[Session]:
    """Open ledger and files; with `create` false nothing is made where nothing is."""
    keep_hidden(places.secrets)
    try:
        ledger = Ledger.open(places.ledger_url, create=create)
    except LedgerMissing:
        yield Session(places, None, None)
        return
    with ledger, closing(open_files(places.store)) as files:
        yield Session(places, ledger, files)
