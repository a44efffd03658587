"""A place in memory at the end of a line that may be dead, cut, or slow: `line://`. No object store, so it renames."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem


class Line(MemoryFileSystem):  # type: ignore[misc]
    """What is written goes through the line."""

    protocol = "line"
    dead = False
    """Nothing passes, in either direction."""
    cut = 0
    """Bytes after which the line is cut while something is sent; 0: not."""
    free = threading.Event()
    """Not set: who sends waits."""
    tries = 0
    sent: list[str] = []  # noqa: RUF012
    """The paths of all that has arrived whole, in order."""

    def _passes(self) -> None:
        if Line.dead:
            raise ConnectionResetError("the line is dead")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        Line.tries += 1
        self._passes()
        assert Line.free.wait(60)
        if Line.cut:
            super().pipe_file(path, value[: Line.cut], mode, **more)
            raise ConnectionResetError("the line was cut")
        super().pipe_file(path, value, mode, **more)

    def mv(self, path1: str, path2: str, **more: Any) -> None:
        self._passes()
        super().mv(path1, path2, **more)
        Line.sent.append(path2)

    def find(self, path: str, **more: Any) -> Any:
        self._passes()
        return super().find(path, **more)

    def rm(self, path: str, **more: Any) -> None:
        self._passes()
        super().rm(path, **more)


fsspec.register_implementation("line", Line, clobber=True)


@pytest.fixture
def line() -> Iterator[str]:
    """The address of an empty place there."""
    Line.dead, Line.cut, Line.tries = False, 0, 0
    Line.sent.clear()
    Line.free.set()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield "line://far/films"
    Line.dead, Line.cut = False, 0
    Line.free.set()
    MemoryFileSystem.store.clear()
