"""Resume inside a clip: when a camera keeps a checkpoint, which one it goes on from, when it is thrown away."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shots.errors import SpecError
from storage.checkpoints import Checkpoints
from storage.errors import StorageError
from storage.files import Files

if TYPE_CHECKING:
    from shots.checkpoint import Checkpoint

log = logging.getLogger("longtake.camera")

SHARE = 0.02
"""A checkpoint is put off until writing the last one is at most this share of the time since."""

DROP_SECONDS = 5.0
"""Seconds for which a finished job has its checkpoints removed from a store elsewhere. `gc` knows those that stay."""


@dataclass(frozen=True)
class Every:
    """What a crash may cost: so many seconds of sampling, or so many steps where `steps` is not 0. Neither: a clip."""

    seconds: float = 30.0
    steps: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `30` or `30s`, seconds, or `8 steps`. Raises ValueError for other words."""
        if steps := re.fullmatch(r"\s*(\d+)\s*steps?\s*", text):
            return cls(0.0, int(steps[1]))
        if seconds := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*s?\s*", text):
            return cls(float(seconds[1]))
        raise ValueError(f"{text!r} is neither seconds nor steps")


class Bookmark:
    """The place in one job. `keys`: of its clips. `made_by`: the code whose checkpoints may be used."""

    def __init__(self, store: Checkpoints, keys: tuple[str, ...], made_by: str, every: Every = Every()) -> None:
        self._store = store
        self._keys = keys
        self._made_by = made_by
        self._every = every
        self._name = hashlib.sha256(" ".join(keys).encode()).hexdigest()
        self._last = time.monotonic()
        self._steps = 0  # since the last one
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
        """The newest checkpoint of these clips, or of a group that they were part of; others are left alone.

        Where the store is elsewhere, that of another machine when it is further than what lies here.
        """
        here = self._usable((path.stem, path.read_bytes) for path in self._store.newest())
        try:
            found = self._usable(self._store.elsewhere(self._keys, here.step if here else -1)) or here
        except StorageError as error:
            log.warning("checkpoints of other machines are not looked for: %s", error)
            found = here
        if found is not None:
            log.info("going on from step %d of a checkpoint%s", found.step, "" if found is here else " in the store")
        return found

    def _usable(self, kept: Iterable[tuple[str, Callable[[], bytes]]]) -> Checkpoint | None:
        """The first of these checkpoints (name, what reads it) that is whole, of these clips, and of our making."""
        from shots.checkpoint import Checkpoint

        for name, read in kept:
            try:
                whole = Checkpoint.from_bytes(read())
                found = whole.part(self._keys)
            except (OSError, SpecError, StorageError) as error:
                log.warning("checkpoint %s is not used: %s", name, error)
                continue
            if found is None:
                continue
            if found.made_by != self._made_by:
                log.warning("checkpoint %s is not used: made by %s, this is %s", name, found.made_by, self._made_by)
                continue
            # Clips after these, perhaps on another camera at this moment, go on from it, too.
            self._source = name if whole.keys[-1] == self._keys[-1] else None
            return found
        return None

    def due(self, done: bool, ahead: int = 0) -> bool:
        """A step is done: is it time for one? Always when sampling is, so that decoding costs no sampling.

        ahead: steps that will be made before it is written.
        """
        self._steps += 1
        if self._every.steps:
            return done or self._steps + ahead >= self._every.steps
        if self._every.seconds <= 0:
            return False
        since = time.monotonic() - self._last
        return done or (since >= self._every.seconds and self._cost <= SHARE * since)

    @property
    def behind(self) -> bool:
        """Have steps been made since the last one was kept? Whoever stopped now would have to make them again."""
        return self._steps > 0

    def keep(self, make: Callable[[], Checkpoint]) -> None:
        """Write a checkpoint of this moment. A disk that will not have it is told about and costs nothing else.

        Where the store is elsewhere it is sent there beside the sampling, counted in steps however long that takes.
        """
        began = time.monotonic()
        try:
            self._write(make())
        except OSError as error:
            log.warning("no checkpoint could be written: %s", error)
        self._last, self._steps = time.monotonic(), 0
        self._cost = self._last - began

    def _write(self, checkpoint: Checkpoint) -> None:
        eager = self._every.steps > 0
        self._store.put(self._name, checkpoint.to_bytes(self._made_by), checkpoint.step, eager)

    def close(self) -> None:
        """All clips are stored: their checkpoint has done its work, and so has one of a larger group that they end."""
        self._store.drop(self._name)
        if self._source:
            self._store.drop(self._source)
        self._store.flush(DROP_SECONDS)
