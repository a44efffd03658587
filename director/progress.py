"""What a person sees while films render: a live display on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cluster.job import Failure, Worker
from storage.rows import Take

from .observer import FilmResult
from .planned import Plan
from .segments import Segment
from .streams import unbreakable

log = logging.getLogger("longtake.progress")


class Quiet:
    """Shows nothing."""

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None: ...
    def job_waits(self, segment: Segment) -> None: ...
    def job_begins(self, segment: Segment, worker: Worker) -> None: ...
    def job_loads(self, segment: Segment, model: str) -> None: ...
    def job_steps(self, segment: Segment, step: int, steps: int) -> None: ...
    def clip_done(self, segment: Segment, index: int, take: Take) -> None: ...
    def job_done(self, segment: Segment, busy: float) -> None: ...
    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None: ...
    def film_cuts(self, plan: Plan) -> None: ...
    def film_ends(self, result: FilmResult) -> None: ...
    def close(self) -> None: ...


class Lines(Quiet):
    """A line for everything that is finished or goes wrong: for logs, pipes and batch systems."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._say(f"{plan.film}: {missing} clips to render, {cached} from the store")

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._say(f"{segment.name}: rendering on {worker.name} ({worker.host})")

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        self._say(f"{segment.film}/{segment.shot}/{segment.first + index}: done, {take.frames} frames")

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        self._say(failure_text(segment, failure, tries, held))

    def film_cuts(self, plan: Plan) -> None:
        self._say(f"{plan.film}: cutting {plan.frames} frames")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


def failure_text(segment: Segment, failure: Failure, tries: int, held: bool) -> str:
    """One line about a failed try."""
    what = "held" if held else f"try {tries} failed, trying again"
    return f"{segment.name}: {what}: {failure.error}: {failure.message}"


class _Amount(ProgressColumn):
    """`step 12/25` for a chain, `3/31 clips` for a film."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("amount", "")), style="progress.download")


class _Rate(ProgressColumn):
    """Frames of film a second, averaged over the run."""

    def render(self, task: Task) -> Text:
        rate = task.fields.get("rate")
        return Text(f"{rate:.2f} frames/s" if rate else "", style="progress.data.speed")


@dataclass
class _FilmBar:
    task: TaskID
    clips: int
    done: int = 0
    frames: float = 0.0  # frames' worth of finished steps in this run
    began: float = field(default_factory=time.monotonic)


class Live(Quiet):
    """A bar a film and a bar a chain that is being rendered, with current step, frames per second and ETA."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            _Amount(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._films: dict[str, _FilmBar] = {}
        self._jobs: dict[str, tuple[TaskID, int]] = {}
        self._progress.start()

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        task = self._progress.add_task(plan.film, total=None, amount=f"{cached}/{missing + cached} clips")
        self._films[plan.film] = _FilmBar(task, missing + cached, cached)

    def job_waits(self, segment: Segment) -> None:
        """A film's bar counts the steps of all its missing clips."""
        bar = self._films[segment.film]
        total = self._progress.tasks[self._progress.task_ids.index(bar.task)].total or 0
        self._progress.update(bar.task, total=total + sum(spec.sampler.steps for spec in segment.specs))

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._drop(segment)
        steps = segment.specs[0].sampler.steps
        text = f"  {segment.shot}/{segment.first}-{segment.first + len(segment.specs) - 1} on {worker.name}"
        self._jobs[segment.name] = (self._progress.add_task(text, total=steps, amount="starting"), 0)

    def job_loads(self, segment: Segment, model: str) -> None:
        self._progress.update(self._jobs[segment.name][0], amount=f"loading {model}")

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        task, before = self._jobs[segment.name]
        self._jobs[segment.name] = (task, step)
        self._progress.update(task, completed=step, amount=f"step {step}/{steps}")
        bar = self._films[segment.film]
        clips = len(segment.specs)
        bar.frames += (step - before) / steps * clips * segment.specs[0].frames
        rate = bar.frames / max(time.monotonic() - bar.began, 1e-6)
        self._progress.update(bar.task, advance=(step - before) * clips, rate=rate)

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        bar = self._films[segment.film]
        bar.done += 1
        self._progress.update(bar.task, amount=f"{bar.done}/{bar.clips} clips")

    def job_done(self, segment: Segment, busy: float) -> None:
        self._drop(segment)

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        if segment.name in self._jobs:  # what it had done is not done any more
            _, step = self._jobs[segment.name]
            bar, clips = self._films[segment.film], len(segment.specs)
            bar.frames -= step / segment.specs[0].sampler.steps * clips * segment.specs[0].frames
            self._progress.update(bar.task, advance=-step * clips)
        self._drop(segment)
        self._progress.console.print(
            failure_text(segment, failure, tries, held), style="red", markup=False, emoji=False
        )

    def film_cuts(self, plan: Plan) -> None:
        self._progress.update(self._films[plan.film].task, amount="cutting")

    def film_ends(self, result: FilmResult) -> None:
        self._progress.remove_task(self._films[result.plan.film].task)

    def close(self) -> None:
        self._progress.stop()

    def _drop(self, segment: Segment) -> None:
        if segment.name in self._jobs:
            self._progress.remove_task(self._jobs.pop(segment.name)[0])


class Careful(Quiet):
    """Tells another display, until that fails: nothing that is only shown may end a render."""

    def __init__(self, show: Quiet) -> None:
        self._show = show

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._tell(lambda: self._show.film_begins(plan, missing, cached))

    def job_waits(self, segment: Segment) -> None:
        self._tell(lambda: self._show.job_waits(segment))

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._tell(lambda: self._show.job_begins(segment, worker))

    def job_loads(self, segment: Segment, model: str) -> None:
        self._tell(lambda: self._show.job_loads(segment, model))

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        self._tell(lambda: self._show.job_steps(segment, step, steps))

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        self._tell(lambda: self._show.clip_done(segment, index, take))

    def job_done(self, segment: Segment, busy: float) -> None:
        self._tell(lambda: self._show.job_done(segment, busy))

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        self._tell(lambda: self._show.job_failed(segment, failure, tries, held))

    def film_cuts(self, plan: Plan) -> None:
        self._tell(lambda: self._show.film_cuts(plan))

    def film_ends(self, result: FilmResult) -> None:
        self._tell(lambda: self._show.film_ends(result))

    def close(self) -> None:
        self._tell(self._show.close)

    def _tell(self, word: Callable[[], None]) -> None:
        try:
            word()
        except Exception:
            log.warning("the display failed; going on without it", exc_info=True)
            broken, self._show = self._show, Quiet()
            with contextlib.suppress(Exception):
                broken.close()


def display(kind: str, console: Console) -> Quiet:
    """`live`, `plain` or `none`; `auto` is live on a terminal and plain elsewhere. Never raises while films render."""
    console.file = unbreakable(console.file)  # rich itself ends the process when its pipe is closed
    if kind == "auto":
        kind = "live" if console.is_terminal else "plain"
    if kind == "live":
        return Careful(Live(console))
    return Careful(Lines(console)) if kind == "plain" else Quiet()
