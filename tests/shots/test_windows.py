"""Co-denoising in time: windows agree bit for bit, and a shot of windows is one video whose predictions are means."""

import itertools

import pytest
import torch

from shots.denoiser import Denoise, Prediction
from shots.levels import Level
from shots.sampling import sample
from shots.windows import averaging, joined

from .test_sampling import flow_grid, grid

LEVEL = Level(3, 500.0, 0.6, 0.8)
SHAPES = [(3, 6, 2), (4, 6, 3), (5, 6, 4), (4, 6, 5), (2, 5, 1), (3, 1, 0)]
"""Clips, frames of each, overlap; up to and beyond half of the frames."""


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def cut_up(shot: torch.Tensor, clips: int, frames: int, overlap: int) -> torch.Tensor:
    """Windows [K, C, N, h, w] onto a shot [C, F, h, w]."""
    return torch.stack([shot.narrow(1, k * (frames - overlap), frames) for k in range(clips)])


def weighted_mean(x: torch.Tensor, overlap: int) -> torch.Tensor:
    """The formula, frame by frame: sum of w_j x_j over sum of w_j, w_j = min(j + 1, N - j)."""
    clips, channels, frames, height, width = x.shape
    stride = frames - overlap
    total = torch.zeros(channels, frames + (clips - 1) * stride, height, width, dtype=x.dtype)
    weight = torch.zeros(total.shape[1], dtype=x.dtype)
    for k, j in itertools.product(range(clips), range(frames)):
        total[:, k * stride + j] += min(j + 1, frames - j) * x[k, :, j]
        weight[k * stride + j] += min(j + 1, frames - j)
    return total / weight[:, None, None]


@pytest.mark.parametrize(("clips", "frames", "overlap"), SHAPES)
def test_shared_frames_are_the_weighted_mean_and_equal_in_all_windows(clips: int, frames: int, overlap: int) -> None:
    x = normal(clips, 2, frames, 3, 3)
    mean = weighted_mean(x, overlap)
    torch.testing.assert_close(joined(x, overlap), mean)
    averaged = averaging(overlap)(x, LEVEL)
    torch.testing.assert_close(averaged, cut_up(mean, clips, frames, overlap))
    for before, after in itertools.pairwise(averaged):
        assert torch.equal(before[:, frames - overlap :], after[:, :overlap])


@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_up_to_half_of_the_frames_one_clip_fades_into_the_next_in_even_steps(overlap: int) -> None:
    x = torch.stack([torch.zeros(1, 6, 1, 1), torch.ones(1, 6, 1, 1)]).double()
    shared = joined(x, overlap)[0, 6 - overlap : 6, 0, 0]
    assert shared.tolist() == pytest.approx([(i + 1) / (overlap + 1) for i in range(overlap)])


@pytest.mark.parametrize(("clips", "frames", "overlap"), SHAPES)
def test_averaging_is_the_same_in_both_directions_of_time(clips: int, frames: int, overlap: int) -> None:
    x = normal(clips, 2, frames, 3, 3)
    torch.testing.assert_close(joined(x.flip(0, 2), overlap), joined(x, overlap).flip(1))


@pytest.mark.parametrize(("clips", "frames", "overlap"), SHAPES)
def test_windows_that_agree_are_not_changed_by_a_bit(clips: int, frames: int, overlap: int) -> None:
    shot = normal(2, frames + (clips - 1) * (frames - overlap), 3, 3, dtype=torch.float32)
    x = cut_up(shot, clips, frames, overlap)
    assert torch.equal(averaging(overlap)(x, LEVEL), x)
    assert torch.equal(joined(x, overlap), shot)


@pytest.mark.parametrize("overlap", [1, 2])
def test_frames_of_one_window_alone_are_not_changed_by_a_bit(overlap: int) -> None:
    x = normal(3, 2, 6, 3, 3, dtype=torch.float32)
    averaged = averaging(overlap)(x, LEVEL)
    assert torch.equal(averaged[1, :, overlap : 6 - overlap], x[1, :, overlap : 6 - overlap])
    assert torch.equal(averaged[0, :, : 6 - overlap], x[0, :, : 6 - overlap])
    assert torch.equal(averaged[2, :, overlap:], x[2, :, overlap:])


def test_one_window_and_windows_without_overlap_are_themselves() -> None:
    alone, apart = normal(1, 2, 6, 3, 3), normal(3, 2, 6, 3, 3)
    assert averaging(3)(alone, LEVEL) is alone
    assert averaging(0)(apart, LEVEL) is apart


def network(x: torch.Tensor, level: Level) -> Prediction:
    """Ties the frames of a window together, and no windows."""
    x0 = torch.tanh(x + 0.5 * x.roll(1, dims=-3)) - 0.3 * level.sigma
    eps = (x - level.alpha * x0) / level.sigma
    return Prediction(x0, eps)


def as_one_video(clips: int, frames: int, overlap: int) -> Denoise:
    """The denoise of the whole shot [1, C, F, h, w]: the weighted means of what the windows predict."""

    def denoise(x: torch.Tensor, level: Level) -> Prediction:
        x0, eps = network(cut_up(x[0], clips, frames, overlap), level)
        return Prediction(weighted_mean(x0, overlap)[None], weighted_mean(eps, overlap)[None])

    return denoise


@pytest.mark.parametrize(("clips", "frames", "overlap"), SHAPES)
@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize("levels", [grid(8, zero_snr=False), flow_grid(8)])
def test_windows_are_one_video_whose_predictions_are_means(
    clips: int, frames: int, overlap: int, solver: str, levels: tuple[Level, ...]
) -> None:
    """MultiDiffusion's consensus, for the second-order solver, too: its histories stay valid under the mean."""
    shot = normal(2, frames + (clips - 1) * (frames - overlap), 3, 3)
    apart: list[bool] = []

    def agree(x: torch.Tensor, level: Level) -> torch.Tensor:
        apart.extend(not torch.equal(a[:, frames - overlap :], b[:, :overlap]) for a, b in itertools.pairwise(x))
        return x

    x = cut_up(shot, clips, frames, overlap)
    x = sample(x, levels, network, solver, before=(agree,), joint=averaging(overlap))
    assert not any(apart)
    wanted = sample(shot[None], levels, as_one_video(clips, frames, overlap), solver)[0]
    torch.testing.assert_close(x, cut_up(wanted, clips, frames, overlap))


def test_windows_of_a_network_that_looks_at_single_frames_change_nothing() -> None:
    """Then windows agree by themselves: bit for bit the frames of one long video."""

    def framewise(x: torch.Tensor, level: Level) -> Prediction:
        x0 = x / (1 + x.abs())
        return Prediction(x0, x - level.alpha * x0)

    shot = normal(2, 14, 3, 3, dtype=torch.float32)
    x = sample(cut_up(shot, 3, 6, 2), grid(6), framewise, joint=averaging(2))
    assert torch.equal(joined(x, 2), sample(shot[None], grid(6), framewise)[0])


def test_as_an_ordinary_edit_averaging_would_end_histories() -> None:
    """Why `sample` has a place for it of its own."""
    levels, x = flow_grid(8), cut_up(normal(2, 10, 3, 3), 2, 6, 2)
    assert not torch.equal(
        sample(x, levels, network, "dpmpp_2m", joint=averaging(2)),
        sample(x, levels, network, "dpmpp_2m", after=(averaging(2),)),
    )
