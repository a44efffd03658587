"""Checkpoints: what half-made clips need to go on after a crash. Few, small, replaced and removed all the time.

    <root>/checkpoints/<name>.safetensors

Unlike stored files they are named by what they are for, so the newest is found after a crash. Writing: a temporary
name, fsync, rename, so a reader finds the old one or the new one. A checkpoint that cannot be written or read costs
time, never a clip: who calls goes on without it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = "checkpoints"
SUFFIX = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
HEAD = 2**17
"""Bytes in which the header of any checkpoint ends: one of eight clips is 2 kB long, and each more takes 70 bytes."""
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Held:
    """A checkpoint. keys: of its clips. changed_at: seconds since the epoch."""

    keys: frozenset[str]
    bytes: int
    changed_at: float


class Checkpoints:
    """The checkpoints beside the files at `root`. Where the store is elsewhere: `remote_checkpoints`."""

    def __init__(self, root: str | Path) -> None:
        self.folder = Path(root).absolute() / FOLDER

    def put(self, name: str, data: bytes, step: int = 0, eager: bool = False) -> Path:
        """Write a checkpoint in place of the last one of this name. Raises OSError.

        For a store elsewhere: `step` orders those of one name, and `eager` ones are sent however long it takes.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a checkpoint's name: letters, digits, - and _, at most 128")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}{SUFFIX}"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return path

    def newest(self) -> list[Path]:
        """All checkpoints, the newest first."""
        found: list[tuple[float, Path]] = []
        for path in self.folder.glob(f"*{SUFFIX}") if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):  # another process has just removed it
                found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found, reverse=True)]

    def here(self, keys: Collection[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Those on this machine that name one of these clips, the newest first: name, and what reads it."""
        for path in self.newest():
            with contextlib.suppress(OSError):  # another process has just removed it
                if _named(path) & set(keys):
                    yield path.stem, path.read_bytes

    def elsewhere(self, keys: Collection[str], beyond: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Checkpoints of more than `beyond` steps in a store elsewhere that name one of these clips: name, and what
        reads it; the furthest first."""
        yield from ()

    @property
    def busy(self) -> bool:
        """Whether something is still to be sent elsewhere, or removed there."""
        return False

    def flush(self, seconds: float) -> bool:
        """Wait, so long at most, until all is sent elsewhere and removed there that should be; whether it is."""
        return True

    def close(self) -> None:
        """Let go of what is not sent yet."""

    def drop(self, name: str) -> None:
        """Remove a checkpoint, and what a process that was killed has half-written of one; that there is none is no
        matter."""
        for path in (self.folder / f"{name}{SUFFIX}", *self.folder.glob(f"{name}.*.partial")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def held(self) -> dict[Path | str, Held]:
        """All that lies here, half-written ones of dead processes among it. Those elsewhere by their address."""
        found: dict[Path | str, Held] = {}
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):  # another process has just removed it
                seen = path.stat()
                found[path] = Held(_named(path) if path.suffix == SUFFIX else frozenset(), seen.st_size, seen.st_mtime)
        return found

    def remove(self, places: Iterable[Path | str]) -> dict[Path | str, int]:
        """Remove some of them; place -> bytes of those that have gone."""
        removed: dict[Path | str, int] = {}
        for path in (place for place in places if isinstance(place, Path)):
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                removed[path] = size
        return removed


def _named(path: Path) -> frozenset[str]:
    with path.open("rb") as file:
        return named(file.read(HEAD))


def named(head: bytes) -> frozenset[str]:
    """The clips that a checkpoint is of: whatever looks like a key in its safetensors header."""
    length = int.from_bytes(head[:8], "little")
    return frozenset(_KEY.findall(head[8 : 8 + length].decode(errors="replace")))
