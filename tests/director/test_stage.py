"""The real run loop and a real ledger on simulated cameras: failures, followers, holds, other producers."""

import random
import time
from dataclasses import replace

import pytest

from cluster.job import (
    ClipDone,
    Failure,
    Job,
    JobDone,
    JobFailed,
    JobStopped,
    NodeSetAside,
    NodeTakenBack,
    Started,
)
from cluster.parts import Shared
from cluster.trust import ASIDE_SECONDS
from director.bench.cluster import run_loop
from director.bench.simulated import Simulated, Times, film, made
from director.dispatch import GIB, remembered
from shots.spec import Recipe, Windows
from storage.ledger import Ledger
from storage.owner import Owner
from storage.states import AttemptState

QUICK = Times(load=0.0, job=0.0)
DIED = Failure("WorkerDied", "the worker died", worker=True)
BAD = Failure("BadFootage", "not a number", "Traceback\n in decode\n")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("director.failing.FIRST_PAUSE", 0.01)


def attempts(folder, plan) -> list:
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        found = ledger.attempts_of(clip.key for clip in plan.clips)
        return [attempt for each in found.values() for attempt in each]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("together", [False, True])
def test_cameras_that_die_at_random_cost_attempts_and_nothing_else(tmp_path, seed, together):
    chance = random.Random(seed)
    plans = [film("a", [20, 3, 9]), film("b", [33])]
    cluster = Simulated(3, QUICK, seed, together, mishap=lambda job, _: DIED if chance.random() < 0.25 else None)
    results, _ = run_loop(plans, cluster, tmp_path)
    assert [(r.state, r.rendered) for r in results] == [("done", 32), ("done", 33)]
    for plan in plans:
        done = [each.key for each in attempts(tmp_path, plan) if each.state == AttemptState.DONE]
        assert sorted(done) == sorted(clip.key for clip in plan.clips)


def test_a_failed_job_is_tried_on_another_camera(tmp_path):
    tried = []

    def once(job: Job, _: int) -> Failure | None:
        tried.append(job.avoid)
        return DIED if len(tried) == 1 else None

    (result,), _ = run_loop([film("a", [2])], Simulated(2, QUICK, mishap=once), tmp_path)
    assert result.state == "done"
    assert tried[0] == ""
    workers = [each.worker for each in attempts(tmp_path, result.plan)]
    assert tried[1] in workers
    assert len(set(workers)) == 2


def test_a_bad_film_does_not_keep_the_others(tmp_path):
    bad = film("bad", [9, 1])
    poison = bad.shots[0].clips[0].key
    cluster = Simulated(2, QUICK, together=True, mishap=lambda job, _: BAD if poison in job.keys else None)
    results, _ = run_loop([bad, film("good", [12])], cluster, tmp_path)
    assert [result.state for result in results] == ["partial", "done"]
    assert results[0].rendered == 1
    assert "BadFootage: not a number" in results[0].message
    failed = [each for each in attempts(tmp_path, bad) if each.state == AttemptState.FAILED and each.key == poison]
    assert len(failed) == 2
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert [hold.chain_key for hold in ledger.holds()] == [poison]


def test_groups_that_do_not_fit_are_halved_and_those_like_them_are_smaller_at_once(tmp_path):
    sizes = []

    def full(job: Job, memory: int) -> Failure | None:
        sizes.append(len(job.keys))
        return Failure("OutOfMemory", "no room", memory=True) if len(job.keys) > 2 else None

    (result,), _ = run_loop([film("a", [16])], Simulated(1, QUICK, memory=[24 * GIB], mishap=full), tmp_path)
    assert (result.state, result.rendered) == ("done", 16)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    sizes.clear()
    run_loop([film("b", [8, 1])], Simulated(1, QUICK, memory=[24 * GIB], mishap=full), tmp_path)
    assert sizes == [2, 2, 2, 2, 1], "and in the next run, too"
    sizes.clear()
    run_loop([film("c", [8])], Simulated(1, QUICK, memory=[80 * GIB], mishap=full), tmp_path)
    assert sizes[0] == 8, "another device may hold more"


def test_a_clip_alone_goes_to_the_camera_with_more_memory(tmp_path):
    def full(job: Job, memory: int) -> Failure | None:
        return Failure("OutOfMemory", "no room", memory=True) if memory < 80 else None

    (result,), _ = run_loop([film("a", [1])], Simulated(2, QUICK, memory=[24, 80], mishap=full), tmp_path)
    assert result.state == "done"
    (result,), _ = run_loop([film("b", [1], "c")], Simulated(2, QUICK, memory=[24, 40], mishap=full), tmp_path)
    assert result.state == "partial"
    assert "the most that a camera here has" in result.message


class Climbing(Simulated):
    """Cameras that have to go down the memory ladder with larger clips, and remember where they were told to begin."""

    def __init__(self, memory=24 * GIB):
        super().__init__(1, QUICK, memory=[memory])
        self.told = []

    def submit(self, job):
        self.told.append(job.rung)
        super().submit(job)

    def wait(self, timeout):
        return [replace(e, rung=2) if isinstance(e, JobDone) else e for e in super().wait(timeout)]


def test_the_rung_that_was_needed_is_where_the_next_job_and_the_next_run_begin(tmp_path):
    first, second, other, larger = Climbing(), Climbing(), Climbing(), Climbing(80 * GIB)
    run_loop([film("a", [9])], first, tmp_path)
    assert (first.told[0], first.told[-1]) == (0, 2)
    run_loop([film("b", [1])], second, tmp_path)
    assert second.told == [2]
    run_loop([film("c", [1], "another model")], other, tmp_path)
    run_loop([film("d", [1])], larger, tmp_path)
    assert other.told == larger.told == [0], "it is remembered for that model and that device"
    job = Job("j", "e", "s0", 1, (film("e", [1]).clips[0].spec,))
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:  # where the director does not know the cameras yet
        assert [remembered(ledger, job, memory * GIB) for memory in (0, 24, 48)] == [0, 2, 0]
        assert remembered(ledger, replace(job, rung=3), 24 * GIB) == 3


class Naming(Simulated):
    """Sets a node aside and takes another back, before anything else."""

    said = False

    def wait(self, timeout):
        if self.said:
            return super().wait(timeout)
        self.said = True
        return [NodeSetAside("far", "three failures"), NodeTakenBack("near")]


def test_a_node_that_is_set_aside_stands_in_the_ledger_for_a_time(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_aside("near", "its disk is full")
        run_loop([film("a", [1])], Naming(1, QUICK), tmp_path)
        assert ledger.aside() == {"far": "three failures"}
        with ledger._write() as connection:
            connection.exec_driver_sql(f"UPDATE asides SET ended_at = ended_at - {round(ASIDE_SECONDS * 1e6)}")
        assert ledger.aside() == {}


class MiddleDies(Simulated):
    """Of three groups of a chain the one in the middle dies, and the one after it has to stop; the first stands still
    until all three run again."""

    killed, rejoined, patience = False, False, 400

    def wait(self, timeout):
        if self.rejoined or self.patience == 0:
            return super().wait(timeout)
        self._seat_all()
        self.rejoined = self.killed and len(self._at_work) == 3
        if self.killed or len(self._at_work) < 3:
            self.patience -= 1
            time.sleep(0.01)
        else:
            self.killed = True
            _, middle, last = list(self._at_work.values())
            died = middle.job
            self._stop(middle)
            self._spare[-1] = JobFailed(died.id, DIED)
            self._stop(last, "the clips before it failed")
        events, self._spare = self._spare, []
        return events


def test_when_a_follower_dies_it_follows_again_and_so_does_the_one_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr("director.production.LOOK", 0.02)
    cluster = MiddleDies(3, QUICK, together=True)
    (result,), _ = run_loop([film("a", [24])], cluster, tmp_path)
    assert cluster.rejoined
    assert (result.state, result.rendered) == ("done", 24)


class TwoCameras(Simulated):
    """Each job of windows is shared by two cameras. The first time the second of them dies."""

    def __init__(self):
        super().__init__(1, Times(load=0.0, job=5.0))
        self.sharing, self.failed, self.lockstep = {}, False, 0

    def submit(self, job):
        self.lockstep = job.lockstep
        self.sharing[job.id] = Shared(job, 2)
        super().submit(job)

    def wait(self, timeout):
        return [each for event in super().wait(timeout) for each in self._told(event)]

    def _told(self, event):
        sharing = self.sharing[event.job]
        left, right = sharing.parts
        if isinstance(event, Started):
            workers = {part: replace(event.worker, name=f"camera-{n}") for n, part in enumerate((left, right))}
            return [each for part, worker in workers.items() for each in sharing.told(part, Started(part.id, worker))]
        if isinstance(event, ClipDone):
            part = right if event.index >= len(left.keys) else left
            return sharing.told(part, replace(event, job=part.id, index=event.index - part.first + 1))
        if isinstance(event, JobDone):
            return [each for part in sharing.parts for each in sharing.told(part, replace(event, job=part.id))]
        ends = JobStopped(left.id, "ended early"), JobFailed(right.id, event.failure)
        return [*sharing.told(right, ends[1]), *sharing.told(left, ends[0])]


def test_a_job_that_two_cameras_share_has_attempts_of_both_and_only_one_of_them_failed(tmp_path):
    plan = film("a", [4])
    recipe = Recipe(chain=Windows(2))
    clips = [replace(clip, spec=replace(clip.spec, recipe=recipe, previous=None)) for clip in plan.shots[0].clips]
    specs = [replace(clip.spec, together="all") for clip in clips]
    clips = [replace(clip, spec=spec, key=spec.key) for clip, spec in zip(clips, specs, strict=True)]
    plan = replace(plan, shots=(replace(plan.shots[0], clips=tuple(clips)),))
    tries = []

    def once(job: Job, _: int) -> Failure | None:
        tries.append((job.lockstep, job.avoid))
        return DIED if len(tries) == 1 else None

    cluster = TwoCameras()
    cluster._mishap = once
    (result,), _ = run_loop([plan], cluster, tmp_path)
    assert (result.state, result.rendered) == ("done", 4)
    assert tries == [(8, ""), (8, "camera-1")], "the camera that died is avoided"
    keys = [clip.key for clip in clips]
    told = [(keys.index(each.key), each.state, each.worker) for each in attempts(tmp_path, plan)]
    stopped, failed, done = AttemptState.INTERRUPTED, AttemptState.FAILED, AttemptState.DONE
    before = [(0, stopped, "camera-0"), (1, stopped, "camera-0"), (2, failed, "camera-1"), (3, failed, "camera-1")]
    assert sorted(told) == sorted([*before, *[(n, done, worker) for n, _, worker in before]])


def test_a_clip_that_another_production_renders_is_waited_for(tmp_path):
    """Its owner finishes one clip and dies over the next: the first is taken as it is, the second is rendered here."""
    plan = film("a", [3])
    first, second, _ = (clip.key for clip in plan.clips)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        rows = [_slate(clip) for clip in plan.clips]
        other = ledger.start_production("other", "t", "p", "d", "{}", rows)
        gone = Owner("elsewhere", "machine", 1, 1)
        claims = ledger.claim_clips([first, second], 2, gone, ttl=3.0)
        assert len(claims) == 2

    def finish(job: Job, _: int) -> Failure | None:
        return None

    cluster = Simulated(1, QUICK, mishap=finish)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        (number,) = ledger.begin_attempts(other, [first], "cpu", "w", gone)
        spec = plan.clips[0].spec
        taken = []

        class Late(Simulated):
            def wait(self, timeout):
                if not taken and self.stopped:
                    taken.append(ledger.finish_attempt(number, made(spec, first)))
                return super().wait(timeout)

            stopped = False

            def withdraw(self, job_id):
                self.stopped = True
                super().withdraw(job_id)

        cluster = Late(1, QUICK)
        (result,), _ = run_loop([plan], cluster, tmp_path)
    assert (result.state, result.rendered, result.cached) == ("done", 2, 1)
    assert [each.key for each in attempts(tmp_path, plan) if each.key == first] == [first]


def _slate(clip):
    from shots.spec import canonical
    from storage.rows import SlateRow

    return SlateRow(clip.slate.shot, clip.slate.clip, clip.key, canonical(clip.spec.to_dict()))


def test_takes_that_the_film_does_not_show_come_last(tmp_path):
    from dataclasses import replace

    shown, spare = film("a", [1, 1, 1]), film("spare", [1] * 3)
    others = [
        tuple(replace(clip, slate=replace(clip.slate, shot="s0", take=n)) for clip in shot.clips)
        for n, shot in enumerate(spare.shots, 2)
    ]
    shot = replace(shown.shots[0], others=tuple(others))
    order = []

    def note(job: Job, _: int) -> None:
        order.append(job.rank.extra)

    (result,), _ = run_loop(
        [replace(shown, shots=(shot, *shown.shots[1:]))], Simulated(1, QUICK, mishap=note), tmp_path
    )
    assert result.state == "done"
    assert order == [False] * 3 + [True] * 3


def test_clips_at_work_when_three_processes_died_come_last_and_are_not_held(tmp_path):
    plan = film("a", [1, 1])
    key = plan.clips[0].key
    for _ in range(3):
        with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
            lease = ledger.claim_film("a", Owner.here())
            production = ledger.start_production("a", "t", "p", "d", "{}", [_slate(c) for c in plan.clips], lease)
            ledger.begin_attempts(production, [key], "cpu", "w")
            lease.release()
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.claim_film("a").release()
        assert len(ledger.losses([key])[key]) == 3
    order = []

    def note(job: Job, _: int) -> None:
        order.append((job.keys[0] == key, job.rank.extra))

    (result,), _ = run_loop([plan], Simulated(1, QUICK, mishap=note), tmp_path)
    assert result.state == "done"
    assert order == [(False, False), (True, True)]


def test_a_deadline_and_a_priority_reach_the_cameras(tmp_path):
    from dataclasses import replace

    from director.planned import Terms

    terms = Terms(priority=3, deadline="2030-01-01 00:00+00:00", share=2.0)
    seen = []

    def note(job: Job, _: int) -> None:
        seen.append(job.rank)

    run_loop([replace(film("a", [9]), terms=terms)], Simulated(1, QUICK, mishap=note), tmp_path)
    first, last = seen
    assert (first.priority, first.deadline, first.share) == (3, 1893456000.0, 2.0)
    assert (first.work, first.path, last.work, last.path) == (400, 450, 50, 50)


def test_a_film_that_another_process_took_over_ends_and_the_others_go_on(tmp_path):
    from sqlalchemy import update

    from storage.tables import leases

    def steal(job: Job, _: int) -> None:
        with Ledger.open(tmp_path / "ledger.sqlite") as ledger, ledger._write() as connection:
            connection.execute(update(leases).where(leases.c.resource == "film:a").values(fence=99))

    results, _ = run_loop([film("a", [9, 9]), film("b", [9])], Simulated(1, QUICK, mishap=steal), tmp_path)
    assert [result.state for result in results] == ["failed", "done"]
    assert "taken this film over" in results[0].message


def test_a_damaged_tail_is_rendered_again_before_what_goes_on_from_it(tmp_path):
    order = []

    def damaged(job: Job, _: int) -> Failure | None:
        order.append((job.first, len(job.keys)))
        first_time = order.count((9, 1)) == 1 and job.first == 9
        return Failure("FileDamaged", "not what it was", file=job.tail, machine=True) if first_time else None

    (result,), _ = run_loop([film("a", [9])], Simulated(1, QUICK, mishap=damaged), tmp_path)
    assert result.state == "done"
    assert order == [(1, 8), (9, 1), (8, 1), (9, 1)]
