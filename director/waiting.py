"""The segments that wait: for the clip before them, for a pause to pass, or for nothing but a camera.

Everything is looked up by the clip it concerns, so that a clip that is done costs what depends on it, and not what
waits. Pure: it is told what time it is.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator

from .underway import Shooting


class Waiting:
    """Runs of clips until all of them are rendered or given up. have: the keys of clips with a take, kept by others."""

    def __init__(self, have: Collection[str]) -> None:
        self._have = have
        self._ready: deque[Shooting] = deque()
        self._blocked: dict[str, list[Shooting]] = {}
        self._paused: list[tuple[float, int, Shooting]] = []
        self._coming: dict[str, Shooting] = {}
        self._asleep = 0

    def __len__(self) -> int:
        """How many are neither on a camera nor in the executor's hands."""
        return len(self._ready) + len(self._paused) + sum(len(those) for those in self._blocked.values())

    def __bool__(self) -> bool:
        return bool(self._ready or self._paused or self._blocked)

    @property
    def coming(self) -> Collection[str]:
        """Keys of clips that somebody will render."""
        return self._coming.keys()

    def add(self, shooting: Shooting, until: float = 0.0) -> None:
        """Let a segment wait, on its way for the first time or once more. until: when it may be tried again."""
        for key in shooting.segment.keys:
            if key not in self._have:
                self._coming[key] = shooting
        if until:
            self._asleep += 1
            heapq.heappush(self._paused, (until, self._asleep, shooting))
            return
        after = shooting.segment.after
        if after is None or after in self._have:
            self._ready.append(shooting)
        else:
            self._blocked.setdefault(after, []).append(shooting)

    def ready(self, now: float) -> Iterator[Shooting]:
        """Those that can be rendered now; they wait no more."""
        while self._paused and self._paused[0][0] <= now:
            self.add(heapq.heappop(self._paused)[2])
        while self._ready:
            yield self._ready.popleft()

    def after(self, key: str) -> list[Shooting]:
        """Those that wait for this clip, in order."""
        return self._blocked.get(key, [])

    def arrived(self, key: str) -> None:
        """A clip has its take."""
        self._coming.pop(key, None)
        self._ready.extend(self._blocked.pop(key, ()))

    def lost(self, shooting: Shooting) -> Iterator[Shooting]:
        """A segment will not be rendered, nor will what waits for it: all of those, itself first."""
        pile = [shooting]
        while pile:
            gone = pile.pop()
            yield gone
            for key in gone.segment.keys:
                if self._coming.get(key) is gone:
                    del self._coming[key]
                    pile += self._blocked.pop(key, ())

    def orphans(self) -> list[Shooting]:
        """Those that wait for a clip that nobody renders."""
        keys = [key for key in self._blocked if key not in self._coming and key not in self._have]
        return [shooting for key in keys for shooting in self._blocked.pop(key)]

    def unblock(self, shooting: Shooting) -> None:
        """It waits for the clip before it no more: it was begun beside it."""
        after = shooting.segment.after or ""
        those = self._blocked.get(after, [])
        if shooting in those:
            those.remove(shooting)
            if not those:
                del self._blocked[after]

    def leave(self, film: str) -> list[Shooting]:
        """Take out whatever waits of a film."""
        gone = [each for each in self._all() if each.segment.film == film]
        for shooting in gone:
            self.forget(shooting)
        self._ready = deque(_without(self._ready, film))
        self._paused = [each for each in self._paused if each[2].segment.film != film]
        heapq.heapify(self._paused)
        blocked = {key: list(_without(those, film)) for key, those in self._blocked.items()}
        self._blocked = {key: those for key, those in blocked.items() if those}
        return gone

    def forget(self, shooting: Shooting) -> None:
        """Its clips come no more, without a word about what waits for them."""
        for key in shooting.segment.keys:
            if self._coming.get(key) is shooting:
                del self._coming[key]

    def _all(self) -> Iterator[Shooting]:
        yield from self._ready
        yield from (each for _, _, each in self._paused)
        for those in self._blocked.values():
            yield from those


def _without(those: Iterable[Shooting], film: str) -> Iterator[Shooting]:
    return (each for each in those if each.segment.film != film)
