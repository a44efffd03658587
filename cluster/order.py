"""The least of a set that changes: a heap whose stale entries are passed over. Pure."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T", bound=tuple[float, int])


class Order(Generic[T]):
    """Names by rank. Each operation costs the logarithm of how many there are, seen over many of them."""

    def __init__(self) -> None:
        self._heap: list[tuple[T, str]] = []
        self._ranks: dict[str, T] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def put(self, name: str, rank: T) -> None:
        """Add a name, or give it another rank."""
        if self._ranks.get(name) == rank:
            return
        self._ranks[name] = rank
        heapq.heappush(self._heap, (rank, name))
        if len(self._heap) > 2 * len(self._ranks) + 16:
            self._heap = [(rank, name) for name, rank in self._ranks.items()]
            heapq.heapify(self._heap)

    def drop(self, name: str) -> None:
        """Remove a name."""
        self._ranks.pop(name, None)

    def rank(self, name: str) -> T:
        """The rank that a name has now."""
        return self._ranks[name]

    def least(self) -> str | None:
        """The name with the least rank, None when there is none."""
        heap = self._heap
        while heap and self._ranks.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][1] if heap else None
