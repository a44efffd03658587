"""The noise that chained clips start from: FNR and PNS, covariances exact by applying them to the identity."""

import pytest
import torch

from shots.chain import Copies, base_noise, chained_noise, first_noise
from shots.priors import mixed, progressive
from shots.rng import clip_noise
from shots.spec import NoChain, VidRD, Windows

from .test_chain import C, H, W, fresh_for, levels_for, specs_of


@pytest.mark.parametrize("order", ["reverse", "forward"])
def test_overlap_of_all_frames_and_beta_0_starts_from_the_previous_noise_alone(order: str) -> None:
    """The published code mixes fresh noise into every frame here (its slice [M-N:] is the whole clip)."""
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    chain = VidRD(6, 1.0, 0.0, "staged", order)
    assert torch.equal(chained_noise(chain, before, fresh), before.flip(1) if order == "reverse" else before)


@pytest.mark.parametrize("order", ["reverse", "forward"])
def test_without_overlap_all_frames_are_mixed_and_none_is_copied(order: str) -> None:
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    chain = VidRD(0, 0.0, 1.0, "staged", order)
    assert torch.equal(chained_noise(chain, before, fresh), fresh)
    x = clip_noise(1, "c", 0, (C, 12, H, W)).unflatten(1, (2, 6)).movedim(1, 0)
    assert torch.equal(Copies(chain, 6, 2, 4, None)(x, levels_for(4)[0]), x)


def test_alpha_0_draws_frames_after_the_overlap_afresh() -> None:
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    z = chained_noise(VidRD(2, 0.0, 0.4, "staged", "reverse"), before, fresh)
    assert torch.equal(z[:, 2:], fresh[:, 2:])
    assert torch.equal(z[:, :2], before.flip(1)[:, :2])


def test_forward_noise_follows_the_previous_tail_in_order() -> None:
    before, fresh = clip_noise(1, "a", 0, (C, 6, H, W)), clip_noise(1, "b", 0, (C, 6, H, W))
    z = chained_noise(VidRD(2, 1e12, 0.4, "staged", "forward"), before, fresh)
    assert torch.equal(z[:, :2], before[:, 4:])
    torch.testing.assert_close(z[:, 2:], before[:, :4])


def test_mirroring_twice_is_nothing() -> None:
    z, chain = clip_noise(1, "a", 0, (C, 7, H, W)), VidRD(order="reverse")
    assert torch.equal(base_noise(chain, base_noise(chain, z)), z)


@pytest.mark.parametrize("order", ["reverse", "forward"])
@pytest.mark.parametrize("m", [0, 2, 6])
def test_covariance_of_chained_noise_is_exact(order: str, m: int) -> None:
    """Variance 1, frames independent, correlation 1 (j < M) or a (others) with the frame that each looks at."""
    n, alpha = 6, 1.5
    chain, a = VidRD(m, alpha, 0.4, "staged", order), alpha / (1 + alpha**2) ** 0.5
    unit = torch.eye(2 * n, dtype=torch.float64)
    before, fresh = (unit[k : k + n].reshape(1, n, 1, 2 * n) for k in (0, n))
    z = chained_noise(chain, before, fresh)[0, :, 0]
    torch.testing.assert_close(z @ z.T, torch.eye(n, dtype=torch.float64))
    looks = [n - 1 - j if order == "reverse" else (j - m) % n for j in range(n)]
    expected = torch.zeros(n, n, dtype=torch.float64)
    for j, source in enumerate(looks):
        expected[j, source] = 1.0 if j < m else a
    torch.testing.assert_close(z @ before[0, :, 0].T, expected)


N = 6


def correlated(mode: str, alpha: float, clip: int, clips: int) -> torch.Tensor:
    """A clip's PYoCo noise as a linear map of unit normals: [1, N, 1, inputs], other inputs for each clip."""
    unit = torch.eye(clips * (N + 1), dtype=torch.float64)
    own = unit[clip * (N + 1) :][:N].reshape(1, N, 1, -1)
    shared = unit[clip * (N + 1) + N].reshape(1, 1, -1)
    return mixed(shared, own, alpha) if mode == "mixed" else progressive(own, alpha)


def covariance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[0, :, 0] @ b[0, :, 0].T


@pytest.mark.parametrize("mode", ["mixed", "progressive"])
def test_mirroring_keeps_correlated_noise_s_covariance(mode: str) -> None:
    z = correlated(mode, 2.0, 0, 1)
    mirrored = base_noise(VidRD(order="reverse"), z)
    torch.testing.assert_close(covariance(mirrored, mirrored), covariance(z, z))


@pytest.mark.parametrize("mode", ["mixed", "progressive"])
@pytest.mark.parametrize("order", ["reverse", "forward"])
@pytest.mark.parametrize("m", [0, 2, 6])
def test_covariance_of_chained_correlated_noise_is_exact(mode: str, order: str, m: int) -> None:
    """A P C P' A + B C B, with C the prior's covariance, P the mirroring or the roll, A = diag(1 .. 1, a .. a) and
    B = diag(0 .. 0, b .. b): variance 1, and the prior's own covariance within the overlap and within the rest."""
    alpha, chain = 1.5, VidRD(m, 1.5, 0.4, "staged", order)
    z = correlated(mode, 2.0, 0, 2)
    c = covariance(z, z)
    chained = chained_noise(chain, z, correlated(mode, 2.0, 1, 2))
    found = covariance(chained, chained)
    keep = torch.tensor([1.0] * m + [alpha / (1 + alpha**2) ** 0.5] * (N - m), dtype=torch.float64)
    add = torch.tensor([0.0] * m + [1 / (1 + alpha**2) ** 0.5] * (N - m), dtype=torch.float64)
    moved = c.flip(0, 1) if order == "reverse" else c.roll((m, m), (0, 1))
    torch.testing.assert_close(found, keep[:, None] * moved * keep + add[:, None] * c * add)
    torch.testing.assert_close(found.diagonal(), torch.ones(N, dtype=torch.float64))
    torch.testing.assert_close(found[:m, :m], c[:m, :m])
    torch.testing.assert_close(found[m:, m:], c[m:, m:])


@pytest.mark.parametrize("order", ["reverse", "forward"])
def test_correlation_two_clips_apart_is_the_product_along_the_way(order: str) -> None:
    m, alpha = 2, 1.5
    chain, a = VidRD(m, alpha, 0.4, "staged", order), alpha / (1 + alpha**2) ** 0.5
    clips = [torch.eye(3 * N, dtype=torch.float64)[k * N :][:N].reshape(1, N, 1, -1) for k in range(3)]
    for k in (1, 2):
        clips[k] = chained_noise(chain, clips[k - 1], clips[k])
    looks = [N - 1 - j if order == "reverse" else (j - m) % N for j in range(N)]
    expected = torch.zeros(N, N, dtype=torch.float64)
    for j, source in enumerate(looks):
        expected[j, looks[source]] = (1.0 if j < m else a) * (1.0 if source < m else a)
    torch.testing.assert_close(covariance(clips[2], clips[0]), expected)


@pytest.mark.parametrize("chain", [NoChain(), Windows(2)])
def test_clips_without_vidrd_start_from_their_own_noise(chain: NoChain | Windows) -> None:
    specs = specs_of(chain, 3, 4, 2)
    fresh = [fresh_for(s) for s in specs]
    assert torch.equal(first_noise(specs, fresh, None), torch.stack(fresh))
