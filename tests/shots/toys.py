"""Networks of one line for the methods that need two models, which look at time, prompt and neighbouring frames; and a
denoise whose answers are known exactly."""

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from shots.branches import Branch
from shots.denoiser import Denoise, Prediction
from shots.levels import Level, Noising, noising_of

Network = Callable[[torch.Tensor, float, Branch], torch.Tensor]
"""(x [K, C, F, h, w], time, branch) -> output."""


def network(bend: float) -> Network:
    """An output of about unit size, unlike that of a network of another `bend` and that of the other branch."""

    def ask(x: torch.Tensor, t: float, branch: Branch) -> torch.Tensor:
        prompt = {"cond": 0.7, "uncond": -0.4, "skip": 0.1}[branch]
        return 0.8 * x + 0.2 * torch.sin(bend * x.roll(1, dims=2) + prompt + t / 300)

    return ask


class Asked:
    """A network as an `Evaluate`: noise or velocity, as its schedule says; keeps a log of (time, branches)."""

    def __init__(self, ask: Network, schedule: Noising) -> None:
        self.ask = ask
        self.schedule = schedule
        self.log: list[tuple[float, tuple[Branch, ...]]] = []

    def __call__(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        assert level.t is not None
        self.log.append((level.t, tuple(branches)))
        return tuple(self._read(self.ask(x, level.t, branch), x, level) for branch in branches)

    def _read(self, output: torch.Tensor, x: torch.Tensor, level: Level) -> Prediction:
        if self.schedule.kind == "vp":
            return Prediction((x - level.sigma * output) / level.alpha, output)
        return Prediction(x - level.sigma * output, x + level.alpha * output)

    @property
    def passes(self) -> int:
        return sum(len(branches) for _, branches in self.log)


def gaussian(mean: float, spread: float) -> Denoise:
    """The exact posterior mean for x0 ~ N(mean, spread^2): E[x0|x] = mean + alpha spread^2 (x - alpha mean) / var."""

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        variance = level.alpha**2 * spread**2 + level.sigma**2
        residual = x - level.alpha * mean
        return Prediction(mean + level.alpha * spread**2 / variance * residual, level.sigma / variance * residual)

    return denoise


def vp(schedule: str = "scaled_linear", **settings: object) -> Noising:
    return noising_of(DDIMScheduler(beta_schedule=schedule, beta_start=0.00085, beta_end=0.012, **settings))


def flow(**settings: object) -> Noising:
    return noising_of(FlowMatchEulerDiscreteScheduler(**settings))


def published_times(steps: int, train: int = 1000) -> list[int]:
    """linspace(0, 999, S + 1) without the 0, from the noisy end: the grid of the VideoGuide code."""
    return [round(j * ((train - 1) / steps)) for j in range(steps, 0, -1)]


def levels_at(schedule: Noising, times: Sequence[float]) -> tuple[Level, ...]:
    """The levels at these times, and no noise after the last."""
    return (*(schedule.level(t, i) for i, t in enumerate(times)), Level(len(times), None, 1.0, 0.0))
