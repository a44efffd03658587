"""VidRD: what must hold, against a plain implementation of the paper's recursion written here."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from shots.chain import Copies, Tail, check_chain, copied_states, first_noise, sources
from shots.denoiser import Prediction
from shots.errors import SpecError
from shots.levels import Level
from shots.price import predicted_nfe
from shots.rng import clip_noise
from shots.sampling import State, sample
from shots.spec import Cfg, ClipSpec, FreeNoise, Iid, ModelRef, NoChain, Recipe, Sampler, VidRD, Windows

C, H, W = 2, 3, 3


def specs_of(chain: VidRD | NoChain | Windows, clips: int, frames: int, steps: int) -> list[ClipSpec]:
    specs: list[ClipSpec] = []
    for k in range(clips):
        previous = specs[-1].key if specs and isinstance(chain, VidRD) else None
        recipe = Recipe(Cfg(1.0), Iid(), chain)
        model = ModelRef("m", "sha256:0", "animatediff")
        specs.append(ClipSpec(model, 8, 8, frames, f"clip {k}", "", 1, k, Sampler("ddim", steps), recipe, previous))
    return specs


def levels_for(steps: int) -> tuple[Level, ...]:
    sigmas = [1 - i / steps for i in range(steps + 1)]
    return tuple(Level(i, 1000 * s, (1 - s * s) ** 0.5, s) for i, s in enumerate(sigmas))


def network(x: torch.Tensor, level: Level) -> Prediction:
    """Ties all frames of a clip together, and no clips; only correctly rounded operations, so no batch effects."""
    around = x + 0.5 * x.roll(1, dims=-3)
    for j in range(x.shape[-3]):
        around = around - 0.1 * x[..., j : j + 1, :, :]
    x0 = around / (1 + around.abs()) + level.sigma
    return Prediction(x0, x - level.alpha * x0)


def fresh_for(spec: ClipSpec) -> torch.Tensor:
    return clip_noise(spec.seed, "frames", spec.start, (C, spec.frames, H, W))


def lockstep(specs: list[ClipSpec], tail: Tail | None = None, solver: str = "ddim") -> tuple[torch.Tensor, list[Tail]]:
    first = specs[0]
    noise = first_noise(specs, [fresh_for(s) for s in specs], tail)
    copies = Copies(first.recipe.chain, first.frames, len(specs), first.sampler.steps, tail)
    x = sample(noise, levels_for(first.sampler.steps), network, solver, before=(copies,), after=(copies.last,))
    return x, copies.tails(specs, noise)


def by_the_paper(specs: list[ClipSpec]) -> torch.Tensor:
    """One clip after another, every state of the previous clip stored, frame by frame, as published."""
    chain, n, steps = specs[0].recipe.chain, specs[0].frames, specs[0].sampler.steps
    m, levels = chain.overlap, levels_for(steps)
    source = {j: n - 1 - j if chain.order == "reverse" else n - m + j for j in range(m)}
    a = chain.alpha / (1 + chain.alpha**2) ** 0.5
    b = 1 / (1 + chain.alpha**2) ** 0.5
    done, stored, started = [], [], None
    for spec in specs:
        x = fresh_for(spec)
        if started is not None:
            fresh = x.clone()
            for j in range(n):
                base = started[:, n - 1 - j] if chain.order == "reverse" else started[:, (j - m) % n]
                x[:, j] = base if j < m else a * base + b * fresh[:, j]
        started, before, stored = x.clone(), stored, []
        for i in range(steps):
            x = x.clone()
            for j in range(m):
                share = 1 - j / m if chain.schedule == "staged" else 1
                if chain.counts == "code" and before and i < round(chain.beta * steps * share, 9):
                    x[:, j] = before[i][:, source[j]]
            stored.append(x)
            x0, eps = network(x, levels[i])
            x = levels[i + 1].alpha * x0 + levels[i + 1].sigma * eps
            for j in range(m):
                # The paper's t counts down from T: step i is t = T - i, and its result z_{t-1} is copied.
                share = j / m if chain.schedule == "staged" else 0
                if (
                    chain.counts == "paper"
                    and before
                    and steps - i > (1 - chain.beta + chain.beta * share) * steps + 1e-9
                ):
                    x[:, j] = before[i + 1][:, source[j]]
        stored.append(x)
        done.append(x)
    return torch.stack(done)


GRID = list(
    itertools.product(
        [(8, 0), (8, 1), (8, 4), (8, 5), (8, 7), (8, 8), (9, 5), (16, 4)],
        [0.0, 0.4, 1.0],
        ["staged", "constant"],
        ["reverse", "forward"],
        ["code", "paper"],
    )
)


@pytest.mark.parametrize(("shape", "beta", "schedule", "order", "counts"), GRID)
def test_lockstep_is_one_after_another(
    shape: tuple[int, int], beta: float, schedule: str, order: str, counts: str
) -> None:
    n, m = shape
    specs = specs_of(VidRD(m, 2.0, beta, schedule, order, counts), clips=4, frames=n, steps=5)
    together, tails = lockstep(specs)
    assert torch.equal(together, by_the_paper(specs))
    # From stored tails, with every way to cut the chain into two groups: same bits, and the same tails.
    for cut in (1, 2, 3):
        stored = Tail.from_bytes(tails[cut - 1].to_bytes())
        rest, rest_tails = lockstep(specs[cut:], stored)
        assert torch.equal(rest, together[cut:])
        assert [t.to_bytes() for t in rest_tails] == [t.to_bytes() for t in tails[cut:]]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 9),
    steps=st.integers(1, 6),
    beta=st.floats(0, 1),
    alpha=st.floats(0, 100),
    schedule=st.sampled_from(["staged", "constant"]),
    order=st.sampled_from(["reverse", "forward"]),
    counts=st.sampled_from(["code", "paper"]),
)
def test_lockstep_is_one_after_another_for_any_settings(
    data: st.DataObject, n: int, steps: int, beta: float, alpha: float, schedule: str, order: str, counts: str
) -> None:
    m = data.draw(st.integers(0, n))
    specs = specs_of(VidRD(m, alpha, beta, schedule, order, counts), clips=3, frames=n, steps=steps)
    together, tails = lockstep(specs)
    torch.testing.assert_close(together, by_the_paper(specs), rtol=1e-6, atol=1e-6)
    last, _ = lockstep(specs[2:], Tail.from_bytes(tails[1].to_bytes()))
    assert torch.equal(last, together[2:])


@pytest.mark.parametrize("m", [0, 2, 4, 5, 8])
@pytest.mark.parametrize(("beta", "schedule", "counts"), [(0.5, "staged", "code"), (1.0, "constant", "paper")])
def test_lockstep_is_one_after_another_with_a_solver_that_remembers(
    m: int, beta: float, schedule: str, counts: str
) -> None:
    """A history ends where a copy changed its clip: the same in any grouping."""
    specs = specs_of(VidRD(m, 2.0, beta, schedule, "forward", counts), clips=4, frames=8, steps=6)
    together, tails = lockstep(specs, solver="dpmpp_2m")
    tail = None
    for k, spec in enumerate(specs):
        alone, (stored,) = lockstep([spec], tail, "dpmpp_2m")
        assert torch.equal(alone[0], together[k])
        assert stored.to_bytes() == tails[k].to_bytes()
        tail = Tail.from_bytes(stored.to_bytes())
    first_order, _ = lockstep(specs)
    assert not any(torch.equal(a, b) for a, b in zip(together, first_order, strict=True))


@pytest.mark.parametrize("counts", ["code", "paper"])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
def test_a_group_goes_on_from_a_stored_state_with_the_same_bits(counts: str, solver: str) -> None:
    chain = VidRD(5, 2.0, 1.0, "staged", "forward", counts)
    specs = specs_of(chain, clips=4, frames=8, steps=6)
    _, tails = lockstep(specs[:1], solver=solver)
    whole, whole_tails = lockstep(specs[1:], tails[0], solver)
    noise = first_noise(specs[1:], [fresh_for(s) for s in specs[1:]], tails[0])

    def run(copies: Copies, **more: object) -> torch.Tensor:
        edits = {"before": (copies,), "after": (copies.last,)}
        return sample(noise, levels_for(6), network, solver, **edits, **more)

    stored: list[bytes] = []
    first = Copies(chain, 8, 3, 6, tails[0])
    run(first, on_state=lambda state: stored.append(save(state.tensors() | first.state())))
    for data in stored:
        again = Copies(chain, 8, 3, 6, tails[0])
        again.restore(load(data))
        assert torch.equal(run(again, start=State.from_tensors(load(data))), whole)
        rest = [tail.to_bytes() for tail in again.tails(specs[1:], noise)]
        assert rest == [tail.to_bytes() for tail in whole_tails]
    with pytest.raises(SpecError, match="of 3 clips, and these are 2"):
        Copies(chain, 8, 2, 6, tails[0]).restore(load(stored[-1]))


def test_copies_that_change_nothing_return_the_state_itself() -> None:
    x = torch.zeros(1, C, 8, H, W)
    copies = Copies(VidRD(4, beta=0.5), 8, 1, 4, None)
    assert all(copies(x, level) is x and copies.last(x, level) is x for level in levels_for(4))


def test_published_copy_counts() -> None:
    """T=50, M=4, beta=.4: 20, 15, 10, 5."""
    assert [VidRD(4, 4.0, 0.4, "staged").copies(j, 50) for j in range(5)] == [20, 15, 10, 5, 0]
    assert [VidRD(4, 4.0, 0.4, "constant").copies(j, 50) for j in range(5)] == [20, 20, 20, 20, 0]
    assert [VidRD(3, 4.0, 1.0, "staged").copies(j, 7) for j in range(3)] == [7, 5, 3]


def test_the_paper_counts_one_state_more_and_the_last_one_too() -> None:
    published = VidRD(4, 4.0, 0.4, "staged", counts="paper")
    assert [published.copies(j, 50) for j in range(5)] == [21, 16, 11, 6, 0]
    assert copied_states(published, 50) == 21
    assert copied_states(VidRD(4, 4.0, 1.0, "staged", counts="paper"), 50) == 51
    assert copied_states(VidRD(4, 4.0, 1.0, "staged"), 50) == 50
    assert copied_states(VidRD(4, 4.0, 0.0, "staged", counts="paper"), 50) == 0


@pytest.mark.parametrize(("schedule", "held"), [("staged", 1), ("constant", 4)])
@pytest.mark.parametrize("order", ["reverse", "forward"])
def test_beta_1_in_the_paper_s_count_ends_in_the_previous_clip_s_own_frames(
    schedule: str, held: int, order: str
) -> None:
    chain = VidRD(4, 4.0, 1.0, schedule, order, "paper")
    x, _ = lockstep(specs_of(chain, 3, 8, 5))
    for k in (1, 2):
        same = [bool(torch.equal(x[k, :, j], x[k - 1, :, sources(chain, 8)[j]])) for j in range(4)]
        assert same == [j < held for j in range(4)]


@pytest.mark.parametrize("order", ["reverse", "forward"])
@pytest.mark.parametrize("schedule", ["staged", "constant"])
def test_frames_are_held_to_the_previous_clip_for_as_many_steps_as_counted(order: str, schedule: str) -> None:
    n, m, steps = 8, 5, 10
    chain = VidRD(m, 1.0, 0.7, schedule, order)
    specs = specs_of(chain, 3, n, steps)
    entering: list[torch.Tensor] = []

    def watch(x: torch.Tensor, level: Level) -> torch.Tensor:
        entering.append(x)
        return x

    noise = first_noise(specs, [fresh_for(s) for s in specs], None)
    sample(noise, levels_for(steps), network, before=(Copies(chain, n, 3, steps, None), watch))
    for k in (1, 2):
        for j in range(m):
            same = [bool(torch.equal(x[k, :, j], x[k - 1, :, sources(chain, n)[j]])) for x in entering]
            assert sum(same) == chain.copies(j, steps)
            assert same == sorted(same, reverse=True)


def test_beta_1_constant_holds_frames_to_the_last_network_call() -> None:
    chain = VidRD(3, 4.0, 1.0, "constant", "forward")
    _, tails = lockstep(specs_of(chain, 2, 6, 4))
    assert tails[0].states.shape == (4, C, 3, H, W)


def test_a_chain_of_one_clip_is_an_unchained_clip() -> None:
    (chained,) = specs_of(VidRD(), 1, 8, 5)
    plain = sample(fresh_for(chained)[None], levels_for(5), network)
    assert torch.equal(lockstep([chained])[0], plain)


def test_chaining_costs_nothing() -> None:
    assert predicted_nfe(specs_of(VidRD(), 1, 8, 5)[0]) == predicted_nfe(specs_of(NoChain(), 1, 8, 5)[0]) == 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"", "no longtake metadata"),
        (lambda data: data[: len(data) // 3], "damaged|torn"),
        (lambda data: data[:-4], "damaged"),
        (lambda data: data.replace(b'\\"Tail\\",1', b'\\"Tail\\",2'), "a Tail of version 2 cannot be read as Tail 1"),
        (lambda data: data.replace(b'\\"Tail\\",1', b'\\"Head\\",1'), "a Head of version 1"),
        (lambda data: data.replace(b"longtake", b"longgone"), "no longtake metadata"),
        (lambda data: data.replace(b'"states"', b'"stages"'), r"holds \['noise', 'stages'\]"),
    ],
)
def test_a_tail_refuses_what_is_not_one(spoil: Callable[[bytes], bytes], message: str) -> None:
    _, tails = lockstep(specs_of(VidRD(2), 1, 4, 3))
    data = tails[0].to_bytes()
    assert spoil(data) != data
    with pytest.raises(SpecError, match=message):
        Tail.from_bytes(spoil(data))


def test_a_tail_with_tensors_that_do_not_belong_together_is_refused() -> None:
    with pytest.raises(SpecError, match=r"noise \[C, N, h, w\]"):
        Tail.from_bytes(Tail("k", torch.zeros(2, 4, 3, 3), torch.zeros(1, 3, 2, 3, 3)).to_bytes())
    with pytest.raises(SpecError, match="float64"):
        Tail.from_bytes(Tail("k", torch.zeros(2, 4, 3, 3).double(), torch.zeros(1, 2, 2, 3, 3)).to_bytes())


@pytest.mark.parametrize(
    "wrong", [{"overlap": 5}, {"overlap": -1}, {"beta": 1.1}, {"alpha": -1.0}, {"alpha": float("inf")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    spec = specs_of(NoChain(), 1, 4, 3)[0]
    chain = replace(VidRD(4), **wrong)
    with pytest.raises(SpecError, match="overlap is 0 to 4, alpha 0 or more, beta 0 to 1"):
        check_chain([replace(spec, recipe=Recipe(chain=chain))], None)


def test_windows_are_denoised_all_at_once_and_in_order() -> None:
    specs = [replace(spec, together="t") for spec in specs_of(Windows(2), 3, 4, 3)]
    check_chain(specs, None)
    with pytest.raises(SpecError, match="give all of them, from clip 0"):
        check_chain(specs[1:], None)
    with pytest.raises(SpecError, match="clip 2 was given after clip 0"):
        check_chain([specs[0], specs[2]], None)
    with pytest.raises(SpecError, match="differ in together"):
        check_chain([specs[0], replace(specs[1], together="u")], None)


def test_settings_that_make_no_sense_together_are_refused() -> None:
    spec = specs_of(NoChain(), 1, 9, 3)[0]
    causal = replace(spec.model, frames_per_latent=4)
    cases = [
        (replace(spec, recipe=Recipe(chain=VidRD(2), prior=FreeNoise())), "prior freenoise with chain vidrd"),
        (replace(spec, model=causal, recipe=Recipe(chain=VidRD(2, order="reverse"))), "hold 4 pictures each"),
        (replace(spec, model=causal, recipe=Recipe(chain=VidRD(4))), "clips of 3 latent frames, overlap is 0 to 3"),
        (replace(spec, recipe=Recipe(chain=Windows(9))), "give an overlap of 0 to 8"),
    ]
    for given_spec, message in cases:
        with pytest.raises(SpecError, match=message):
            check_chain([given_spec], None)


def test_groups_that_are_not_one_chain_are_refused() -> None:
    specs, (_, tails) = (found := specs_of(VidRD(2), 3, 4, 3)), lockstep(found)
    wider, unchained = specs_of(VidRD(3), 2, 4, 3), specs_of(NoChain(), 2, 4, 3)
    cases: list[tuple[list[ClipSpec], Tail | None, str]] = [
        ([], None, "no clips"),
        ([specs[0], specs[2]], None, "clip 2 continues"),
        ([specs[0], wider[1]], None, "clips 0 and 1 differ in recipe"),
        (specs[1:], None, "was given no tail"),
        (specs[:1], tails[0], "continues clip none"),
        (specs[2:], tails[0], "but the tail is that of"),
        (wider[1:], Tail(wider[0].key, tails[0].noise, tails[0].states), "one recipe"),
        ([unchained[0], specs[1]], None, "differ in recipe"),
    ]
    for group, tail, message in cases:
        with pytest.raises(SpecError, match=message):
            check_chain(group, tail)
    check_chain(specs, None)
    check_chain(specs[1:], tails[0])
    check_chain(unchained, None)
