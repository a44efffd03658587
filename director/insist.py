"""Asking the ledger again while it is locked or away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from storage.errors import LedgerLocked, LedgerUnreachable

log = logging.getLogger("longtake.production")
T = TypeVar("T")


def insist(call: Callable[[], T], seconds: float = 60.0) -> T:
    """Ask the ledger again while it is locked or away: a finished clip is worth a minute's wait."""
    deadline, pause = time.monotonic() + seconds, 0.2
    while True:
        try:
            return call()
        except (LedgerLocked, LedgerUnreachable) as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the ledger does not answer, asking again: %s", error)
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
