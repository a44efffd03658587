"""Co-denoising in time (MultiDiffusion, arXiv 2302.08113; Gen-L-Video, arXiv 2305.18264): the clips of a shot are
windows onto one long latent video. Every window takes its step alone, then all windows agree where they overlap.
"""

from __future__ import annotations

import torch

from .levels import Level
from .sampling import Edit


def averaging(overlap: int) -> Edit:
    """An edit that replaces what neighbouring clips share by its weighted mean; `joint` of `sampling.sample`.

    x [K, C, N, h, w]: all clips of the shot. Frame j of clip k is frame k (N - overlap) + j of the shot; its weight is
    min(j + 1, N - j), so with up to N / 2 frames of overlap one clip fades into the next in even steps. Frames that
    only one clip has are not touched, and neither is a frame in which all clips agree.

    A step of DDIM and the second order of dpmpp_2m are linear in x, x0 and eps, so the mean of the steps is the step
    of the mean: the shot is denoised as one video whose x0 and eps are the windows' means.
    """

    def average(x: torch.Tensor, level: Level) -> torch.Tensor:
        if overlap == 0 or len(x) == 1:
            return x
        shot = joined(x, overlap)
        frames = x.shape[-3]
        return torch.stack([shot.narrow(-3, k * (frames - overlap), frames) for k in range(len(x))])

    return average


def joined(x: torch.Tensor, overlap: int) -> torch.Tensor:
    """The shot [C, N + (K - 1) (N - overlap), h, w] that windows x [K, C, N, h, w] show: means where they overlap."""
    frames = x.shape[-3]
    stride = frames - overlap
    own = [min(j + 1, frames - j) for j in range(frames)]
    done, last, weights = [], x[0], list(own)
    for clip in x[1:]:
        done.append(last[:, :stride])
        total = [a + b for a, b in zip(weights[stride:], own, strict=False)]
        shares = [b / c for b, c in zip(own, total, strict=False)]
        share = torch.tensor(shares, dtype=x.dtype, device=x.device).view(-1, 1, 1)
        # A running mean, not a sum of weighted frames: where clips agree it is exactly what they agree on.
        mean = last[:, stride:]
        mean = mean + share * (clip[:, :overlap] - mean)
        last = torch.cat([mean, clip[:, overlap:]], dim=1)
        weights = total + own[overlap:]
    return torch.cat([*done, last], dim=1)
