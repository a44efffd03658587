"""Groups of one chain that run at the same time have the bits of one group, and of one clip after another."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from cluster.relay import Baton, Inbox
from shots.chain import Copies, Tail, copied_states, first_noise, heard
from shots.checkpoint import Checkpoint
from shots.errors import Interrupted, NeighbourLost, SpecError
from shots.models import describe
from shots.price import predicted_nfe
from shots.relay import NOISE, LiveTail, Share
from shots.sampling import sample
from shots.shoot import Footage, Model, load, shoot
from shots.spec import Cfg, ClipSpec, FreeNoise, Iid, ModelRef, NoChain, Recipe, VidRD, Windows
from shots.windows import Beside, averaging

from .test_chain import C, H, W, fresh_for, levels_for, lockstep, network, specs_of
from .test_methods import chained, everything, image  # noqa: F401  (a fixture)

Chain = Callable[..., list[ClipSpec]]


def never() -> bool:
    return False


def live(spec: ClipSpec, inbox: Inbox, stop: Callable[[], bool] = never) -> LiveTail:
    return LiveTail(spec.previous or "", lambda state: torch.from_numpy(np.array(inbox.take(state, stop))))


def at_once(groups: Sequence[Sequence[ClipSpec]], run: Callable, late: int | None = None) -> list:
    """What `run(n, specs, tail, share)` gives for each group, all in threads; one of them begins when others are done
    or wait for it."""
    inboxes, batons = [Inbox() for _ in groups], [Baton() for _ in groups]
    for baton, inbox in zip(batons, inboxes[1:], strict=False):
        baton.lead(inbox.put)
    others, failed = threading.Semaphore(0), threading.Event()

    def one(n: int) -> object:
        if n == late:
            for _ in range(late):  # those before do not need it; those after can only wait
                others.acquire()
        specs = groups[n]
        try:
            return run(n, specs, live(specs[0], inboxes[n], failed.is_set) if n else None, batons[n].share)
        except BaseException:
            failed.set()
            raise
        finally:
            others.release()

    with ThreadPoolExecutor(len(groups)) as pool:
        return [done.result(timeout=240) for done in [pool.submit(one, n) for n in range(len(groups))]]


def cut(specs: Sequence[ClipSpec], *at: int) -> list[list[ClipSpec]]:
    return [list(specs[a:b]) for a, b in itertools.pairwise([0, *at, len(specs)])]


def toy_group(solver: str) -> Callable:
    def run(_: int, specs: Sequence[ClipSpec], tail: LiveTail | None, share: Share) -> tuple[torch.Tensor, list[Tail]]:
        first, steps = specs[0], specs[0].sampler.steps
        noise = first_noise(specs, [fresh_for(s) for s in specs], tail)
        copies = Copies(first.recipe.chain, first.frames, len(specs), steps, tail, share)
        copies.share_all(noise)
        edits = {"before": (copies,), "after": (copies.last,)}
        return sample(noise, levels_for(steps), network, solver, **edits), copies.tails(specs, noise)

    return run


GRID = list(
    itertools.product(
        [(8, 0), (8, 1), (8, 4), (8, 5), (8, 8), (9, 5)],
        [0.0, 0.4, 1.0],
        ["staged", "constant"],
        ["reverse", "forward"],
        ["code", "paper"],
    )
)


@pytest.mark.parametrize(("shape", "beta", "schedule", "order", "counts"), GRID)
def test_groups_at_once_are_one_group(
    shape: tuple[int, int], beta: float, schedule: str, order: str, counts: str
) -> None:
    (n, m), solver = shape, "ddim" if beta == 0.4 else "dpmpp_2m"
    specs = specs_of(VidRD(m, 2.0, beta, schedule, order, counts), clips=4, frames=n, steps=5)
    together, tails = lockstep(specs, solver=solver)
    for groups in (cut(specs, 2), cut(specs, 1, 2)):
        made = at_once(groups, toy_group(solver))
        assert torch.equal(torch.cat([x for x, _ in made]), together)
        assert [t.to_bytes() for _, ts in made for t in ts] == [t.to_bytes() for t in tails]


@pytest.mark.parametrize("late", [1, 2])
def test_a_group_that_begins_late_hears_everything_so_far(late: int) -> None:
    specs = specs_of(VidRD(5, 2.0, 1.0, "staged", "forward", "paper"), clips=4, frames=8, steps=5)
    together, _ = lockstep(specs)
    made = at_once(cut(specs, 1, 2), toy_group("ddim"), late)
    assert torch.equal(torch.cat([x for x, _ in made]), together)


def test_what_is_heard_is_the_tail_that_is_stored() -> None:
    for chain in (VidRD(5, 2.0, 0.6, "staged", "reverse", "paper"), VidRD(3, 1.0, 0.0), VidRD(0)):
        specs = specs_of(chain, clips=3, frames=8, steps=5)
        inbox, baton = Inbox(), Baton()
        baton.lead(inbox.put)
        _, tails = toy_group("ddim")(0, specs[:2], None, baton.share)
        assert heard(live(specs[2], inbox), specs[2]).to_bytes() == tails[1].to_bytes()
        assert inbox.take(NOISE, never).shape[1] == 8
        with pytest.raises(Interrupted):  # nothing but what a tail holds was said
            inbox.take(copied_states(chain, 5), lambda: True)


def test_waiting_ends_when_told_to_stop_and_when_the_neighbour_is_lost() -> None:
    specs = specs_of(VidRD(4), clips=2, frames=8, steps=5)
    with pytest.raises(Interrupted):
        live(specs[1], Inbox(), lambda: True).noise  # noqa: B018
    inbox = Inbox()
    inbox.put(0, np.zeros(3, np.float32))
    threading.Timer(0.05, inbox.lose, ["camera-1 died"]).start()
    tail = live(specs[1], inbox)
    with pytest.raises(NeighbourLost, match="camera-1 died"):
        tail.noise  # noqa: B018
    assert inbox.missed
    assert tail.waiting
    assert tail.states[0].shape == (3,)  # what was said stays said
    assert not tail.waiting


def test_whoever_follows_late_or_again_is_told_everything() -> None:
    baton, first, second = Baton(), Inbox(), Inbox()
    baton.share(NOISE, torch.ones(2))
    baton.lead(first.put)
    baton.share(0, torch.zeros(2))
    baton.lead(second.put)
    baton.share(1, torch.full((2,), 2.0))
    assert [second.take(n, never).tolist() for n in (NOISE, 0, 1)] == [[1, 1], [0, 0], [2, 2]]
    assert first.take(0, never).tolist() == [0, 0]
    with pytest.raises(Interrupted):
        first.take(1, lambda: True)


class Studio:
    """Models for each of several groups that run at once: a model shoots one group at a time."""

    def __init__(self, refs: Sequence[ModelRef], groups: int) -> None:
        self.models = [
            {ref: load(describe(ref.id), device="cpu", threads=1) for ref in dict.fromkeys(refs)} for _ in range(groups)
        ]
        self.known: dict[str, list[Footage]] = {}

    def close(self) -> None:
        for models in self.models:
            for model in models.values():
                model.close()

    def shoot(self, n: int, specs: Sequence[ClipSpec], tail: object, share: Share | None, **more: object) -> list:
        models = self.models[n]
        return list(shoot(specs, models[specs[0].model], tail, others=models, on_share=share, **more))

    def whole(self, specs: Sequence[ClipSpec]) -> list[Footage]:
        """The clips as one group, made once."""
        key = specs[-1].key
        if key not in self.known:
            self.known[key] = self.shoot(0, specs, None, None)
        return self.known[key]


@pytest.fixture(scope="module")
def studio(tiny: Model, tiny_epsilon: Model, image: Model):  # noqa: F811
    made = Studio([tiny.card.ref(), tiny_epsilon.card.ref(), image.card.ref()], 3)
    yield made
    made.close()


def same(one: Footage, other: Footage) -> bool:
    return (
        torch.equal(one.latents, other.latents)
        and np.array_equal(one.frames, other.frames)
        and one.tail.to_bytes() == other.tail.to_bytes()
        and one.nfe == other.nfe
    )


def recipe_of(name: str, image: Model, teacher: Model) -> Recipe:  # noqa: F811
    """plain, or everything with M > N/2."""
    if name == "plain":
        return Recipe(Cfg(3.0), Iid(), VidRD(2, 4.0, 0.5, "staged", "reverse", "paper"))
    return replace(everything(image, teacher), chain=VidRD(5, 1.0, 1.0, "staged", "forward", "paper", "append"))


@pytest.mark.parametrize(("name", "solver", "clips"), [("plain", "ddim", 4), ("everything", "dpmpp_2m", 3)])
def test_real_networks_with_all_methods_on(
    name: str,
    solver: str,
    clips: int,
    studio: Studio,
    tiny: Model,
    tiny_epsilon: Model,
    image: Model,  # noqa: F811
    chain: Chain,
) -> None:
    specs = chain(tiny, clips, recipe=recipe_of(name, image, tiny_epsilon), prompts=("a red boat", "a blue star"))
    specs = chained(specs, solver)
    whole = studio.whole(specs)
    made = [footage for group in at_once(cut(specs, 1, clips - 1), studio.shoot) for footage in group]
    assert all(map(same, made, whole))
    assert [f.nfe for f in made] == [predicted_nfe(spec, levels=tiny.card.grid(specs[0])) for spec in specs]


def test_a_group_that_dies_goes_on_from_its_checkpoint_while_its_neighbour_waits(
    studio: Studio,
    tiny: Model,
    tiny_epsilon: Model,
    image: Model,  # noqa: F811
    chain: Chain,
) -> None:
    recipe = recipe_of("everything", image, tiny_epsilon)
    specs = chained(chain(tiny, 3, recipe=recipe, prompts=("a red boat", "a blue star")), "dpmpp_2m")

    def run(n: int, group: Sequence[ClipSpec], tail: LiveTail | None, share: Share) -> list[Footage]:
        if n:
            return studio.shoot(n, group, tail, share)
        kept: list[bytes] = []

        def die(done: int, _: int) -> None:
            if done == 2:
                raise Interrupted

        keep = {"on_state": lambda i, make: kept.append(make().to_bytes("me")), "on_step": die}
        with pytest.raises(Interrupted):
            studio.shoot(0, group, None, share, **keep)
        return studio.shoot(0, group, None, Again(share), start=Checkpoint.from_bytes(kept[-1]))

    made = [footage for group in at_once(cut(specs, 2), run) for footage in group]
    assert all(map(same, made, studio.whole(specs)))


class Again:
    """A new process knows nothing of what the dead one has said: it begins with everything so far."""

    def __init__(self, share: Share) -> None:
        self.share, self.said = share, list[int]()

    def __call__(self, state: int, frames: torch.Tensor) -> None:
        assert state == NOISE + len(self.said)
        self.said.append(state)
        self.share(state, frames)


@pytest.mark.parametrize(("states", "lost"), [(0, True), (2, False), (4, True)])
def test_a_group_that_is_left_alone_goes_on_later_from_the_stored_tail_and_the_other_way_round(
    states: int,
    lost: bool,
    studio: Studio,
    tiny: Model,
    tiny_epsilon: Model,
    image: Model,  # noqa: F811
    chain: Chain,
) -> None:
    """Cut off while it waits for a state, in the middle of a step: nothing is copied or counted twice afterwards."""
    recipe = recipe_of("everything", image, tiny_epsilon)
    specs = chained(chain(tiny, 3, recipe=recipe, prompts=("a red boat", "a blue star")), "dpmpp_2m")[:2]
    first, second = studio.whole(specs)
    said: dict[int, np.ndarray] = {}
    studio.shoot(0, specs[:1], None, lambda state, frames: said.update({state: frames.numpy()}))
    inbox, kept = Inbox(), list[Checkpoint]()
    for state in range(NOISE, states):
        inbox.put(state, said[state])
    if lost:
        inbox.lose("camera-1 died")
    tail = live(specs[1], inbox, lambda: not lost)
    with pytest.raises(NeighbourLost if lost else Interrupted):
        studio.shoot(1, specs[1:], tail, None, on_state=lambda i, make: kept.append(make()))
    # Of the last state `on_state` hears once more, so that whoever keeps few checkpoints keeps this one.
    assert [c.step for c in kept] == {0: [], 2: [1, 2, 2], 4: [1, 2, 3, 3]}[states]
    start = Checkpoint.from_bytes(kept[-1].to_bytes("me")) if kept else None
    (stored,) = studio.shoot(1, specs[1:], first.tail, None, start=start)
    for state, frames in said.items():
        inbox.put(state, frames)
    (heard_again,) = studio.shoot(1, specs[1:], live(specs[1], inbox), None, start=start)
    assert same(stored, second)
    assert same(heard_again, second)


def test_a_live_tail_of_another_clip_is_refused_at_once(tiny: Model, chain: Chain) -> None:
    specs = chain(tiny, 3, recipe=Recipe(chain=VidRD(2)))
    with pytest.raises(SpecError, match="but the tail is that of"):
        shoot(specs[1:], tiny, LiveTail(specs[1].key, lambda state: pytest.fail("nobody waits")))
    alone = chain(tiny, 1, recipe=Recipe(chain=NoChain()))
    assert next(shoot(alone, tiny, on_share=lambda state, frames: pytest.fail("nothing is left to a next clip")))


def test_noise_of_another_size_is_refused(tiny: Model, chain: Chain) -> None:
    specs = chain(tiny, 2, recipe=Recipe(chain=VidRD(2)))
    with pytest.raises(SpecError, match="clips of one chain have one size"):
        next(shoot(specs[1:], tiny, LiveTail(specs[0].key, lambda state: torch.zeros(4, 3, 2, 2))))


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize(("frames", "overlap"), [(6, 0), (6, 1), (6, 3), (6, 4), (6, 5), (5, 3)])
def test_windows_in_groups_at_once_are_one_group(frames: int, overlap: int, solver: str) -> None:
    """Both ways, also where a frame is shared by windows of three groups."""
    noise = torch.randn(5, C, frames, H, W, generator=torch.Generator().manual_seed(3))
    levels = levels_for(6)
    whole = sample(noise, levels, network, solver, joint=averaging(overlap))

    def run(_: int, begin: int, end: int, beside: Beside) -> torch.Tensor:
        return sample(noise[begin:end], levels, network, solver, joint=averaging(overlap, begin, beside))

    for ends in ([0, 5], [0, 2, 5], [0, 4, 5], [0, 1, 2, 5], [0, 1, 2, 3, 4, 5]):
        made = windows_at_once(ends, run)
        assert torch.equal(torch.cat(made), whole), ends


@pytest.mark.parametrize("overlap", [2, 4])
def test_real_windows_in_groups_at_once(overlap: int, studio: Studio, tiny: Model, chain: Chain) -> None:
    recipe = Recipe(Cfg(3.0), FreeNoise(), Windows(overlap))
    specs = chain(tiny, 4, recipe=recipe, prompts=("a red boat", "a blue star"))
    specs = [replace(spec, previous=None, together="all") for spec in specs]
    whole = studio.shoot(0, specs, None, None)

    def run(n: int, begin: int, end: int, beside: Beside) -> list[Footage]:
        return studio.shoot(n, specs[begin:end], None, None, beside=beside)

    made = [footage for group in windows_at_once([0, 1, 4], run) for footage in group]
    for one, other in zip(made, whole, strict=True):
        assert torch.equal(one.latents, other.latents)
        assert np.array_equal(one.frames, other.frames)


def test_drafts_in_groups_at_once(studio: Studio, tiny: Model, tiny_epsilon: Model, image: Model, chain: Chain) -> None:  # noqa: F811
    """A clip that ends early leaves fewer states, and nobody waits for others."""
    specs: list[ClipSpec] = []
    for spec in chain(tiny, 3, recipe=recipe_of("plain", image, tiny_epsilon), prompts=("a red boat", "a blue star")):
        previous = specs[-1].key if specs else None
        specs.append(replace(spec, sampler=replace(spec.sampler, stop_after=2), previous=previous))
    made = [footage for group in at_once(cut(specs, 1, 2), studio.shoot) for footage in group]
    assert all(map(same, made, studio.whole(specs)))
    for one, other in zip(made, studio.whole(specs), strict=True):
        assert one.state.to_bytes("me") == other.state.to_bytes("me")


def test_windows_beside_others_make_no_drafts_and_are_all_there(tiny: Model, chain: Chain) -> None:
    specs = [replace(s, previous=None) for s in chain(tiny, 2, recipe=Recipe(chain=Windows(2)))]
    beside = Beside(hear_right=lambda state: pytest.fail("nobody waits"))
    draft = replace(specs[0], sampler=replace(specs[0].sampler, stop_after=2))
    with pytest.raises(SpecError, match="go on to the last step"):
        shoot([draft], tiny, beside=beside)
    with pytest.raises(SpecError, match="from clip 0"):
        shoot(specs[1:], tiny, beside=beside)
    with pytest.raises(SpecError, match="only windows"):
        shoot(chain(tiny, 1, recipe=Recipe(chain=VidRD(2))), tiny, beside=beside)


def windows_at_once(ends: Sequence[int], run: Callable[[int, int, int, Beside], object]) -> list:
    """`run(n, begin, end, beside)` for each group of windows, in threads, with mailboxes both ways between them."""
    groups = list(itertools.pairwise(ends))
    right, left = [Inbox() for _ in groups], [Inbox() for _ in groups]  # what comes from the right, from the left

    def hear(inbox: Inbox) -> Callable[[int], torch.Tensor]:
        return lambda state: torch.from_numpy(inbox.take(state, never))

    def tell(inbox: Inbox) -> Share:
        return lambda state, frames: inbox.put(state, frames.numpy())

    def one(n: int) -> object:
        first, last = n == 0, n + 1 == len(groups)
        beside = Beside(
            None if first else hear(left[n]),
            None if first else tell(right[n - 1]),
            None if last else hear(right[n]),
            None if last else tell(left[n + 1]),
        )
        return run(n, *groups[n], beside)

    with ThreadPoolExecutor(len(groups)) as pool:
        return [done.result(timeout=240) for done in [pool.submit(one, n) for n in range(len(groups))]]
