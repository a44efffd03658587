"""Grids from configs alone are those of the schedulers themselves."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest

from shots.backbones.families import BY_NAME
from shots.backbones.mochi import linear_quadratic
from shots.grids import grid_of
from shots.levels import Level, noising_of, sampling_scheduler
from shots.models import describe
from shots.price import bill
from shots.spec import ClipSpec, NoChain, Recipe, Sampler, VideoGuide

FLOW: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("FlowMatchEulerDiscreteScheduler", {}, {}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, {}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 7.0}, {"even": True}),
    ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, {}),
    ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, {"mochi": True}),
    ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True, "shift_terminal": 0.1}, {"mu": 1.3}),
    ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True, "time_shift_type": "linear"}, {"mu": 2.0}),
    ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "flow_shift": 3.0}, {}),
    ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "final_sigmas_type": "sigma_min"}, {}),
]
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
VP: list[tuple[str, dict[str, Any]]] = [
    ("DDIMScheduler", {}),
    ("DDIMScheduler", SD | {"steps_offset": 1, "set_alpha_to_one": False}),
    ("DDIMScheduler", SD | {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}),
    ("DDIMScheduler", {"beta_schedule": "linear", "timestep_spacing": "linspace"}),
    ("PNDMScheduler", SD | {"steps_offset": 1, "skip_prk_steps": True}),
    ("DPMSolverMultistepScheduler", SD),
    ("CogVideoXDPMScheduler", {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}),
    ("CogVideoXDDIMScheduler", {"snr_shift_scale": 1.0, "beta_schedule": "linear"}),
]


def both(
    name: str, config: dict[str, Any], steps: int, told: dict[str, Any]
) -> tuple[tuple[Level, ...] | None, tuple[Level, ...]]:
    """(ours, the scheduler's own), from the config as a folder's JSON has it."""
    kind = getattr(diffusers, name)
    stored = {"_class_name": name, **{k: v for k, v in kind(**config).config.items() if not k.startswith("_")}}
    own = noising_of(sampling_scheduler(kind.from_config(dict(stored)))).grid(steps, **told)
    return grid_of(stored, steps, told), own


@pytest.mark.parametrize("steps", [1, 2, 7, 25, 50])
@pytest.mark.parametrize(("name", "config", "told"), FLOW)
def test_grids_of_flow_matching_are_the_scheduler_s_to_the_last_bit(
    name: str, config: dict[str, Any], told: dict[str, Any], steps: int
) -> None:
    if told.get("even"):
        told = {"sigmas": np.linspace(1.0, 0.0, steps + 1)[:-1]}
    elif told.get("mochi"):
        told = {"sigmas": [1.0 - share for share in linear_quadratic(max(steps, 2), 0.025)]}
    elif "mu" in told:
        told = told | {"sigmas": np.linspace(1.0, 1 / steps, steps)}
        if steps == 1:
            pytest.skip("a single step cannot be stretched to an end")
    found, own = both(name, config, len(told.get("sigmas", range(steps))), told)
    assert found == own


@pytest.mark.parametrize("steps", [1, 7, 25, 50])
@pytest.mark.parametrize(("name", "config"), VP)
def test_grids_of_variance_preserving_schedules_are_the_scheduler_s(
    name: str, config: dict[str, Any], steps: int
) -> None:
    found, own = both(name, config, steps, {})
    assert found is not None
    assert [level.t for level in found] == [level.t for level in own]
    np.testing.assert_allclose([(v.alpha, v.sigma) for v in found], [(v.alpha, v.sigma) for v in own], atol=2e-6)


@pytest.mark.parametrize("steps", [2, 3, 8, 25, 64])
def test_mochi_s_schedule_is_its_pipeline_s(steps: int) -> None:
    from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule

    told = BY_NAME["mochi"].scheduled({}, 848, 480, 19, steps)
    assert told["sigmas"] == linear_quadratic_schedule(steps, 0.025)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("DDIMScheduler", {"beta_schedule": "squaredcos_cap_v2"}),
        ("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True}),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ],
)
def test_what_only_the_scheduler_knows_is_not_guessed(name: str, config: dict[str, Any]) -> None:
    found, own = both(name, config, 8, {})
    assert found is None
    assert len(own) == 9


def test_where_the_last_bits_decide_the_scheduler_itself_is_asked() -> None:
    card = describe("pocket")
    spec = ClipSpec(card.ref(), 64, 64, 8, "", "", 0, 0, Sampler(steps=8), Recipe(chain=NoChain()))
    config = card.configs["scheduler"]
    scheduler = getattr(diffusers, config["_class_name"]).from_config(dict(config))
    own = noising_of(sampling_scheduler(scheduler)).grid(8)
    share = own[3].sigma / (own[3].alpha + own[3].sigma)
    assert card.grid(spec, near=share) == own
    ours = card.grid(spec, near=share + 0.01)
    np.testing.assert_allclose([v.alpha for v in ours], [v.alpha for v in own], atol=2e-6)


def test_a_distilled_teacher_is_asked_once_where_another_is_asked_twice() -> None:
    card = describe("pocket")
    recipe = Recipe(chain=NoChain(), videoguide=VideoGuide(steps=2, tau=3))
    spec = ClipSpec(card.ref(), 64, 64, 8, "", "", 0, 0, Sampler(steps=8), recipe)
    assert bill(spec) == {"guidance": 16, "videoguide": 12}
    assert bill(spec, teacher_distilled=True) == {"guidance": 16, "videoguide": 6}
    assert bill(spec, distilled=True, teacher_distilled=False) == {"guidance": 8, "videoguide": 12}
