"""Resume inside a clip: when a camera keeps a checkpoint, which one it goes on from, when it is thrown away."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shots.errors import SpecError
from storage.checkpoints import Checkpoints
from storage.errors import StorageError
from storage.files import Files

if TYPE_CHECKING:
    from shots.checkpoint import Checkpoint

log = logging.getLogger("longtake.camera")

EVERY = 30.0
"""Seconds of sampling that a crash may cost, unless told otherwise."""
SHARE = 0.02
"""A checkpoint is put off until writing the last one is at most this share of the time since."""


class Bookmark:
    """The place in one job. `keys`: of its clips. `made_by`: the code whose checkpoints may be used."""

    def __init__(self, root: str | Path, keys: tuple[str, ...], made_by: str, every: float = EVERY) -> None:
        self._store = Checkpoints(root)
        self._keys = keys
        self._made_by = made_by
        self._every = every
        self._name = hashlib.sha256(" ".join(keys).encode()).hexdigest()
        self._last = time.monotonic()
        self._cost = 0.0
        self._source: str | None = None

    def start(self, files: Files, drafts: Sequence[str]) -> Checkpoint | None:
        """Where the job goes on: its newest checkpoint, or its clips' drafts (stored files), whichever is further."""
        mine = self.find()
        theirs = self._drafts(files, drafts) if drafts else None
        if theirs is None or (mine is not None and mine.step >= theirs.step):
            return mine
        log.info("going on from step %d of the drafts of %d clips", theirs.step, len(theirs.keys))
        self._source = None
        return theirs

    def _drafts(self, files: Files, drafts: Sequence[str]) -> Checkpoint | None:
        from shots.checkpoint import Checkpoint

        try:
            parts = [Checkpoint.from_bytes(files.open_verified(id).read_bytes()) for id in drafts]
            found = Checkpoint.joined(parts, self._keys[: len(parts)])
        except (OSError, SpecError, StorageError) as error:
            log.warning("the drafts of these clips are not gone on from: %s", error)
            return None
        if found.made_by != self._made_by:
            log.warning("drafts are not gone on from: made by %s, this is %s", found.made_by, self._made_by)
            return None
        return found

    def find(self) -> Checkpoint | None:
        """The newest checkpoint of these clips, or of a group that they were part of; others are left alone."""
        from shots.checkpoint import Checkpoint

        for path in self._store.newest():
            try:
                whole = Checkpoint.from_bytes(path.read_bytes())
                found = whole.part(self._keys)
            except (OSError, SpecError) as error:
                log.warning("checkpoint %s is not used: %s", path.name, error)
                continue
            if found is None:
                continue
            if found.made_by != self._made_by:
                log.warning(
                    "checkpoint %s is not used: made by %s, this is %s", path.name, found.made_by, self._made_by
                )
                continue
            log.info("going on from step %d of a checkpoint", found.step)
            # Clips after these, perhaps on another camera at this moment, go on from it, too.
            self._source = path.stem if whole.keys[-1] == self._keys[-1] else None
            return found
        return None

    def due(self, done: bool) -> bool:
        """Is it time for one? Always when sampling is done, so that decoding costs no sampling."""
        if self._every <= 0:
            return False
        since = time.monotonic() - self._last
        return done or (since >= self._every and self._cost <= SHARE * since)

    def keep(self, make: Callable[[], Checkpoint]) -> None:
        """Write a checkpoint of this moment. A disk that will not have it is told about and costs nothing else."""
        began = time.monotonic()
        try:
            self._store.put(self._name, make().to_bytes(self._made_by))
        except OSError as error:
            log.warning("no checkpoint could be written: %s", error)
        self._last = time.monotonic()
        self._cost = self._last - began

    def close(self) -> None:
        """All clips are stored: their checkpoint has done its work, and so has one of a larger group that they end."""
        self._store.drop(self._name)
        if self._source:
            self._store.drop(self._source)
