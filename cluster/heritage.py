"""Where a clip comes from, as its own file tells it: enough to make it again from the file alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shots.spec import ClipSpec, ModelRef

from .environment import licence
from .job import Job, Worker

if TYPE_CHECKING:
    from shots.shoot import Footage, Model

Told = list[list[Any]]
"""Runs of clips of a chain: [how many, what of their specs is not as in the clip that tells it]."""


class Heritage:
    """What the clips of a job have in common. `record` is asked clip by clip, in their order."""

    def __init__(self, job: Job, models: Mapping[ModelRef, Model]) -> None:
        self.job = job
        self._started = clock()
        self._models = {
            model.card.id: {"digest": ref.digest, "revision": model.card.revision, "licence": licence(model.card.path)}
            for ref, model in models.items()
        }
        self._tails = [job.tail]

    def begins_with(self, tail: str) -> None:
        """The stored tail of the clip before, where it was not there yet when the job began."""
        self._tails[0] = tail

    def environment(self, worker: Worker) -> dict[str, Any]:
        """What a clip was made with: host, system, libraries, driver, device, worker, models."""
        return worker.environment | {"device": worker.device, "worker": worker.name, "models": self._models}

    def record(
        self, index: int, footage: Footage, worker: Worker, latents: str, tail: str | None, frames_digest: str
    ) -> str:
        """The lineage that a take carries in its own file. latents, tail: what is stored beside it."""
        spec = footage.spec
        self._tails.append(tail)
        record = {
            "kind": "longtake.take",
            "version": 1,
            "key": spec.key,
            "slate": {"film": self.job.film, "shot": self.job.shot, "clip": self.job.first + index},
            "spec": spec.to_dict(),
            "chain": chain_record(spec, (*self.job.chain, *self.job.specs[:index])),
            "together": group_record(spec, self.job.part.group if self.job.part else self.job.specs),
            "parents": {"clip": spec.previous, "tail": self._tails[index] if spec.previous else None},
            "latents": latents,
            "tail": tail,
            "frames_digest": frames_digest,
            "nfe": footage.nfe,
            "seconds": footage.seconds,
            "code_version": worker.code_version,
            "environment": self.environment(worker),
            "started": self._started,
            "time": clock(),
        }
        return json.dumps(record, sort_keys=True)


def chain_record(spec: ClipSpec, chain: Sequence[ClipSpec]) -> Told:
    """The clips before `spec` in its chain, from the first on; `[]` for a first one. Equal neighbours are one entry."""
    if spec.previous is None:
        return []
    implied = [{"index": n, "previous": chain[n - 1].key if n else None} for n in range(len(chain))]
    return _told(spec, chain, implied)


def group_record(spec: ClipSpec, group: Sequence[ClipSpec]) -> Told:
    """All the clips that are made together with `spec`, in order; `[]` where it is made alone."""
    return _told(spec, group, [{"index": n} for n in range(len(group))]) if spec.together else []


def chain_of(spec: ClipSpec, told: Told) -> list[ClipSpec]:
    """The clips that `chain_record` told of. Raises SpecError, KeyError, TypeError or ValueError for other data."""
    chain: list[ClipSpec] = []
    for differs in _each(told):
        implied = {"index": len(chain), "previous": chain[-1].key if chain else None}
        chain.append(ClipSpec.from_dict(spec.to_dict() | implied | differs))
    return chain


def group_of(spec: ClipSpec, told: Told) -> list[ClipSpec]:
    """The clips that `group_record` told of. Raises as `chain_of`."""
    return [ClipSpec.from_dict(spec.to_dict() | {"index": n} | differs) for n, differs in enumerate(_each(told))]


def _told(spec: ClipSpec, clips: Sequence[ClipSpec], implied: Sequence[dict[str, Any]]) -> Told:
    own, runs = spec.to_dict(), list[list[Any]]()
    for clip, known in zip(clips, implied, strict=True):
        expected = own | known
        told = {name: value for name, value in clip.to_dict().items() if value != expected[name]}
        if runs and runs[-1][1] == told:
            runs[-1][0] += 1
        else:
            runs.append([1, told])
    return runs


def _each(told: Told) -> list[dict[str, Any]]:
    return [dict(differs) for count, differs in told for _ in range(int(count))]


def clock() -> str:
    """Now, as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
