"""The same worker code here and on Ray: same frames, and a worker that is really killed costs only its job."""

import contextlib
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cluster.errors import ClusterMismatch, ClusterUnreachable, NoCamera
from cluster.executor import InProcess
from cluster.job import ENDINGS, ClipDone, Job, JobDone, JobFailed, JobStopped, Sampled, Started, Stepped
from cluster.notice import seconds_to_notice
from cluster.ray_connection import refused
from cluster.ray_executor import OnRay
from cluster.ray_labs import Labs
from cluster.ray_nodes import Node, gpus_per_camera
from shots.models import describe
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler
from storage.errors import FileDamaged, FileMissing
from storage.files import Files


def chain(clips: int, steps: int = 3, seed: int = 5, model: ModelRef | None = None) -> tuple[ClipSpec, ...]:
    specs: list[ClipSpec] = []
    for index in range(clips):
        before = specs[-1].key if specs else None
        prompt = "a red boat floating over the sea by day"
        specs.append(
            ClipSpec(
                model or describe("pocket").ref(),
                64,
                64,
                8,
                prompt,
                "",
                seed,
                index,
                Sampler(steps=steps),
                Recipe(),
                before,
            )
        )
    return tuple(specs)


def finish(executor, jobs: int = 1, seconds: float = 280, act=lambda event: None) -> list:
    """All events until `jobs` jobs have ended."""
    events, deadline = [], time.monotonic() + seconds
    while sum(isinstance(e, ENDINGS) for e in events) < jobs:
        assert time.monotonic() < deadline, events
        for event in executor.wait(0.5):
            events.append(event)
            act(event)
    return events


def digests(events) -> dict[str, str]:
    return {e.take.key: e.take.frames_digest for e in events if isinstance(e, ClipDone)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "files"


@pytest.fixture(scope="module")
def here(store):
    """Frames of a chain of four clips rendered in this process, in one group."""
    executor = InProcess(store)
    executor.submit(Job("a", "f", "s", 1, chain(4)))
    events = finish(executor)
    executor.close()
    return events


@pytest.fixture(scope="module")
def ray(store):
    executor = OnRay(store, cameras=2, decode_beside="on")
    yield executor
    session = executor._connection._session
    assert session.exists()
    executor.close()
    assert not session.exists(), "what Ray has written goes with it"


def test_events_tell_the_whole_story(here):
    kinds = [type(e).__name__ for e in here]
    assert kinds[0] == "Started"
    assert kinds[-1] == "JobDone"
    assert [(e.step, e.steps) for e in here if isinstance(e, Stepped)] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [e.index for e in here if isinstance(e, ClipDone)] == [0, 1, 2, 3]
    done = here[-1]
    assert 0 < done.busy <= done.wall


def test_a_take_is_stored_whole(here, store):
    from shots.frames import frames_digest, probe, read_take

    files = Files(store)
    take = next(e.take for e in here if isinstance(e, ClipDone))
    assert frames_digest(read_take(files.open_verified(take.video))) == take.frames_digest
    assert files.verify(take.latents)
    assert files.verify(take.tail)
    assert '"kind": "longtake.take"' in probe(files.open_verified(take.video)).tags["longtake"]
    assert take.nfe == 3 * 2


def test_ray_gives_the_same_frames_also_group_after_group(here, ray, store):
    specs = chain(4)
    ray.submit(Job("b1", "f", "s", 1, specs[:2]))
    first = finish(ray)
    tail = [e.take.tail for e in first if isinstance(e, ClipDone)][-1]
    ray.submit(Job("b2", "f", "s", 3, specs[2:], tail))
    assert digests(first) | digests(finish(ray)) == digests(here)


def test_labs_do_what_they_are_given_in_order_and_say_what_was_wrong(ray, store):
    files, desk = Files(store), ray.desk()
    ids = [files.put_bytes(b"x" * n) for n in range(1, 30)]
    assert desk.each(Files.size, ids) == list(range(1, 30))
    (lab,) = [p for p in psutil.Process().children(recursive=True) if p.name().startswith("ray::Lab")]
    lab.kill()
    assert desk.home(Files.size, ids[4]) == 5
    assert desk.each(Files.size, ids) == list(range(1, 30)), "one that died is there again"
    files.path(ids[3]).chmod(0o600)
    files.path(ids[3]).write_bytes(b"")
    files.remove(ids[6])
    with pytest.raises(FileDamaged) as damaged:
        desk.each(Files.open_verified, ids[:5])
    assert damaged.value.id == ids[3], "the very error, for whoever makes the clip again"
    with pytest.raises(FileMissing) as missing:
        desk.home(Files.open_verified, ids[6])
    assert (missing.value.id, str(missing.value)) == (ids[6], str(FileMissing(ids[6], missing.value.path)))


def test_a_killed_worker_fails_its_job_and_is_replaced(here, ray):
    pids = {}

    def kill(event):
        if isinstance(event, Started):
            pids[event.job] = event.worker.pid
        if isinstance(event, Stepped) and event.job == "k":
            os.kill(pids["k"], signal.SIGKILL)

    ray.submit(Job("k", "f", "s", 1, chain(4)))
    ray.submit(Job("other", "f", "s", 1, chain(2, seed=6)))
    events = finish(ray, jobs=2, act=kill)
    ended = {e.job: e for e in events if isinstance(e, ENDINGS)}
    assert isinstance(ended["other"], JobDone)
    assert isinstance(ended["k"], JobFailed)
    assert not ended["k"].failure.machine
    assert ended["k"].failure.error == "WorkerDied"
    ray.submit(Job("again", "f", "s", 1, chain(4)))
    assert digests(finish(ray)) == digests(here)


@pytest.mark.skipif(not os.environ.get("LONGTAKE_LONG"), reason="test_darkroom has the short form: LONGTAKE_LONG=1")
def test_a_worker_that_dies_when_all_is_sampled_costs_the_decoding(here, ray):
    pids = {}

    def kill(event):
        if isinstance(event, Started):
            pids[event.job] = event.worker.pid
        if isinstance(event, Sampled):
            os.kill(pids[event.job], signal.SIGKILL)

    ray.submit(Job("s", "f", "s", 1, chain(4)))
    events = finish(ray, act=kill)
    if isinstance(events[-1], JobFailed):  # else it was quicker than we
        assert events[-1].failure.error == "WorkerDied"
        ray.submit(Job("again", "f", "s", 1, chain(4)))
        more = finish(ray)
        assert [e.step for e in more if isinstance(e, Stepped)] == [0], "nothing is sampled again"
        events += more
    assert digests(events) == digests(here)


@pytest.mark.parametrize("kind", ["here", "ray"])
def test_what_a_model_cannot_load_is_a_failure_not_a_crash(kind, store, request, caplog):
    caplog.set_level("INFO")  # as the command line does; cameras on Ray do so themselves
    executor = InProcess(store) if kind == "here" else request.getfixturevalue("ray")
    executor.submit(Job("x", "f", "s", 1, chain(1, model=ModelRef("/nowhere/model", "sha256:0", "animatediff"))))
    ending = finish(executor)[-1]
    assert isinstance(ending, JobFailed)
    assert ending.failure.error == "ModelNotFound"
    assert "/nowhere/model" in ending.failure.message
    assert ending.failure.machine
    assert "Traceback" in ending.failure.trace
    assert "job x: clips 1 to 1" in ending.failure.log_tail
    if kind == "here":
        executor.close()


def test_cancel_stops_between_two_steps(store):
    executor = InProcess(store)
    executor.submit(Job("c", "f", "s", 1, chain(1, steps=400)))
    executor.submit(Job("never", "f", "s", 1, chain(1)))
    events = finish(executor, jobs=2, act=lambda e: executor.cancel() if isinstance(e, Stepped) else None)
    assert [type(e) for e in events if isinstance(e, ENDINGS)] == [JobStopped, JobStopped]
    assert sum(isinstance(e, Stepped) for e in events) < 10
    executor.close()


def test_a_ray_of_our_own_listens_on_loopback_alone(ray):
    """Ray itself listens on all interfaces."""
    heard = set()
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            heard |= {each.laddr.ip for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
    assert heard
    assert heard <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_it_is_the_time_until_a_death_is_noticed(ray):
    assert seconds_to_notice(ray, Job("n", "f", "s", 1, chain(1, steps=200, seed=8))) > 0


def test_a_job_that_is_withdrawn_stops_and_its_camera_takes_another(ray):
    ray.submit(Job("w", "f", "s", 1, chain(1, steps=400, seed=9)))
    events = finish(ray, act=lambda e: ray.withdraw("w") if isinstance(e, Stepped) else None)
    assert events[-1] == JobStopped("w")
    ray.submit(Job("x1", "f", "s", 1, chain(1, seed=10)))
    ray.withdraw("unknown")
    assert isinstance(finish(ray)[-1], JobDone)


def test_on_ray_too_a_sampled_job_hands_its_tail_down_to_the_one_that_waits(ray):
    """The other camera has something to do, so the two come one after another; nobody here says what the tail is."""
    specs = chain(2, seed=11)
    ray.submit(Job("long", "f", "s", 1, chain(1, steps=1000, seed=9)))
    finished = 0

    def act(event):
        nonlocal finished
        if isinstance(event, Stepped) and event.job == "long" and not event.step:
            ray.submit(Job("first", "f", "s", 1, specs[:1]))
            ray.submit(Job("second", "f", "s", 2, specs[1:], chain=specs[:1], follows="first"))
        finished += isinstance(event, JobDone)
        if finished == 2:
            ray.withdraw("long")

    events = finish(ray, jobs=3, act=act)
    assert events[-1] == JobStopped("long")
    told = [(type(e), e.job) for e in events]
    assert told.index((Sampled, "first")) < told.index((Started, "second"))
    assert len({e.worker.pid for e in events if isinstance(e, Started)}) == 2
    assert set(digests(events)) == {spec.key for spec in specs}


def test_how_many_cameras_a_node_holds():
    node = Node("n", "host", cpus=3, gpus=2)
    assert [node.room(gpus) for gpus in (0, 1, 2, 0.5, 0.1)] == [3, 2, 1, 3, 3]
    assert Node("n", "host", cpus=0, gpus=2).room(1) == 0
    assert gpus_per_camera(None, {"n": node}) == 1
    assert gpus_per_camera(None, {"n": replace(node, gpus=0)}) == 0
    assert gpus_per_camera(0.5, {"n": node}) == 0.5
    with pytest.raises(NoCamera, match=r"asks for 1 GPUs.*host: 0.*--gpus-per-camera 0"):
        gpus_per_camera(1, {"n": replace(node, gpus=0)})


def test_other_versions_of_ray_or_python_are_told_with_both():
    told = "Version mismatch: The cluster was started with:\n Ray: 2.9.0\nThis process was started with:\n Ray: 2.60"
    error = refused("host:1", RuntimeError(told))
    assert isinstance(error, ClusterMismatch)
    assert "2.9.0" in str(error)
    assert "2.60" in str(error)
    assert "\n" not in str(error)


def test_labs_that_are_closed_reach_for_ray_no_more(tmp_path: Path) -> None:
    labs = Labs(str(tmp_path))
    labs.close()
    for ask in (lambda: labs.each(Files.exists, ["x"]), lambda: labs.on("a node")):
        with pytest.raises(ClusterUnreachable, match="this run has left it"):
            ask()
