"""The sampler on a Gaussian, where the answer is known exactly, and against diffusers' DPM-Solver++."""

import math
from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from safetensors.torch import load, save

from shots.denoiser import READINGS, Prediction
from shots.errors import Interrupted, SpecError
from shots.levels import Level, levels_of
from shots.sampling import State, correction, sample
from tests.shots.toys import gaussian

SHAPE = (2, 1, 3, 4, 4)


def grid(steps: int, zero_snr: bool = True) -> tuple[Level, ...]:
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    return levels_of(scheduler)


def flow_grid(steps: int, last: float = 0.0) -> tuple[Level, ...]:
    sigmas = [1.0 + (last - 1.0) * i / steps for i in range(steps + 1)]
    return tuple(Level(i, 1000 * s, 1 - s, s) for i, s in enumerate(sigmas))


def noise(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize("make", [grid, flow_grid])
def test_a_point_is_reached_in_any_number_of_steps(solver: str, make: Callable[[int], tuple[Level, ...]]) -> None:
    for steps in (1, 2, 3, 10):
        x = sample(noise(), make(steps), gaussian(2.5, 0.0), solver)
        torch.testing.assert_close(x, torch.full(SHAPE, 2.5, dtype=torch.float64))


def test_the_flow_of_a_gaussian_is_followed_with_first_order_error() -> None:
    """The flow keeps (x_t - alpha mu) / std_t, so pure noise z ends at mu + s z. Twice the steps, half the error."""
    exact = -1.0 + 0.5 * noise()
    errors = [float((sample(noise(), grid(n), gaussian(-1.0, 0.5)) - exact).abs().max()) for n in (50, 100, 200)]
    assert errors[2] < 0.05
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_the_second_order_solver_has_second_order_error(kind: str) -> None:
    """From lambda -3 to 3 in even steps: twice the steps, a quarter of the error."""
    mean, spread = -1.0, 0.5

    def levels(steps: int) -> tuple[Level, ...]:
        ratios = [math.exp(-3 + 6 * i / steps) for i in range(steps + 1)]
        scale = [math.hypot(1, r) if kind == "vp" else 1 + r for r in ratios]
        return tuple(Level(i, None, r / s, 1 / s) for i, (r, s) in enumerate(zip(ratios, scale, strict=True)))

    def deviation(level: Level) -> float:
        return math.hypot(level.alpha * spread, level.sigma)

    def error(steps: int, solver: str) -> float:
        first, *_, last = levels(steps)
        exact = last.alpha * mean + deviation(last) * (noise() - first.alpha * mean) / deviation(first)
        return float((sample(noise(), levels(steps), gaussian(mean, spread), solver) - exact).abs().max())

    errors = [error(n, "dpmpp_2m") for n in (20, 40, 80)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)
    assert errors[0] < error(20, "ddim") / 5


def stirred(x: torch.Tensor, level: Level, kind: str) -> torch.Tensor:
    """A network output that is neither linear nor local."""
    return torch.sin(1.7 * x) + 0.3 * x.roll(1, -1) - 0.2 * level.sigma + (0.1 if kind == "flow" else 0.0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
@pytest.mark.parametrize("steps", [2, 3, 12, 20])
def test_dpmpp_2m_is_diffusers_dpm_solver(kind: str, steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        algorithm_type="dpmsolver++",
        solver_order=2,
        prediction_type="flow_prediction" if kind == "flow" else kind,
        use_flow_sigmas=kind == "flow",
        flow_shift=3.0 if kind == "flow" else 1.0,
    )
    scheduler.set_timesteps(steps)
    sigmas = [float(s) for s in scheduler.sigmas]
    times = [float(t) for t in scheduler.timesteps] + [None]
    scale = [1.0 if kind == "flow" else math.hypot(1, s) for s in sigmas]
    alphas = [1 - s for s in sigmas] if kind == "flow" else [1 / n for n in scale]
    levels = tuple(
        Level(i, t, a, s / n) for i, (t, a, s, n) in enumerate(zip(times, alphas, sigmas, scale, strict=True))
    )
    theirs = noise()
    for level, t in zip(levels[:-1], scheduler.timesteps, strict=True):
        theirs = scheduler.step(stirred(theirs, level, kind), t, theirs).prev_sample.double()

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        return READINGS[kind].read(stirred(x, level, kind), x, level)

    ours = sample(noise(), levels, denoise, "dpmpp_2m")
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5
    if steps > 2:
        assert float((ours - sample(noise(), levels, denoise)).norm() / theirs.norm()) > 1e-3


def test_edits_come_in_order_around_the_step_and_steps_are_reported() -> None:
    seen: list[object] = []

    def edit(name: str) -> Callable[[torch.Tensor, Level], torch.Tensor]:
        def apply(x: torch.Tensor, level: Level) -> torch.Tensor:
            seen.append((name, level.i))
            return x

        return apply

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        seen.append(("network", level.i))
        return Prediction(x, x)

    sample(
        noise(),
        grid(2),
        denoise,
        before=(edit("a"), edit("b")),
        after=(edit("c"), edit("d")),
        joint=edit("joint"),
        on_state=lambda state: seen.append(("state", state.i)),
        on_step=lambda done, steps: seen.append((done, steps)),
    )
    assert seen == [
        *[("a", 0), ("b", 0), ("network", 0), ("c", 1), ("d", 1), ("joint", 1), ("state", 1), (1, 2)],
        *[("a", 1), ("b", 1), ("network", 1), ("c", 2), ("d", 2), ("joint", 2), ("state", 2), (2, 2)],
    ]


def wavy(x: torch.Tensor, level: Level) -> Prediction:
    """A made-up network of correctly rounded operations."""
    x0 = x / (1 + x.abs()) + 0.5 * x.roll(1, dims=-3) - level.sigma
    return Prediction(x0, x - level.alpha * x0)


def nudge(clip: int, step: int) -> Callable[[torch.Tensor, Level], torch.Tensor]:
    """An edit that changes one value of one clip at one step, and returns a new tensor at every step."""

    def edit(x: torch.Tensor, level: Level) -> torch.Tensor:
        x = x.clone()
        if level.i == step:
            x[clip, 0, 0, 0, 0] += 0.25
        return x

    return edit


def test_a_break_at_every_step_leaves_the_first_order() -> None:
    everywhere = frozenset(range(8))
    found = sample(noise(torch.float32), grid(8), wavy, "dpmpp_2m", breaks=everywhere)
    assert torch.equal(found, sample(noise(torch.float32), grid(8), wavy))
    assert not torch.equal(found, sample(noise(torch.float32), grid(8), wavy, "dpmpp_2m"))


@pytest.mark.parametrize("at", [1, 3, 6, 7])
def test_a_break_is_a_new_run_from_there(at: int) -> None:
    states: list[State] = []
    broken = sample(noise(torch.float32), grid(8), wavy, "dpmpp_2m", breaks=frozenset({at}), on_state=states.append)
    assert torch.equal(broken, sample(states[at - 1].x, grid(8)[at:], wavy, "dpmpp_2m"))


@pytest.mark.parametrize("place", ["before", "after"])
def test_an_edit_ends_the_history_of_the_clip_that_it_changed_and_of_no_other(place: str) -> None:
    z, levels, at = noise(torch.float32), grid(8), 4
    edited = sample(z, levels, wavy, "dpmpp_2m", **{place: (nudge(1, at),)})
    assert torch.equal(edited[0], sample(z, levels, wavy, "dpmpp_2m")[0])
    # Both places name the state at level 4; step 4 then starts anew, as a break there says in other words.
    alone = sample(z[1:], levels, wavy, "dpmpp_2m", before=(nudge(0, at),), breaks=frozenset({at}))
    assert torch.equal(edited[1], alone[0])


def test_a_joint_edit_leaves_histories_alone() -> None:
    def halved(x: torch.Tensor, level: Level) -> torch.Tensor:
        return x * 0.5 if level.i == 3 else x

    z, levels = noise(torch.float32), grid(8)
    kept = sample(z, levels, wavy, "dpmpp_2m", joint=halved)
    ended = sample(z, levels, wavy, "dpmpp_2m", after=(halved,))
    assert not torch.equal(kept, ended)
    assert torch.equal(ended, sample(z, levels, wavy, "dpmpp_2m", joint=halved, breaks=frozenset({3})))


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
def test_a_run_goes_on_from_any_stored_state_with_the_same_bits(solver: str) -> None:
    edits = {"before": (nudge(0, 2),), "after": (nudge(1, 5),)}
    stored: list[bytes] = []
    whole = sample(
        noise(torch.float32), grid(8), wavy, solver, **edits, on_state=lambda s: stored.append(save(s.tensors()))
    )
    for done, data in enumerate(stored, 1):
        state = State.from_tensors(load(data))
        assert state.i == done
        steps: list[int] = []
        given = {"start": state, "on_step": lambda done, of, steps=steps: steps.append(done)}
        assert torch.equal(sample(torch.zeros(SHAPE), grid(8), wavy, solver, **edits, **given), whole)
        assert steps == list(range(done + 1, 9))


def test_a_state_is_given_before_the_step_may_be_stopped() -> None:
    kept: list[State] = []

    def stop(done: int, steps: int) -> None:
        if done == 3:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        sample(noise(), grid(8), wavy, "dpmpp_2m", on_state=kept.append, on_step=stop)
    assert [state.i for state in kept] == [1, 2, 3]
    assert torch.equal(
        sample(noise(), grid(8), wavy, "dpmpp_2m", start=kept[-1]), sample(noise(), grid(8), wavy, "dpmpp_2m")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "lacks x"),
        ({"x": torch.zeros(3, 4)}, "do not belong together"),
        ({"history": torch.zeros(1, 1, 3, 4, 4)}, "do not belong together"),
        ({"usable": torch.zeros(1, dtype=torch.bool)}, "do not belong together"),
    ],
)
def test_a_stored_state_that_does_not_fit_is_refused(change: dict[str, torch.Tensor | None], message: str) -> None:
    whole = State(3, torch.zeros(SHAPE), torch.zeros(SHAPE), (True, False)).tensors() | change
    with pytest.raises(SpecError, match=message):
        State.from_tensors({name: tensor for name, tensor in whole.items() if tensor is not None})


def test_pure_noise_and_the_ends_of_the_grid_are_of_first_order() -> None:
    """Lambda is infinite at pure noise and without noise."""
    levels = grid(5)
    assert levels[0].alpha == 0.0
    weights = [correction(levels, i) for i in range(5)]
    assert weights[0] == weights[1] == weights[4] == 0.0
    assert weights[2] > 0
    assert weights[3] > 0
    assert correction(grid(5, zero_snr=False), 1) > 0
    # A schedule may end in a little noise; the last step is of first order then, too.
    noisy = flow_grid(5, last=0.1)
    assert correction(noisy, 3) > correction(noisy, 4) == 0.0
