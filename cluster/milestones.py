"""Checkpoints of windows: of the whole shot or of parts of it, however they were spread over cameras.

All parts keep theirs after the same steps (`beside`), each in a file of its own. Whoever goes on puts together what it
needs, from one file or several, so that the next ones may be spread in another way, or be one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shots.errors import SpecError
from storage.checkpoints import Checkpoints
from storage.files import Files

from .bookmark import Bookmark, Every
from .job import Job

if TYPE_CHECKING:
    from shots.checkpoint import Checkpoint

log = logging.getLogger("longtake.camera")


class Milestones(Bookmark):
    """The places in a job of windows, or in a part of one."""

    def __init__(self, root: str | Path, job: Job, made_by: str, every: Every = Every()) -> None:
        super().__init__(root, job.keys, made_by, every)
        self._root, self._part = root, job.part
        self._written: list[int] = []

    def starts(self, files: Files, drafts: Sequence[str]) -> dict[int, Checkpoint]:
        """Steps after which these clips can go on, each with where they stand then."""
        found = self._found()
        theirs = self._drafts(files, drafts) if len(drafts) == len(self._keys) else None
        return found if theirs is None or theirs.step in found else found | {theirs.step: theirs}

    def find(self) -> Checkpoint | None:
        """The furthest one."""
        found = self._found()
        if not found:
            return None
        log.info("going on from step %d of a checkpoint", max(found))
        return found[max(found)]

    def close(self) -> None:
        """All clips are stored. Where they are a part, the others may need its checkpoints yet: see `forget`."""
        if self._part is None:
            forget(self._root, self._keys)

    def _found(self) -> dict[int, Checkpoint]:
        from shots.checkpoint import Checkpoint

        found: dict[int, Checkpoint] = {}
        clips: dict[int, dict[str, Checkpoint]] = {}
        for whole in self._read():
            if mine := whole.part(self._keys):  # as it is: that of a finished draft holds more than can be joined
                found.setdefault(whole.step, mine)
            there = clips.setdefault(whole.step, {})
            for key in self._keys:
                if key not in there and (one := whole.part((key,))):
                    there[key] = one
        for step, there in clips.items():
            if step not in found and len(there) == len(self._keys):
                found[step] = Checkpoint.joined([there[key] for key in self._keys], self._keys)
        return found

    def _read(self) -> list[Checkpoint]:
        """Every checkpoint with some of these clips that may be used, the newest first."""
        from shots.checkpoint import Checkpoint

        mine, usable = set(self._keys), list[Checkpoint]()
        held = sorted(self._store.held().items(), key=lambda each: -each[1].changed_at)
        for path in [path for path, about in held if mine & about.keys]:
            try:
                whole = Checkpoint.from_bytes(path.read_bytes())
            except (OSError, SpecError) as error:
                log.warning("checkpoint %s is not used: %s", path.name, error)
                continue
            if whole.made_by == self._made_by:
                usable.append(whole)
            else:
                maker = whole.made_by
                log.warning("checkpoint %s is not used: made by %s, this is %s", path.name, maker, self._made_by)
        return usable

    def _write(self, checkpoint: Checkpoint) -> None:
        """A part keeps the one before as well, until it is certain that all parts have written a newer one."""
        if self._part is None:
            super()._write(checkpoint)
            return
        step = checkpoint.step
        self._store.put(self._named(step), checkpoint.to_bytes(self._made_by))
        self._written.append(step)
        everybody = [each for each in self._written if each <= step - self._part.count]
        for old in everybody[:-1]:
            self._store.drop(self._named(old))
            self._written.remove(old)

    def _named(self, step: int) -> str:
        return f"{self._name}-{step}"


def forget(root: str | Path, keys: Collection[str]) -> None:
    """All of these clips are stored: no checkpoint that holds nothing else is needed any more."""
    store, done = Checkpoints(root), frozenset(keys)
    store.remove([path for path, about in store.held().items() if about.keys and about.keys <= done])
