"""Making room: what of the store nothing needs any more, and its removal. What is needed, see `needs`.

`plan` only looks. `sweep` asks again for each thing, at the moment of its removal, so a production that begins
between the two loses nothing: takes leave the ledger first, in one transaction with the question whether they are
needed, and then the files that no row names go.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from .files import FileId, Files
from .ledger import Ledger
from .rows import Take

GRACE = 24 * 3600.0
"""Seconds for which a file that no row names is left alone: its row may be about to be written."""


@dataclass(frozen=True)
class Sweep:
    """What goes, or has gone. `takes`: accepted ones that nothing needs. `files`: id -> bytes, of those takes, of
    prints of what is no take any more, and of what no row names. kept: files that stay; kept_bytes: theirs.
    checkpoints: place -> bytes of those of clips that nobody waits for any more."""

    takes: tuple[Take, ...]
    prints: int
    files: dict[FileId, int]
    kept: int
    kept_bytes: int
    checkpoints: dict[Path | str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Room that is won."""
        return sum(self.files.values()) + sum(self.checkpoints.values())


def plan(
    ledger: Ledger,
    files: Files,
    forget: Collection[str] = (),
    older_than: float = 0.0,
    grace: float = GRACE,
) -> Sweep:
    """What `sweep` would remove now. Changes nothing.

    forget: films of which nothing is needed any more. older_than: seconds that a take must be old to go.
    """
    entries = files.entries()  # before the ledger: what is stored from now on is not even seen
    now = time.time()
    going = tuple(take for take in ledger.unneeded_takes(forget) if now - take.accepted_at >= older_than)
    ids = {take.id for take in going}
    prints = ledger.unneeded_prints(but=ids)
    named = {file for take in going for file in (take.video, take.latents, take.tail) if file}
    named |= {row.file for row in prints}
    keys, videos = {take.key for take in going}, {row.take_file for row in prints}
    needed = {
        file
        for file, uses in ledger.file_uses().items()
        if any(use.key not in (videos if use.kind == "print" else keys) for use in uses)
    }
    doomed = {
        id: entry.bytes
        for id, entry in entries.items()
        if id not in needed and (id in named or now - entry.changed_at >= grace)
    }
    kept = [entry.bytes for id, entry in entries.items() if id not in doomed]
    return Sweep(going, len(prints), doomed, len(kept), sum(kept), _left_over(ledger, files, forget, now - grace))


def _left_over(ledger: Ledger, files: Files, forget: Collection[str], before: float) -> dict[Path | str, int]:
    """Checkpoints written before that moment, of clips that all have their takes or that no film wants any more."""
    old = {place: one for place, one in files.checkpoints.held().items() if one.changed_at <= before}
    waited_for = ledger.unfinished({key for one in old.values() for key in one.keys}, forget)
    return {place: one.bytes for place, one in old.items() if not one.keys & waited_for}


def sweep(ledger: Ledger, files: Files, planned: Sweep, forget: Collection[str] = ()) -> Sweep:
    """Remove what was planned and is still not needed; what has gone."""
    gone = ledger.remove_takes([take.id for take in planned.takes], "nothing needed it: longtake gc", forget)
    prints = len(ledger.remove_prints())
    used = set(ledger.file_uses())
    removed = {id: size for id, size in planned.files.items() if id not in used and files.remove(id)}
    # Rendered again, byte for byte, in the very moment: a row must not promise what is not there.
    for id in removed.keys() & ledger.file_uses().keys():
        if not files.exists(id):
            ledger.drop_file(id, "removed while it was being made again")
    files.sweep()
    left_over = _left_over(ledger, files, forget, time.time()).keys() & planned.checkpoints.keys()
    checkpoints = files.checkpoints.remove(left_over)
    spared = [size for id, size in planned.files.items() if id not in removed]
    kept, kept_bytes = planned.kept + len(spared), planned.kept_bytes + sum(spared)
    return Sweep(tuple(gone), prints, removed, kept, kept_bytes, checkpoints)
