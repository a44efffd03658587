"""Grids from diffusers' schedulers, and what networks' outputs mean at a level."""

import math
from itertools import pairwise

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from shots.denoiser import READINGS, reading_of
from shots.errors import ModelRefuses
from shots.levels import Level, Noising, carry, kind_of, levels_of, noising_of, prediction_of, sampling_scheduler


def scheduler(steps: int, **settings: object) -> DDIMScheduler:
    made = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **settings)
    made.set_timesteps(steps)
    return made


def test_zero_snr_trailing_grid_begins_at_pure_noise_and_ends_at_none() -> None:
    levels = levels_of(scheduler(4, rescale_betas_zero_snr=True, timestep_spacing="trailing"))
    assert [level.t for level in levels] == [999, 749, 499, 249, None]
    assert [level.i for level in levels] == [0, 1, 2, 3, 4]
    assert (levels[0].alpha, levels[0].sigma) == (0.0, 1.0)
    assert (levels[-1].alpha, levels[-1].sigma) == (1.0, 0.0)


def test_without_set_alpha_to_one_the_last_level_is_the_first_training_step() -> None:
    made = scheduler(5, timestep_spacing="leading", steps_offset=1, set_alpha_to_one=False)
    levels = levels_of(made)
    assert [level.t for level in levels] == [801, 601, 401, 201, 1, None]
    assert levels[-1].alpha == float(made.alphas_cumprod[0]) ** 0.5


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 7, 25, 50])
def test_levels_preserve_variance_and_fall(spacing: str, steps: int) -> None:
    levels = levels_of(scheduler(steps, timestep_spacing=spacing))
    assert len(levels) == steps + 1
    for level in levels:
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1, abs=1e-15)
    assert all(a.sigma > b.sigma for a, b in pairwise(levels))


def test_a_scheduler_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(ModelRefuses, match="KarrasVeScheduler has neither betas"):
        kind_of({"sigma_min": 0.02, "sigma_max": 100}, "KarrasVeScheduler")


OUTPUTS = {
    "epsilon": lambda x0, eps, a, s: eps,
    "v_prediction": lambda x0, eps, a, s: a * eps - s * x0,
    "sample": lambda x0, eps, a, s: x0,
    "flow": lambda x0, eps, a, s: eps - x0,
    "flow_inverted": lambda x0, eps, a, s: x0 - eps,
}


@settings(max_examples=60, deadline=None)
@given(angle=st.floats(0.05, 1.5), seed=st.integers(0, 10**6))
def test_all_readings_find_the_clean_sample_and_the_noise_and_write_them_back(angle: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64, generator=generator).unbind()
    assert READINGS.keys() == OUTPUTS.keys()
    for name, reading in READINGS.items():
        a, s = math.cos(angle), math.sin(angle)
        if name.startswith("flow"):
            a, s = a / (a + s), s / (a + s)
        x, level = a * x0 + s * eps, Level(0, 1, a, s)
        output = OUTPUTS[name](x0, eps, a, s)
        found = reading(output, x, level)
        torch.testing.assert_close(found.x0, x0)
        torch.testing.assert_close(found.eps, eps)
        torch.testing.assert_close(reading.write(found, level), output)


def test_epsilon_at_pure_noise_is_refused_and_v_is_not() -> None:
    levels = levels_of(scheduler(4, rescale_betas_zero_snr=True, timestep_spacing="trailing"))
    with pytest.raises(ModelRefuses, match="v_prediction"):
        reading_of("epsilon", levels)
    assert reading_of("v_prediction", levels) is READINGS["v_prediction"]
    with pytest.raises(ModelRefuses, match="'score' is not one of epsilon, v_prediction, sample, flow, flow_inverted"):
        reading_of("score", levels)


def flow(steps: int, **settings: object) -> FlowMatchEulerDiscreteScheduler:
    made = FlowMatchEulerDiscreteScheduler(**settings)
    made.set_timesteps(steps)
    return made


def test_flow_goes_from_pure_noise_to_none_in_a_straight_line() -> None:
    levels = levels_of(flow(4))
    assert [level.sigma for level in levels] == pytest.approx([1.0, 0.667, 0.334, 0.001, 0.0])
    assert [level.t for level in levels[:-1]] == pytest.approx([1000.0, 667.0, 334.0, 1.0])
    assert levels[-1].t is None
    assert all(level.alpha == 1.0 - level.sigma for level in levels)


def test_an_inverted_flow_is_the_same_line_with_its_time_the_other_way() -> None:
    levels, inverted = levels_of(flow(4)), levels_of(flow(4, invert_sigmas=True))
    for one, other in zip(levels, inverted, strict=True):
        assert (other.alpha, other.sigma) == pytest.approx((one.alpha, one.sigma), abs=1e-6)
        assert (one.t is None) == (other.t is None)
        assert one.t is None or other.t == pytest.approx(1000 - one.t, abs=1e-3)


def test_a_multistep_scheduler_of_flow_matching_keeps_its_own_grid() -> None:
    made = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    made.set_timesteps(5)
    assert sampling_scheduler(made) is made
    levels = levels_of(made)
    assert [level.sigma for level in levels] == [s.item() for s in made.sigmas]
    assert [level.t for level in levels[:-1]] == made.timesteps.tolist()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (diffusers.PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True), DDIMScheduler),
        (diffusers.DPMSolverMultistepScheduler(), DDIMScheduler),
        (diffusers.CogVideoXDPMScheduler(snr_shift_scale=1.0), diffusers.CogVideoXDDIMScheduler),
        (diffusers.FlowMatchHeunDiscreteScheduler(shift=3.0), FlowMatchEulerDiscreteScheduler),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_solvers_give_way_to_the_one_step_solver_of_the_same_noise(made: object, expected: type) -> None:
    found = sampling_scheduler(made)
    assert type(found) is expected
    if hasattr(found, "alphas_cumprod"):
        assert torch.equal(found.alphas_cumprod, made.alphas_cumprod)
    else:
        assert found.config.shift == made.config.shift


def test_what_a_network_predicts_stands_in_its_scheduler_s_config() -> None:
    assert prediction_of({"beta_start": 0.1}, "DDIMScheduler") == "epsilon"
    assert prediction_of({"beta_schedule": "linear", "prediction_type": "v_prediction"}, "X") == "v_prediction"
    assert prediction_of({"shift": 3.0}, "FlowMatchEulerDiscreteScheduler") == "flow"
    assert prediction_of({"invert_sigmas": True}, "FlowMatchEulerDiscreteScheduler") == "flow_inverted"
    assert prediction_of({"use_flow_sigmas": True, "beta_start": 0.1}, "UniPCMultistepScheduler") == "flow"


NOISINGS = {
    "vp": noising_of(scheduler(4)),
    "vp_zero_snr": noising_of(scheduler(4, rescale_betas_zero_snr=True)),
    "linear": noising_of(DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012)),
    "flow": noising_of(FlowMatchEulerDiscreteScheduler()),
    "inverted": noising_of(FlowMatchEulerDiscreteScheduler(invert_sigmas=True)),
}


@pytest.mark.parametrize("noising", NOISINGS.values(), ids=NOISINGS)
def test_any_time_has_a_level_and_noise_rises_with_it(noising: Noising) -> None:
    last = noising.train_steps - (noising.kind == "vp")
    levels = [noising.level(last * i / 97) for i in range(98)]
    for level in levels:
        assert (level.alpha**2 + level.sigma**2 if noising.kind == "vp" else level.alpha + level.sigma) == (
            pytest.approx(1, abs=1e-12)
        )
    rising = [level.sigma for level in levels]
    assert rising == sorted(rising, reverse=noising.kind == "inverted")
    with pytest.raises(ValueError, match=f"time {last + 1} is outside of this schedule, which has 0 to {last}"):
        noising.level(last + 1)


def test_at_whole_times_the_level_is_the_grid_s() -> None:
    made = scheduler(10, timestep_spacing="trailing")
    noising = noising_of(made)
    for level in levels_of(made)[:-1]:
        assert noising.level(level.t, level.i) == level
    assert noising.grid(10) == levels_of(made)


def test_a_grid_leaves_the_scheduler_it_was_made_from_alone() -> None:
    made = flow(4, use_dynamic_shifting=False)
    noising, before = noising_of(made), levels_of(made)
    assert len(noising.grid(7)) == 8
    assert levels_of(made) == before
    shifted = noising_of(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True))
    assert shifted.grid(3, mu=2.0)[1].sigma > shifted.grid(3, mu=0.5)[1].sigma


@pytest.mark.parametrize("there", NOISINGS.values(), ids=NOISINGS)
@pytest.mark.parametrize("here", NOISINGS.values(), ids=NOISINGS)
def test_a_matched_level_has_the_same_signal_to_noise_and_carries_the_state(here: Noising, there: Noising) -> None:
    x0, eps = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind()
    for t in (100, 333.25, 700):
        level = here.level(t, 3)
        matched = there.match(level)
        assert matched.i == 3
        assert matched.alpha * level.sigma == pytest.approx(matched.sigma * level.alpha, rel=1e-12)
        again = there.level(matched.t)
        assert (again.alpha, again.sigma) == pytest.approx((matched.alpha, matched.sigma), abs=1e-12)
        carried = carry(level.alpha * x0 + level.sigma * eps, level, matched)
        torch.testing.assert_close(carried, matched.alpha * x0 + matched.sigma * eps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("noising", NOISINGS.values(), ids=NOISINGS)
def test_a_level_of_the_same_schedule_is_matched_by_itself(noising: Noising) -> None:
    for t in (0, 17, 420.5, 999):
        level = noising.level(t, 2)
        assert noising.match(level) is level
        x = torch.ones(1)
        assert carry(x, level, level) is x


def test_what_a_schedule_never_reaches_gives_its_nearest_end() -> None:
    pure, clean = Level(0, 1000.0, 0.0, 1.0), Level(9, None, 1.0, 0.0)
    assert NOISINGS["vp"].match(pure) == NOISINGS["vp"].level(999, 0)
    assert NOISINGS["vp"].match(clean) == NOISINGS["vp"].level(0, 9)
    assert NOISINGS["vp_zero_snr"].match(pure).alpha == 0.0
    assert NOISINGS["flow"].match(clean) == Level(9, 0.0, 1.0, 0.0)
    assert NOISINGS["inverted"].match(pure) == Level(0, 1000.0 * 0.0, 0.0, 1.0)
