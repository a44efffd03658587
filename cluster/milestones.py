"""Checkpoints of windows: of the whole shot or of parts of it, however they were spread over cameras.

All parts keep theirs after the same steps (`beside`), each in a file of its own. Whoever goes on puts together what it
needs, from one file or several, so that the next ones may be spread in another way, or be one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from shots.errors import SpecError
from storage.checkpoints import Checkpoints
from storage.errors import StorageError
from storage.files import Files

from .bookmark import DROP_SECONDS, Bookmark, Every
from .job import Job

if TYPE_CHECKING:
    from shots.checkpoint import Checkpoint

log = logging.getLogger("longtake.camera")


class Milestones(Bookmark):
    """The places in a job of windows, or in a part of one."""

    def __init__(self, store: Checkpoints, job: Job, made_by: str, every: Every = Every()) -> None:
        super().__init__(store, job.keys, made_by, every)
        self._part = job.part
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
            self._store.drop(self._name)  # in the place of what waits to be sent
        self._store.flush(DROP_SECONDS)  # what came to a store elsewhere after `forget` would stay there
        if self._part is None:
            forget(self._store, self._keys)

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
        """Every checkpoint with some of these clips that may be used, the newest first, those elsewhere last."""
        from shots.checkpoint import Checkpoint

        usable = list[Checkpoint]()
        for name, read in self._named_here_and_elsewhere():
            try:
                whole = Checkpoint.from_bytes(read())
            except (OSError, SpecError, StorageError) as error:
                log.warning("checkpoint %s is not used: %s", name, error)
                continue
            if whole.made_by == self._made_by:
                usable.append(whole)
            else:
                log.warning("checkpoint %s is not used: made by %s, this is %s", name, whole.made_by, self._made_by)
        return usable

    def _named_here_and_elsewhere(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Name, and what reads it; of a name that is here as well as elsewhere, which has the same bytes, this one."""
        here = set[str]()
        for name, read in self._store.here(self._keys):
            here.add(name)
            yield name, read
        try:
            for name, read in self._store.elsewhere(self._keys, -1):
                if name not in here:
                    yield name, read
        except StorageError as error:
            log.warning("checkpoints of other machines are not looked for: %s", error)

    def _write(self, checkpoint: Checkpoint) -> None:
        """A part keeps the one before as well, until it is certain that all parts have written a newer one."""
        if self._part is None:
            super()._write(checkpoint)
            return
        step = checkpoint.step
        # To a store elsewhere at once: the parts need one of the same step there.
        self._store.put(self._named(step), checkpoint.to_bytes(self._made_by), step, eager=True)
        self._written.append(step)
        everybody = [each for each in self._written if each <= step - self._part.count]
        for old in everybody[:-1]:
            self._store.drop(self._named(old))
            self._written.remove(old)

    def _named(self, step: int) -> str:
        return f"{self._name}-{step}"


def forget(store: Checkpoints, keys: Collection[str]) -> None:
    """All of these clips are stored: no checkpoint that holds nothing else is needed any more."""
    done = frozenset(keys)
    try:
        store.remove([place for place, about in store.held().items() if about.keys and about.keys <= done])
    except StorageError as error:
        log.warning("checkpoints of finished clips are left for `longtake gc`: %s", error)
