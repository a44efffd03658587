"""Who is told when a film begins, fails or is done: web addresses get a JSON object, commands are run.

A storyboard may name web addresses only (`on:`), because it may come from somebody else; commands, and addresses that
hold a secret, come from the person who renders: `--hook EVENT=TARGET`, or LONGTAKE_HOOKS with one of these a line.

Telling happens in threads beside the render, one a place, in order. It never delays or fails a render; what could
not be told is said on standard error.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

from cluster.job import Failure
from cluster.secrets import hidden
from storage.rows import Take

from .addresses import EVENTS
from .errors import UsageError
from .farm import utc
from .hook_targets import COMMAND_SECONDS, Target
from .observer import FilmResult, Quiet
from .planned import Plan
from .segments import Segment

log = logging.getLogger("longtake.hooks")
SCHEMA = "longtake.event.v1"
PATIENCE = 15.0
"""Seconds that a finished render waits for web addresses that have not been told yet."""
HURRY = 3.0
"""The same for a render that was stopped."""
MOST_WAITING = 10_000


def targets(options: Sequence[str], environment: str | None = None) -> list[Target]:
    """What `--hook` and LONGTAKE_HOOKS ask for.

    Raises:
        UsageError: not EVENT=TARGET, an unknown event, an address that is none, a command that cannot be read.
    """
    if environment is None:
        environment = os.environ.get("LONGTAKE_HOOKS", "")
    lines = [line.strip() for line in environment.splitlines() if line.strip()]
    return [_target(text, "LONGTAKE_HOOKS") for text in lines] + [_target(text, "--hook") for text in options]


def _target(text: str, where: str) -> Target:
    event, equals, what = (part.strip() for part in text.partition("="))
    try:
        if not equals or not what:
            raise ValueError("it needs an event and what to do, as in film_done=COMMAND or film_done=https://...")
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}; choose one of: {', '.join(EVENTS)}")
        return Target.of(event, what)
    except ValueError as error:
        raise UsageError(f"{where} {hidden(text)!r}: {error}") from None


class Hooks(Quiet):
    """Tells targets what happens to films. Those of a storyboard hear of its own film only."""

    def __init__(self, everywhere: Sequence[Target] = (), storyboards: bool = True) -> None:
        self._everywhere, self._storyboards = list(everywhere), storyboards
        self._films: dict[str, Plan] = {}
        self._over: set[str] = set()
        self._lines: dict[tuple[str, tuple[str, ...]], _Line] = {}  # one for each place, whatever the events
        self._patience = PATIENCE

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._films[plan.film] = plan
        self._tell("film_begun", plan, state="running", cached=cached, missing=missing)

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        where = {"shot": segment.shot, "clip": segment.first + index, "take": segment.take, "key": take.key}
        self._tell("clip_done", self._films[segment.film], state="running", frames=take.frames, **where)

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        if held:
            what = {"shot": segment.shot, "clip": segment.first, "take": segment.take, "tries": tries}
            error = {"error": failure.error, "message": hidden(failure.message)}
            self._tell("shot_failed", self._films[segment.film], state="running", **what, **error)

    def film_ends(self, result: FilmResult) -> None:
        plan = self._films.get(result.plan.film, result.plan)
        self._over.add(plan.film)
        self._tell(
            f"film_{result.state}" if f"film_{result.state}" in EVENTS else "film_partial",
            plan,
            state=result.state,
            file=os.path.abspath(result.files[0]) if result.files else "",
            files=[os.path.abspath(path) for path in result.files],
            message=hidden(result.message),
            rendered=result.rendered,
            cached=result.cached,
            seconds=round(result.seconds, 3),
        )

    def run_stops(self, why: str) -> None:
        self._patience = HURRY
        for name, plan in self._films.items():
            if name not in self._over:
                self._tell("run_stopped", plan, state="stopped", message=hidden(why))

    def close(self) -> None:
        """Wait for what is being told, not for ever."""
        deadline = time.monotonic() + self._patience
        for line in self._lines.values():
            line.end()
        for line in self._lines.values():
            limit = deadline + (COMMAND_SECONDS if line.target.command and self._patience > HURRY else 0.0)
            line.join(max(0.0, limit - time.monotonic()))
            if line.is_alive():
                log.warning("%s was not told everything; %d events are left", line.target.shown, line.waiting)

    def _tell(self, event: str, plan: Plan, **what: Any) -> None:
        told = [target for target in self._everywhere if target.event == event]
        if self._storyboards:
            told += [Target(name, url) for name, url in plan.on if name == event]
        document = {"schema": SCHEMA, "event": event, "time": utc(time.time()), "film": plan.film, "title": plan.title}
        for target in dict.fromkeys(told):
            place = target.url, target.command
            if place not in self._lines:
                self._lines[place] = _Line(target)
                self._lines[place].start()
            self._lines[place].tell(document | {"storyboard": str(plan.storyboard)} | what)


class _Line(threading.Thread):
    """One place and what it has to be told, in order. A daemon: a process that must end does."""

    def __init__(self, target: Target) -> None:
        super().__init__(name="longtake-hook", daemon=True)
        self.target = target
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._ended = False

    @property
    def waiting(self) -> int:
        """Events that have not been told."""
        return self._events.unfinished_tasks - self._ended

    def tell(self, document: dict[str, Any]) -> None:
        """Put an event into the queue; dropped when the target is hopelessly behind."""
        if self.waiting >= MOST_WAITING:
            log.warning("%s is too slow: an event is dropped", self.target.shown)
        else:
            self._events.put(document)

    def end(self) -> None:
        """No more events will come."""
        self._ended = True
        self._events.put(None)

    def run(self) -> None:
        while (document := self._events.get()) is not None:
            try:
                self.target.tell(document)
            except Exception as error:  # a hook must not end a render, whatever it does
                log.warning("%s was not told of %s: %s", self.target.shown, document["event"], hidden(str(error)))
            self._events.task_done()
