"""Where a group of clips stands between two steps, as one safetensors file with a strict header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .errors import SpecError
from .spec import canonical


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a run needs to go on with the same bits.

    keys: of the clips that are denoised together, in order. tensors: the sampler's state (`sampling.State`), the
    chain's copies so far (`chain.Copies`), and `nfe`, the evaluations that each clip has cost. made_by: whoever wrote
    it, such as a code version; one made by another is not used. That of a finished draft also holds `estimate`, the
    clean clips that it shows.
    """

    keys: tuple[str, ...]
    tensors: Mapping[str, torch.Tensor]
    made_by: str = ""

    kind = "Checkpoint"
    version = 1

    @property
    def step(self) -> int:
        """Steps done; all of them when only decoding is left."""
        return int(self.tensors["i"])

    def part(self, keys: tuple[str, ...]) -> Checkpoint | None:
        """The checkpoint of some of these clips that follow each other; None when they are not among them.

        A clip's state depends on no later clip, so those that are missing yet can go on without the others.
        """
        first = self.keys.index(keys[0]) if keys and keys[0] in self.keys else len(self.keys)
        rows = slice(first, first + len(keys))
        if not keys or self.keys[rows] != keys:
            return None
        each = {name: t if name == "i" or not len(t) else t[rows] for name, t in self.tensors.items()}
        return replace(self, keys=keys, tensors=each)

    @classmethod
    def joined(cls, parts: Sequence[Checkpoint], keys: tuple[str, ...]) -> Self:
        """The checkpoint of the clips `keys` from one of each, such as those in which their drafts were left.

        Raises:
            SpecError: they do not stand at the same step, or were made by different code.
        """
        first = parts[0]
        alike = {(part.step, part.made_by, tuple(sorted(part.tensors))) for part in parts}
        if len(alike) > 1 or len(keys) != sum(len(part.keys) for part in parts):
            steps = ", ".join(str(part.step) for part in parts)
            raise SpecError(f"clips at the steps {steps}, made by different code perhaps, cannot go on together")
        names = [name for name in first.tensors if name != "estimate"]
        each = {name: [part.tensors[name] for part in parts] for name in names}
        tensors = {n: t[0] if n == "i" or not len(t[0]) else torch.cat(t) for n, t in each.items()}
        return cls(keys, tensors, first.made_by)

    def to_bytes(self, made_by: str) -> bytes:
        """safetensors; the header holds keys, maker and the tensors' shapes."""
        tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in self.tensors.items()}
        return save(tensors, {"longtake": canonical([self.kind, self.version, list(self.keys), made_by])})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The checkpoint that `to_bytes` wrote.

        Raises:
            SpecError: not a checkpoint, damaged, or one of another version.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            told = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["longtake"])
            kind, version, keys, made_by = told
            tensors = load(data)
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise SpecError(f"not a checkpoint, or a torn one ({error}); the clip begins anew") from None
        if (kind, version) != (cls.kind, cls.version):
            raise SpecError(f"a {kind} of version {version} cannot be read as {cls.kind} {cls.version}")
        if not {"i", "x", "usable", "nfe"} <= set(tensors) or len(tensors["nfe"]) != len(keys):
            raise SpecError("a checkpoint lacks parts of the sampler's state; the clip begins anew")
        return cls(tuple(keys), tensors, str(made_by))
