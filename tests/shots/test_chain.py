"""VidRD: what must hold, against a plain implementation of the paper's recursion written here."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shots.chain import Copies, Tail, base_noise, chained_noise, check_chain, first_noise, sources
from shots.denoiser import Prediction
from shots.errors import SpecError
from shots.levels import Level
from shots.price import predicted_nfe
from shots.priors import progressive
from shots.rng import clip_noise
from shots.sampling import ddim
from shots.spec import Cfg, ClipSpec, Iid, ModelRef, NoChain, Recipe, Sampler, VidRD

C, H, W = 2, 3, 3


def specs_of(chain: VidRD | NoChain, clips: int, frames: int, steps: int) -> list[ClipSpec]:
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


def lockstep(specs: list[ClipSpec], tail: Tail | None = None) -> tuple[torch.Tensor, list[Tail]]:
    first = specs[0]
    noise = first_noise(specs, [fresh_for(s) for s in specs], tail)
    copies = Copies(first.recipe.chain, first.frames, len(specs), first.sampler.steps, tail)
    x = ddim(noise, levels_for(first.sampler.steps), network, (copies,))
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
                if before and i < round(chain.beta * steps * share, 9):
                    x[:, j] = before[i][:, source[j]]
            stored.append(x)
            x0, eps = network(x, levels[i])
            x = levels[i + 1].alpha * x0 + levels[i + 1].sigma * eps
        done.append(x)
    return torch.stack(done)


GRID = list(
    itertools.product(
        [(8, 0), (8, 1), (8, 4), (8, 5), (8, 7), (8, 8), (9, 5), (16, 4)],
        [0.0, 0.4, 1.0],
        ["staged", "constant"],
        ["reverse", "forward"],
    )
)


@pytest.mark.parametrize(("shape", "beta", "schedule", "order"), GRID)
def test_lockstep_is_one_after_another(shape: tuple[int, int], beta: float, schedule: str, order: str) -> None:
    n, m = shape
    specs = specs_of(VidRD(m, 2.0, beta, schedule, order), clips=4, frames=n, steps=5)
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
)
def test_lockstep_is_one_after_another_for_any_settings(
    data: st.DataObject, n: int, steps: int, beta: float, alpha: float, schedule: str, order: str
) -> None:
    m = data.draw(st.integers(0, n))
    specs = specs_of(VidRD(m, alpha, beta, schedule, order), clips=3, frames=n, steps=steps)
    together, tails = lockstep(specs)
    torch.testing.assert_close(together, by_the_paper(specs), rtol=1e-6, atol=1e-6)
    last, _ = lockstep(specs[2:], Tail.from_bytes(tails[1].to_bytes()))
    assert torch.equal(last, together[2:])


def test_published_copy_counts() -> None:
    """T=50, M=4, beta=.4: 20, 15, 10, 5."""
    assert [VidRD(4, 4.0, 0.4, "staged").copies(j, 50) for j in range(5)] == [20, 15, 10, 5, 0]
    assert [VidRD(4, 4.0, 0.4, "constant").copies(j, 50) for j in range(5)] == [20, 20, 20, 20, 0]
    assert [VidRD(3, 4.0, 1.0, "staged").copies(j, 7) for j in range(3)] == [7, 5, 3]


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
    ddim(noise, levels_for(steps), network, (Copies(chain, n, 3, steps, None), watch))
    for k in (1, 2):
        for j in range(m):
            same = [bool(torch.equal(x[k, :, j], x[k - 1, :, sources(chain, n)[j]])) for x in entering]
            assert sum(same) == chain.copies(j, steps)
            assert same == sorted(same, reverse=True)


def test_beta_1_constant_holds_frames_to_the_last_network_call() -> None:
    chain = VidRD(3, 4.0, 1.0, "constant", "forward")
    _, tails = lockstep(specs_of(chain, 2, 6, 4))
    assert tails[0].states.shape == (4, C, 3, H, W)


@pytest.mark.parametrize("order", ["reverse", "forward"])
def test_overlap_of_all_frames_and_beta_0_starts_from_the_previous_noise_alone(order: str) -> None:
    """The published code mixes fresh noise into every frame here (its slice [M-N:] is the whole clip)."""
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    chain = VidRD(6, 1.0, 0.0, "staged", order)
    assert torch.equal(chained_noise(chain, before, fresh), before.flip(1) if order == "reverse" else before)


@pytest.mark.parametrize("order", ["reverse", "forward"])
def test_without_overlap_all_frames_are_mixed_and_none_is_copied(order: str) -> None:
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    chain = VidRD(0, 0.0, 1.0, "staged", order)
    assert torch.equal(chained_noise(chain, before, fresh), fresh)
    x = clip_noise(1, "c", 0, (C, 12, H, W)).unflatten(1, (2, 6)).movedim(1, 0)
    assert torch.equal(Copies(chain, 6, 2, 4, None)(x, levels_for(4)[0]), x)


def test_alpha_0_draws_frames_after_the_overlap_afresh() -> None:
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    z = chained_noise(VidRD(2, 0.0, 0.4, "staged", "reverse"), before, fresh)
    assert torch.equal(z[:, 2:], fresh[:, 2:])
    assert torch.equal(z[:, :2], before.flip(1)[:, :2])


def test_forward_noise_follows_the_previous_tail_in_order() -> None:
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    z = chained_noise(VidRD(2, 1e12, 0.4, "staged", "forward"), before, fresh)
    assert torch.equal(z[:, :2], before[:, 4:])
    torch.testing.assert_close(z[:, 2:], before[:, :4])


def test_mirroring_twice_is_nothing() -> None:
    z, chain = clip_noise(1, "a", 0, (C, 7, H, W)), VidRD(order="reverse")
    assert torch.equal(base_noise(chain, base_noise(chain, z)), z)


@pytest.mark.parametrize("order", ["reverse", "forward"])
@pytest.mark.parametrize("m", [0, 2, 6])
def test_covariance_of_chained_noise_is_exact(order: str, m: int) -> None:
    """Variance 1, frames independent, correlation 1 (j < M) or a (others) with the frame that each looks at."""
    n, alpha = 6, 1.5
    chain, a = VidRD(m, alpha, 0.4, "staged", order), alpha / (1 + alpha**2) ** 0.5
    unit = torch.eye(2 * n, dtype=torch.float64)
    before, fresh = (unit[k : k + n].reshape(1, n, 1, 2 * n) for k in (0, n))
    z = chained_noise(chain, before, fresh)[0, :, 0]
    torch.testing.assert_close(z @ z.T, torch.eye(n, dtype=torch.float64))
    looks = [n - 1 - j if order == "reverse" else (j - m) % n for j in range(n)]
    expected = torch.zeros(n, n, dtype=torch.float64)
    for j, source in enumerate(looks):
        expected[j, source] = 1.0 if j < m else a
    torch.testing.assert_close(z @ before[0, :, 0].T, expected)


def test_mirroring_keeps_progressive_noise_s_covariance() -> None:
    z = progressive(torch.eye(6, dtype=torch.float64).reshape(1, 6, 1, 6), 2.0)
    mirrored = base_noise(VidRD(order="reverse"), z)[0, :, 0]
    torch.testing.assert_close(mirrored @ mirrored.T, z[0, :, 0] @ z[0, :, 0].T)


def test_a_chain_of_one_clip_is_an_unchained_clip() -> None:
    (chained,) = specs_of(VidRD(), 1, 8, 5)
    plain = ddim(fresh_for(chained)[None], levels_for(5), network)
    assert torch.equal(lockstep([chained])[0], plain)


def test_clips_without_a_chain_start_from_their_own_noise() -> None:
    specs = specs_of(NoChain(), 3, 4, 2)
    fresh = [fresh_for(s) for s in specs]
    assert torch.equal(first_noise(specs, fresh, None), torch.stack(fresh))


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
