"""VideoGuide (Lee et al. 2024, arXiv 2410.04364): early estimates of the clean clip are drawn towards a teacher's.

In each of the first I steps, with D the student's x0 at level t and n fresh noise:

    y    = alpha_t D + sigma_t n                  the student's estimate, noised anew, never x_t itself
    G    = the teacher's x0 after tau of its own steps from y, on an inner grid from t down
    x0   = beta D + (1 - beta) G                  eps stays the student's
    x_t' = low frequencies of x_t', others fresh  after the step (`refresh`)

The teacher is another model or the student itself, guided as the student is (CFG or CFG++). Its schedule may be
another: then y is made at the teacher's level of equal signal-to-noise. Its latent space may be another: then D and
G pass through pictures (`Guide.to_teacher`, `from_teacher`).

Where this follows the published code, and where it does not: docs/methods.md. No torch at import: the planner asks
this module for its price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import SpecError
from .levels import Level, Noising
from .settings import VideoGuide

if TYPE_CHECKING:
    import torch

    from .denoiser import Denoise, Prediction
    from .sampling import Edit
    from .spec import ClipSpec

Noise = Callable[[str, tuple[int, ...]], "torch.Tensor"]
"""(stream, shape [K, C, F, h, w]) -> standard normal noise, a function of the clips and the stream's name alone."""


def _same(x0: torch.Tensor) -> torch.Tensor:
    return x0


@dataclass(frozen=True, eq=False)
class Guide:
    """A teacher as the student sees it.

    denoise: the teacher's, at levels of its own schedule, guided with the student's guidance. schedule: the
    teacher's; a student's level becomes its level of equal signal-to-noise (the student's schedule given here takes
    levels as they are, as published). to_teacher, from_teacher: clean clips [K, C, F, h, w] between the latent
    spaces.
    """

    denoise: Denoise
    schedule: Noising
    to_teacher: Callable[[torch.Tensor], torch.Tensor] = _same
    from_teacher: Callable[[torch.Tensor], torch.Tensor] = _same


def check(settings: VideoGuide) -> None:
    """Can these settings be run?

    Raises:
        SpecError: a number outside what it may be, naming it.
    """
    s = settings
    allowed = {
        "steps": (s.steps >= 0, s.steps, "0 or more"),
        "until": (s.until is None or 0 <= s.until <= 1, s.until, "0 to 1"),
        "grid": (s.grid >= 2, s.grid, "2 or more points"),
        "tau": (1 <= s.tau < s.grid, s.tau, f"1 to {s.grid - 1}, the points of its grid of {s.grid} above zero"),
        "beta": (0 <= s.beta <= 1, s.beta, "0 to 1"),
        "cutoff": (0 <= s.cutoff < math.inf, s.cutoff, "0 or more; 0.25 is a quarter of Nyquist"),
        "order": (s.order >= 1, s.order, "1 or more"),
    }
    for name, (fits, given, wanted) in allowed.items():
        if not fits:
            raise SpecError(f"videoguide.{name} is {given}; it may be {wanted}")


def acts(settings: VideoGuide, level: Level) -> bool:
    """Is the step from this level a guided one: among the first I, or at a noise share of `until` or more?"""
    if settings.until is None:
        return level.i < settings.steps
    return level.sigma / (level.alpha + level.sigma) >= settings.until


def guided_steps(settings: VideoGuide, steps: int, levels: Sequence[Level] | None = None) -> list[int]:
    """The steps that are guided. With `until`, that depends on the noise of the `levels` that the student visits.

    Raises:
        SpecError: `until` is set and no levels are given.
    """
    if settings.until is None:
        return list(range(min(settings.steps, steps)))
    if levels is None:
        raise SpecError("videoguide.until counts steps by their noise; give the levels of the schedule")
    return [level.i for level in levels[:steps] if acts(settings, level)]


def nfe(
    settings: VideoGuide,
    steps: int,
    passes: int | Callable[[int], int],
    levels: Sequence[Level] | None = None,
) -> int:
    """The teacher's bill for one clip: I tau guided evaluations; `passes` network evaluations in each (at a step)."""
    if settings.beta == 1:
        return 0
    at = passes if callable(passes) else lambda step: passes
    return sum(settings.tau * at(step) for step in guided_steps(settings, steps, levels))


def streams(specs: Sequence[ClipSpec], device: str | torch.device = "cpu") -> Noise:
    """The clips' own streams: whoever is denoised beside a clip, and where it resumes, its noise is the same."""
    import torch

    from .rng import clip_noise

    def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        count, c, f, h, w = shape
        drawn = [clip_noise(spec.seed, name, spec.start, (c, f, h, w)) for spec in specs]
        if count != len(drawn):
            raise SpecError(f"noise for {count} clips was asked of the streams of {len(drawn)}")
        return torch.stack(drawn).to(device)

    return draw


def guided(student: Denoise, teacher: Guide, settings: VideoGuide, noise: Noise) -> Denoise:
    """The student's denoise with its x0 drawn towards the teacher's in guided steps.

    beta 1 is the student bit for bit, and the teacher is not asked.
    """
    check(settings)
    if settings.beta == 1:
        return student

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        seen = student(x, level)
        if not acts(settings, level):
            return seen
        target = _taught(teacher, seen.x0, level, settings, noise)
        return seen._replace(x0=seen.x0 + (1.0 - settings.beta) * (target - seen.x0))

    return denoise


def _taught(teacher: Guide, x0: torch.Tensor, level: Level, settings: VideoGuide, noise: Noise) -> torch.Tensor:
    """G: the teacher's x0 at the last of tau evaluations, in the student's latent space."""
    x0 = teacher.to_teacher(x0)
    start = teacher.schedule.match(level)
    y = start.alpha * x0 + start.sigma * noise(f"videoguide/{level.i}", tuple(x0.shape)).to(x0.dtype)
    seen = teacher.denoise(y, start)
    for here in inner_levels(teacher.schedule, start, settings)[1:]:
        y = here.alpha * seen.x0 + here.sigma * seen.eps
        seen = teacher.denoise(y, here)
    return teacher.from_teacher(seen.x0)


def inner_levels(schedule: Noising, start: Level, settings: VideoGuide) -> list[Level]:
    """Where the teacher is asked in one guided step: `start`, and the next tau - 1 points towards no noise.

    The grid is even in the network's time, as published: linspace(0, t, grid) without the 0, rounded where time is
    counted in whole training steps. All have the index of `start`: to the teacher's guidance this is one step.
    """
    if start.t is None:
        raise SpecError(f"the level of step {start.i} has no network time; a teacher cannot start there")
    clean = schedule.train_steps if schedule.kind == "inverted" else 0
    spacing = (start.t - clean) / (settings.grid - 1)
    times = [clean + j * spacing for j in range(settings.grid - 2, settings.grid - 1 - settings.tau, -1)]
    if schedule.kind == "vp" and float(start.t).is_integer():
        times = [round(t) for t in times]
    return [start, *(schedule.level(t, start.i) for t in times)]


def refresh(settings: VideoGuide, levels: Sequence[Level], noise: Noise) -> Edit:
    """The edit after a guided step: x keeps its low frequencies, and the others become fresh noise.

    It is given x at the level that the step went to. In a variance-preserving schedule the noise is of variance 1, as
    published; in flow matching, where sigma is smaller than that, it is sigma times as strong. A last step is never
    refreshed: its result is the clip (the published code returns the x0 of the last step).
    """
    from .frequency import butterworth, refreshed

    check(settings)
    preserving = all(math.isclose(v.alpha**2 + v.sigma**2, 1.0, abs_tol=1e-3) for v in levels)

    def edit(x: torch.Tensor, level: Level) -> torch.Tensor:
        if not settings.low_pass or level.i >= len(levels) - 1 or not acts(settings, levels[level.i - 1]):
            return x
        gain = butterworth(tuple(x.shape[-3:]), settings.cutoff, settings.order, settings.centred).to(x.device)
        fresh = noise(f"videoguide/refresh/{level.i - 1}", tuple(x.shape)).to(x.dtype)
        return refreshed(x, fresh if preserving else level.sigma * fresh, gain)

    return edit
