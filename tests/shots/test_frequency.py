"""The low-pass filter, against diffusers' FreeInit and against what a filter must do."""

import pytest
import torch
from diffusers.pipelines.free_init_utils import FreeInitMixin
from hypothesis import given, settings
from hypothesis import strategies as st

from shots.frequency import butterworth, low_pass, refreshed
from shots.rng import clip_noise

EVEN, ODD = (8, 4, 6), (5, 7, 3)


def clips(shape: tuple[int, int, int], stream: str = "frames", count: int = 2) -> torch.Tensor:
    return torch.stack([clip_noise(seed, stream, 0, (3, *shape)) for seed in range(count)])


def published(shape: tuple[int, int, int], cutoff: float, order: int) -> torch.Tensor:
    return FreeInitMixin()._get_free_init_freq_filter((1, 3, *shape), "cpu", "butterworth", order, cutoff, cutoff)


@pytest.mark.parametrize("shape", [EVEN, ODD, (16, 8, 8)])
@pytest.mark.parametrize(("cutoff", "order"), [(0.25, 4), (0.125, 4), (0.6, 1), (0.0, 4)])
def test_gains_and_refresh_are_those_of_freeinit(shape: tuple[int, int, int], cutoff: float, order: int) -> None:
    theirs = published(shape, cutoff, order)
    gain = butterworth(shape, cutoff, order)
    torch.testing.assert_close(torch.fft.fftshift(gain), theirs[0, 0], rtol=1e-6, atol=1e-9)
    x, noise = clips(shape), clips(shape, "noise")
    wanted = FreeInitMixin()._apply_freq_filter(x, noise, theirs)
    torch.testing.assert_close(refreshed(x, noise, gain), wanted, rtol=1e-5, atol=1e-5)


def test_a_gain_of_one_keeps_x_and_a_gain_of_zero_is_the_noise_bit_for_bit() -> None:
    x, noise = clips(EVEN), clips(EVEN, "noise")
    torch.testing.assert_close(refreshed(x, noise, torch.ones(EVEN)), x)
    assert torch.equal(refreshed(x, noise, torch.zeros(EVEN)), noise)


@pytest.mark.parametrize("shape", [EVEN, ODD])
def test_a_centred_filter_keeps_the_mean_and_is_symmetrical(shape: tuple[int, int, int]) -> None:
    gain = butterworth(shape, 0.25, 4, centred=True)
    assert gain[0, 0, 0] == 1.0
    # The gain at -f: reversed, with the zero frequency in its place again.
    mirrored = gain.flip(0, 1, 2).roll((1, 1, 1), (0, 1, 2))
    assert torch.equal(gain, mirrored)
    x, noise = clips(shape), clips(shape, "noise")
    axes = (-3, -2, -1)
    torch.testing.assert_close(refreshed(x, noise, gain).mean(axes), x.mean(axes), rtol=0, atol=1e-6)


def test_the_published_filter_is_the_centred_one_for_even_lengths_and_half_a_bin_off_for_odd() -> None:
    assert torch.equal(butterworth(EVEN, 0.25, 4), butterworth(EVEN, 0.25, 4, centred=True))
    assert float(butterworth((13, 8, 8), 0.125, 4)[0, 0, 0]) == pytest.approx(0.98, abs=0.005)
    assert float(butterworth((21, 8, 8), 0.125, 4)[0, 0, 0]) == pytest.approx(0.9996, abs=0.0005)


def test_a_wave_passes_by_its_gain() -> None:
    gain = butterworth((8, 1, 1), 0.25, 4, centred=True)
    wave = torch.cos(2 * torch.pi * torch.arange(8) / 8).view(1, 1, 8, 1, 1)
    # One wave in eight frames is a quarter of Nyquist: at the cutoff, half of it passes.
    torch.testing.assert_close(low_pass(wave, gain), 0.5 * wave, rtol=0, atol=1e-6)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6)),
    cutoff=st.floats(0.05, 1.5),
    order=st.integers(1, 6),
    centred=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_filtering_is_linear_and_never_amplifies(
    shape: tuple[int, int, int], cutoff: float, order: int, centred: bool
) -> None:
    gain = butterworth(shape, cutoff, order, centred)
    assert 0 <= float(gain.min()) <= float(gain.max()) <= 1
    x, y = clips(shape), clips(shape, "noise")
    torch.testing.assert_close(low_pass(x + 2 * y, gain), low_pass(x, gain) + 2 * low_pass(y, gain), rtol=0, atol=1e-4)
    assert float(low_pass(x, gain).norm()) <= float(x.norm()) * (1 + 1e-5)


def test_a_clip_has_the_same_bits_whichever_clips_are_beside_it() -> None:
    for shape in (EVEN, ODD, (7, 5, 5)):
        gain = butterworth(shape, 0.25, 4)
        x, noise = clips(shape, count=5), clips(shape, "noise", count=5)
        together = refreshed(x, noise, gain)
        for k in range(5):
            assert torch.equal(together[k : k + 1], refreshed(x[k : k + 1], noise[k : k + 1], gain))
