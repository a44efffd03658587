"""Drafts that are the beginning of the full clip: the same noise, the same grid, and only the first steps of it.

A state of the sampler at step n does not know how many steps will follow, so what a draft leaves after its last step
is what the full clip has there, bit for bit. Whoever wants the full clip goes on from it (`Checkpoint.joined`). A draft
of fewer steps in all, or of another size, is another clip from the first step on, and cannot be gone on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .spec import Anchor, ClipSpec, Windows, digest, hashed_fields


def drafted(chain: Sequence[ClipSpec], stop_after: int | None) -> list[ClipSpec]:
    """The clips of a chain as drafts of so many steps; None: in full. `chain` begins with its first clip."""
    alone = [
        replace(spec, sampler=replace(spec.sampler, stop_after=stop_after), previous=None, together=None)
        for spec in chain
    ]
    if chain and isinstance(chain[0].recipe.chain, Windows):
        group = digest("Windows", 1, [hashed_fields(spec) for spec in alone])
        return [replace(spec, together=group) for spec in alone]
    made: list[ClipSpec] = []
    for spec, asked in zip(alone, chain, strict=True):
        made.append(replace(spec, previous=made[-1].key if made and asked.previous else None))
    return made


def beginnings(specs: Sequence[ClipSpec]) -> int:
    """How many of these clips a draft can be the beginning of. An anchored clip starts from the last picture of the one
    before, which is another one in a draft: only the first of a chain does not."""
    if not specs or isinstance(specs[0].recipe.chain, Anchor):
        return int(bool(specs) and specs[0].previous is None)
    return len(specs)
