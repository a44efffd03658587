"""What is done without a camera: a clip's frames are encoded without loss and stored, and what else is cheap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from storage.files import Files

T = TypeVar("T")
R = TypeVar("R")
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


class Desk(Protocol):
    """Where cheap work is done. `work` is a function of a module, of the store and one thing; things and results are
    plain data."""

    def each(self, work: Callable[[Files, T], R], things: Sequence[T]) -> list[R]:
        """`work` of each thing, in order. It needs the store alone. Raises what `work` raises."""
        ...

    def home(self, work: Callable[[Files, T], R], thing: T) -> R:
        """`work` of one thing that may lie anywhere on this machine."""
        ...


class Here:
    """The desk of this thread."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def each(self, work: Callable[[Files, T], R], things: Sequence[T]) -> list[R]:
        return [work(self._files, thing) for thing in things]

    def home(self, work: Callable[[Files, T], R], thing: T) -> R:
        return work(self._files, thing)
