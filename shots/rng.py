"""Random streams with names: the noise of frame f is a function of (seed, stream, f), and of nothing else.

So a clip's noise does not change with its length, the batch it is drawn in, the methods that are switched on,
the number of workers or the device. Philox is keyed with 128 bits of the hash: torch's CPU generator keeps 32
bits of a seed, and a hundred thousand frames would be likely to share noise. Drawn with numpy, whose bit streams
are guaranteed between versions; a golden test watches its normals.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from .spec import canonical


def frame_noise(seed: int, stream: str, frame: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal float32 of `shape` on the CPU, for one frame of one stream."""
    name = hashlib.sha256(canonical([seed, stream, frame]).encode()).digest()
    bits = np.random.Philox(key=np.frombuffer(name[:16], dtype="<u8"))
    return torch.from_numpy(np.random.Generator(bits).standard_normal(shape, dtype=np.float32))


def clip_noise(seed: int, stream: str, start: int, shape: tuple[int, int, int, int]) -> torch.Tensor:
    """[C, F, h, w] float32: frames `start` to `start + F - 1` of the stream."""
    channels, frames, height, width = shape
    drawn = [frame_noise(seed, stream, start + j, (channels, height, width)) for j in range(frames)]
    return torch.stack(drawn, dim=1)
