"""Grids from diffusers' schedulers, and what networks' outputs mean at a level."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from shots.denoiser import READINGS, reading_of
from shots.errors import ModelRefuses
from shots.levels import Level, levels_of


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
    made = FlowMatchEulerDiscreteScheduler()
    made.set_timesteps(3)
    with pytest.raises(ModelRefuses, match="FlowMatchEulerDiscreteScheduler has no alphas_cumprod"):
        levels_of(made)


@settings(max_examples=60, deadline=None)
@given(angle=st.floats(0.05, 1.5), seed=st.integers(0, 10**6))
def test_all_three_readings_find_the_clean_sample_and_the_noise(angle: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64, generator=generator).unbind()
    a, s = (f(torch.tensor(angle, dtype=torch.float64)).item() for f in (torch.cos, torch.sin))
    x = a * x0 + s * eps
    outputs = {"epsilon": eps, "v_prediction": a * eps - s * x0, "sample": x0}
    for name, reading in READINGS.items():
        found = reading(outputs[name], x, Level(0, 1, a, s))
        torch.testing.assert_close(found.x0, x0)
        torch.testing.assert_close(found.eps, eps)


def test_epsilon_at_pure_noise_is_refused_and_v_is_not() -> None:
    levels = levels_of(scheduler(4, rescale_betas_zero_snr=True, timestep_spacing="trailing"))
    with pytest.raises(ModelRefuses, match="v_prediction"):
        reading_of("epsilon", levels)
    assert reading_of("v_prediction", levels) is READINGS["v_prediction"]
    with pytest.raises(ModelRefuses, match="'flow' is not one of epsilon, v_prediction, sample"):
        reading_of("flow", levels)
