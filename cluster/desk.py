"""What becomes of a clip's frames: encoded without loss, and stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from storage.files import Files

Encode = Callable[[np.ndarray, dict[str, str]], tuple[str, int]]
"""Frames `[F, H, W, 3]` uint8 and the take's tags to the id of the stored take and its size in bytes."""


def encode(files: Files, frames: np.ndarray, tags: dict[str, str]) -> tuple[str, int]:
    """As `Encode`, in this thread."""
    from shots.frames import write_take

    with files.scratch() as folder:
        path = folder / "take.mkv"
        write_take(path, frames, tags)
        size = path.stat().st_size
        return files.put_file(path, ".mkv"), size
