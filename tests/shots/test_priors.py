"""PYoCo's covariances exactly, by applying the mixing to the identity; FreeNoise's order; noise that windows share."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shots.priors import blend, draw, mixed, progressive, shuffled
from shots.rng import clip_noise, frame_noise
from shots.spec import Chain, ClipSpec, FreeNoise, Iid, ModelRef, NoChain, Prior, Pyoco, Recipe, Sampler, Windows

N = 6


def spec(prior: Prior, index: int = 0, frames: int = N, chain: Chain = NoChain(), per_latent: int = 1) -> ClipSpec:
    model = ModelRef("m", "sha256:0", "animatediff", frames_per_latent=per_latent)
    return ClipSpec(model, 8, 8, frames, "a", "", 3, index, Sampler(), Recipe(prior=prior, chain=chain))


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


@pytest.mark.parametrize("mode", ["mixed", "progressive"])
@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_correlated_noise_is_whitened_by_its_covariance(mode: str, alpha: float) -> None:
    """L L' = C, and L^-1 takes the correlation out again: nothing but C has been put in."""
    inputs = torch.eye(N + 1, dtype=torch.float64).reshape(N + 1, 1, N + 1)
    shared, own = inputs[N:].movedim(0, 1)[:, 0], inputs[:N].movedim(0, 1).unsqueeze(2)
    z = mixed(shared.unsqueeze(1), own, alpha) if mode == "mixed" else progressive(own, alpha)
    rows = z[0, :, 0]
    factor = torch.linalg.cholesky(rows @ rows.T)
    white = torch.linalg.solve_triangular(factor, rows, upper=False)
    torch.testing.assert_close(white @ white.T, torch.eye(N, dtype=torch.float64))


@pytest.mark.parametrize("mode", ["mixed", "progressive"])
def test_correlated_noise_reads_the_same_backwards(mode: str) -> None:
    shared = basis(N + 1, N, 1)[:, 0]
    z = mixed(shared, basis(N + 1, 0, N), 2.0) if mode == "mixed" else progressive(basis(N, 0, N), 2.0)
    torch.testing.assert_close(covariance(z.flip(1)), covariance(z))


@given(seed=st.integers(0, 9), frames=st.integers(1, 12), clip=st.integers(0, 9), overlap=st.integers(0, 11))
def test_every_window_of_shuffled_noise_has_each_noise_once(seed: int, frames: int, clip: int, overlap: int) -> None:
    stride = frames - min(overlap, frames - 1)
    found = [shuffled(seed, clip * stride + j, frames, stride) for j in range(frames)]
    assert sorted(found) == list(range(frames))
    if clip == 0:
        assert found == list(range(frames))


def test_shuffled_noise_moves_runs_that_have_left_the_window() -> None:
    """Frames N + u S to N + (u + 1) S - 1 use what frames u S to (u + 1) S - 1 use, in another order."""
    frames, stride = 12, 8
    used = [shuffled(3, f, frames, stride) for f in range(frames + 4 * stride)]
    for u in range(4):
        run = used[frames + u * stride :][:stride]
        assert sorted(run) == sorted(used[u * stride :][:stride])
    assert used[frames:][:stride] != used[:stride]
    assert used[frames + stride :][:stride] != used[stride:][:stride]
    assert [shuffled(4, f, frames, stride) for f in range(len(used))] != used


@pytest.mark.parametrize(("chain", "stride"), [(NoChain(), N), (Windows(2), N - 2)])
def test_freenoise_is_the_first_clip_s_noise_again(chain: Chain, stride: int) -> None:
    first = draw(spec(FreeNoise(), 0, chain=chain), (2, N, 3, 3))
    assert torch.equal(first, draw(spec(Iid()), (2, N, 3, 3)))
    for index in (1, 2, 5):
        z = draw(spec(FreeNoise(), index, chain=chain), (2, N, 3, 3))
        for j in range(N):
            assert torch.equal(z[:, j], first[:, shuffled(3, index * stride + j, N, stride)])


PRIORS = [Iid(), FreeNoise(), Pyoco("mixed", 0.5), Pyoco("progressive", 0.5)]


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("overlap", [1, 3, 5])
def test_windows_share_the_noise_of_shared_frames_bit_for_bit(prior: Prior, overlap: int) -> None:
    clips = [draw(spec(prior, k, chain=Windows(overlap)), (2, N, 3, 3)) for k in range(4)]
    for before, after in itertools.pairwise(clips):
        assert torch.equal(before[:, N - overlap :], after[:, :overlap])
        # FreeNoise with one new frame a clip uses the noise of the one that has left.
        assert torch.equal(before[:, : N - overlap], after[:, overlap:]) == (prior == FreeNoise() and overlap == N - 1)


def test_correlation_runs_through_all_windows_of_a_shot() -> None:
    chain = Windows(2)
    own = clip_noise(3, "frames", 0, (2, 3 * 4 + 2, 3, 3))
    shared = frame_noise(3, "shared", 0, (2, 3, 3))
    for k in range(3):
        window = slice(4 * k, 4 * k + N)
        assert torch.equal(
            draw(spec(Pyoco("mixed", 2.0), k, chain=chain), (2, N, 3, 3)), mixed(shared, own, 2.0)[:, window]
        )
        found = draw(spec(Pyoco("progressive", 2.0), k, chain=chain), (2, N, 3, 3))
        assert torch.equal(found, progressive(own, 2.0)[:, window])


@pytest.mark.parametrize("prior", PRIORS)
def test_frames_are_counted_in_latents(prior: Prior) -> None:
    """9 pictures of a VAE with 4 pictures a latent frame are 3 latent frames."""
    shape = (2, 3, 3, 3)
    compressed = draw(spec(prior, 2, frames=9, per_latent=4, chain=Windows(1)), shape)
    assert torch.equal(compressed, draw(spec(prior, 2, frames=3, chain=Windows(1)), shape))
