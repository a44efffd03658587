"""Parts of a job of windows: divided, abreast of each other, stopped and gone on from, with the bits of the whole."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from cluster.beside import Abreast, Side
from cluster.bookmark import Every
from cluster.job import (
    ClipDone,
    Event,
    Failure,
    Job,
    JobDone,
    JobFailed,
    JobStopped,
    Loading,
    Part,
    Started,
    Stepped,
    Worker,
)
from cluster.milestones import Milestones, forget
from cluster.parts import Shared, cameras_for, divided, most_cameras
from cluster.relay import Inbox
from shots.checkpoint import Checkpoint
from shots.errors import Interrupted, NeighbourLost
from shots.sampling import State, sample
from shots.spec import VidRD, Windows
from shots.windows import averaging
from storage.checkpoints import Checkpoints
from storage.files import Files
from storage.remote_checkpoints import RemoteCheckpoints
from storage.rows import TakeRow
from tests.shots.test_chain import C, H, W, levels_for, network, specs_of

STEPS = 9
SOLVERS = {1: "ddim", 3: "dpmpp_2m", 4: "ddim", 5: "dpmpp_2m"}
"""By the overlap of six frames: below and above half of them."""


def job_of(overlap: int = 3, clips: int = 5, lockstep: int = 2) -> Job:
    specs = tuple(replace(each, together="all") for each in specs_of(Windows(overlap), clips, 6, STEPS))
    return Job("j", "f", "s", 1, specs, lockstep=lockstep)


@dataclass
class Shot:
    """Toy windows: one step of each part after another, in threads, with checkpoints in a real folder.

    stopped: by number of the part, the step after which its camera is told to stop. dies: the same, killed while it
    makes that step. made, ends: of each part of the last run, the first and the last step that it made. far: the
    address of a store elsewhere; then each part has a disk of its own.
    """

    root: Path
    overlap: int
    every: Every = field(default_factory=lambda: Every(0.0, 2))
    stopped: dict[int, int] = field(default_factory=dict)
    dies: dict[int, int] = field(default_factory=dict)
    made: dict[int, list[int]] = field(default_factory=dict)
    far: str = ""

    def run(self, count: int) -> list[torch.Tensor | Exception]:
        """What each part ends with."""
        parts = divided(job_of(self.overlap), count)
        mine = [{name: Inbox() for name in (part.part.left, part.part.right) if name} for part in parts]
        self.made = {n: [] for n in range(count)}

        def side(n: int, name: str) -> Side | None:
            other = int(name.rpartition(":")[2]) if name else 0
            return Side(mine[n][name], mine[other][parts[n].id].put) if name else None

        def one(n: int) -> torch.Tensor | Exception:
            part = parts[n].part
            try:
                return self._part(parts[n], (side(n, part.left), side(n, part.right)))
            except (Interrupted, NeighbourLost, ZeroDivisionError) as error:
                return error
            finally:
                for other in mine:
                    if parts[n].id in other:
                        other[parts[n].id].lose("it has ended")

        with ThreadPoolExecutor(count) as pool:
            return [done.result(timeout=60) for done in [pool.submit(one, n) for n in range(count)]]

    def _part(self, job: Job, sides: tuple[Side | None, Side | None]) -> torch.Tensor:
        n, made = job.part.number, self.made[job.part.number]
        abreast = Abreast(job.part, STEPS, sides, lambda: bool(made) and made[-1] >= self.stopped.get(n, STEPS + 1))
        store = RemoteCheckpoints(self.root / str(n), self.far, 0.5) if self.far else Checkpoints(self.root)
        milestones = Milestones(store, job, "me", self.every)
        starts = milestones.starts(Files(self.root), ())
        start = starts.get(abreast.begin(starts))

        def on_state(state: State) -> None:
            made.append(state.i)
            if abreast.keeps(state.i, milestones.due):
                nfe = {"nfe": torch.zeros(len(job.keys), dtype=torch.int64)}
                milestones.keep(lambda: Checkpoint(job.keys, state.tensors() | nfe))

        def on_step(step: int, _: int) -> None:
            if step == self.dies.get(n):
                raise ZeroDivisionError
            if abreast.ends(step):
                raise Interrupted

        first = job.specs[0].index
        return sample(
            noise(self.overlap)[first : first + len(job.specs)],
            levels_for(STEPS),
            network,
            SOLVERS[self.overlap],
            joint=averaging(self.overlap, first, abreast.beside),
            start=State.from_tensors(start.tensors) if start else None,
            on_state=on_state,
            on_step=on_step,
        )


def noise(overlap: int) -> torch.Tensor:
    return torch.randn(5, C, 6, H, W, generator=torch.Generator().manual_seed(overlap))


def whole(overlap: int) -> torch.Tensor:
    return sample(noise(overlap), levels_for(STEPS), network, SOLVERS[overlap], joint=averaging(overlap))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("overlap", [1, 3, 4, 5])
def test_parts_are_the_whole(overlap: int, count: int, tmp_path: Path) -> None:
    made = Shot(tmp_path, overlap).run(count)
    assert torch.equal(torch.cat(made), whole(overlap))


@pytest.mark.parametrize(("overlap", "count", "who", "again"), [(1, 2, 1, 3), (3, 3, 2, 2), (4, 3, 1, 1), (5, 5, 4, 3)])
def test_all_stop_after_the_step_that_one_names_and_go_on_from_there_in_other_parts(
    overlap: int, count: int, who: int, again: int, tmp_path: Path
) -> None:
    shot = Shot(tmp_path, overlap, Every(1000.0), stopped={who: 3})
    assert {type(each) for each in shot.run(count)} == {Interrupted}
    after = 3 + count - 1
    assert {made[-1] for made in shot.made.values()} == {after}, "the first step that everybody knows of in time"
    shot.stopped = {}
    made = shot.run(again)
    assert {steps[0] for steps in shot.made.values()} == {after + 1}
    assert torch.equal(torch.cat(made), whole(overlap))


@pytest.mark.parametrize("overlap", [1, 4])
@pytest.mark.parametrize("stopped", [{0: 3, 4: 2}, {0: 2, 4: 3}, {0: 4, 1: 3, 2: 2}, {1: 2, 2: 2}])
def test_several_that_are_told_to_stop_agree(overlap: int, stopped: dict[int, int], tmp_path: Path) -> None:
    shot = Shot(tmp_path, overlap, Every(1000.0), stopped=stopped)
    assert {type(each) for each in shot.run(5)} == {Interrupted}
    assert {made[-1] for made in shot.made.values()} == {min(stopped.values()) + 4}


@pytest.mark.parametrize(
    ("known", "step"),
    [([{2, 4, 6}, {4, 6}, {2, 4}], 4), ([{2}, {4}, {2, 4}], 0), ([set(), {3}, {3}], 0), ([{5}] * 3, 5)],
)
def test_parts_begin_after_the_furthest_step_that_all_know(known: Sequence[set[int]], step: int) -> None:
    """Their cameras may see different disks."""
    inboxes = [[Inbox(), Inbox()] for _ in known]

    def one(n: int) -> int:
        left = Side(inboxes[n][0], inboxes[n - 1][1].put) if n else None
        right = Side(inboxes[n][1], inboxes[n + 1][0].put) if n < 2 else None
        return Abreast(Part("j", (), n, 3), STEPS, (left, right), lambda: False).begin(known[n])

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, range(3), timeout=60)) == [step] * 3


@pytest.mark.parametrize(
    ("overlap", "count", "who", "again"), [(1, 2, 0, 3), (3, 3, 1, 3), (4, 3, 2, 2), (5, 3, 0, 1), (4, 2, 1, 2)]
)
def test_one_dies_and_all_go_back_to_the_last_step_that_all_have(
    overlap: int, count: int, who: int, again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.beside.ON_ITS_WAY", 0.1)
    shot = Shot(tmp_path, overlap, Every(0.0, 2), dies={who: 7})
    ended = shot.run(count)
    assert {n: type(each) for n, each in enumerate(ended)} == {
        n: ZeroDivisionError if n == who else NeighbourLost for n in range(count)
    }
    shot.dies = {}
    made = shot.run(again)
    (begun,) = {steps[0] for steps in shot.made.values()}
    assert 4 <= begun <= 8
    assert torch.equal(torch.cat(made), whole(overlap))


def test_a_part_keeps_what_another_may_lack_and_no_more(tmp_path: Path) -> None:
    part = divided(job_of(), 3)[0]
    milestones = Milestones(Checkpoints(tmp_path), part, "me", Every(0.0, 1))
    for step in range(1, 8):
        milestones.keep(lambda step=step: checkpoint(part, step))
        kept = sorted(milestones.starts(Files(tmp_path), ()))
        assert kept == [s for s in range(1, step + 1) if s >= step - 3], "the one that all have, and all after it"
    milestones.close()
    assert Checkpoints(tmp_path).held(), "others may need it yet"
    forget(Checkpoints(tmp_path), job_of().keys)
    assert not Checkpoints(tmp_path).held()


def test_a_step_counts_when_every_clip_has_it_in_whichever_files(tmp_path: Path) -> None:
    job = job_of()
    two, three = divided(job, 2), divided(job, 3)
    assert [len(part.specs) for part in two] == [3, 2]
    for part, step in ((two[0], 4), (two[1], 6), (three[2], 4), (three[1], 4), (three[1], 6)):
        Milestones(Checkpoints(tmp_path), part, "me").keep(lambda part=part, step=step: checkpoint(part, step))
    Milestones(Checkpoints(tmp_path), two[1], "other code").keep(lambda: checkpoint(two[1], 4))
    found = Milestones(Checkpoints(tmp_path), job, "me").find()
    assert (found.step, found.keys) == (4, job.keys)
    assert found.tensors["x"][:, 0].tolist() == [1, 2, 3, 4, 5]
    assert sorted(Milestones(Checkpoints(tmp_path), three[1], "me").starts(Files(tmp_path), ())) == [4, 6]
    whole = checkpoint(job, 5)
    drafted = replace(whole, tensors={**whole.tensors, "estimate": torch.zeros(5, 2)})
    Milestones(Checkpoints(tmp_path), job, "me").keep(lambda: drafted)
    found = Milestones(Checkpoints(tmp_path), job, "me").find()
    assert found.step == 5
    assert "estimate" in found.tensors, "a finished draft shows it"
    Milestones(Checkpoints(tmp_path), job, "me").close()
    assert not Checkpoints(tmp_path).held()


def checkpoint(job: Job, step: int) -> Checkpoint:
    """Of each clip its number in the shot."""
    numbers = torch.arange(job.first, job.first + len(job.specs)).view(-1, 1)
    empty = torch.zeros(0, dtype=torch.bool)
    return Checkpoint(job.keys, {"i": torch.tensor(step), "x": numbers, "usable": empty, "nfe": numbers[:, 0].clone()})


def test_told_to_stop_before_the_beginning_and_left_alone_there() -> None:
    part = Part("j", (), 1, 2)
    inbox, said = Inbox(), list[tuple]()
    side = Side(inbox, lambda *words: said.append(words))
    with pytest.raises(Interrupted):
        Abreast(part, STEPS, (side, None), lambda: True).begin([3])
    inbox.lose("camera-1 ended")
    with pytest.raises(NeighbourLost, match="camera-1 ended"):
        Abreast(part, STEPS, (side, None), lambda: False).begin([3])
    assert not said


def test_what_is_on_its_way_when_a_neighbour_ends_is_waited_for() -> None:
    inbox = Inbox()
    inbox.lose("it has ended")
    threading.Timer(0.1, inbox.put, (4, torch.ones(1).numpy(), (0, 7))).start()
    assert inbox.take(4, lambda: False, patience=30).tolist() == [1]
    assert inbox.marks(4) == (0, 7)
    inbox.forget(5)
    with pytest.raises(NeighbourLost):
        inbox.take(4, lambda: False)


def test_who_may_be_divided() -> None:
    job = job_of(clips=5, lockstep=2)
    assert most_cameras(job) == 3
    assert most_cameras(replace(job, lockstep=0)) == 1
    assert most_cameras(replace(job, lockstep=8)) == 1
    assert most_cameras(divided(job, 2)[0]) == 1
    assert [cameras_for(job, free) for free in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert [cameras_for(job_of(clips=4, lockstep=1), free) for free in (1, 2, 3, 4, 5)] == [1, 2, 2, 4, 4]
    draft = tuple(replace(each, sampler=replace(each.sampler, stop_after=3)) for each in job.specs)
    assert most_cameras(replace(job, specs=draft)) == 1
    assert most_cameras(replace(job, specs=tuple(specs_of(VidRD(2), 5, 6, STEPS)))) == 1
    assert most_cameras(job_of(overlap=0)) == 1, "they would not hear of each other"


def test_parts_are_even_and_know_their_neighbours() -> None:
    job = replace(job_of(), first=4, starts=tuple("abcde"))
    parts = divided(job, 3)
    assert [part.keys for part in parts] == [job.keys[:2], job.keys[2:4], job.keys[4:]]
    assert [part.first for part in parts] == [4, 6, 8]
    assert [part.starts for part in parts] == [("a", "b"), ("c", "d"), ("e",)]
    assert [(part.part.left, part.part.right) for part in parts] == [("", "j:1"), ("j:0", "j:2"), ("j:1", "")]
    assert {part.whole for part in parts} == {"j"}
    assert {part.part.group for part in parts} == {job.specs}
    assert divided(replace(job, starts=("a",)), 2)[0].starts == ()


WORKER = Worker("camera-1", "host", 1, "cpu", "0")


def events_of(shared: Shared, *told: tuple[int, Callable[[str], Event]]) -> list[Event]:
    return [event for n, make in told for event in shared.told(shared.parts[n], make(shared.parts[n].id))]


def test_the_events_of_parts_are_those_of_one_job() -> None:
    job = job_of()
    shared = Shared(job, 2)
    row = TakeRow("k", "v", "l", None, 8, 64, 64, "d", 1, {}, 1, "0", {}, "m")
    told = events_of(
        shared,
        (1, lambda j: Started(j, WORKER)),
        (1, lambda j: Loading(j, "m")),
        (1, lambda j: Stepped(j, 0, 9)),
        (0, lambda j: Started(j, WORKER)),
        (0, lambda j: Stepped(j, 0, 9)),
        (0, lambda j: Stepped(j, 1, 9)),
        (1, lambda j: Stepped(j, 1, 9)),
        (1, lambda j: ClipDone(j, 1, row)),
        (1, lambda j: JobDone(j, 2.0, 5.0, 1)),
        (0, lambda j: JobDone(j, 3.0, 4.0, 2)),
    )
    assert told == [
        Started("j", WORKER, job.keys[3:]),
        Loading("j", "m"),
        Started("j", WORKER, job.keys[:3]),
        Stepped("j", 0, 9),
        Stepped("j", 1, 9),
        ClipDone("j", 4, row),
        JobDone("j", 5.0, 5.0, 2),
    ]
    assert shared.over


DIED = Failure("WorkerDied", "the worker died", worker=True)


@pytest.mark.parametrize(
    ("endings", "ending"),
    [
        ([(2, lambda j: JobStopped(j, "left")), (1, lambda j: JobFailed(j, DIED)), (0, JobStopped)], "failed"),
        ([(0, JobStopped), (1, lambda j: JobStopped(j, "a is being drained")), (2, JobStopped)], "a is being drained"),
        ([(0, lambda j: JobDone(j, 1, 1)), (1, JobStopped), (2, JobStopped)], ""),
    ],
)
def test_the_whole_ends_with_the_last_part_and_as_the_first_that_did_not_end_well(
    endings: Sequence[tuple[int, Callable[[str], Event]]], ending: str
) -> None:
    job = job_of()
    (told,) = events_of(Shared(job, 3), *endings)
    assert told == (JobFailed("j", DIED, job.keys[2:4]) if ending == "failed" else JobStopped("j", ending))
    assert not list(itertools.chain(*[Shared(job, 3).told(divided(job, 3)[0], JobStopped("j:0"))]))


@pytest.mark.parametrize(("overlap", "count", "again"), [(3, 3, 3), (4, 2, 3), (5, 3, 1)])
def test_machines_without_a_shared_disk_go_on_from_a_store_elsewhere(
    overlap: int, count: int, again: int, tmp_path: Path
) -> None:
    far = f"memory://{tmp_path.name}/films"
    shot = Shot(tmp_path / "first", overlap, far=far, dies={1: 7})
    shot.run(count)
    shot = Shot(tmp_path / "second", overlap, far=far)
    made = shot.run(again)
    assert all(steps[0] > 1 for steps in shot.made.values()), "no part begins anew"
    assert torch.equal(torch.cat(made), whole(overlap))


def test_what_waits_to_be_sent_does_not_come_after_the_job_is_done(tmp_path: Path) -> None:
    far = f"memory://{tmp_path.name}/films"
    job = job_of()
    milestones = Milestones(RemoteCheckpoints(tmp_path / "here", far, 0.5), job, "me", Every(1000.0))
    for step in (2, 4, STEPS):
        milestones.keep(lambda step=step: checkpoint(job, step))
    assert RemoteCheckpoints(tmp_path / "here", far, 0.5).held()
    milestones.close()
    assert not RemoteCheckpoints(tmp_path / "here", far, 0.5).held()
