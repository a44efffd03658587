"""Named streams: noise is a function of (seed, stream, frame) alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shots.rng import clip_noise, frame_noise


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(-(2**70), 2**70), start=st.integers(0, 10**9), frames=st.integers(1, 5))
def test_a_frame_is_the_same_in_every_clip_that_holds_it(seed: int, start: int, frames: int) -> None:
    clip = clip_noise(seed, "frames", start, (2, frames, 3, 4))
    for j in range(frames):
        assert torch.equal(clip[:, j], frame_noise(seed, "frames", start + j, (2, 3, 4)))


def test_seed_stream_and_frame_each_give_other_noise() -> None:
    asked = [(s, n, f) for s in (0, 1, 2**32, 2**64) for n in ("frames", "shared") for f in (0, 1, 2**32)]
    drawn = [frame_noise(*a, (4, 8, 8)) for a in asked]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            # 256 values: the correlation of independent noise has a standard deviation of 1/16.
            assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < 0.4


def test_global_random_state_is_neither_read_nor_advanced() -> None:
    torch.manual_seed(1)
    before = frame_noise(3, "frames", 0, (2, 2, 2))
    expected = torch.random.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(frame_noise(3, "frames", 0, (2, 2, 2)), before)
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_noise_is_standard_normal() -> None:
    z = clip_noise(5, "frames", 0, (4, 16, 32, 32)).double()
    n = z.numel()
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5


def test_golden_values_of_the_stream() -> None:
    """Every key in every ledger rests on these: when they move, ClipSpec.version must too."""
    found = frame_noise(7, "frames", 3, (1, 2, 3)).flatten().tolist()
    assert found == [
        *(-0.17821526527404785, 1.180360198020935, 1.4118010997772217),
        *(0.544861376285553, -0.47847941517829895, 1.774721384048462),
    ]
