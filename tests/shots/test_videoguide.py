"""VideoGuide against its published loop, written down again here, and against what must hold exactly."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers.pipelines.free_init_utils import FreeInitMixin

from shots.denoiser import Prediction
from shots.errors import SpecError
from shots.levels import Level, Noising
from shots.rng import clip_noise
from shots.sampling import State, sample
from shots.spec import Cfg, CfgPlusPlus, ClipSpec, Guidance, ModelRef, Recipe, Sampler, VideoGuide
from shots.videoguide import Guide, Noise, guided, guided_steps, inner_levels, nfe, refresh, streams
from tests.shots.plain_guidance import guided_by
from tests.shots.toys import Asked, Network, flow, gaussian, levels_at, network, published_times, vp

SHAPE = (1, 4, 6, 4, 4)
STUDENT, TEACHER = network(1.0), network(2.5)


def normal(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Drawn:
    """Noise by name: drawn once, then the same again."""

    def __init__(self) -> None:
        self.by_name: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        return self.by_name.setdefault(name, normal(len(self.by_name), shape))


def run(
    settings: VideoGuide, guidance: Guidance, student: Asked, teacher: Asked, levels: tuple[Level, ...], noise: Noise
) -> torch.Tensor:
    guide = Guide(guided_by(guidance, teacher), teacher.schedule)
    denoise = guided(guided_by(guidance, student), guide, settings, noise)
    return sample(normal(99), levels, denoise, after=(refresh(settings, levels, noise),))


def published(
    x: torch.Tensor,
    ask: Network,
    teach: Network,
    products: torch.Tensor,
    guidance: Guidance,
    s: VideoGuide,
    noise: Noise,
) -> torch.Tensor:
    """`sample_video_guide` of the reference code in our words: eps networks, 50 steps, the x0 of the last returned."""
    mask = FreeInitMixin()._get_free_init_freq_filter(tuple(x.shape), "cpu", "butterworth", s.order, s.cutoff, s.cutoff)
    plus = isinstance(guidance, CfgPlusPlus)
    times = published_times(50)

    def predicted(net: Network, y: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        e_u = net(y, t, "uncond")
        e = e_u + guidance.scale * (net(y, t, "cond") - e_u)
        return (y - (1 - products[t]).sqrt() * e) / products[t].sqrt(), e_u if plus else e

    for i, t in enumerate(times):
        after = times[i + 1] if i + 1 < len(times) else 0
        clean, eps = predicted(ask, x, t)
        if i < s.steps:
            y = products[t].sqrt() * clean + (1 - products[t]).sqrt() * noise(f"videoguide/{i}", SHAPE)
            inner = torch.linspace(0, t, s.grid, dtype=torch.float64).round().long()[1:].flip(0).tolist()
            for k, here in enumerate(inner[: s.tau]):
                target, again = predicted(teach, y, here)
                there = inner[k + 1] if k + 1 < len(inner) else 0
                y = products[there].sqrt() * target + (1 - products[there]).sqrt() * again
            clean = clean + (1 - s.beta) * (target - clean)
        x = products[after].sqrt() * clean + (1 - products[after]).sqrt() * eps
        if i < s.steps:
            x = FreeInitMixin()._apply_freq_filter(x, noise(f"videoguide/refresh/{i}", SHAPE), mask)
    return clean


@pytest.mark.parametrize("guidance", [Cfg(7.5), CfgPlusPlus(0.8)], ids=["cfg", "cfg++"])
@pytest.mark.parametrize("teach", [STUDENT, TEACHER], ids=["itself", "another"])
def test_the_published_loop_is_reproduced(guidance: Guidance, teach: Network) -> None:
    schedule = vp("linear", steps_offset=1, clip_sample=False)
    settings = VideoGuide(cutoff=0.125)
    noise = Drawn()
    products = torch.tensor(schedule.products, dtype=torch.float64)
    wanted = published(normal(99), STUDENT, teach, products, guidance, settings, noise)
    student, teacher = Asked(STUDENT, schedule), Asked(teach, schedule)
    found = run(settings, guidance, student, teacher, levels_at(schedule, published_times(50)), noise)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5
    assert (student.passes, teacher.passes) == (100, 100)
    assert teacher.passes == nfe(settings, 50, 2)
    assert teacher.log[0][0] == 999


@pytest.mark.parametrize("guidance", [Cfg(4.0), CfgPlusPlus(0.6)], ids=["cfg", "cfg++"])
def test_in_flow_matching_it_is_the_same_loop_with_refreshed_noise_as_strong_as_the_level(guidance: Guidance) -> None:
    schedule, noise = flow(shift=3.0), Drawn()
    settings = VideoGuide(steps=3, tau=4, beta=0.7)
    levels = schedule.grid(8)
    found = run(settings, guidance, Asked(STUDENT, schedule), Asked(STUDENT, schedule), levels, noise)

    mask = FreeInitMixin()._get_free_init_freq_filter(SHAPE, "cpu", "butterworth", 4, 0.25, 0.25)

    def predicted(y: torch.Tensor, s: float) -> tuple[torch.Tensor, torch.Tensor]:
        v_u, v_c = STUDENT(y, 1000 * s, "uncond"), STUDENT(y, 1000 * s, "cond")
        v = v_u + guidance.scale * (v_c - v_u)
        return y - s * v, y + (1 - s) * (v_u if isinstance(guidance, CfgPlusPlus) else v)

    x = normal(99)
    for i, (here, there) in enumerate(pairwise(levels)):
        s, after = here.sigma, there.sigma
        clean, eps = predicted(x, s)
        if i < 3:
            y = (1 - s) * clean + s * noise.by_name[f"videoguide/{i}"]
            for k in range(4):
                target, again = predicted(y, s * (24 - k) / 24)
                y = (1 - s * (23 - k) / 24) * target + s * (23 - k) / 24 * again
            clean = 0.7 * clean + 0.3 * target
        x = (1 - after) * clean + after * eps
        if i < 3:
            x = FreeInitMixin()._apply_freq_filter(x, after * noise.by_name[f"videoguide/refresh/{i}"], mask)
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)


def plain(settings: VideoGuide) -> tuple[torch.Tensor, torch.Tensor, Asked, Drawn]:
    """With the method, without it, the teacher, and the noise that was drawn."""
    schedule, noise = vp(), Drawn()
    levels = levels_at(schedule, published_times(10))
    teacher = Asked(TEACHER, schedule)
    found = run(settings, Cfg(3.0), Asked(STUDENT, schedule), teacher, levels, noise)
    return found, sample(normal(99), levels, guided_by(Cfg(3.0), Asked(STUDENT, schedule))), teacher, noise


@pytest.mark.parametrize("settings", [VideoGuide(steps=0), VideoGuide(beta=1.0, low_pass=False), VideoGuide(until=1.0)])
def test_neutral_settings_change_no_bit_and_ask_nothing(settings: VideoGuide) -> None:
    found, without, teacher, noise = plain(settings)
    assert torch.equal(found, without)
    assert teacher.log == []
    assert noise.by_name == {}
    assert nfe(settings, 10, 2, levels_at(vp(), published_times(10))) == 0


def test_the_settings_do_something() -> None:
    for settings in (VideoGuide(), VideoGuide(low_pass=False), VideoGuide(beta=1.0)):
        found, without, _, _ = plain(settings)
        assert not torch.allclose(found, without, rtol=1e-3)


def test_a_teacher_that_sees_what_the_student_saw_says_what_the_student_said() -> None:
    """With n := the student's own eps, y is x_t; a student that teaches itself for one evaluation changes nothing."""
    schedule = vp()
    level = schedule.level(700, 3)
    denoise = guided_by(Cfg(5.0), Asked(STUDENT, schedule))
    seen = denoise(normal(0), level)
    guide = Guide(denoise, schedule)
    found = guided(denoise, guide, VideoGuide(tau=1, beta=0.5), lambda name, shape: seen.eps)(normal(0), level)
    torch.testing.assert_close(found.x0, seen.x0, rtol=1e-10, atol=1e-10)
    assert torch.equal(found.eps, seen.eps)


def test_beta_zero_is_the_teachers_word() -> None:
    level = vp().level(900, 0)
    guide = Guide(lambda x, at: Prediction(torch.full_like(x, 2.5), x), vp())
    found = guided(guided_by(Cfg(5.0), Asked(STUDENT, vp())), guide, VideoGuide(beta=0.0), Drawn())(normal(0), level)
    torch.testing.assert_close(found.x0, torch.full(SHAPE, 2.5, dtype=torch.float64))


@pytest.mark.parametrize("schedule", [vp("linear"), flow(), flow(shift=5.0), flow(invert_sigmas=True)])
def test_a_teacher_with_another_schedule_is_asked_at_the_same_signal_to_noise(schedule: Noising) -> None:
    """What an exact denoiser makes of a noised clip hangs on alpha / sigma alone, so its schedule must not show."""
    level, asked = vp().level(800, 2), list[Level]()
    settings = VideoGuide(tau=1, beta=0.3)
    student = guided_by(Cfg(2.0), Asked(STUDENT, vp()))

    def teach(x: torch.Tensor, at: Level) -> Prediction:
        asked.append(at)
        return gaussian(0.4, 0.8)(x, at)

    found, wanted = (guided(student, Guide(teach, s), settings, Drawn())(normal(1), level) for s in (schedule, vp()))
    torch.testing.assert_close(found.x0, wanted.x0, rtol=1e-9, atol=1e-9)
    own, same = asked
    assert same == level
    assert own.alpha / own.sigma == pytest.approx(level.alpha / level.sigma)
    assert own.t is not None
    there = schedule.level(own.t)
    assert (own.i, own.alpha, own.sigma) == (2, pytest.approx(there.alpha), pytest.approx(there.sigma))


@pytest.mark.parametrize("schedule", [vp("linear"), flow(), flow(invert_sigmas=True)])
def test_inner_levels_go_from_the_level_towards_no_noise(schedule: Noising) -> None:
    start = schedule.match(vp().level(800, 7))
    found = inner_levels(schedule, start, VideoGuide(tau=24))
    assert found[0] == start
    assert {level.i for level in found} == {7}
    sigmas = [level.sigma / level.alpha for level in found]
    assert sigmas == sorted(sigmas, reverse=True)
    if schedule.kind != "vp":
        assert [v.sigma / start.sigma for v in found] == pytest.approx([j / 24 for j in range(24, 0, -1)])


def test_the_inner_grid_is_the_published_one() -> None:
    found = inner_levels(vp(), vp().level(999), VideoGuide(tau=10))
    assert [level.t for level in found] == [999, 957, 916, 874, 832, 791, 749, 708, 666, 624]
    assert all(level == vp().level(level.t) for level in found)
    assert [v.t for v in inner_levels(vp(), vp().level(40), VideoGuide(tau=24))][-3:] == [5, 3, 2]


def test_a_teacher_of_another_latent_space_is_reached_through_the_maps() -> None:
    """The teacher lives at half the size with latents 2 x0 + 1; it is noised there, in its own shape."""
    level, asked = vp().level(900, 0), list[tuple[int, ...]]()

    def noise(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        asked.append(shape)
        return normal(5, shape)

    guide = Guide(
        gaussian(2 * 0.75 + 1, 0.0),
        flow(),
        to_teacher=lambda x0: 2 * x0[..., ::2, ::2] + 1,
        from_teacher=lambda x0: ((x0 - 1) / 2).repeat_interleave(2, -1).repeat_interleave(2, -2),
    )
    found = guided(gaussian(-1.0, 0.0), guide, VideoGuide(beta=0.5), noise)(normal(2), level)
    torch.testing.assert_close(found.x0, torch.full(SHAPE, (0.75 - 1.0) / 2, dtype=torch.float64))
    assert asked == [(1, 4, 6, 2, 2)]


def test_until_guides_by_noise_and_not_by_count() -> None:
    levels = flow(shift=7.0).grid(20)
    settings = VideoGuide(steps=1, until=0.9, tau=3)
    wanted = [level.i for level in levels[:-1] if level.sigma >= 0.9]
    assert 1 < len(wanted) < 20
    assert guided_steps(settings, 20, levels) == wanted
    noise, schedule = Drawn(), flow(shift=7.0)
    teacher = Asked(TEACHER, schedule)
    run(settings, Cfg(2.0), Asked(STUDENT, schedule), teacher, levels, noise)
    assert teacher.passes == nfe(settings, 20, 2, levels) == 2 * 3 * len(wanted)
    assert sorted(noise.by_name) == sorted(f"videoguide/{part}{i}" for part in ("", "refresh/") for i in wanted)
    with pytest.raises(SpecError, match="give the levels"):
        guided_steps(settings, 20)


def test_the_price_follows_the_passes_of_each_step() -> None:
    assert nfe(VideoGuide(), 50, 2) == 100
    assert nfe(VideoGuide(steps=30), 8, 1) == 80
    assert nfe(VideoGuide(steps=4, tau=3), 50, lambda step: 2 if step < 3 else 1) == 3 * (2 + 2 + 2 + 1)


def test_the_last_level_is_never_refreshed_and_untouched_states_are_the_same_object() -> None:
    schedule = flow()
    levels = schedule.grid(4)
    edit = refresh(VideoGuide(steps=9, cutoff=0.0), levels, Drawn())
    x = normal(3)
    assert edit(x, levels[-1]) is x
    # With cutoff 0 nothing of x is kept, so what comes back is the noise, as strong as the level.
    noise = Drawn()
    assert torch.equal(refresh(VideoGuide(cutoff=0.0), levels, noise)(x, levels[2]), levels[2].sigma * normal(0))
    assert refresh(VideoGuide(steps=2), levels, noise)(x, levels[3]) is x
    assert refresh(VideoGuide(low_pass=False), levels, noise)(x, levels[1]) is x


def test_refreshed_noise_of_a_variance_preserving_schedule_has_variance_1() -> None:
    levels = levels_at(vp(), published_times(4))
    found = refresh(VideoGuide(cutoff=0.0), levels, Drawn())(normal(3), levels[2])
    assert torch.equal(found, normal(0))


def spec(index: int, seed: int = 5) -> ClipSpec:
    return ClipSpec(ModelRef("m"), 64, 64, 6, "a prompt", "", seed, index, Sampler("ddim", 6), Recipe())


def test_noise_is_a_stream_of_each_clip() -> None:
    specs = [spec(0), spec(1), spec(1, seed=6)]
    found = streams(specs)("videoguide/3", (3, 4, 6, 4, 4))
    for k, one in enumerate(specs):
        assert torch.equal(found[k], clip_noise(one.seed, "videoguide/3", one.start, (4, 6, 4, 4)))
    with pytest.raises(SpecError, match="2 clips"):
        streams(specs)("videoguide/3", (2, 4, 6, 4, 4))


def lockstep(specs: list[ClipSpec], x: torch.Tensor, start: State | None = None) -> tuple[torch.Tensor, list[State]]:
    schedule, noise, states = vp(), streams(specs), list[State]()
    levels = levels_at(schedule, published_times(6))
    settings = VideoGuide(steps=3, tau=2)
    student = guided_by(CfgPlusPlus(0.7), Asked(STUDENT, schedule))
    guide = Guide(guided_by(CfgPlusPlus(0.7), Asked(TEACHER, flow())), flow())
    denoise = guided(student, guide, settings, noise)
    after = (refresh(settings, levels, noise),)
    return sample(x, levels, denoise, after=after, start=start, on_state=states.append), states


def test_clips_together_are_clips_one_after_another_and_a_resumed_run_has_the_same_bits() -> None:
    specs = [spec(0), spec(1), spec(2)]
    x = normal(8, (3, 4, 6, 4, 4)).float()
    together, states = lockstep(specs, x)
    for k, one in enumerate(specs):
        assert torch.equal(lockstep([one], x[k : k + 1])[0], together[k : k + 1])
    for state in states[:4]:
        assert torch.equal(lockstep(specs, x, state)[0], together)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tau": 25}, r"videoguide.tau is 25; it may be 1 to 24, the points of its grid of 25"),
        ({"tau": 0}, "tau is 0"),
        ({"beta": 1.5}, "beta is 1.5; it may be 0 to 1"),
        ({"steps": -1}, "steps is -1"),
        ({"until": 2.0}, "until is 2.0"),
        ({"grid": 1}, "grid is 1"),
        ({"cutoff": -0.1}, "cutoff is -0.1"),
        ({"order": 0}, "order is 0"),
    ],
)
def test_bad_numbers_are_named(wrong: dict[str, object], message: str) -> None:
    settings = replace(VideoGuide(), **wrong)
    guide = Guide(gaussian(0.0, 1.0), vp())
    attempts: tuple[Callable[[], object], ...] = (
        lambda: guided(gaussian(0.0, 1.0), guide, settings, Drawn()),
        lambda: refresh(settings, levels_at(vp(), [999]), Drawn()),
    )
    for attempt in attempts:
        with pytest.raises(SpecError, match=message):
            attempt()


def test_the_planner_can_ask_for_prices_without_torch() -> None:
    code = "import sys, shots.videoguide, shots.ivmixed; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
