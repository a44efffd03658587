"""PYoCo's covariances exactly, by applying the mixing to the identity."""

import pytest
import torch

from shots.priors import blend, draw, mixed, progressive
from shots.rng import clip_noise
from shots.spec import ClipSpec, Iid, ModelRef, NoChain, Pyoco, Recipe, Sampler

N = 6


def spec(prior: Iid | Pyoco, index: int = 0, frames: int = N) -> ClipSpec:
    model = ModelRef("m", "sha256:0", "animatediff")
    return ClipSpec(model, 8, 8, frames, "a", "", 3, index, Sampler(), Recipe(prior=prior, chain=NoChain()))


def basis(inputs: int, first: int, frames: int) -> torch.Tensor:
    """[1, frames, 1, inputs] float64: frame j is the unit vector `first + j`."""
    return torch.eye(inputs, dtype=torch.float64)[first : first + frames].reshape(1, frames, 1, inputs)


def covariance(mapped: torch.Tensor) -> torch.Tensor:
    """Of frames [1, N, 1, inputs] that are linear maps of unit normal inputs."""
    rows = mapped[0, :, 0]
    return rows @ rows.T


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.0, 50.0])
def test_mixed_covariance(alpha: float) -> None:
    shared = basis(N + 1, N, 1)[:, 0]
    found = covariance(mixed(shared, basis(N + 1, 0, N), alpha))
    rho = alpha**2 / (1 + alpha**2)
    torch.testing.assert_close(found, torch.full((N, N), rho).double() + (1 - rho) * torch.eye(N).double())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.0, 50.0])
def test_progressive_covariance(alpha: float) -> None:
    # The chain's first frame is unit normal; in the identity's picture it is the first unit vector.
    found = covariance(progressive(basis(N, 0, N), alpha))
    distance = (torch.arange(N)[:, None] - torch.arange(N)[None]).abs().double()
    expected = (alpha / (1 + alpha**2) ** 0.5) ** distance
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("mode", ["mixed", "progressive"])
def test_alpha_0_is_independent_noise_bit_for_bit(mode: str) -> None:
    shape = (4, N, 5, 5)
    assert torch.equal(draw(spec(Pyoco(mode, 0.0)), shape), draw(spec(Iid()), shape))


@pytest.mark.parametrize("mode", ["mixed", "progressive"])
def test_a_large_alpha_repeats_one_frame(mode: str) -> None:
    z = draw(spec(Pyoco(mode, 1e9)), (4, N, 5, 5))
    torch.testing.assert_close(z, z[:, :1].expand_as(z))


def test_iid_noise_is_the_shot_s_stream_from_the_clip_s_first_frame() -> None:
    shape = (2, N, 3, 3)
    assert torch.equal(draw(spec(Iid(), index=2), shape), clip_noise(3, "frames", 2 * N, shape))


@pytest.mark.parametrize("prior", [Iid(), Pyoco("mixed", 0.5), Pyoco("progressive", 0.5)])
def test_a_longer_clip_begins_with_the_same_noise(prior: Iid | Pyoco) -> None:
    short, long = draw(spec(prior, frames=4), (2, 4, 3, 3)), draw(spec(prior, frames=9), (2, 9, 3, 3))
    assert torch.equal(short, long[:, :4])


def test_blend_keeps_the_variance() -> None:
    for alpha in (0.0, 0.1, 1.0, 4.0, 1e6):
        old, new = torch.eye(2, dtype=torch.float64)
        assert (blend(old, new, alpha) ** 2).sum().item() == pytest.approx(1, abs=1e-15)
