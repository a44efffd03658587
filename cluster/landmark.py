"""Whether a node sees the store that the driver sees: on another machine a folder of that name may be another one."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from storage.files import Files

SIGHT_SECONDS = 5.0
"""Seconds after which a network disk shows everybody what one of its machines has made."""


class Landmark:
    """An empty folder in the store at `where`, for as long as this is open. At a URL, which means the same everywhere,
    none is needed."""

    def __init__(self, where: str) -> None:
        self._files = None if "://" in where else Files(where)
        self._made = ExitStack()
        self._folder: Path | None = None

    def show(self) -> str:
        """What to look for, made anew where it was removed; '' for nothing. Raises StoreFull, StoreUnwritable."""
        if self._files and not self.stands:
            self._folder = self._made.enter_context(self._files.scratch())
        return str(self._folder or "")

    @property
    def stands(self) -> bool:
        """Is it there, as this machine sees it?"""
        return self._folder is not None and self._folder.is_dir()

    def close(self) -> None:
        """Remove it."""
        self._made.close()
        if self._files:
            self._files.close()


def seen(landmark: str) -> bool:
    """Is it there, as this process sees it? Waits some seconds for it; '' always is."""
    limit = time.monotonic() + SIGHT_SECONDS
    while landmark and not Path(landmark).is_dir():
        if time.monotonic() > limit:
            return False
        time.sleep(0.2)
    return True
