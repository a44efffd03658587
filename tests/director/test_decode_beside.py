"""The real run loop, a real ledger and a real camera that decodes beside the sampling: what goes wrong in the darkroom
costs no sampling, and what was found out about memory is remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from cluster.executor import InProcess
from cluster.job import ClipDone, Event, Job, JobDone, Sampled, Started, Worker
from director.bench.cluster import run_loop, unseen
from director.bench.simulated import Simulated, Times, film
from director.observer import FilmResult, Quiet
from director.planned import Plan, PlannedClip, PlannedShot, Slate
from director.production import Production
from director.segments import Segment
from director.stop import Stop
from director.tally import Tally
from shots.made_up import save
from shots.models import describe
from shots.spec import Cfg, ClipSpec, Iid, ModelRef, Recipe, Sampler, VidRD
from storage.ledger import Ledger
from storage.rows import Take
from storage.states import AttemptState

STEPS = 3


def chain_of(model: ModelRef, clips: int) -> Plan:
    """A film of one chain."""
    made: list[PlannedClip] = []
    for index in range(clips):
        before = made[-1].key if made else None
        recipe = Recipe(Cfg(3.0), Iid(), VidRD(overlap=2))
        spec = ClipSpec(model, 16, 32, 6, "a boat", "", 5, index, Sampler(steps=STEPS), recipe, before)
        made.append(PlannedClip(Slate("a", "s0", index + 1), spec, spec.key, 0, 6, 2 * STEPS))
    shots = (PlannedShot("s0", tuple(made), 6 * clips),)
    return Plan("a", "a", Fraction(8), (16, 32), 1, shots, (), 6 * clips)


class Plain:
    """Films that are finished when their clips are."""

    def __call__(self, plan: Plan, production: int, takes: dict[str, Take], ask: object) -> list[str]:
        return []

    def damaged(self, plan: Plan, takes: dict[str, Take]) -> list[str]:
        return []


class Hooked(InProcess):
    """Once, the decoder waits until the network is asked for the next clip, and breaks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "cpu", 2, decode_beside="on")
        self.calls = 0
        self.told: list[Event] = []
        self._next_one, self._broken = threading.Event(), False

    def wait(self, timeout: float) -> Sequence[Event]:
        events = super().wait(timeout)
        self.told += events
        return events

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started) and len(self._running) > 1:
            self._next_one.set()
        super()._hear(event)
        models = self._camera._models
        if models and not hasattr(self, "hooks"):
            (model,) = models.values()
            self.hooks = [
                model.backbone.network.register_forward_pre_hook(self._network),
                model.pipe.vae.decoder.register_forward_pre_hook(self._decode),
            ]

    def _network(self, *_: object) -> None:
        self.calls += 1

    def _decode(self, *_: object) -> None:
        if not self._broken:
            assert self._next_one.wait(60)
            self._broken = True
            raise RuntimeError("the decoder broke")


def test_a_decoder_that_breaks_costs_an_attempt_and_no_sampling(tmp_path: Path) -> None:
    plan = chain_of(describe(str(save("animatediff", tmp_path / "tiny"))).ref(), 3)
    tally, executor = Tally(), Hooked(tmp_path / "files")
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        production = Production(ledger, lambda: executor, Plain(), tally, Stop(), lockstep=1)
        (result,) = production.run([plan], unseen)
        found = ledger.attempts_of(clip.key for clip in plan.clips)
    assert (result.state, result.rendered) == ("done", 3)
    states = [[attempt.state for attempt in found[clip.key]] for clip in plan.clips]
    done = AttemptState.DONE
    assert sorted(map(sorted, states)) == sorted(map(sorted, [[AttemptState.FAILED, done], [done], [done]]))
    assert states[1:] == [[done], [done]]
    captured = 2  # the pipeline is asked once for each prompt how it would call the network
    assert executor.calls == captured + 3 * STEPS * 2, "every clip was sampled once"
    assert tally.lost.get("a", 0.0) == 0.0
    told = [(type(event).__name__, event.job.rpartition("#")[0]) for event in executor.told]
    starts = [name for kind, name in told if kind == "Started"]
    assert len(starts) == 4
    first = next(name for kind, name in told if kind == "JobFailed")
    assert told.index(("Started", starts[1])) < told.index(("JobFailed", first))


def test_one_camera_with_two_jobs_is_one_busy_camera() -> None:
    tally, plan = Tally(), film("a", [2])
    one, two = (Segment("a", "s0", n + 1, (clip.spec,), (clip.key,), None) for n, clip in enumerate(plan.clips))
    worker = Worker("local", "here", 1, "cuda", "0")
    tally.film_begins(plan, 2, 0)
    for segment in (one, two):
        tally.job_waits(segment)
    for segment in (one, two):
        tally.job_begins(segment, worker)
        tally.job_steps(segment, 4, 4)
    (camera,) = tally.cameras.values()
    assert (camera.job, len(tally.work)) == (two.name, 2)
    assert tally.percent() == 99.9
    tally.job_leaves(two, "")
    assert camera.job == one.name
    tally.job_done(one, 2.0)
    assert (camera.job, camera.busy) == (None, 2.0)


class Cramped(Simulated):
    """Cameras that cannot decode beside the sampling, say so, and remember what they were told."""

    def __init__(self) -> None:
        super().__init__(1, Times(load=0.0, job=0.0), memory=[24 * 2**30])
        self.told: list[bool] = []

    def submit(self, job: Job) -> None:
        self.told.append(job.apart)
        super().submit(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        events: list[Event] = []
        for event in super().wait(timeout):
            if isinstance(event, JobDone):
                events.append(Sampled(event.job, None))
                event = replace(event, apart=True)
            events.append(event)
        return events


def test_that_memory_was_too_little_for_both_is_remembered_in_later_runs(tmp_path: Path) -> None:
    first, second = Cramped(), Cramped()
    (result,), _ = run_loop([film("a", [9])], first, tmp_path)
    assert (result.state, first.told[0], first.told[-1]) == ("done", False, True)
    run_loop([film("b", [1])], second, tmp_path)
    assert second.told == [True]
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.rung("sha256:a", "24 GiB", "8x64x64") == 0, "the ladder itself is untouched"


def test_the_hours_of_a_film_count_a_camera_once(tmp_path: Path) -> None:
    """What is decoded beside the next job is not camera time of its own."""
    seen: list[int] = []

    class Counting(Cramped):
        def wait(self, timeout: float) -> Sequence[Event]:
            events = super().wait(timeout)
            seen.append(sum(len(each.at_work) for each in production._films.values()))
            return events

    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        production = Production(ledger, Counting, Plain(), Quiet(), Stop(), lockstep=1)
        results: list[FilmResult] = production.run([film("a", [3])], unseen)
    assert results[0].state == "done"
    assert max(seen) == 1


class Dark(Simulated):
    """What comes of a sampled job comes half a second later."""

    def __init__(self) -> None:
        super().__init__(1, Times(load=0.0, job=0.0))
        self._kept: list[Event] = []
        self._until = 0.0

    def wait(self, timeout: float) -> Sequence[Event]:
        if self._kept and time.monotonic() < self._until:
            time.sleep(0.02)
            return []
        events, self._kept = self._kept, []
        for event in [] if events else super().wait(timeout):
            if not isinstance(event, ClipDone | JobDone):
                events.append(event)
                continue
            if not self._kept:
                events.append(Sampled(event.job, None))
                self._until = time.monotonic() + 0.5
            self._kept.append(event)
        return events


def test_a_film_whose_hours_are_spent_waits_for_what_is_being_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("director.production.LOOK", 0.05)
    plan = film("a", [1])
    plan = replace(plan, terms=replace(plan.terms, gpu_hours=1e-9))
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        (result,) = Production(ledger, Dark, Plain(), Quiet(), Stop(), lockstep=1).run([plan], unseen)
    assert (result.state, result.rendered) == ("done", 1)
