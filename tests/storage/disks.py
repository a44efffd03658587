"""Real disks that are soon full, or read-only."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import pytest


class SmallDisks:
    """small_disk("1m") mounts an empty disk of that size; `read_only` turns it so. Needs root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted: list[Path] = []

    def __call__(self, size: str) -> Path:
        disk = self._folder / f"disk{len(self._mounted)}"
        disk.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk)
        self._mounted.append(disk)
        return disk

    def read_only(self, disk: Path) -> None:
        self._mount("-o", "remount,ro", disk)

    def unmount(self) -> None:
        for disk in self._mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    def _mount(self, *arguments: object) -> None:
        try:
            subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            message = f"FULL AND READ-ONLY DISKS WERE NOT TESTED: mount is not allowed here ({error})"
            warnings.warn(message, stacklevel=1)
            pytest.skip(message)
