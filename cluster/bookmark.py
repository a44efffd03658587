"""Resume inside a clip: when a camera keeps a checkpoint, which one it goes on from, when it is thrown away."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shots.errors import SpecError
from storage.checkpoints import Checkpoints

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

    def find(self) -> Checkpoint | None:
        """The newest checkpoint of these clips, or of a group that they were part of; others are left alone."""
        from shots.checkpoint import Checkpoint

        for path in self._store.newest():
            try:
                found = Checkpoint.from_bytes(path.read_bytes()).part(self._keys)
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
            self._source = path.stem
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
        """All clips are stored: the checkpoint has done its work, and so has the one that the job went on from."""
        self._store.drop(self._name)
        if self._source:
            self._store.drop(self._source)
