"""IV-Mixed sampling (Shao et al., ICLR 2025, arXiv 2410.04171): an image model and a video model take turns.

Before a step from level t, with p1 and p2 the next two levels of the grid, I the image model on single frames, V the
video model, and e(g) = e_u + g (e_c - e_u):

    t -> p1   by I, guidance +gamma_I        p2 -> p1   by I, guidance -gamma_I
    p1 -> p2  by V, guidance +gamma_V        p1 -> t    by V, guidance -gamma_V

Down is a DDIM step, up its inversion: the same line, `x' = alpha' x0 + sigma' eps`. Then comes the ordinary step. A
walk with both gammas 0 and a network that always says the same returns to where it began.

Where this follows the published code, and where it does not: docs/methods.md. No torch at import: the planner asks
this module for its price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from .errors import SpecError
from .levels import Level, Noising, carry
from .settings import IvMixed, within

if TYPE_CHECKING:
    import torch

    from .branches import Branch
    from .denoiser import Prediction
    from .guidance import Evaluate
    from .sampling import Edit


class Move(NamedTuple):
    """One of the four moves of a walk: who is asked, seeing x as of which level, where x goes, with what guidance."""

    who: Literal["image", "video"]
    here: Level
    there: Level
    weight: float


def check(settings: IvMixed) -> None:
    """Can these settings be run?

    Raises:
        SpecError: a number outside what it may be, naming it.
    """
    s = settings
    gammas = (*s.gamma_image, *s.gamma_video)
    allowed = {
        "gamma_image and gamma_video": (all(0 <= g < math.inf for g in gammas), gammas, "0 or more"),
        "rho": (0 < s.rho < math.inf, s.rho, "more than 0; 7 is published"),
        "start and stop": (0 <= s.start <= s.stop <= 1, (s.start, s.stop), "0 to 1, start not above stop"),
    }
    for name, (fits, given, wanted) in allowed.items():
        if not fits:
            raise SpecError(f"iv_mixed.{name}: given {given}; allowed is {wanted}")


def active_steps(settings: IvMixed, steps: int) -> list[int]:
    """The steps that a walk precedes."""
    return [i for i in range(steps) if within(i, steps, settings.start, settings.stop)]


def gamma(ends: tuple[float, float], rho: float, k: int, n: int) -> float:
    """Guidance at active step k of n: (b^(1/rho) + k/(n-1) (e^(1/rho) - b^(1/rho)))^rho, exact at both ends."""
    begin, end = ends
    if k == 0 or begin == end:
        return begin
    if k == n - 1:
        return end
    low, high = begin ** (1 / rho), end ** (1 / rho)
    return (low + k / (n - 1) * (high - low)) ** rho


def walk(settings: IvMixed, levels: Sequence[Level], floor: Level, step: int) -> tuple[Move, ...]:
    """The four moves before `step`, which is an active one; `floor` as for `zigzag`."""
    steps = len(levels) - 1
    active = active_steps(settings, steps)
    k, n = active.index(step), len(active)
    g_image, g_video = (gamma(ends, settings.rho, k, n) for ends in (settings.gamma_image, settings.gamma_video))
    # In flow matching no noise is left at the floor, and none could be found again on the way up.
    lowest = floor if floor.sigma > 0 else levels[-2]
    t, p1, p2 = levels[step], *(levels[i] if i < steps else lowest for i in (step + 1, step + 2))
    # `ad`: the first two are asked, and moved, as if each stood where the other does (the AnimateDiff code).
    first, second = ((t, p1), (p1, p2)) if settings.order == "ms" else ((p1, p2), (t, p1))
    moves = (
        Move("image", first[0], first[1], g_image),
        Move("video", second[0], second[1], g_video),
        Move("image", p2, p1, -g_image),
        Move("video", p1, t, -g_video),
    )
    return tuple(move._replace(here=replace(move.here, i=step)) for move in moves)


def zigzag(image: Evaluate, video: Evaluate, settings: IvMixed, levels: Sequence[Level], floor: Level) -> Edit:
    """The edit before a step: x [K, C, F, h, w] down two levels and up again; outside the window x itself.

    image: the image model asked for each frame of x by itself, at the video model's levels (`matched`, where its own
    schedule is another). Both are asked only for the branches that a weight needs. levels: of the sampler. floor: the
    video model's level at its last training time, where a walk stops near the end, in place of the grid's last level,
    at which no network is asked; where that has no noise, it stops at the last level of the grid that is asked.
    """
    check(settings)
    active = set(active_steps(settings, len(levels) - 1))
    who = {"image": image, "video": video}

    def edit(x: torch.Tensor, level: Level) -> torch.Tensor:
        if level.i not in active:
            return x
        for move in walk(settings, levels, floor, level.i):
            x0, eps = weighted(who[move.who], x, move.here, move.weight)
            x = move.there.alpha * x0 + move.there.sigma * eps
        return x

    return edit


def branches(weight: float) -> tuple[Branch, ...]:
    """What must be asked for `e_u + weight (e_c - e_u)`."""
    if weight == 0:
        return ("uncond",)
    return ("cond",) if weight == 1 else ("cond", "uncond")


def weighted(evaluate: Evaluate, x: torch.Tensor, level: Level, weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """x0 and eps of the mix `e_u + weight (e_c - e_u)`; a negative weight is guidance away from the prompt."""
    seen = evaluate(x, level, branches(weight))
    if len(seen) == 1:
        return seen[0].x0, seen[0].eps
    cond, uncond = seen
    x0 = uncond.x0 + weight * (cond.x0 - uncond.x0)
    eps = uncond.eps + weight * (cond.eps - uncond.eps)
    return x0, eps


class Bill(NamedTuple):
    """Network evaluations of one clip; one of the image model is one pass over all its frames."""

    image: int
    video: int


def nfe(settings: IvMixed, steps: int, made: int | None = None) -> Bill:
    """What the walks cost: 8 passes an active step, 4 of each model, unless a gamma is 0 or 1. made: of the steps."""
    active = active_steps(settings, steps)

    def passes(ends: tuple[float, float]) -> int:
        count = sum(made is None or step < made for step in active)
        scales = [gamma(ends, settings.rho, k, len(active)) for k in range(count)]
        return sum(len(branches(g)) + len(branches(-g)) for g in scales)

    return Bill(passes(settings.gamma_image), passes(settings.gamma_video))


def matched(evaluate: Evaluate, schedule: Noising) -> Evaluate:
    """An evaluation at the level of equal signal-to-noise in a model's own schedule; x0 and eps are the same in both.

    A level that is already of this schedule is asked as it is.
    """

    def asked(x: torch.Tensor, level: Level, wanted: Sequence[Branch]) -> tuple[Prediction, ...]:
        own = schedule.match(level)
        return evaluate(carry(x, level, own), own, wanted)

    return asked
