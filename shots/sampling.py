"""The sampling loop. It knows neither guidance nor chains: it takes functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import torch

from .denoiser import Denoise, Prediction
from .errors import SpecError
from .levels import Level

Edit = Callable[[torch.Tensor, Level], torch.Tensor]
"""x at a level -> x at the same level; the same object when nothing was changed."""

Solver = Literal["ddim", "dpmpp_2m"]


@dataclass(frozen=True, eq=False)
class State:
    """Where a run of `sample` stands: given back as its `start`, the rest of the run has the same bits.

    i: steps done. x [K, C, F, h, w], at levels[i]. history [K, C, F, h, w]: for a multistep solver, the x0 of the
    last step. usable: for each clip, whether the next step may use it.
    """

    i: int
    x: torch.Tensor
    history: torch.Tensor | None = None
    usable: tuple[bool, ...] = ()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a safetensors file."""
        named = {"i": torch.tensor(self.i), "x": self.x, "usable": torch.tensor(self.usable, dtype=torch.bool)}
        return named if self.history is None else named | {"history": self.history}

    @classmethod
    def from_tensors(cls, named: Mapping[str, torch.Tensor]) -> Self:
        """The state that `tensors` described; other names are left alone.

        Raises:
            SpecError: tensors are missing, or do not belong together.
        """
        missing = {"i", "x", "usable"} - set(named)
        if missing:
            raise SpecError(f"a stored state lacks {', '.join(sorted(missing))}; delete it and begin the clip anew")
        x, history = named["x"], named.get("history")
        usable = tuple(bool(u) for u in named["usable"])
        if x.ndim != 5 or (history is not None and (history.shape != x.shape or len(usable) != len(x))):
            shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
            raise SpecError(f"a stored state's tensors do not belong together: {shapes}; delete it and begin anew")
        return cls(int(named["i"]), x, history, usable)


def sample(
    x: torch.Tensor,
    levels: tuple[Level, ...],
    denoise: Denoise,
    solver: Solver = "ddim",
    before: tuple[Edit, ...] = (),
    after: tuple[Edit, ...] = (),
    joint: Edit | None = None,
    breaks: frozenset[int] = frozenset(),
    start: State | None = None,
    on_state: Callable[[State], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    stop: int | None = None,
) -> torch.Tensor:
    """From noise to the last level by `x' = alpha' x0 + sigma' eps` (Song et al. 2021, arXiv 2010.02502, eq. 12).

    x [K, C, F, h, w] at levels[0]; the result is at levels[-1]. `ddim` is that line, with eta 0; for flow matching it
    is Euler's step. `dpmpp_2m` adds the second order of DPM-Solver++ (see `correction`).

    before: edits of x at the start of a step, in order. after: edits of the step's result, at its new level. joint:
    one more, last of all, that mixes clips linearly; solver steps are linear, too, so it leaves histories valid. Any
    other edit that changes a bit of a clip ends that clip's history, and so does a step in `breaks`, for all clips.

    start: a state to go on from, instead of x at levels[0]. on_state(state) is called after each step, then
    on_step(done, steps), which may raise to stop. stop: make only the first steps; the result is at levels[stop].
    """
    end = len(levels) - 1 if stop is None else stop
    state = start if start is not None else State(0, x)
    for index, (here, there) in enumerate(pairwise(levels[state.i : end + 1]), state.i):
        x, kept = _edited(state.x, here, before, state.usable)
        found = denoise(x, here)
        # Separate products and a sum: each is correctly rounded, so an element's bits do not depend on its neighbours.
        x = there.alpha * found.x0 + there.sigma * found.eps
        usable: tuple[bool, ...] = ()
        if solver == "dpmpp_2m":
            if any(kept) and index not in breaks:
                x = _corrected(x, found, state.history, kept, correction(levels, index))
            usable = (True,) * len(x)
        x, usable = _edited(x, there, after, usable)
        x = joint(x, there) if joint is not None else x
        state = State(index + 1, x, found.x0 if usable else None, usable)
        if on_state is not None:
            on_state(state)
        if on_step is not None:
            on_step(index + 1, end)
    return state.x


def correction(levels: tuple[Level, ...], i: int) -> float:
    """What DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2) adds to the DDIM line, per x0_i - x0_{i-1}.

    alpha' (1 - e^-h) / (2 r), r = h_before / h, h a step in lambda = log(alpha / sigma). Written so, its first order is
    the DDIM line bit for bit, also where guidance has made x0 and eps that do not add up to x (CFG++, VideoGuide).
    The first step and the last are of first order; so is one that comes from pure noise (alpha 0).
    """
    if i < 1 or i + 2 >= len(levels):
        return 0.0
    before, here, there = (_lambda(level) for level in levels[i - 1 : i + 2])
    if not (math.isfinite(before) and before < here < there < math.inf):
        return 0.0
    h = there - here
    return -levels[i + 1].alpha * math.expm1(-h) * h / (2 * (here - before))


def _lambda(level: Level) -> float:
    if level.alpha == 0.0 or level.sigma == 0.0:
        return -math.inf if level.alpha == 0.0 else math.inf
    return math.log(level.alpha / level.sigma)


def _corrected(
    x: torch.Tensor, found: Prediction, history: torch.Tensor | None, usable: tuple[bool, ...], weight: float
) -> torch.Tensor:
    """x with `weight (x0 - history)` added to the clips that may use their history."""
    if history is None or weight == 0.0:
        return x
    raised = x + weight * (found.x0 - history)
    if all(usable):
        return raised
    mask = torch.tensor(usable, device=x.device).view(-1, *[1] * (x.ndim - 1))
    return torch.where(mask, raised, x)


def _edited(
    x: torch.Tensor, level: Level, edits: tuple[Edit, ...], usable: tuple[bool, ...]
) -> tuple[torch.Tensor, tuple[bool, ...]]:
    """x after the edits, and whose history is usable still: no bit of the clip was changed."""
    for edit in edits:
        edited = edit(x, level)
        if edited is not x and any(usable):
            usable = tuple(u and torch.equal(a, b) for u, a, b in zip(usable, x, edited, strict=True))
        x = edited
    return x, usable
