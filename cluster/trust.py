"""Whether it is a node that fails, or what it was given. Pure: no clocks, no Ray."""

from __future__ import annotations

from typing import NamedTuple

from .job import Failure

STRIKES = 3
"""Clips in a row that fail on a node, and were seen to fail nowhere else, until it is set aside."""
ASIDE_SECONDS = 900.0
"""Seconds after which a node that was set aside for that is tried again, by whichever run."""


class _Strike(NamedTuple):
    what: str
    error: str


class Trust:
    """Counts what nodes fail in a row. What fails in the same way on a second node is to blame itself: that counts
    against no node, and one that was set aside for it is pardoned, so that one bad film costs none."""

    def __init__(self) -> None:
        self._strikes: dict[str, list[_Strike]] = {}
        self._seen: dict[_Strike, set[str]] = {}
        self._condemned: dict[str, list[_Strike]] = {}

    def failed(self, node: str, film: str, chain: str, failure: Failure) -> str | None:
        """A job failed on a node. Why the node should be set aside now, None when it may go on.

        What a machine lacks it lacks for all of a film; what kills a worker may be one chain alone.
        """
        if not (failure.machine or failure.worker) or failure.memory or failure.file:
            return None
        strike = _Strike(film if failure.machine else f"{film} {chain}", failure.error)
        where = self._seen.setdefault(strike, set())
        where.add(node)
        if len(where) > 1:
            for each in where:
                self._strikes[each] = [s for s in self._strikes.get(each, []) if s != strike]
            return None
        strikes = self._strikes.setdefault(node, [])
        strikes.append(strike)
        if len(strikes) < STRIKES:
            return None
        self._condemned[node] = self._strikes.pop(node)
        kinds = ", ".join(dict.fromkeys(s.error for s in self._condemned[node]))
        return f"{len(strikes)} clips in a row failed there ({kinds}), the last one: {failure.message}"

    def pardoned(self) -> set[str]:
        """Nodes that were set aside for what has failed elsewhere since; each is told once."""
        those = {n for n, strikes in self._condemned.items() if any(len(self._seen[s]) > 1 for s in strikes)}
        for node in those:
            self.forget(node)
        return those

    def worked(self, node: str) -> None:
        """A clip was finished on a node."""
        self._strikes.pop(node, None)

    def forget(self, node: str) -> None:
        """A node begins anew."""
        self._strikes.pop(node, None)
        self._condemned.pop(node, None)
