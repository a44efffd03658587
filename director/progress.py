"""What a person sees while films render: a live display on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from cluster.job import Failure, Worker
from storage.rows import Take

from .farm import JsonLines, OpenJd
from .observer import FilmResult, Observers, Quiet
from .planned import Plan
from .report import counted, seconds
from .segments import Segment
from .streams import unbreakable
from .tally import Tally

__all__ = ["Lines", "Live", "Quiet", "display"]


class Lines(Quiet):
    """A line for everything that is finished or goes wrong: for logs, pipes and batch systems."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._say(f"{plan.film}: {counted(missing)} to render, {cached} from the store")

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._say(f"{segment.name}: rendering on {worker.name} ({worker.host})")

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        self._say(f"{segment.part(index, index + 1).name}: done, {take.frames} frames")

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        self._say(failure_text(segment, failure, tries, held))

    def job_leaves(self, segment: Segment, why: str) -> None:
        if why:
            self._say(f"{segment.name}: goes on elsewhere: {why}")

    def node_aside(self, host: str, reason: str) -> None:
        self._say(f"node {host} gets no more work: {reason}")

    def node_back(self, host: str) -> None:
        self._say(f"node {host} gets work again")

    def film_cuts(self, plan: Plan) -> None:
        self._say(f"{plan.film}: cutting {plan.frames} frames")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


def failure_text(segment: Segment, failure: Failure, tries: int, held: bool) -> str:
    """One line about a failed try."""
    what = "held" if held else f"try {tries} failed, trying again"
    return f"{segment.name}: {what}: {failure.error}: {failure.message}"


class _Field(ProgressColumn):
    """What a row says in a field of that name: `step 12/25`, `3/31 clips`, `0.80 frames/s`, `12 min 05 s left`."""

    def __init__(self, name: str, style: str) -> None:
        self._name, self._style = name, style
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get(self._name, "")), style=self._style)


class Live(Quiet):
    """A bar a film and a bar a chain that is being rendered, with current step, frames per second and time left."""

    def __init__(self, console: Console, tally: Tally) -> None:
        self._tally = tally
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            _Field("amount", "progress.download"),
            _Field("rate", "progress.data.speed"),
            _Field("left", "progress.remaining"),
            console=console,
            transient=True,
        )
        self._films: dict[str, TaskID] = {}
        self._jobs: dict[str, TaskID] = {}
        self._wide = 0
        self._progress.start()

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._films[plan.film] = self._add(plan.film, 100, f"{cached}/{missing + cached} clips")
        self._film(plan.film)

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._drop(segment)
        text = f"  {segment.name.removeprefix(segment.film + '/')} on {worker.name}"
        steps = segment.specs[0].sampler.made
        self._jobs[segment.name] = self._add(text, steps, "starting")

    def job_loads(self, segment: Segment, model: str) -> None:
        if segment.name in self._jobs:
            self._progress.update(self._jobs[segment.name], amount=f"loading {model}")

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        amount = f"step {step}/{steps}" if step < steps else "storing"
        if segment.name in self._jobs:
            self._progress.update(self._jobs[segment.name], completed=step, amount=amount)
        self._film(segment.film)

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        for name in self._films:
            self._film(name)

    def job_done(self, segment: Segment, busy: float) -> None:
        self._drop(segment)

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        self._drop(segment)
        self._film(segment.film)
        self._say(failure_text(segment, failure, tries, held), "red")

    def job_leaves(self, segment: Segment, why: str) -> None:
        self._drop(segment)
        if why:
            self._say(f"{segment.name}: goes on elsewhere: {why}", "yellow")

    def node_aside(self, host: str, reason: str) -> None:
        self._say(f"node {host} gets no more work: {reason}", "yellow")

    def node_back(self, host: str) -> None:
        self._say(f"node {host} gets work again", "green")

    def film_cuts(self, plan: Plan) -> None:
        percent = self._tally.percent(plan.film)
        self._progress.update(self._films[plan.film], completed=percent, amount="cutting", rate="", left="")

    def film_ends(self, result: FilmResult) -> None:
        if result.plan.film in self._films:
            self._progress.remove_task(self._films.pop(result.plan.film))

    def close(self) -> None:
        self._progress.stop()

    def _add(self, text: str, total: int, amount: str) -> TaskID:
        """A new row, at the end. Names are filled up to the longest so far: bars that move with every row tire."""
        if len(text) > self._wide:
            self._wide = len(text)
            for task in self._progress.tasks:
                self._progress.update(task.id, description=task.description.ljust(self._wide))
        return self._progress.add_task(text.ljust(self._wide), total=total, amount=amount)

    def _film(self, name: str) -> None:
        film = self._tally.films[name]
        if name not in self._films or film.state != "rendering":
            return
        rate, ahead = self._tally.rate(name), self._tally.ahead(name)
        self._progress.update(
            self._films[name],
            completed=self._tally.percent(name),
            amount=f"{film.done}/{film.clips} clips",
            rate=f"{rate:.2f} frames/s" if rate else "",
            left=f"about {seconds(ahead.p50)} left" if ahead.p50 else "",
        )

    def _say(self, text: str, style: str) -> None:
        self._progress.console.print(text, style=style, markup=False, emoji=False)

    def _drop(self, segment: Segment) -> None:
        if segment.name in self._jobs:
            self._progress.remove_task(self._jobs.pop(segment.name))


def display(kind: str, console: Console, tally: Tally | None = None) -> Quiet:
    """`live`, `plain`, `json`, `openjd` or `none`; `auto` is live on a terminal and plain elsewhere.

    What is for programs goes to standard output, the rest to `console`. tally: counts what the display tells; one of
    its own by default. Never raises while films render.
    """
    console.file = unbreakable(console.file)  # rich itself ends the process when its pipe is closed
    counts = tally or Tally()
    mine = [] if tally else [counts]
    if kind == "auto":
        kind = "live" if console.is_terminal else "plain"
    if kind == "none":
        return Quiet()
    if kind == "live":
        return Observers([*mine, Live(console, counts)])
    if kind == "plain":
        return Observers([Lines(console)])
    return Observers([*mine, (JsonLines if kind == "json" else OpenJd)(unbreakable(sys.stdout), counts)])
