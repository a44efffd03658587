"""Output that nobody reads any more: a closed pipe (`| head`) or terminal ends what is shown, never what is done."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any, cast

from rich.console import Console


class Unbreakable:
    """A text stream that goes silent, for good, when nobody takes what is written to it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._silent = False

    def write(self, text: str) -> int:
        """Write, or drop the text when the other end is gone."""
        if not self._silent:
            with self._careful():
                return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing when the other end is gone."""
        if not self._silent:
            with self._careful():
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._silent = True
            # What the stream still holds back is flushed when the process ends: let it go to nowhere.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
        except ValueError as error:  # closed in this process
            if "closed file" not in str(error):
                raise
            self._silent = True


def unbreakable(stream: IO[str]) -> IO[str]:
    """`stream`, made unbreakable if it is not yet."""
    return stream if isinstance(stream, Unbreakable) else cast("IO[str]", Unbreakable(stream))


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Standard output and standard error are unbreakable while this is open, and flushed at its end."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = unbreakable(before[0]), unbreakable(before[1])
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def screen(*, stderr: bool = False) -> Console:
    """A console that shows text as it is: brackets and colons in a title or prompt are no markup and no emoji."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
