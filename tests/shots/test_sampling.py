"""The sampler and guidance on a Gaussian, where the answer is known exactly."""

from collections.abc import Sequence

import pytest
import torch
from diffusers import DDIMScheduler

from shots.denoiser import Denoise, Prediction
from shots.guidance import Branch, cfg, cfg_plus_plus, guided_by
from shots.levels import Level, levels_of
from shots.sampling import ddim
from shots.spec import Cfg, CfgPlusPlus

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


def gaussian(mean: float, spread: float) -> Denoise:
    """The exact posterior mean for x0 ~ N(mean, spread^2): E[x0|x] = mean + alpha spread^2 (x - alpha mean) / var."""

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        variance = level.alpha**2 * spread**2 + level.sigma**2
        residual = x - level.alpha * mean
        return Prediction(mean + level.alpha * spread**2 / variance * residual, level.sigma / variance * residual)

    return denoise


def noise() -> torch.Tensor:
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_point_is_reached_in_any_number_of_steps() -> None:
    for steps in (1, 3, 10):
        x = ddim(noise(), grid(steps), gaussian(2.5, 0.0))
        torch.testing.assert_close(x, torch.full(SHAPE, 2.5, dtype=torch.float64))


def test_the_flow_of_a_gaussian_is_followed_with_first_order_error() -> None:
    """The flow keeps (x_t - alpha mu) / std_t, so pure noise z ends at mu + s z. Twice the steps, half the error."""
    exact = -1.0 + 0.5 * noise()
    errors = [float((ddim(noise(), grid(n), gaussian(-1.0, 0.5)) - exact).abs().max()) for n in (50, 100, 200)]
    assert errors[2] < 0.05
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)


def test_edits_come_before_the_network_in_order_and_steps_are_reported() -> None:
    seen: list[object] = []

    def edit(name: str) -> object:
        def apply(x: torch.Tensor, level: Level) -> torch.Tensor:
            seen.append((name, level.i))
            return x

        return apply

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        seen.append(("network", level.i))
        return Prediction(x, x)

    ddim(noise(), grid(2), denoise, (edit("a"), edit("b")), lambda done, steps: seen.append((done, steps)))
    assert seen == [
        *[("a", 0), ("b", 0), ("network", 0), (1, 2)],
        *[("a", 1), ("b", 1), ("network", 1), (2, 2)],
    ]


class Branches:
    """Two Gaussians as conditional and unconditional branch; counts what is asked."""

    def __init__(self, cond: Denoise, uncond: Denoise) -> None:
        self.by_name = {"cond": cond, "uncond": uncond}
        self.asked: list[tuple[Branch, ...]] = []

    def __call__(self, x: torch.Tensor, level: Level, names: Sequence[Branch]) -> tuple[Prediction, ...]:
        self.asked.append(tuple(names))
        return tuple(self.by_name[name](x, level) for name in names)


def test_cfg_at_scale_1_is_the_conditional_branch_bit_for_bit_and_asks_nothing_else() -> None:
    branches = Branches(gaussian(1.0, 0.3), gaussian(-1.0, 0.9))
    plain = ddim(noise(), grid(6), gaussian(1.0, 0.3))
    assert torch.equal(ddim(noise(), grid(6), cfg(branches, 1.0)), plain)
    assert branches.asked == [("cond",)] * 6


def test_cfg_is_the_mix_of_predictions() -> None:
    cond, uncond = gaussian(1.0, 0.3), gaussian(-1.0, 0.9)
    level = grid(5, zero_snr=False)[2]
    found = cfg(Branches(cond, uncond), 4.0)(noise(), level)
    c, u = cond(noise(), level), uncond(noise(), level)
    torch.testing.assert_close(found.eps, u.eps + 4 * (c.eps - u.eps))
    # Mixed in eps, read as x0: the same thing.
    torch.testing.assert_close(found.x0, (noise() - level.sigma * found.eps) / level.alpha)


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0])
def test_cfg_plus_plus_is_cfg_with_a_scale_that_changes_with_the_step(scale: float) -> None:
    """w_t = scale r / (r - sigma'), r = alpha' sigma / alpha (from arXiv 2406.08070)."""
    levels = grid(12, zero_snr=False)
    branches = Branches(gaussian(1.0, 0.3), gaussian(-1.0, 0.9))

    def changing(x: torch.Tensor, level: Level) -> Prediction:
        after = levels[level.i + 1]
        r = after.alpha * level.sigma / level.alpha
        return cfg(branches, scale * r / (r - after.sigma))(x, level)

    found = ddim(noise(), levels, cfg_plus_plus(branches, scale))
    torch.testing.assert_close(found, ddim(noise(), levels, changing))
    assert not torch.allclose(found, ddim(noise(), levels, cfg(branches, scale)))


def test_cfg_plus_plus_of_equal_branches_is_no_guidance_at_any_scale() -> None:
    same = gaussian(0.5, 0.4)
    for scale in (0.0, 0.7, 1.0):
        assert torch.equal(
            ddim(noise(), grid(5), cfg_plus_plus(Branches(same, same), scale)), ddim(noise(), grid(5), same)
        )


def test_the_recipe_names_the_guidance() -> None:
    branches = Branches(gaussian(1.0, 0.3), gaussian(-1.0, 0.9))
    level = grid(5)[1]
    for settings, direct in ((Cfg(2.0), cfg(branches, 2.0)), (CfgPlusPlus(0.5), cfg_plus_plus(branches, 0.5))):
        a, b = guided_by(settings, branches)(noise(), level), direct(noise(), level)
        assert torch.equal(a.x0, b.x0)
        assert torch.equal(a.eps, b.eps)
