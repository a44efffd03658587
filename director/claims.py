"""Clips that several productions want: whoever begins one first renders it, and the others wait for its take.

A claim is made when a camera begins a job and given back when the job ends, so their number is that of the clips at
work, whatever waits. A claim spares work and decides nothing: two who finish the same clip all the same leave one take.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from storage.clip_leases import ClipClaim
from storage.ledger import Ledger
from storage.rows import Take

from .insist import insist


class Claims:
    """The claims that this production holds, by job."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[str, list[ClipClaim]] = {}
        self._lock = threading.Lock()  # the heart renews them in its own thread

    def claim(self, job: str, keys: Sequence[str]) -> bool:
        """Claim all of these clips for a job, or none of them: false when another has one, or has finished one."""
        claims = insist(lambda: self._ledger.claim_clips(keys, most=len(keys)))
        if len(claims) < len(keys):
            self._ledger.release_clips(claims)
            return False
        with self._lock:
            self._held[job] = claims
        return True

    def release(self, job: str) -> None:
        """The job has ended."""
        with self._lock:
            claims = self._held.pop(job, [])
        if claims:
            self._ledger.release_clips(claims)

    def renew(self) -> None:
        """Say that we are alive."""
        with self._lock:
            claims = [claim for held in self._held.values() for claim in held]
        if claims:
            self._ledger.renew_clips(claims)

    def look(self, keys: Collection[str]) -> tuple[dict[str, Take], bool]:
        """Takes that there are by now of clips that others were rendering, and whether the rest of them is free."""
        takes = self._ledger.takes(keys)
        rest = [key for key in keys if key not in takes]
        if not rest:
            return takes, True
        claims = self._ledger.claim_clips(rest, most=len(rest))
        self._ledger.release_clips(claims)
        return takes, len(claims) == len(rest)
