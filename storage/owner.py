"""Which process is this, and is that one still alive?

A process number alone says little: numbers are used again, and two containers count from 1 each. So an owner is
the machine (this boot of this kernel, this process namespace), the number, and the moment the process started.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Owner:
    """A process. `started` is in clock ticks since boot, 0 where the system does not say."""

    host: str
    machine: str
    pid: int
    started: int

    @classmethod
    def here(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _begun(os.getpid()))

    def alive(self) -> bool | None:
        """Whether the process runs; None when it is on another machine and cannot be seen from here."""
        if self.machine != _machine():
            return None
        stat = _stat(self.pid)
        if stat is None:
            return _answers(self.pid)
        state, started = stat
        # A zombie holds nothing any more; it only waits for its parent to take note.
        return state not in "ZX" and self.started in (0, started)


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@cache
def _begun(pid: int) -> int:
    """When this very process began; asked for every clip, and reading /proc takes milliseconds on a busy machine."""
    stat = _stat(pid)
    return stat[1] if stat else 0


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time from /proc/<pid>/stat, None where there is no such file."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except OSError:
        return None
    after_name = text.rpartition(")")[2].split()  # the name may hold spaces and brackets
    return after_name[0], int(after_name[19])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
