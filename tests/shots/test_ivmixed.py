"""IV-Mixed against its published loop over diffusers' own schedulers, and against what must hold exactly."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from shots.branches import Branch
from shots.denoiser import Prediction
from shots.errors import SpecError
from shots.guidance import Evaluate
from shots.ivmixed import gamma, matched, nfe, walk, zigzag
from shots.levels import Level, Noising, noising_of
from shots.sampling import sample
from shots.spec import IvMixed, ModelRef
from tests.shots.plain_guidance import cfg
from tests.shots.toys import Asked, flow, network, vp

SHAPE = (2, 4, 5, 3, 3)
IMAGE, VIDEO = network(2.0), network(1.0)
PICTURES = IvMixed(ModelRef("pictures"))
Log = list[tuple[str, float]]


def normal(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scheduler(steps: int, **settings: object) -> DDIMScheduler:
    """Of Stable Diffusion, in double precision: guidance down and up again enlarges rounding a thousandfold."""
    made = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        **{"steps_offset": 1, "set_alpha_to_one": False} | settings,
    )
    made.alphas_cumprod = made.alphas_cumprod.double()
    made.final_alpha_cumprod = made.alphas_cumprod[0]
    made.set_timesteps(steps)
    return made


def inverse(down: DDIMScheduler, steps: int) -> DDIMInverseScheduler:
    made = DDIMInverseScheduler.from_config(down.config)
    made.alphas_cumprod, made.initial_alpha_cumprod = down.alphas_cumprod, down.alphas_cumprod[0]
    made.set_timesteps(steps)
    return made


def published(x: torch.Tensor, settings: IvMixed, steps: int, scale: float) -> tuple[torch.Tensor, Log]:
    """`forward_IVIV` of the reference code in our words: its calls in their order, steps by diffusers' schedulers."""
    down = scheduler(steps)
    up, log = inverse(down, steps), Log()
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)

    def karras(begin: float, end: float) -> torch.Tensor:
        low, high = begin ** (1 / settings.rho), end ** (1 / settings.rho)
        return (low + ramp * (high - low)) ** settings.rho

    g_image, g_video = karras(*settings.gamma_image), karras(*settings.gamma_video)

    def noise(who: str, y: torch.Tensor, t: int, weight: float) -> torch.Tensor:
        log.append((who, t))
        if who == "image":
            k, c, f, h, w = y.shape
            y = y.transpose(1, 2).reshape(k * f, c, 1, h, w)
        e_u, e_c = ((IMAGE if who == "image" else VIDEO)(y, t, branch) for branch in ("uncond", "cond"))
        e = e_u + weight * (e_c - e_u)
        return e.reshape(k, f, c, h, w).transpose(1, 2) if who == "image" else e

    for i, t in enumerate(down.timesteps.tolist()):
        p1, p2 = max(0, t - 1000 // steps), max(0, t - 2000 // steps)
        first, second = (t, p1) if settings.order == "ms" else (p1, t)
        x = down.step(noise("image", x, first, g_image[i]), first, x).prev_sample
        x = down.step(noise("video", x, second, g_video[i]), second, x).prev_sample
        x = up.step(noise("image", x, p2, -g_image[i]), p1, x).prev_sample
        x = up.step(noise("video", x, p1, -g_video[i]), t, x).prev_sample
        x = down.step(noise("video", x, t, scale), t, x).prev_sample
    return x, log


def mixed(
    settings: IvMixed, image: Evaluate, video: Evaluate, schedule: Noising, levels: tuple[Level, ...]
) -> torch.Tensor:
    walk = zigzag(image, video, settings, levels, schedule.level(0))
    return sample(normal(0), levels, cfg(video, 7.5), before=(walk,))


def framewise(evaluate: Evaluate) -> Evaluate:
    """An image model: every frame of x [K, C, F, h, w] by itself."""

    def asked(x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        k, c, f, h, w = x.shape
        found = evaluate(x.transpose(1, 2).reshape(k * f, c, 1, h, w), level, branches)
        return tuple(Prediction(*(y.reshape(k, f, c, h, w).transpose(1, 2) for y in p)) for p in found)

    return asked


@pytest.mark.parametrize("order", ["ms", "ad"])
@pytest.mark.parametrize("ends", [((4.0, 4.0), (4.0, 4.0)), ((2.0, 6.0), (6.0, 2.0))], ids=["constant", "ramps"])
def test_the_published_loop_is_reproduced(order: str, ends: tuple[tuple[float, float], tuple[float, float]]) -> None:
    settings = replace(PICTURES, order=order, gamma_image=ends[0], gamma_video=ends[1])
    wanted, log = published(normal(0), settings, 50, 7.5)
    schedule = noising_of(scheduler(50))
    image, video = Asked(IMAGE, schedule), Asked(VIDEO, schedule)
    found = mixed(settings, framewise(image), video, schedule, schedule.grid(50))
    assert float((found - wanted).norm() / wanted.norm()) < 1e-9
    assert [t for t, _ in image.log] == [t for who, t in log if who == "image"]
    assert [t for t, _ in video.log] == [t for who, t in log if who == "video"]
    assert (image.passes, video.passes) == nfe(settings, 50)._replace(video=nfe(settings, 50).video + 100)


def test_each_order_asks_at_its_own_times() -> None:
    schedule = noising_of(scheduler(50))
    levels = schedule.grid(50)

    def times(settings: IvMixed, step: int) -> list[tuple[str, float | None, float | None, float]]:
        return [(m.who, m.here.t, m.there.t, m.weight) for m in walk(settings, levels, schedule.level(0), step)]

    assert times(PICTURES, 0) == [
        ("image", 981, 961, 4.0), ("video", 961, 941, 4.0), ("image", 941, 961, -4.0), ("video", 961, 981, -4.0)
    ]  # fmt: skip
    assert times(replace(PICTURES, order="ad"), 0) == [
        ("image", 961, 941, 4.0), ("video", 981, 961, 4.0), ("image", 941, 961, -4.0), ("video", 961, 981, -4.0)
    ]  # fmt: skip
    # Near the end the walk stops at training time 0.
    assert [t[1:3] for t in times(PICTURES, 48)] == [(21, 1), (1, 0), (0, 1), (1, 21)]
    assert [t[1:3] for t in times(PICTURES, 49)] == [(1, 0), (0, 0), (0, 0), (0, 1)]


def test_in_flow_matching_a_walk_keeps_to_levels_with_noise() -> None:
    schedule = flow(shift=3.0)
    levels = schedule.grid(6)
    for step in range(6):
        for move in walk(PICTURES, levels, schedule.level(0), step):
            assert min(move.here.sigma, move.there.sigma) >= levels[5].sigma > 0
            assert move.here.i == step  # what is said of a failed evaluation names the step
    (before_last,) = {m.there.sigma for m in walk(PICTURES, levels, schedule.level(0), 4)[1:3]}
    assert before_last == levels[5].sigma


class Constant:
    """A network that always says the same, whatever it is asked."""

    def __init__(self, eps: torch.Tensor) -> None:
        self.eps = eps

    def __call__(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        return (Prediction((x - level.sigma * self.eps) / level.alpha, self.eps),) * len(branches)


@pytest.mark.parametrize("schedule", [vp(), vp("linear"), flow(shift=3.0)])
def test_a_walk_through_networks_that_always_say_the_same_ends_where_it_began(schedule: Noising) -> None:
    levels = (*(schedule.level(t, i) for i, t in enumerate((900, 600, 300, 50))), Level(4, None, 1.0, 0.0))
    x, says = normal(1), Constant(normal(2))
    edit = zigzag(says, says, PICTURES, levels, schedule.level(0))
    for level in levels[:4]:
        torch.testing.assert_close(edit(x, level), x, rtol=1e-10, atol=1e-10)


def test_guidance_down_and_up_again_leaves_the_difference_of_the_levels() -> None:
    """Constant branches u, c and weights +g down, -g up from t to p and back: x gains 2 g (c - u) times what noise
    weighs between the two levels."""
    schedule = vp()
    t, p = schedule.level(800, 0), schedule.level(400, 1)
    levels = (t, p, p, Level(3, None, 1.0, 0.0))
    u, c = normal(3), normal(4)

    def says(x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        found = {"cond": c, "uncond": u}
        return tuple(Prediction((x - level.sigma * found[b]) / level.alpha, found[b]) for b in branches)

    settings = replace(PICTURES, gamma_image=(3.0, 3.0), gamma_video=(0.0, 0.0))
    moves = walk(settings, levels, schedule.level(0), 0)
    assert [(m.here.t, m.there.t) for m in moves] == [(800, 400), (400, 400), (400, 400), (400, 800)]
    image_only = zigzag(says, says, settings, levels, schedule.level(0))(normal(1), t)
    # t -> p with u + 3 (c - u), then p -> t with u: x + alpha_t (sigma_p / alpha_p - sigma_t / alpha_t) 3 (c - u).
    gain = t.alpha * (p.sigma / p.alpha - t.sigma / t.alpha)
    torch.testing.assert_close(image_only, normal(1) + gain * 3 * (c - u), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_an_empty_window_changes_no_bit_and_asks_nothing(window: tuple[float, float]) -> None:
    schedule = noising_of(scheduler(10))
    levels = schedule.grid(10)
    settings = replace(PICTURES, start=window[0], stop=window[1])
    image, video = Asked(IMAGE, schedule), Asked(VIDEO, schedule)
    edit = zigzag(image, video, settings, levels, schedule.level(0))
    x = normal(0)
    assert all(edit(x, level) is x for level in levels)
    assert image.log == video.log == []
    assert nfe(settings, 10) == (0, 0)


def test_the_video_model_in_the_image_models_place_walks_alone() -> None:
    schedule = noising_of(scheduler(10))
    levels = schedule.grid(10)
    t, p1, p2 = levels[2:5]
    x = normal(0)
    found = zigzag(Asked(VIDEO, schedule), Asked(VIDEO, schedule), PICTURES, levels, schedule.level(0))(x, t)
    for here, there, weight in ((t, p1, 4.0), (p1, p2, 4.0), (p2, p1, -4.0), (p1, t, -4.0)):
        x0, eps = cfg(Asked(VIDEO, schedule), weight)(x, here)
        x = there.alpha * x0 + there.sigma * eps
    assert torch.equal(found, x)


@pytest.mark.parametrize(
    ("g_image", "g_video", "bill"),
    [
        ((4.0, 4.0), (4.0, 4.0), (20, 20)),
        ((0.0, 0.0), (1.0, 1.0), (10, 15)),  # weight 0 asks one branch, weight 1 one, weight -1 both
        ((0.0, 3.0), (3.0, 1.0), (18, 19)),
    ],
)
def test_the_price_is_what_is_asked(
    g_image: tuple[float, float], g_video: tuple[float, float], bill: tuple[int, int]
) -> None:
    settings = replace(PICTURES, gamma_image=g_image, gamma_video=g_video, start=0.2, stop=0.7)
    schedule = noising_of(scheduler(10))
    levels = schedule.grid(10)
    image, video = Asked(IMAGE, schedule), Asked(VIDEO, schedule)
    edit = zigzag(image, video, settings, levels, schedule.level(0))
    for level in levels[:-1]:
        edit(normal(0), level)
    assert (image.passes, video.passes) == nfe(settings, 10) == bill


def test_guidance_of_the_paper_goes_from_end_to_end() -> None:
    found = [gamma((2.0, 6.0), 7.0, k, 5) for k in range(5)]
    assert (found[0], found[4]) == (2.0, 6.0)
    assert found[2] == pytest.approx(((2 ** (1 / 7) + 6 ** (1 / 7)) / 2) ** 7)
    assert gamma((2.0, 6.0), 7.0, 0, 1) == 2.0
    assert gamma((2.0, 6.0), 1.0, 1, 5) == pytest.approx(3.0)


@given(st.floats(0, 9), st.floats(0, 9), st.floats(0.2, 9), st.integers(1, 60))
def test_guidance_never_leaves_its_ends(begin: float, end: float, rho: float, n: int) -> None:
    found = [gamma((begin, end), rho, k, n) for k in range(n)]
    low, high = min(begin, end), max(begin, end)
    assert all(low - 1e-9 <= g <= high + 1e-9 for g in found)
    assert found == sorted(found, reverse=end < begin) or max(found) - min(found) < 1e-9
    if begin == end:
        assert set(found) == {begin}


def posterior(x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
    """Exact for x0 ~ N(0.3, 0.5^2) in any schedule."""
    variance = level.alpha**2 * 0.25 + level.sigma**2
    residual = x - level.alpha * 0.3
    return (Prediction(0.3 + level.alpha * 0.25 / variance * residual, level.sigma / variance * residual),) * len(
        branches
    )


@pytest.mark.parametrize("schedule", [vp("linear"), flow(), flow(invert_sigmas=True)])
def test_an_image_model_of_another_schedule_sees_the_same_signal_to_noise(schedule: Noising) -> None:
    seen: list[tuple[torch.Tensor, Level]] = []

    def asked(x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        seen.append((x, level))
        return posterior(x, level, branches)

    level, x = vp().level(640, 3), normal(0)
    (found,) = matched(asked, schedule)(x, level, ("cond",))
    (wanted,) = posterior(x, level, ("cond",))
    torch.testing.assert_close(found.x0, wanted.x0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.eps, wanted.eps, rtol=1e-9, atol=1e-9)
    ((_, own),) = seen
    assert own.i == 3
    assert own.alpha / own.sigma == pytest.approx(level.alpha / level.sigma)
    if schedule.kind == "vp":
        assert own.t != pytest.approx(640, abs=20)


def test_a_level_of_the_models_own_schedule_is_asked_as_it_is() -> None:
    schedule, seen = vp(), list[torch.Tensor]()

    def asked(x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        seen.append(x)
        assert level == schedule.level(640, 3)
        return posterior(x, level, branches)

    x = normal(0)
    matched(asked, schedule)(x, schedule.level(640, 3), ("cond",))
    assert seen[0] is x


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma_image": (-1.0, 4.0)}, "gamma_image and gamma_video.*0 or more"),
        ({"rho": 0.0}, "rho: given 0.0"),
        ({"start": 0.8, "stop": 0.2}, "start not above stop"),
    ],
)
def test_bad_numbers_are_named(wrong: dict[str, object], message: str) -> None:
    schedule = vp()
    levels = (schedule.level(500), Level(1, None, 1.0, 0.0))
    with pytest.raises(SpecError, match=message):
        zigzag(posterior, posterior, replace(PICTURES, **wrong), levels, schedule.level(0))
