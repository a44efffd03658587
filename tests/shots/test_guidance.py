"""Guidance and STG on made-up branches: identities bit for bit, formulas against the papers' in float64."""

from collections.abc import Sequence

import pytest
import torch
from diffusers.guiders import SkipLayerGuidance
from diffusers.hooks import LayerSkipConfig
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from shots.branches import branches, breaks, passes
from shots.denoiser import READINGS, Denoise, Prediction
from shots.errors import SpecError
from shots.guidance import Branch, guided
from shots.levels import Level
from shots.sampling import sample
from shots.spec import Cfg, CfgPlusPlus, Guidance, NoChain, Recipe, Stg
from tests.shots.plain_guidance import cfg, cfg_plus_plus, guided_by
from tests.shots.toys import gaussian

from .test_sampling import SHAPE, flow_grid, grid, noise

STEPS = 12
LEVELS = grid(STEPS, zero_snr=False)
COND, UNCOND, SKIP = gaussian(1.0, 0.3), gaussian(-1.0, 0.9), gaussian(0.2, 0.6)


def recipe(guidance: Guidance, stg: Stg | None = None) -> Recipe:
    return Recipe(guidance=guidance, chain=NoChain(), stg=stg)


class Branches:
    """Three Gaussians as branches; counts what is asked."""

    def __init__(self, cond: Denoise = COND, uncond: Denoise = UNCOND, skip: Denoise = SKIP) -> None:
        self.by_name = {"cond": cond, "uncond": uncond, "skip": skip}
        self.asked: list[tuple[Branch, ...]] = []

    def __call__(self, x: torch.Tensor, level: Level, names: Sequence[Branch]) -> tuple[Prediction, ...]:
        self.asked.append(tuple(names))
        return tuple(self.by_name[name](x, level) for name in names)


def equal(a: Prediction, b: Prediction) -> bool:
    return torch.equal(a.x0, b.x0) and torch.equal(a.eps, b.eps)


def test_cfg_at_scale_1_is_the_conditional_branch_bit_for_bit_and_asks_nothing_else() -> None:
    for make in (lambda b: cfg(b, 1.0), lambda b: guided(recipe(Cfg(1.0, rescale=0.7)), b, 6, READINGS["epsilon"])):
        asked = Branches()
        assert torch.equal(sample(noise(), grid(6), make(asked)), sample(noise(), grid(6), COND))
        assert asked.asked == [("cond",)] * 6


def test_cfg_is_the_mix_of_predictions() -> None:
    level = LEVELS[2]
    found = guided(recipe(Cfg(4.0)), Branches(), STEPS)(noise(), level)
    c, u = COND(noise(), level), UNCOND(noise(), level)
    torch.testing.assert_close(found.eps, u.eps + 4 * (c.eps - u.eps))
    # Mixed in eps, read as x0: the same thing.
    torch.testing.assert_close(found.x0, (noise() - level.sigma * found.eps) / level.alpha)


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("levels", [LEVELS, flow_grid(STEPS)[1:]], ids=["vp", "flow"])
def test_cfg_plus_plus_is_cfg_with_a_scale_that_changes_with_the_step(scale: float, levels: tuple[Level, ...]) -> None:
    """w_t = scale r / (r - sigma'), r = alpha' sigma / alpha (from arXiv 2406.08070); in flow matching that is
    scale (1 - sigma') sigma / (sigma - sigma')."""

    def changing(x: torch.Tensor, level: Level) -> Prediction:
        after = levels[levels.index(level) + 1]
        r = after.alpha * level.sigma / level.alpha
        weight = scale * r / (r - after.sigma)
        if level.alpha == 1 - level.sigma:
            assert weight == pytest.approx(scale * (1 - after.sigma) * level.sigma / (level.sigma - after.sigma))
        return cfg(Branches(), weight)(x, level)

    found = sample(noise(), levels, guided(recipe(CfgPlusPlus(scale)), Branches(), STEPS))
    torch.testing.assert_close(found, sample(noise(), levels, changing))
    assert not torch.allclose(found, sample(noise(), levels, cfg(Branches(), scale)))


def test_the_last_step_of_cfg_plus_plus_is_its_x0_whatever_the_noise() -> None:
    last = LEVELS[-2:]
    assert last[1].sigma == 0.0
    wanted = cfg(Branches(), 0.6)(noise(), last[0]).x0
    assert torch.equal(sample(noise(), last, guided(recipe(CfgPlusPlus(0.6)), Branches(), STEPS)), wanted)


def test_cfg_plus_plus_of_equal_branches_is_no_guidance_at_any_scale() -> None:
    for scale in (0.0, 0.7, 1.0):
        same = guided(recipe(CfgPlusPlus(scale)), Branches(COND, COND), 5)
        assert torch.equal(sample(noise(), grid(5), same), sample(noise(), grid(5), COND))


@pytest.mark.parametrize(
    ("settings", "direct"), [(Cfg(2.0), cfg(Branches(), 2.0)), (CfgPlusPlus(0.5), cfg_plus_plus(Branches(), 0.5))]
)
def test_a_recipe_of_guidance_alone_is_that_guidance_bit_for_bit(settings: Guidance, direct: Denoise) -> None:
    for level in LEVELS[:-1]:
        wanted = direct(noise(), level)
        assert equal(guided_by(settings, Branches())(noise(), level), wanted)
        assert equal(guided(recipe(settings), Branches(), STEPS)(noise(), level), wanted)


@pytest.mark.parametrize("guidance", [Cfg(4.0, start=0.25, stop=0.75), CfgPlusPlus(0.6, start=0.25, stop=0.75)])
def test_outside_its_window_guidance_is_the_conditional_branch_alone(guidance: Guidance) -> None:
    asked = Branches()
    denoise = guided(recipe(guidance), asked, STEPS)
    always = guided_by(guidance, Branches())
    for level in LEVELS[:-1]:
        wanted = always if 3 <= level.i < 9 else COND
        assert equal(denoise(noise(), level), wanted(noise(), level))
    assert asked.asked == [("cond",)] * 3 + [("cond", "uncond")] * 6 + [("cond",)] * 3
    assert passes(recipe(guidance), STEPS) == 18


@pytest.mark.parametrize("guidance", [Cfg(4.0), Cfg(1.0), CfgPlusPlus(0.6), Cfg(4.0, stop=0.5)])
def test_stg_of_scale_0_and_outside_its_window_is_none_bit_for_bit_and_asks_nothing(guidance: Guidance) -> None:
    plain = guided(recipe(guidance), Branches(), STEPS)
    for stg in (Stg(0.0, rescale=0.7), Stg(2.0, start=0.5, stop=0.5)):
        asked = Branches()
        denoise = guided(recipe(guidance, stg), asked, STEPS, READINGS["epsilon"])
        for level in LEVELS[:-1]:
            assert equal(denoise(noise(), level), plain(noise(), level))
        assert not any("skip" in names for names in asked.asked)
        assert passes(recipe(guidance, stg), STEPS) == passes(recipe(guidance), STEPS)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("w", "g"), [(4.0, 1.5), (1.0, 1.5), (0.0, -0.5)])
def test_stg_is_the_paper_s_sum_in_every_space(kind: str, w: float, g: float) -> None:
    """u + w (c - u) + g (c - p) of network outputs of any type; without CFG c + g (c - p)."""
    space, x = READINGS[kind], noise()
    denoise = guided(recipe(Cfg(w), Stg(g)), Branches(), STEPS)
    for level in (LEVELS[0], LEVELS[7]):
        c, u, p = (space.write(branch(x, level), level) for branch in (COND, UNCOND, SKIP))
        wanted = space.read(u + w * (c - u) + g * (c - p), x, level)
        found = denoise(x, level)
        torch.testing.assert_close(found.x0, wanted.x0)
        torch.testing.assert_close(found.eps, wanted.eps)


@pytest.mark.parametrize("share", [0.0, 0.7])
@pytest.mark.parametrize("w", [5.0, 1.5])
def test_stg_is_diffusers_skip_layer_guidance(w: float, share: float) -> None:
    """Its formula, which rescales the whole mix; diffusers never skips at step 0, so a later one is taken."""
    theirs = SkipLayerGuidance(
        guidance_scale=w,
        skip_layer_guidance_scale=2.0,
        skip_layer_guidance_start=0.0,
        skip_layer_guidance_stop=1.0,
        skip_layer_config=LayerSkipConfig(indices=[0], fqn="blocks"),
        guidance_rescale=share,
    )
    x, level = noise(), LEVELS[4]
    theirs.set_state(step=level.i, num_inference_steps=STEPS, timestep=torch.tensor(level.t))
    c, u, p = (wavy(*branch)(x, level).eps for branch in ((1.0, 0.9), (1.3, 1.2), (0.7, 0.5)))
    found = guided(recipe(Cfg(w), Stg(2.0, rescale=share)), wavy_branches(), STEPS, READINGS["epsilon"])(x, level)
    torch.testing.assert_close(found.eps, theirs.forward(c, u, p).pred)


def test_stg_of_a_network_that_skips_nothing_changes_nothing_at_any_scale() -> None:
    for level in LEVELS[:-1]:
        plain = guided(recipe(Cfg(4.0)), Branches(), STEPS)(noise(), level)
        found = guided(recipe(Cfg(4.0), Stg(3.0)), Branches(skip=COND), STEPS)(noise(), level)
        assert equal(found, plain)


def test_stg_under_cfg_plus_plus_moves_x0_and_leaves_eps_unconditional() -> None:
    level = LEVELS[4]
    found = guided(recipe(CfgPlusPlus(0.6), Stg(2.0)), Branches(), STEPS)(noise(), level)
    c, u, p = (branch(noise(), level) for branch in (COND, UNCOND, SKIP))
    torch.testing.assert_close(found.x0, u.x0 + 0.6 * (c.x0 - u.x0) + 2.0 * (c.x0 - p.x0))
    assert torch.equal(found.eps, u.eps)


def wavy(phase: float, strength: float) -> Denoise:
    """Predictions whose deviation differs between samples."""

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        eps = strength * torch.sin(phase * x) * (1 + x[:, :, :1].abs())
        return Prediction((x - level.sigma * eps) / level.alpha, eps)

    return denoise


def wavy_branches() -> Branches:
    return Branches(wavy(1.0, 0.9), wavy(1.3, 1.2), wavy(0.7, 0.5))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_guidance_rescale_is_diffusers_in_the_space_of_the_output(kind: str, share: float) -> None:
    space, x, level = READINGS[kind], noise(), LEVELS[3]
    found = guided(recipe(Cfg(5.0, rescale=share)), wavy_branches(), STEPS, space)(x, level)
    c, u = (space.write(branch(x, level), level) for branch in (wavy(1.0, 0.9), wavy(1.3, 1.2)))
    wanted = rescale_noise_cfg(u + 5.0 * (c - u), c, share)
    torch.testing.assert_close(space.write(found, level), wanted)
    torch.testing.assert_close(level.alpha * found.x0 + level.sigma * found.eps, x)


@pytest.mark.parametrize("guidance", [Cfg(5.0), Cfg(1.0), Cfg(5.0, rescale=0.4)])
def test_full_stg_rescale_gives_each_sample_the_conditional_s_deviation(guidance: Guidance) -> None:
    x, level = noise(), LEVELS[3]
    found = guided(recipe(guidance, Stg(2.0, rescale=1.0)), wavy_branches(), STEPS, READINGS["epsilon"])(x, level)
    for k in range(len(x)):
        assert float(found.eps[k].std()) == pytest.approx(float(wavy(1.0, 0.9)(x, level).eps[k].std()), rel=1e-12)


def test_a_part_of_stg_rescale_is_the_reference_s_formula() -> None:
    x, level, share = noise(), LEVELS[3], 0.7
    c, u, p = (wavy(*w)(x, level).eps for w in ((1.0, 0.9), (1.3, 1.2), (0.7, 0.5)))
    mix = u + 5.0 * (c - u) + 2.0 * (c - p)
    factor = torch.stack([share * a.std() / b.std() + 1 - share for a, b in zip(c, mix, strict=True)])
    found = guided(recipe(Cfg(5.0), Stg(2.0, rescale=share)), wavy_branches(), STEPS, READINGS["epsilon"])(x, level)
    torch.testing.assert_close(found.eps, mix * factor.view(-1, 1, 1, 1, 1))


def test_rescaled_samples_do_not_know_their_neighbours() -> None:
    x = torch.randn(5, 4, 7, 9, 11, generator=torch.Generator().manual_seed(1))
    space, settings = READINGS["v_prediction"], recipe(Cfg(5.0, rescale=0.5), Stg(2.0, rescale=0.7))
    together = guided(settings, wavy_branches(), STEPS, space)(x, LEVELS[3])
    for k in range(len(x)):
        alone = guided(settings, wavy_branches(), STEPS, space)(x[k : k + 1].clone(), LEVELS[3])
        assert torch.equal(alone.x0[0], together.x0[k])
        assert torch.equal(alone.eps[0], together.eps[k])


def test_an_output_without_deviation_is_left_alone() -> None:
    flat = gaussian(1.0, 0.0)
    x = torch.zeros(SHAPE)
    found = guided(recipe(Cfg(3.0, rescale=1.0)), Branches(flat, flat), STEPS, READINGS["sample"])(x, LEVELS[3])
    assert torch.equal(found.x0, torch.ones(SHAPE))


def test_rescaling_without_knowing_the_output_is_refused() -> None:
    for settings in (recipe(Cfg(3.0, rescale=0.5)), recipe(Cfg(3.0), Stg(1.0, rescale=0.5))):
        with pytest.raises(SpecError, match="pass its reading as `space`"):
            guided(settings, Branches(), STEPS)


def test_a_distilled_network_has_no_unconditional_pass() -> None:
    assert branches(recipe(Cfg(6.0)), 0, STEPS, distilled=True) == ("cond",)
    assert branches(recipe(Cfg(6.0), Stg(1.0)), 0, STEPS, distilled=True) == ("cond", "skip")
    asked, level = Branches(), LEVELS[4]
    found = guided(recipe(Cfg(6.0), Stg(2.0)), asked, STEPS, distilled=True)(noise(), level)
    c, p = COND(noise(), level), SKIP(noise(), level)
    torch.testing.assert_close(found.eps, c.eps + 2 * (c.eps - p.eps))
    assert asked.asked == [("cond", "skip")]
    with pytest.raises(SpecError, match=r"cfg_plus_plus .* use cfg"):
        branches(recipe(CfgPlusPlus(0.6)), 0, STEPS, distilled=True)


@pytest.mark.parametrize("guidance", [Cfg(4.0, start=0.1, stop=0.8), Cfg(1.0), CfgPlusPlus(0.5, stop=0.4)])
@pytest.mark.parametrize("stg", [None, Stg(1.0), Stg(1.0, start=0.3, stop=0.6)])
@pytest.mark.parametrize("steps", [1, 7, 12])
def test_passes_are_what_is_asked(guidance: Guidance, stg: Stg | None, steps: int) -> None:
    asked = Branches()
    sample(noise(), grid(steps, zero_snr=False), guided(recipe(guidance, stg), asked, steps))
    assert sum(len(names) for names in asked.asked) == passes(recipe(guidance, stg), steps)


def test_a_history_breaks_where_a_window_opens_or_closes() -> None:
    settings = recipe(Cfg(4.0, start=0.25), Stg(1.0, start=0.5, stop=0.75))
    assert breaks(settings, STEPS) == {3, 6, 9}
    assert breaks(recipe(Cfg(4.0)), STEPS) == set()
    assert breaks(recipe(Cfg(4.0, stop=0.75)), STEPS, guided=2) == {1, 2, 9}
    assert breaks(recipe(Cfg(4.0)), STEPS, guided=STEPS) == set(range(1, STEPS))
    assert breaks(recipe(Cfg(4.0, stop=0.5)), STEPS, distilled=True) == set()
