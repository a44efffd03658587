"""Low frequencies of a clip, in time and space: the Butterworth filter of FreeInit, which VideoGuide uses."""

from __future__ import annotations

from functools import lru_cache

import torch

AXES = (-3, -2, -1)


@lru_cache(maxsize=32)
def butterworth(shape: tuple[int, int, int], cutoff: float, order: int, centred: bool = False) -> torch.Tensor:
    """Gain [F, h, w] float32 of a low-pass filter, in the order of `torch.fft.fftn` (zero frequency first).

        gain = 1 / (1 + (d / cutoff)^(2 order)),   d^2 = f_t^2 + f_h^2 + f_w^2,   each f in -1..1, 1 is Nyquist

    As in FreeInit (Wu et al. 2023, arXiv 2312.07537) with one cutoff for time and space. Its published code counts
    f = 2 i / n - 1 over the shifted axis, which for an odd n is off by 1 / n: the gain at the zero frequency is below
    1, and those of f and -f differ. `centred` sets that right; for even lengths the two are the same. cutoff 0 keeps
    nothing.
    """
    if cutoff == 0:
        return torch.zeros(shape)
    f_t, f_h, f_w = (_frequencies(n, centred) for n in shape)
    distance = f_t[:, None, None] ** 2 + f_h[:, None] ** 2 + f_w**2
    shifted = 1.0 / (1.0 + (distance / cutoff**2) ** order)
    return torch.fft.ifftshift(shifted).float()


def low_pass(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """The frequencies of x [K, C, F, h, w] that `gain` [F, h, w] keeps; the real part of them, as published."""
    # Clip by clip, in memory of its own: transforms of several at once may round by the place a clip has among them.
    return torch.stack([_filtered(clip.clone(), gain) for clip in x])


def refreshed(x: torch.Tensor, noise: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Low frequencies of x, all others of noise. Both [K, C, F, h, w].

    IFFT(gain FFT(x) + (1 - gain) FFT(noise)), written as noise + IFFT(gain FFT(x - noise)): one transform fewer, and
    gain 0 is the noise bit for bit.
    """
    return noise + low_pass(x - noise, gain)


def _frequencies(n: int, centred: bool) -> torch.Tensor:
    """Normalised frequencies of an axis of n, in -1..1, zero in the middle; float64."""
    index = torch.arange(n, dtype=torch.float64)
    return 2 * (index - n // 2) / n if centred else 2 * index / n - 1


def _filtered(clip: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    spectrum = torch.view_as_real(torch.fft.fftn(clip, dim=AXES)) * gain[..., None]
    return torch.fft.ifftn(torch.view_as_complex(spectrum), dim=AXES).real
