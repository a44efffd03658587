"""Several nodes: cameras stand where there is room, and jobs outlive the machine that they run on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.bookmark import Every
from cluster.environment import code_version
from cluster.errors import NoCamera
from cluster.executor import InProcess
from cluster.job import (
    ENDINGS,
    ClipDone,
    Event,
    Job,
    JobDone,
    JobFailed,
    JobStopped,
    NodeSetAside,
    NodeTakenBack,
    Started,
    Stepped,
)
from cluster.ray_executor import OnRay
from cluster.ray_labs import Labs
from cluster.ray_pool import RayPool
from cluster.ray_seat import Terms
from shots.models import describe
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler
from storage.files import Files
from tests.commandline import ROOT, Longtake
from tests.nodes import Nodes, nodes, until

STEPS = 30
pytestmark = pytest.mark.timeout(900)


def chain(clips: int, seed: int, steps: int = 3, model: ModelRef | None = None) -> tuple[ClipSpec, ...]:
    specs: list[ClipSpec] = []
    for index in range(clips):
        before = specs[-1].key if specs else None
        prompt = "a red boat floating over the sea by day"
        reference = model or describe("pocket").ref()
        sampler = Sampler(steps=steps)
        specs.append(ClipSpec(reference, 64, 64, 8, prompt, "", seed, index, sampler, Recipe(), before))
    return tuple(specs)


@dataclass
class Log:
    """What an executor said."""

    pool: OnRay | InProcess
    events: list[Event] = field(default_factory=list)
    aside: dict[str, str] = field(default_factory=dict)  # what the ledger would say of nodes
    rungs: dict[str, int] = field(default_factory=dict)  # and of jobs

    def until(self, true, seconds: float = 150) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.events[-30:]
            self.events += self.pool.wait(0.2)

    def of(self, job: str, kind: type) -> list:
        return [e for e in self.events if isinstance(e, kind) and e.job == job]

    def ended(self, *jobs: str) -> bool:
        return all(self.of(job, ENDINGS) for job in jobs)

    def steps(self, job: str) -> list[int]:
        return [e.step for e in self.of(job, Stepped)]

    def goes_on_at(self, job: str) -> int:
        """The first step that was made; one past the last where only decoding was left."""
        return next((step for step in self.steps(job) if step), STEPS + 1)

    def digests(self) -> dict[str, str]:
        return {e.take.key: e.take.frames_digest for e in self.events if isinstance(e, ClipDone)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with nodes() as found:
        yield found


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("nodes") / "files"


@pytest.fixture(scope="module")
def log(cluster: Nodes, store: Path) -> Iterator[Log]:
    cluster.a, cluster.b = cluster.add("a"), cluster.add("b")
    before = Path.cwd()
    os.chdir(store.parent)  # Ray lets workers import from the driver's folder
    # A store elsewhere, and no disk that nodes share: what one has sampled, others find in the store alone.
    aside: dict[str, str] = {}
    rungs: dict[str, int] = {}

    def rung(job: Job, memory: int) -> int:
        assert memory, "the camera is there"
        return rungs.get(job.id, job.rung)

    often = Every(0.2)
    pool = OnRay(f"local://{store}", cluster.address, None, often, device="cpu", aside=lambda: aside, rung=rung)
    yield Log(pool, aside=aside, rungs=rungs)
    pool.close()
    os.chdir(before)


def here(store: Path, *jobs: Job) -> dict[str, str]:
    """Frames of the same clips, rendered in this process into another store."""
    log = Log(InProcess(store.parent / "here"))
    for job in jobs:
        log.pool.submit(job)
    log.until(lambda: log.ended(*(job.id for job in jobs)))
    log.pool.close()
    return log.digests()


def where(log: Log, job: str) -> str:
    """The node of the camera that is at a job."""
    return next(seat.node.host for seat in log.pool._pool.seats if seat.job and seat.job.id == job)


@contextmanager
def held(log: Log, *jobs: str) -> Iterator[None]:
    """The cameras of these jobs stand still meanwhile."""
    pids = [log.of(job, Started)[-1].worker.pid for job in jobs]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_nodes_come_and_go_and_the_frames_are_those_of_one_machine(log: Log, cluster: Nodes, store: Path) -> None:
    jobs = [Job(f"j{n}", "f", f"s{n}", 1, chain(1, n, STEPS)) for n in range(3)]
    for job in jobs:
        log.pool.submit(job)
    log.until(lambda: all(max(log.steps(job), default=0) > 2 for job in ("j0", "j1")))
    assert {where(log, "j0"), where(log, "j1")} == {"a", "b"}
    assert not log.of("j2", Started)

    with held(log, "j0", "j1"):
        third = cluster.add("c")  # late
        log.until(lambda: max(log.steps("j2"), default=0) > 7)
        assert where(log, "j2") == "c"
        leaves = next(job for job in jobs[:2] if where(log, job.id) == "a")
        cluster.drain(cluster.a)
        log.until(lambda: any(seat.leaving for seat in log.pool._pool.seats))
        cluster.kill(third)
    log.until(lambda: log.ended(leaves.id, "j2"))
    (stopped,) = log.of(leaves.id, JobStopped)
    assert stopped.elsewhere == "a is being drained"
    (failed,) = log.of("j2", JobFailed)
    assert failed.failure.error == "WorkerDied"
    assert failed.failure.worker
    assert "on c" in failed.failure.message

    log.pool.submit(Job("again", "f", leaves.shot, 1, leaves.specs))
    log.pool.submit(Job("after", "f", "s2", 1, jobs[2].specs))
    log.until(lambda: log.ended("again", "after", *(j.id for j in jobs)))
    assert {seat.node.host for seat in log.pool._pool.seats} == {"b"}
    assert log.goes_on_at("again") > log.steps(leaves.id)[-1], "it had stopped at a checkpoint"
    assert log.goes_on_at("after") > 1, "what died goes on from a checkpoint, too"
    assert all(list(cluster.disk(node).rglob("checkpoints")) for node in "abc"), "each had a disk of its own"
    assert log.digests() == here(store, *jobs)
    assert all(Files(store).verify(e.take.video) for e in log.events if isinstance(e, ClipDone))
    labs = log.pool._pool._labs._labs
    assert cluster.b.node_id in labs, "encoded beside the camera, not in it"
    assert cluster.a.node_id not in labs, "a drained node is to be idle"


def test_a_node_that_fails_three_clips_is_set_aside_and_taken_back(log: Log, cluster: Nodes) -> None:
    cluster.d = cluster.add("d")
    nowhere = ModelRef("/nowhere/model", "sha256:0", "animatediff")
    busy = Job("busy", "f", "busy", 1, chain(1, 9, 100))  # long enough to be held in the middle
    log.pool.submit(busy)
    log.until(lambda: log.of("busy", Stepped))
    at = where(log, "busy")
    other = {"b": "d", "d": "b"}[at]
    with held(log, "busy"):
        for n in range(3):
            log.pool.submit(Job(f"bad{n}", "other", f"s{n}", 1, chain(1, n, model=nowhere)))
        log.until(lambda: log.of("", NodeSetAside))
        (aside,) = log.of("", NodeSetAside)
        assert aside.host == other
        assert "ModelNotFound" in aside.reason
        log.pool.submit(Job("waits", "f", "waits", 1, chain(1, 10)))
        for _ in range(10):
            log.events += log.pool.wait(0.2)
        assert not log.of("waits", Started), "nothing more goes there"
    log.until(lambda: log.ended("busy", "waits"))
    log.pool.submit(Job("bad", "other", "s0", 1, chain(1, 0, model=nowhere)))
    log.until(lambda: log.of("", NodeTakenBack))  # it fails here as well: the film is to blame, not the node
    assert log.of("", NodeTakenBack)[0].host == other
    log.until(lambda: log.ended("bad"))


def test_a_node_that_the_ledger_sets_aside_is_left_with_a_checkpoint_until_it_is_taken_back(log: Log) -> None:
    log.events.clear()
    log.pool.submit(Job("here", "f", "here", 1, chain(1, 11, 100)))
    log.until(lambda: max(log.steps("here"), default=0) > 2)
    left = where(log, "here")
    log.aside[left] = "a new disk"
    log.until(lambda: log.ended("here"))
    (stopped,) = log.of("here", JobStopped)
    assert stopped.elsewhere == f"{left} is not used any more"
    log.rungs["s1"] = 2  # as such clips needed in an earlier run, on a device like that of whatever camera gets it
    for n in range(3):
        log.pool.submit(Job(f"s{n}", "f", f"s{n}", 1, chain(1, 12 + n)))
    log.until(lambda: log.ended("s0", "s1", "s2"))
    assert log.of("s1", JobDone)[0].rung == 2
    assert left not in {seat.node.host for seat in log.pool._pool.seats}
    del log.aside[left]
    log.until(lambda: log.of("", NodeTakenBack))
    assert [event.host for event in log.of("", NodeTakenBack)] == [left], "displays and metrics are told"


def test_a_node_with_other_code_is_refused_with_both_versions(
    log: Log, cluster: Nodes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for room in ("cluster", "director", "shots", "storage"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "shots/spec.py").open("a") as file:
        file.write("# edited\n")
    cluster.add("old", env_vars={"PYTHONPATH": str(tmp_path)})
    for n in range(3):
        log.pool.submit(Job(f"v{n}", "f", f"v{n}", 1, chain(1, 20 + n, STEPS)))
    log.until(lambda: "old is not used" in caplog.text)
    log.until(lambda: log.ended("v0", "v1", "v2"))
    assert all(log.of(f"v{n}", JobDone) for n in range(3))
    (line,) = [line for line in caplog.text.splitlines() if "old is not used" in line]
    assert code_version() in line
    assert len(set(re.findall(r"\+[0-9a-f]{12}", line))) == 2


def test_a_node_that_sees_another_store_is_refused_before_anything_is_rendered(
    log: Log, cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/proc/self/cwd` is another folder for each process, as any path is on machines that share no disk."""
    cluster.add("elsewhere", gpus=2)
    monkeypatch.chdir(tmp_path)
    store = "/proc/self/cwd/files"
    pool = RayPool(Terms(store, gpus=2.0, device="cpu"), Labs(store))
    with pytest.raises(NoCamera, match=rf"elsewhere does not see the store {store} of this machine.*longtake move"):
        until(lambda: pool.look(1) or pool.meet(), 120)
    assert list(tmp_path.glob("files/tmp/*"))
    pool.close()
    assert not list(tmp_path.glob("files/tmp/*")), "nothing is left to look for"


@pytest.mark.skipif(not os.environ.get("LONGTAKE_LONG"), reason="the long form: LONGTAKE_LONG=1")
def test_idle_cameras_make_room_for_another_run(log: Log, cluster: Nodes, longtake: Longtake, small: Path) -> None:
    for n in range(2):
        log.pool.submit(Job(f"i{n}", "f", f"i{n}", 1, chain(1, 30 + n)))
    log.until(lambda: log.ended("i0", "i1"))
    assert log.pool._pool.seats
    longtake.environment |= cluster.environment | {"RAY_ADDRESS": cluster.address}
    process = longtake.start("render", "small.yaml", "--on", "ray", "--device", "cpu", "--progress", "plain")
    log.until(lambda: process.poll() is not None)
    assert process.returncode == 0, process.communicate()
    log.pool.submit(Job("more", "f", "more", 1, chain(1, 40)))  # and the pool fills again
    log.until(lambda: log.ended("more"))
