"""Co-denoising in time (MultiDiffusion, arXiv 2302.08113; Gen-L-Video, arXiv 2305.18264): the clips of a shot are
windows onto one long latent video. Every window takes its step alone, then all windows agree where they overlap.

The mean of a frame is a running one, over its windows in ascending order. So windows can be denoised in groups that run
at the same time (`Beside`), with the bits of one group: after each step a group tells the one to its right the mean so
far of the frames that both have, and the one to its left what has become of them. No window is left out of a mean, also
where more than two share a frame (M > N/2); then what a group tells has to pass through all groups that share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .levels import Level
from .relay import Hear, Share
from .sampling import Edit


@dataclass(frozen=True, eq=False)
class Beside:
    """The groups of windows to the left and to the right of one, while all of them run; None at the ends of the shot.

    Told and heard after each step, under the number of its level, is [C, M, h, w]: to the right the mean so far of the
    frames that the next window shares, to the left their mean over all windows.
    """

    hear_left: Hear | None = None
    tell_left: Share | None = None
    hear_right: Hear | None = None
    tell_right: Share | None = None


def averaging(overlap: int, first: int = 0, beside: Beside | None = None) -> Edit:
    """An edit that replaces what neighbouring clips share by its weighted mean; `joint` of `sampling.sample`.

    x [K, C, N, h, w]: all clips of the shot, or those from number `first` on that are not `beside`. Frame j of clip k
    is frame k (N - overlap) + j of the shot; its weight is min(j + 1, N - j), so with up to N / 2 frames of overlap one
    clip fades into the next in even steps. Frames that only one clip has are not touched, and neither is a frame in
    which all clips agree.

    A step of DDIM and the second order of dpmpp_2m are linear in x, x0 and eps, so the mean of the steps is the step
    of the mean: the shot is denoised as one video whose x0 and eps are the windows' means.
    """

    def average(x: torch.Tensor, level: Level) -> torch.Tensor:
        if overlap == 0 or (len(x) == 1 and beside is None):
            return x
        shot = _told(x, overlap, first, beside, level.i) if beside else joined(x, overlap)
        frames = x.shape[-3]
        return torch.stack([shot.narrow(-3, k * (frames - overlap), frames) for k in range(len(x))])

    return average


def joined(x: torch.Tensor, overlap: int, before: torch.Tensor | None = None, first: int = 0) -> torch.Tensor:
    """The shot [C, N + (K - 1) (N - overlap), h, w] that windows x [K, C, N, h, w] show: means where they overlap.

    before: the mean [C, overlap, h, w], over the `first` windows to the left of these, of what x[0] shares with them.
    """
    frames = x.shape[-3]
    stride = frames - overlap
    own = [min(j + 1, frames - j) for j in range(frames)]
    weights = _weights(own, stride, first)
    done, shared = list[torch.Tensor](), before
    for clip in x:
        if shared is None:
            weights, last = list(own), clip
        else:
            total = [a + b for a, b in zip(weights[stride:], own, strict=False)]
            shares = [b / c for b, c in zip(own, total, strict=False)]
            share = torch.tensor(shares, dtype=x.dtype, device=x.device).view(-1, 1, 1)
            # A running mean, not a sum of weighted frames: where clips agree it is exactly what they agree on.
            mean = shared + share * (clip[:, :overlap] - shared)
            weights, last = total + own[overlap:], torch.cat([mean, clip[:, overlap:]], dim=1)
        done.append(last[:, :stride])
        shared = last[:, stride:]
    return torch.cat([*done, last[:, stride:]], dim=1)


def _weights(own: Sequence[int], stride: int, windows: int) -> list[int]:
    """What the means of the last window's frames weigh, after so many windows."""
    weights = list(own)
    for _ in range(windows - 1):
        weights = [a + b for a, b in zip(weights[stride:], own, strict=False)] + list(own[len(own) - stride :])
    return weights


def _told(x: torch.Tensor, overlap: int, first: int, beside: Beside, step: int) -> torch.Tensor:
    """`joined` with the groups beside: x's part of the shot."""
    quick = 2 * overlap <= x.shape[-3]  # a frame has two windows at most: nobody waits for what passes through others

    def tell(share: Share | None, frames: torch.Tensor) -> None:
        if share:
            share(step, frames.contiguous().cpu())

    if quick:
        tell(beside.tell_right, x[-1][:, -overlap:])
    before = beside.hear_left(step).to(x.device) if beside.hear_left else None
    shot = joined(x, overlap, before, first)
    tell(None if quick else beside.tell_right, shot[:, -overlap:])
    tell(beside.tell_left if quick else None, shot[:, :overlap])
    if beside.hear_right:
        shot = torch.cat([shot[:, :-overlap], beside.hear_right(step).to(x.device)], dim=1)
    tell(None if quick else beside.tell_left, shot[:, :overlap])
    return shot
