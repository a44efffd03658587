"""Decoding beside the sampling of the next clips: the same frames, in order, and whatever goes wrong costs its own job.

That the two overlap is shown by interlocks, never by seconds: a decoder that waits until the network is asked for the
next clip, and a network that waits for the decoder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster.bookmark import Every
from cluster.camera import Camera
from cluster.executor import InProcess
from cluster.job import ENDINGS, ClipDone, Event, Job, JobDone, JobFailed, JobStopped, Sampled, Started, Stepped
from cluster.ray_camera import RayCamera
from shots.made_up import save
from shots.models import describe
from shots.spec import Cfg, ClipSpec, Iid, ModelRef, Recipe, Sampler, VidRD
from storage.files import Files

STEPS = 3
LONG = 60.0
"""Seconds after which something that is waited for will not come."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return describe(str(save("animatediff", tmp_path_factory.mktemp("models") / "tiny"))).ref()


def clips(model: ModelRef, count: int, seed: int = 5) -> list[ClipSpec]:
    specs: list[ClipSpec] = []
    recipe = Recipe(Cfg(3.0), Iid(), VidRD(overlap=2))
    for index in range(count):
        before = specs[-1].key if specs else None
        specs.append(ClipSpec(model, 16, 32, 6, "a boat", "", seed, index, Sampler(steps=STEPS), recipe, before))
    return specs


def jobs(model: ModelRef, count: int, seed: int = 5) -> list[Job]:
    """A chain in jobs of one clip, each following the one before."""
    specs = clips(model, count, seed)
    return [
        Job(f"{seed}.{n}", "f", "s", n + 1, (spec,), chain=tuple(specs[:n]), follows=f"{seed}.{n - 1}" if n else None)
        for n, spec in enumerate(specs)
    ]


class Watched:
    """A camera's decoder and network, stopped and counted. on_decode, on_network: called before each call."""

    def __init__(self, camera: Camera) -> None:
        (model,) = camera._models.values()
        self.model = model
        self.decodes = self.calls = 0
        self.on_decode: Callable[[], object] = lambda: None
        self.on_network: Callable[[], object] = lambda: None
        model.pipe.vae.decoder.register_forward_pre_hook(self._decode)
        model.backbone.network.register_forward_pre_hook(self._network)

    def _decode(self, *_: object) -> None:
        self.decodes += 1
        self.on_decode()

    def _network(self, *_: object) -> None:
        self.calls += 1
        self.on_network()


def waits(event: threading.Event) -> None:
    assert event.wait(LONG), "it was waited for in vain"


class Shop:
    """A camera that is warm, and what it says."""

    def __init__(self, folder: Path, model: ModelRef, beside: str = "on", every: Every = Every()) -> None:
        self.camera = Camera(folder, device="cpu", threads=2, checkpoint_every=every, decode_beside=beside)  # type: ignore[arg-type]
        self.camera.shoot(replace(jobs(model, 1, seed=1)[0], id="warm"), lambda event: None, lambda: False)
        self.camera._darkroom.clear()
        self.watched = Watched(self.camera)
        self.events: list[Event] = []

    def shoot(self, job: Job, stop: Callable[[], bool] = lambda: False) -> None:
        self.camera.shoot(job, self.events.append, stop)

    def chain(self, those: Sequence[Job]) -> None:
        """One after another, each as soon as its tail is stored."""
        for job in those:
            tail = next((e.tail for e in reversed(self.events) if isinstance(e, Sampled)), None)
            if tail is None:
                tail = next((e.take.tail for e in reversed(self.events) if isinstance(e, ClipDone)), None)
            self.shoot(replace(job, tail=tail if job.follows else None))

    def close(self) -> list[Event]:
        self.camera.close()
        return self.events


@pytest.fixture
def shop(tmp_path: Path, tiny: ModelRef) -> Iterator[Shop]:
    made = Shop(tmp_path / "files", tiny)
    yield made
    made.watched.on_decode = made.watched.on_network = lambda: None
    made.camera.close()


@pytest.fixture(scope="module")
def plainly(tiny: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipDone]:
    """Job -> its clip, of a chain of three, each decoded before the next is sampled."""
    shop = Shop(tmp_path_factory.mktemp("plainly"), tiny, "off")
    shop.chain(jobs(tiny, 3))
    assert not any(isinstance(e, Sampled) for e in shop.events)
    return {e.job: e for e in shop.close() if isinstance(e, ClipDone)}


def same(events: Sequence[Event], plainly: dict[str, ClipDone], *those: str) -> bool:
    found = {e.job: e.take for e in events if isinstance(e, ClipDone)}
    assert set(found) == set(those)
    told = ("frames_digest", "latents", "tail", "nfe", "key")
    return all(getattr(found[job], name) == getattr(plainly[job].take, name) for job in those for name in told)


def ends(events: Sequence[Event]) -> list[tuple[str, str]]:
    return [(type(e).__name__, e.job) for e in events if isinstance(e, ENDINGS)]


def test_a_clip_is_decoded_while_the_next_of_its_chain_is_sampled(
    tmp_path: Path, tiny: ModelRef, plainly: dict[str, ClipDone]
) -> None:
    executor = InProcess(tmp_path / "files", "cpu", 2, decode_beside="on")
    events: list[Event] = []

    def until(count: int) -> None:
        deadline = time.monotonic() + LONG
        while len(ends(events)) < count:
            assert time.monotonic() < deadline, events
            events.extend(executor.wait(0.1))

    executor.submit(jobs(tiny, 1, seed=1)[0])
    until(1)
    watched, asked, decoding = Watched(executor._camera), threading.Event(), threading.Event()
    second = clips(tiny, 2)[1].key

    def on_network() -> None:
        if second in {job.keys[0] for job in executor._running.values()}:
            waits(decoding)
            asked.set()

    def on_decode() -> None:
        decoding.set()
        waits(asked)

    watched.on_network, watched.on_decode = on_network, on_decode
    for job in jobs(tiny, 3):
        executor.submit(job)
    until(4)
    executor.close()
    told = [(type(e).__name__, e.job) for e in events if not isinstance(e, Stepped) and e.job != "1.0"]
    assert told.index(("Started", "5.1")) < told.index(("ClipDone", "5.0"))
    for n in range(3):
        mine = [name for name, job in told if job == f"5.{n}"]
        assert mine == ["Started", "Sampled", "ClipDone", "JobDone"]
    for n in range(2):  # one job waits for its decoding at most
        assert told.index(("JobDone", f"5.{n}")) < told.index(("Sampled", f"5.{n + 1}"))
    assert same([e for e in events if e.job != "1.0"], plainly, "5.0", "5.1", "5.2")


def test_a_camera_on_ray_hears_of_both_jobs(tmp_path: Path, tiny: ModelRef, plainly: dict[str, ClipDone]) -> None:
    camera = RayCamera(str(tmp_path / "files"), "c", "cpu", 2, Every(), None, "on")
    list(camera.shoot(jobs(tiny, 1, seed=1)[0]))
    watched, over = Watched(camera._camera), threading.Event()
    watched.on_decode = lambda: waits(over)
    first, second = jobs(tiny, 2)
    stream, events = camera.shoot(first), list[Event]()
    while not isinstance(event := next(stream), Sampled):
        events.append(event)
    for other in camera.shoot(replace(second, tail=event.tail)):
        events.append(other)
        if isinstance(other, Stepped) and other.step == other.steps:
            over.set()  # only now, when all of the second is sampled, may the first be decoded
    events += list(stream)
    assert ends(events) == [("JobDone", "5.1"), ("JobDone", "5.0")]  # as they are listened to here
    assert same(events, plainly, "5.0", "5.1")


def test_a_crash_while_decoding_fails_its_job_alone_and_costs_no_sampling(
    shop: Shop, tiny: ModelRef, plainly: dict[str, ClipDone]
) -> None:
    sampling = threading.Event()
    first, second = jobs(tiny, 2)

    def on_decode() -> None:
        if shop.camera._darkroom.job is first:
            waits(sampling)
            raise RuntimeError("the decoder broke")

    shop.watched.on_decode = on_decode
    shop.shoot(first)
    shop.watched.on_network = sampling.set
    tail = next(e.tail for e in shop.events if isinstance(e, Sampled))
    shop.shoot(replace(second, tail=tail))
    shop.camera._darkroom.clear()
    assert sorted(ends(shop.events)) == [("JobDone", "5.1"), ("JobFailed", "5.0")]
    failed = next(e for e in shop.events if isinstance(e, JobFailed))
    assert failed.failure.message == "the decoder broke"
    assert "decode" in failed.failure.trace
    before = shop.watched.calls
    shop.shoot(replace(first, id="5.0"))
    shop.camera._darkroom.clear()
    assert shop.watched.calls == before, "it was only decoded"
    assert same(shop.events, plainly, "5.0", "5.1")
    assert not list(Path(shop.camera._files.root).glob("checkpoints/*"))


KILLED = """
import os, pickle, signal, sys, threading
from dataclasses import replace
from pathlib import Path
from tests.cluster.test_darkroom import Shop, jobs, waits
from cluster.bookmark import Every
from cluster.job import Sampled
model = pickle.loads(bytes.fromhex(sys.argv[2]))
shop, sampling = Shop(Path(sys.argv[1]), model, every=Every(0)), threading.Event()
def die():
    waits(sampling)
    os.kill(os.getpid(), signal.SIGKILL)
shop.watched.on_decode = die
first, second = jobs(model, 2)
shop.shoot(first)
shop.watched.on_network = sampling.set
shop.shoot(replace(second, tail=next(e.tail for e in shop.events if isinstance(e, Sampled))))
"""


def test_kill_9_while_one_is_decoded_and_the_next_sampled_costs_the_decoding(
    tmp_path: Path, tiny: ModelRef, plainly: dict[str, ClipDone]
) -> None:
    """Also where no checkpoints were asked for: the last one is kept all the same."""
    import pickle

    command = [sys.executable, "-c", KILLED, str(tmp_path / "files"), pickle.dumps(tiny).hex()]
    root = str(Path(__file__).parents[2])
    killed = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    shop = Shop(tmp_path / "files", tiny)
    shop.chain(jobs(tiny, 2)[:1])
    shop.camera._darkroom.clear()
    assert shop.watched.calls == 0
    assert shop.watched.decodes > 0
    assert same(shop.events, plainly, "5.0")
    shop.chain(jobs(tiny, 2)[1:])
    assert same(shop.close(), plainly, "5.0", "5.1")


def test_a_stop_drops_what_is_not_decoded_yet_and_the_next_try_decodes_it(
    shop: Shop, tiny: ModelRef, plainly: dict[str, ClipDone]
) -> None:
    """Two clips in one job, decoded one by one."""
    stopping, sampling = threading.Event(), threading.Event()
    shop.watched.model.pool.threads = 1  # type: ignore[union-attr]  # as on an accelerator
    first, second = clips(tiny, 2)
    both, other = Job("both", "f", "s", 1, (first, second)), replace(jobs(tiny, 1, seed=9)[0], id="other")

    def on_decode() -> None:
        if shop.camera._darkroom.job is both:
            waits(sampling)
            stopping.set()

    shop.watched.on_decode = on_decode
    shop.shoot(both, stopping.is_set)
    shop.watched.on_network = lambda: (sampling.set(), waits(stopping))
    shop.shoot(other, stopping.is_set)
    shop.camera._darkroom.clear()
    assert sorted(ends(shop.events)) == [("JobStopped", "both"), ("JobStopped", "other")]
    assert [e.take.key for e in shop.events if isinstance(e, ClipDone)] == [first.key]
    shop.watched.on_decode = shop.watched.on_network = lambda: None
    before = shop.watched.calls
    shop.shoot(replace(both, specs=(second,), first=2, tail=plainly["5.0"].take.tail, chain=(first,)))
    shop.camera._darkroom.clear()
    assert shop.watched.calls == before
    digests = [e.take.frames_digest for e in shop.events if isinstance(e, ClipDone)]
    assert digests == [plainly[job].take.frames_digest for job in ("5.0", "5.1")]


@pytest.mark.parametrize("lacking", ["decoding", "sampling"])
def test_too_little_memory_for_both_is_one_after_the_other_from_then_on(
    shop: Shop, tiny: ModelRef, plainly: dict[str, ClipDone], lacking: str
) -> None:
    sampling, decoding, failed = threading.Event(), threading.Event(), threading.Event()

    def lack() -> None:
        if not failed.is_set():
            failed.set()
            raise torch.OutOfMemoryError("CUDA out of memory")

    def on_decode() -> None:
        decoding.set()
        if not failed.is_set():
            waits(sampling)
            lack() if lacking == "decoding" else waits(failed)

    first, second, third = jobs(tiny, 3)
    shop.watched.on_decode = on_decode
    shop.shoot(first)

    def on_network() -> None:
        waits(decoding)
        sampling.set()
        lack() if lacking == "sampling" else waits(failed)

    shop.watched.on_network = on_network
    tail = next(e.tail for e in shop.events if isinstance(e, Sampled))
    shop.shoot(replace(second, tail=tail))
    tail = next(e.take.tail for e in shop.events if isinstance(e, ClipDone) and e.job == "5.1")
    shop.shoot(replace(third, tail=tail))
    shop.camera._darkroom.clear()
    assert sorted(ends(shop.events)) == [("JobDone", f"5.{n}") for n in range(3)]
    assert [e.job for e in shop.events if isinstance(e, Sampled)] == ["5.0"]
    done = {e.job: e for e in shop.events if isinstance(e, JobDone)}
    assert (done["5.2"].apart, done["5.2"].rung) == (True, 0), "everything stays on the device"
    assert same(shop.events, plainly, "5.0", "5.1", "5.2")


def test_where_it_is_not_done(shop: Shop, tiny: ModelRef) -> None:
    for beside, job, expected in [
        ("auto", jobs(tiny, 1)[0], 0),  # a CPU
        ("off", jobs(tiny, 1)[0], 0),
        ("on", replace(jobs(tiny, 1)[0], apart=True), 0),  # somebody has found out before
        ("on", jobs(tiny, 1)[0], 1),
        ("on", replace(jobs(tiny, 1)[0], rung=1), 0),  # memory is short
    ]:
        shop.events.clear()
        shop.camera._beside = beside  # type: ignore[assignment]
        shop.shoot(job)
        shop.camera._darkroom.clear()
        assert isinstance(shop.events[-1], JobDone)
        assert sum(isinstance(e, Sampled) for e in shop.events) == expected, (beside, job)


def test_the_first_job_of_a_chain_hands_its_tail_down_to_those_that_wait(tmp_path: Path, tiny: ModelRef) -> None:
    executor = InProcess(tmp_path / "files", "cpu", 2, decode_beside="on")
    first, second = jobs(tiny, 2)
    executor.submit(second)
    executor.submit(first)
    seen: list[Event] = []
    deadline = time.monotonic() + LONG
    while len(ends(seen)) < 2:
        assert time.monotonic() < deadline, seen
        seen.extend(executor.wait(0.1))
    assert [e.job for e in seen if isinstance(e, Started)] == ["5.0", "5.1"]
    assert Files(tmp_path / "files").verify(next(e.tail for e in seen if isinstance(e, Sampled)) or "")
    executor.submit(replace(second, id="again", tail=None))
    executor.cancel()
    assert any(isinstance(e, JobStopped) for e in executor.wait(1.0))
    executor.close()
