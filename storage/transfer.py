"""Moving the files to another store, whole: first every file is there and read back, then the ones here may go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import FileDamaged, FileMissing
from .files import FileId, Files
from .ledger import Ledger


@dataclass(frozen=True)
class Moved:
    """`copied`: id -> bytes. `already`: were there whole. `missing`: could not be read here, and why."""

    copied: dict[FileId, int]
    already: int
    missing: dict[FileId, str]

    @property
    def whole(self) -> bool:
        """Whether the other store has all that the ledger names."""
        return not self.missing


def copy_files(
    ledger: Ledger, source: Files, target: Files, told: Callable[[int, int], None] = lambda done, of: None
) -> Moved:
    """Copy every file that the ledger names; ended early and run again, it goes on where it was.

    Damaged and missing files are told of and do not stop the others. told: files done, and of how many.
    """
    named = sorted(ledger.file_uses())
    there = target.present(named)
    copied: dict[FileId, int] = {}
    missing: dict[FileId, str] = {}
    already = 0
    for number, id in enumerate(named, 1):
        if id in there and target.verify(id):
            already += 1
        else:
            try:
                copied[id] = copy_file(source, target, id)
            except (FileDamaged, FileMissing) as error:
                missing[id] = str(error)
        told(number, len(named))
    return Moved(copied, already, missing)


def copy_file(source: Files, target: Files, id: FileId) -> int:
    """Copy one file, its bytes checked on both sides; how many they are. Raises FileMissing, FileDamaged."""
    path = source.open_verified(id)
    size = path.stat().st_size
    suffix = id[71:]
    stored = target.put_file(path, suffix, keep=True)
    if stored != id:  # altered between the check and the copy
        target.remove(stored)
        raise FileDamaged(id, path, id[7:71], stored[7:71])
    return size


def remove_moved(ledger: Ledger, source: Files, target: Files) -> dict[FileId, int]:
    """Remove from `source` what `target` has, after `copy_files`; id -> bytes.

    Whoever renders now must use `target` already: what a render stores in `source` from now on stays there.
    """
    there = target.present(ledger.file_uses())
    entries = source.entries()
    return {id: entry.bytes for id, entry in entries.items() if id in there and source.remove(id)}
