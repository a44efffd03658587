"""Temporary folders whose owners may be killed: what a dead process leaves is found and removed.

An owner holds a lock (flock) on a file beside its folder. The kernel drops the lock with the process, however it
ends, so a lock that can be taken belongs to nobody. This also holds between containers that share a disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from pathlib import Path


class Scratch:
    """This process's folder in `root`, made when first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = threading.Lock()
        self._own: tuple[int, int, Path] | None = None  # process, lock, folder

    def folder(self) -> Path:
        """The folder, alone ours. A forked child has its own. Raises OSError."""
        with self._guard:
            if self._own is None or self._own[0] != os.getpid() or not self._own[2].is_dir():
                self._root.mkdir(parents=True, exist_ok=True)
                self.sweep()
                self._own = (os.getpid(), *_locked_folder(self._root))
            return self._own[2]

    def close(self) -> None:
        """Remove the folder, if this process made one."""
        with self._guard:
            own, self._own = self._own, None
        if own is not None and own[0] == os.getpid():
            shutil.rmtree(own[2], ignore_errors=True)
            with contextlib.suppress(OSError):
                _lock_path(own[2]).unlink()
            os.close(own[1])

    def sweep(self) -> int:
        """Remove the folders of dead owners; how many."""
        return sum(_remove_if_dead(lock) for lock in self._root.glob("*.lock"))


def _lock_path(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _locked_folder(root: Path) -> tuple[int, Path]:
    """A new folder and the open lock that keeps it."""
    while True:
        lock, name = tempfile.mkstemp(suffix=".lock", dir=root)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(lock, name):
                folder = Path(name).with_suffix("")
                folder.mkdir()
                return lock, folder
        except BlockingIOError:
            pass  # swept between the making and the locking
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _same(lock: int, name: str) -> bool:
    """Whether the locked file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(lock), os.stat(name))
    except FileNotFoundError:
        return False


def _remove_if_dead(lock_path: Path) -> bool:
    try:
        lock = os.open(lock_path, os.O_RDWR)
    except OSError:
        return False  # gone already, or not ours to remove
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
        lock_path.unlink(missing_ok=True)
        return True
    except OSError:
        return False  # its owner lives
    finally:
        os.close(lock)
