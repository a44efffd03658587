"""One chain on several cameras at the same time, on a real Ray: the frames of one camera, whoever dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.bookmark import Every
from cluster.executor import InProcess
from cluster.heritage import group_of
from cluster.job import ENDINGS, ClipDone, Event, Job, JobDone, JobFailed, JobStopped, Started, Stepped
from cluster.ray_camera import RayCamera
from cluster.ray_executor import OnRay
from shots.frames import probe
from shots.spec import Cfg, ClipSpec, FreeNoise, Recipe, Windows, digest, hashed_fields
from storage.checkpoints import Checkpoints
from storage.files import Files
from tests.commandline import Longtake, decoded
from tests.nodes import nodes, until

from .test_executors import chain, digests, finish

STEPS = 12
WINDOW_STEPS = 8


def jobs_of(specs: Sequence[ClipSpec], size: int) -> list[Job]:
    """The chain in groups, each following the one before; the executor is told of all at once."""
    jobs: list[Job] = []
    for first in range(0, len(specs), size):
        before = jobs[-1].id if jobs else None
        group = tuple(specs[first : first + size])
        jobs.append(Job(f"g{first}", "f", "s", first + 1, group, chain=tuple(specs[:first]), follows=before))
    return jobs


class Producer:
    """What a production does: it tells a follower its tail when that is stored, and submits anew what did not end well.

    act: is shown every event, and may kill somebody.
    """

    def __init__(self, executor: OnRay, jobs: Sequence[Job], act: Callable[[Event], None] = lambda event: None) -> None:
        self.executor, self.act = executor, act
        self.jobs = {job.id: job for job in jobs}
        self.events: list[Event] = []
        self.done: set[str] = set()
        self.tails: dict[str, str] = {}

    def run(self, seconds: float = 150) -> dict[str, str]:
        """Frames digests by key."""
        for job in self.jobs.values():
            self.executor.submit(job)
        deadline = time.monotonic() + seconds
        while len(self.done) < len(self.jobs):
            assert time.monotonic() < deadline, self.events
            for event in self.executor.wait(0.2):
                self.events.append(event)
                self.act(event)
                self._take(event)
        return digests(self.events)

    def _take(self, event: Event) -> None:
        if isinstance(event, ClipDone):
            self.tails[event.take.key] = event.take.tail
            self._tell()
        if isinstance(event, JobDone):
            self.done.add(event.job)
        if isinstance(event, JobStopped | JobFailed):
            self._anew(event.job)

    def _tell(self) -> None:
        for job in self.jobs.values():
            tail = self.tails.get(job.specs[0].previous or "")
            if tail and job.tail is None and job.id not in self.done:
                self.jobs[job.id] = replace(job, tail=tail)
                self.executor.submit(self.jobs[job.id])

    def _anew(self, old: str) -> None:
        """Under a new id, as a production does; who waits for it is told the new one."""
        job = replace(self.jobs.pop(old), id=f"{old}+")
        self.jobs[job.id] = job
        self.executor.submit(job)
        for follower in list(self.jobs.values()):
            if follower.follows == old:
                self.jobs[follower.id] = replace(follower, follows=job.id)
                self.executor.submit(self.jobs[follower.id])

    def at_once(self) -> set[str]:
        """Jobs that made a step while the job that they followed was running."""
        ended = {e.job: n for n, e in enumerate(self.events) if isinstance(e, ENDINGS)}
        stepped: dict[str, int] = {}
        for n, event in enumerate(self.events):
            if isinstance(event, Stepped) and event.step:
                stepped.setdefault(event.job, n)
        return {
            job.id
            for job in self.jobs.values()
            if job.follows and stepped.get(job.id, len(self.events)) < ended.get(job.follows, -1)
        }


@pytest.fixture(scope="module")
def specs() -> tuple[ClipSpec, ...]:
    return chain(4, steps=STEPS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("relay") / "files"


@pytest.fixture(scope="module")
def here(store, specs):
    """The chain in this process, in one group."""
    executor = InProcess(store)
    executor.submit(Job("a", "f", "s", 1, specs))
    events = finish(executor)
    executor.close()
    return events


def handle(camera: RayCamera) -> SimpleNamespace:
    """What stands for a camera that is called without Ray between."""
    return SimpleNamespace(hear=SimpleNamespace(remote=camera.hear))


def test_what_is_said_before_a_camera_begins_is_kept_for_it(here, store, specs):
    """Calls of an actor may overtake each other, and a camera that follows may begin when all has been said."""
    first, second = RayCamera(str(store), "a", "cpu", 1, Every(0)), RayCamera(str(store), "b", "cpu", 1, Every(0))
    leader, follower = jobs_of(specs, 2)
    first.lead(leader.id, handle(second))
    events = list(first.shoot(leader))
    second.lose(leader.id, "said after everything else")
    events += second.shoot(follower, hears=True)
    assert digests(events) == digests(here)


def test_what_is_lost_on_the_way_is_in_the_stored_tail(here, store, specs):
    camera = RayCamera(str(store), "b", "cpu", 1, Every(0))
    _, follower = jobs_of(specs, 2)
    tails = {e.take.key: e.take.tail for e in here if isinstance(e, ClipDone)}
    events = camera.shoot(follower, hears=True)
    made = [next(events)]
    camera.hear_tail(follower.follows, tails[follower.specs[0].previous])
    made += events
    assert digests(made).items() <= digests(here).items()
    assert isinstance(made[-1], JobDone)


def test_a_camera_that_waits_hears_that_it_is_to_stop_and_that_nobody_will_speak(store, specs):
    camera = RayCamera(str(store), "b", "cpu", 1, Every(0))
    _, follower = jobs_of(specs, 2)
    waiting = camera.shoot(follower, hears=True)
    kinds = [type(next(waiting)), type(next(waiting))]
    camera.lose(follower.follows, "camera-1 ended early")
    *_, ending = waiting
    assert kinds[0] is Started
    assert ending == JobStopped(follower.id, "camera-1 ended early")
    again = replace(follower, id="again")
    waiting = camera.shoot(again, hears=True)
    next(waiting)
    camera.stop("again")
    *_, ending = waiting
    assert ending == JobStopped("again")


@pytest.fixture(scope="module")
def three(store):
    """Three cameras on two nodes, all of them warm."""
    with nodes() as cluster:
        cluster.add("one", gpus=0, cpus=2)
        cluster.add("two", gpus=0, cpus=1)
        executor = OnRay(store, cluster.address, checkpoint_every=Every(0.2), decode_beside="on")
        for seed in range(3):
            executor.submit(Job(f"w{seed}", "f", "s", 1, chain(1, steps=1, seed=100 + seed)))
        finish(executor, jobs=3)
        yield executor
        executor.close()


def test_four_groups_on_three_cameras_are_one_group_on_one(here, three, store, specs):
    producer = Producer(three, jobs_of(specs, 1))
    assert producer.run() == digests(here)
    assert {"g1", "g2"} <= producer.at_once()
    assert len({e.worker.pid for e in producer.events if isinstance(e, Started)}) == 3
    # Lineage does not notice: a clip names the tail that the one before it has stored.
    files, takes = Files(store), [e.take for e in producer.events if isinstance(e, ClipDone)]
    for take in takes:
        record = json.loads(probe(files.open_verified(take.video)).tags["longtake"])
        before = [other.tail for other in takes if other.key == record["parents"]["clip"]]
        assert [record["parents"]["tail"]] == (before or [None])
    assert {take.tail for take in takes} == {e.take.tail for e in here if isinstance(e, ClipDone)}


def windows(clips: int, overlap: int, seed: int = 5) -> tuple[ClipSpec, ...]:
    """A shot of the real network, whose clips all depend on each other."""
    recipe = Recipe(Cfg(1.0), FreeNoise(), Windows(overlap))
    alone = [replace(spec, previous=None, recipe=recipe) for spec in chain(clips, steps=WINDOW_STEPS, seed=seed)]
    together = digest("Windows", 1, [hashed_fields(spec) for spec in alone])
    return tuple(replace(spec, together=together) for spec in alone)


def kept(store: Path, specs: Sequence[ClipSpec]) -> list[Path]:
    """Checkpoints of some of these clips."""
    keys = {spec.key for spec in specs}
    return [path for path, held in Checkpoints(store).held().items() if keys & held.keys]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Windows in this process, in one group: the events, by overlap."""
    executor, found = InProcess(tmp_path_factory.mktemp("alone") / "files"), {}
    for overlap, clips in ((2, 4), (6, 3)):
        executor.submit(Job("a", "f", "s", 1, windows(clips, overlap)))
        found[overlap] = finish(executor)
    executor.close()
    return found


@pytest.mark.parametrize(("overlap", "lockstep", "cameras"), [(2, 2, 2), (6, 1, 3)])
def test_windows_at_once_are_windows_in_one_place(overlap, lockstep, cameras, alone, three, store):
    """Below and above half of a clip; the executor's word is of one job."""
    specs = windows(cameras * lockstep, overlap)
    three.submit(Job("w", "f", "s", 1, specs, lockstep=lockstep))
    events = finish(three)
    assert digests(events) == digests(alone[overlap])
    begun = [e for e in events if isinstance(e, Started)]
    assert len({e.worker.pid for e in begun}) == cameras
    assert sorted(key for e in begun for key in e.keys) == sorted(spec.key for spec in specs)
    assert [e.step for e in events if isinstance(e, Stepped)] == list(range(WINDOW_STEPS + 1))
    assert {e.job for e in events} == {"w"}
    made = {e.index: e.take for e in events if isinstance(e, ClipDone)}
    there = {e.index: e.take for e in alone[overlap] if isinstance(e, ClipDone)}
    assert {n: take.key for n, take in made.items()} == {n: spec.key for n, spec in enumerate(specs)}
    assert {n: take.nfe for n, take in made.items()} == {n: take.nfe for n, take in there.items()}
    files = Files(store)
    for n, take in made.items():
        record = json.loads(probe(files.open_verified(take.video)).tags["longtake"])
        assert record["slate"]["clip"] == n + 1
        assert group_of(specs[n], record["together"]) == list(specs), "made again from its file alone"
    assert not kept(store, specs)


def test_windows_that_began_on_one_camera_go_on_on_more_when_others_have_nothing_to_do(alone, three, store):
    """Two cameras are busy at first, each with a job of its own."""
    for n in range(2):
        three.submit(Job(f"b{n}", "f", f"b{n}", 1, chain(1, steps=400, seed=20 + n)))
    begun: set[str] = set()
    while len(begun) < 2:
        begun |= {e.job for e in three.wait(0.2) if isinstance(e, Stepped)}
    specs = windows(4, 2)
    three.submit(Job("w5", "f", "s", 1, specs, lockstep=2))

    def free(event: Event) -> None:
        if isinstance(event, Stepped) and (event.job, event.step) == ("w5", 1):
            for n in range(2):
                three.withdraw(f"b{n}")

    events = finish(three, jobs=3, act=free)
    ended = {e.job: e for e in events if isinstance(e, ENDINGS)}
    assert ended["w5"] == JobStopped("w5", "more cameras are free to render its clips at the same time")
    last = max(e.step for e in events if isinstance(e, Stepped) and e.job == "w5")
    three.submit(Job("w6", "f", "s", 1, specs, lockstep=2))
    again = finish(three)
    assert digests(again) == digests(alone[2])
    assert len([e for e in again if isinstance(e, Started)]) == 2
    assert next(e.step for e in again if isinstance(e, Stepped) and e.step) == last + 1


def test_windows_that_are_withdrawn_stop_on_all_cameras(alone, three, store):
    specs = windows(4, 2, seed=6)
    three.submit(Job("w3", "f", "s", 1, specs, lockstep=2))
    events = finish(three, act=lambda e: three.withdraw("w3") if isinstance(e, Stepped) and e.step == 2 else None)
    assert events[-1] == JobStopped("w3")
    last = events[-2].step
    three.submit(Job("w4", "f", "s", 1, specs))  # on one camera
    again = finish(three)
    assert len([e for e in again if isinstance(e, Started)]) == 1
    assert next(e.step for e in again if isinstance(e, Stepped) and e.step) == last + 1, "from where both had stopped"
    assert isinstance(again[-1], JobDone)
    assert not kept(store, specs)


@pytest.mark.parametrize("victim", ["g0", "g2"])
def test_one_is_killed_in_the_middle(victim, here, three, specs):
    """The one that leads all: those that follow stop with a checkpoint. The one that follows: it is told all anew."""
    pids: dict[str, int] = {}

    def act(event: Event) -> None:
        if isinstance(event, Started):
            pids[event.job] = event.worker.pid
        if isinstance(event, Stepped) and event.job == victim and event.step == STEPS // 2:
            os.kill(pids[victim], signal.SIGKILL)

    producer = Producer(three, jobs_of(specs, 2), act)
    assert producer.run() == digests(here)
    ended = {e.job: e for e in producer.events if isinstance(e, ENDINGS)}
    assert isinstance(ended[victim], JobFailed)
    assert ended[victim].failure.worker
    if victim == "g0":
        assert isinstance(ended["g2"], JobDone | JobStopped)
        if isinstance(ended["g2"], JobStopped):
            assert "which rendered the clips before" in ended["g2"].elsewhere
    else:
        assert isinstance(ended["g0"], JobDone)


def test_a_camera_of_windows_is_killed_and_the_job_goes_on_from_the_step_that_all_have(alone, three, store):
    pids: dict[str, int] = {}
    specs = windows(3, 6)

    def act(event: Event) -> None:
        if isinstance(event, Started):
            pids.update(dict.fromkeys(event.keys, event.worker.pid))
        if isinstance(event, Stepped) and event.step == WINDOW_STEPS - 2:
            os.kill(pids[specs[-1].key], signal.SIGKILL)

    three.submit(Job("w1", "f", "s", 1, specs, lockstep=2))
    *_, ending = events = finish(three, act=act)
    assert isinstance(ending, JobFailed)
    assert (ending.failure.error, ending.keys) == ("WorkerDied", tuple(spec.key for spec in specs[2:]))
    assert not digests(events)
    three.submit(Job("w2", "f", "s", 1, specs))  # on one camera now
    again = finish(three)
    assert digests(again) == digests(alone[6])
    assert len([e for e in again if isinstance(e, Started)]) == 1
    first = next(e.step for e in again if isinstance(e, Stepped) and e.step)
    assert first > 1, "no step is made again that all had kept"
    assert not kept(store, specs)


BOARD = """\
schema: longtake.storyboard.v1
film: {id: relay, title: Relay, fps: 8, size: [64, 64], seed: 7}
defaults:
  model: pocket
  sampler: {steps: 60}
  recipe: {guidance: {kind: cfg, scale: 1}}
  clip_frames: 8
shots:
  - id: long
    prompt: a red boat floating over the sea by day
    frames: 12
  - id: short
    prompt: a yellow moon floating in the night sky
    frames: 8
    sampler: {steps: 4}
"""
RENDER = ("render", "relay.yaml", "--progress", "plain", "--lockstep", "1", "--checkpoint-every", "0.3")


def attempts(folder: Path, clip: int) -> list[sqlite3.Row]:
    """All attempts of a clip of the long shot, the first one first."""
    with contextlib.closing(sqlite3.connect(folder / ".longtake/ledger.sqlite")) as ledger:
        ledger.row_factory = sqlite3.Row
        query = (
            "SELECT a.* FROM attempts a JOIN slates s USING (key) WHERE s.shot = 'long' AND s.clip = ? ORDER BY a.id"
        )
        return ledger.execute(query, (clip,)).fetchall()


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get("LONGTAKE_LONG"), reason="takes a minute: set LONGTAKE_LONG=1")
def test_a_shot_of_two_groups_from_the_command_line_although_its_first_camera_is_killed(longtake: Longtake, tmp_path):
    (tmp_path / "relay.yaml").write_text(BOARD)
    longtake(*RENDER, "--films", "here/films", "--data", "here/data")
    process = longtake.start(*RENDER, "--on", "ray", "--cameras", "2")
    lines, killed = [], 0
    for line in process.stderr:
        lines.append(line)
        if "relay/long/2" in line and "rendering on" in line and not killed:
            os.kill(killed := attempts(tmp_path, 1)[0]["pid"], signal.SIGKILL)
    assert process.wait(timeout=240) == 0, "".join(lines)
    assert killed, lines
    assert decoded(tmp_path / "films/relay.mp4") == decoded(tmp_path / "here/films/relay.mp4")
    for clip in (1, 2):
        *early, last = attempts(tmp_path, clip)
        assert last["state"] == "done"
        for attempt in early:
            if attempt["state"] == "failed":
                assert (attempt["error_type"], attempt["pid"]) == ("WorkerDied", killed)
            else:
                assert attempt["state"] == "interrupted"
                assert "which rendered the clips before" in attempt["message"]


WINDOWS = BOARD.replace("scale: 1}}", "scale: 1}, chain: {kind: windows, overlap: 5}}")


@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get("LONGTAKE_LONG"), reason="takes a minute: set LONGTAKE_LONG=1")
def test_windows_from_the_command_line_although_one_of_their_cameras_is_killed(longtake: Longtake, tmp_path):
    (tmp_path / "relay.yaml").write_text(WINDOWS.replace("steps: 60", "steps: 40"))
    longtake(*RENDER, "--films", "here/films", "--data", "here/data")
    process = longtake.start(*RENDER[:-1], "2 steps", "--on", "ray", "--cameras", "2", "--shot", "long")
    until(lambda: max(_steps(tmp_path), default=0) >= 8 or process.poll() is not None, 240)
    os.kill(killed := attempts(tmp_path, 3)[0]["pid"], signal.SIGKILL)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 3, told  # without the other shot
    (other, one), (dead, two) = attempts(tmp_path, 1), attempts(tmp_path, 3)
    assert (other["state"], one["state"], dead["state"], two["state"]) == ("interrupted", "done", "failed", "done")
    assert dead["pid"] == killed != other["pid"]
    assert one["pid"] != two["pid"] != killed
    assert not _steps(tmp_path)
    longtake(*RENDER)
    assert decoded(tmp_path / "films/relay.mp4") == decoded(tmp_path / "here/films/relay.mp4")


def _steps(folder: Path) -> list[int]:
    """Of the checkpoints of parts."""
    return [int(path.stem.rpartition("-")[2]) for path in folder.glob(".longtake/**/checkpoints/*-*.safetensors")]
