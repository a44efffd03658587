"""VidRD (Reuse and Diffuse, arXiv 2309.03549): clips of one shot share noise and, for a while, latent frames.

N frames a clip, M of them shared (`overlap`), T steps, z^k the noise clip k starts from, x^k_i its state entering
step i after its own copies. Where frame j of clip k looks in clip k-1:

    reverse  N-1-j    FNR: the previous noise mirrored; the clip begins with the previous tail, backwards
    forward  N-M+j    the previous noise rolled by M; the clip begins with the previous tail, in order

    PNS   z^k_j = base_j for j < M, and a base_j + b fresh_j for the others
    DSG   x^k_i,j = x^{k-1}_i,src(j) for j < M and i < c_j, after clip k-1 has made its own copies of step i

A clip's state entering step i needs its own last state and the previous clip's state at the same step, nothing
later: clips can be denoised together, copies in ascending clip order, and the result is the sequential one
(docs/chaining.md). For M > N/2 a source may itself have been copied in this step, so the order is not optional.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .errors import SpecError
from .levels import Level
from .priors import blend
from .spec import ClipSpec, NoChain, VidRD, canonical


@dataclass(frozen=True, eq=False)
class Tail:
    """What a clip leaves to the next one. CPU, float32.

    key: the clip that left it. noise [C, N, h, w]: what that clip started from. states [S, C, M, h, w]: its last M
    frames entering each of the first S steps, after its own copies; S is the largest number of copies c_0.
    """

    key: str
    noise: torch.Tensor
    states: torch.Tensor

    kind = "Tail"
    version = 1

    def to_bytes(self) -> bytes:
        """safetensors; equal tails give equal bytes (one metadata entry, since their order is not fixed)."""
        tensors = {"noise": self.noise.contiguous(), "states": self.states.contiguous()}
        return save(tensors, metadata={"longtake": canonical([self.kind, self.version, self.key])})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The tail that `to_bytes` wrote.

        Raises:
            SpecError: not a tail, or one of another version, or with tensors that do not belong together.
        """
        key = _key_of(data, cls.kind, cls.version)
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise SpecError(f"a stored tail is damaged: {error}; delete it and render its clip again") from None
        if set(tensors) != {"noise", "states"}:
            raise SpecError(f"a stored tail holds noise and states; this one holds {sorted(tensors)}")
        tail = cls(key, tensors["noise"], tensors["states"])
        tail._check_shapes()
        return tail

    def _check_shapes(self) -> None:
        noise, states = tuple(self.noise.shape), tuple(self.states.shape)
        fits = len(noise) == 4 and len(states) == 5 and (states[1], *states[3:]) == (noise[0], *noise[2:])
        if not fits or {self.noise.dtype, self.states.dtype} != {torch.float32}:
            raise SpecError(
                f"a stored tail holds noise [C, N, h, w] and states [S, C, M, h, w] in float32;"
                f" this one holds {noise} {self.noise.dtype} and {states} {self.states.dtype}"
            )


def _key_of(data: bytes, kind: str, version: int) -> str:
    """The key in a stored tail's metadata, read from the safetensors header alone."""
    try:
        length = int.from_bytes(data[:8], "little")
        found = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["longtake"])
        given_kind, given_version, key = found
    except (ValueError, KeyError, TypeError):
        raise SpecError(
            f"not a {kind}: no longtake metadata; it is some other safetensors file, or a torn one"
        ) from None
    if (given_kind, given_version) != (kind, version) or not isinstance(key, str):
        raise SpecError(f"a {given_kind} of version {given_version} cannot be read as {kind} {version}")
    return key


def sources(chain: VidRD, frames: int) -> list[int]:
    """Frame of the previous clip that frame j looks at, for j < M."""
    if chain.order == "reverse":
        return [frames - 1 - j for j in range(chain.overlap)]
    return [frames - chain.overlap + j for j in range(chain.overlap)]


def base_noise(chain: VidRD, before: torch.Tensor) -> torch.Tensor:
    """The previous clip's noise [C, N, h, w] as the next one sees it: mirrored (FNR), or rolled by M."""
    return before.flip(1) if chain.order == "reverse" else before.roll(chain.overlap, dims=1)


def chained_noise(chain: VidRD, before: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """Noise of a clip [C, N, h, w] from that of the clip before it (FNR or roll, then PNS)."""
    base = base_noise(chain, before)
    m = chain.overlap
    # Cut at M, not at M - N from the end: with M = N the latter is the whole clip (a bug of the published code).
    return torch.cat([base[:, :m], blend(base[:, m:], fresh[:, m:], chain.alpha)], dim=1)


def first_noise(specs: Sequence[ClipSpec], fresh: Sequence[torch.Tensor], tail: Tail | None) -> torch.Tensor:
    """Noise [K, C, N, h, w] that the clips of one chain start from, each from the one before it."""
    before = tail.noise if tail else None
    started: list[torch.Tensor] = []
    for spec, own in zip(specs, fresh, strict=True):
        chain = spec.recipe.chain
        noise = own if before is None or isinstance(chain, NoChain) else chained_noise(chain, before, own)
        started.append(noise)
        before = noise
    return torch.stack(started)


class Copies:
    """DSG as an edit of the group's state [K, C, N, h, w] at the start of a step; keeps what the tails need."""

    def __init__(self, chain: VidRD, frames: int, clips: int, steps: int, tail: Tail | None) -> None:
        self.counts = [chain.copies(j, steps) for j in range(chain.overlap)]
        self.most = max(self.counts, default=0)
        self.sources = sources(chain, frames)
        self.kept = slice(frames - chain.overlap, frames)
        self.tail = tail
        self.states: list[list[torch.Tensor]] = [[] for _ in range(clips)]

    def __call__(self, x: torch.Tensor, level: Level) -> torch.Tensor:
        """x with the copies of step `level.i` made, clip by clip in ascending order."""
        if level.i >= self.most:
            return x
        x = x.clone()
        held = [j for j, count in enumerate(self.counts) if level.i < count]
        before = self.tail.states[level.i].to(x.device) if self.tail else None
        for k, clip in enumerate(x):
            if before is not None:
                clip[:, held] = before[:, [self.sources[j] - self.kept.start for j in held]]
            before = clip[:, self.kept]
            self.states[k].append(before.clone())
        return x

    def tails(self, specs: Sequence[ClipSpec], noise: torch.Tensor) -> list[Tail]:
        """One tail a clip; `noise` [K, C, N, h, w] is what the clips started from."""
        found = []
        for spec, z, states in zip(specs, noise, self.states, strict=True):
            c, _, h, w = z.shape
            none = torch.empty(0, c, self.kept.stop - self.kept.start, h, w)
            found.append(Tail(spec.key, z.to("cpu", copy=True), torch.stack(states).cpu() if states else none))
        return found


def check_chain(specs: Sequence[ClipSpec], tail: Tail | None) -> None:
    """Do these clips follow each other, and does the first follow `tail`?

    Raises:
        SpecError: no clips, clips of several chains, or a tail that is missing, foreign or too small.
    """
    if not specs:
        raise SpecError("no clips to shoot: give at least one clip spec")
    first, chain = specs[0], specs[0].recipe.chain
    for before, spec in pairwise(specs):
        _check_follows(before, spec)
    if isinstance(chain, NoChain):
        return
    _check_settings(chain, first.frames)
    if (tail is None) != (first.previous is None):
        raise SpecError(
            f"clip {first.index} continues clip {first.previous or 'none'}, but was given"
            f" {'no tail' if tail is None else f'the tail of {tail.key}'}; give the tail of the clip it continues"
        )
    if tail is not None:
        _check_tail(first, chain, tail)


def _check_settings(chain: VidRD, frames: int) -> None:
    if not (0 <= chain.overlap <= frames and 0 <= chain.beta <= 1 and 0 <= chain.alpha < math.inf):
        raise SpecError(
            f"a chain with overlap {chain.overlap}, alpha {chain.alpha}, beta {chain.beta}; in clips of {frames}"
            f" frames, overlap is 0 to {frames}, alpha 0 or more, beta 0 to 1"
        )


_SHARED = ("model", "sampler", "recipe", "width", "height", "frames")


def _check_follows(before: ClipSpec, spec: ClipSpec) -> None:
    different = [name for name in _SHARED if getattr(before, name) != getattr(spec, name)]
    if different:
        raise SpecError(
            f"clips {before.index} and {spec.index} differ in {', '.join(different)}; clips that are"
            " denoised together share these, so put them into groups of their own"
        )
    wanted = None if isinstance(spec.recipe.chain, NoChain) else before.key
    if spec.previous != wanted:
        raise SpecError(
            f"clip {spec.index} continues {spec.previous}, not the clip given before it ({wanted});"
            " give consecutive clips of one chain"
        )


def _check_tail(first: ClipSpec, chain: VidRD, tail: Tail) -> None:
    if tail.key != first.previous:
        raise SpecError(f"clip {first.index} continues {first.previous}, but the tail is that of {tail.key}")
    frames, (steps, _, overlap, *_) = tail.noise.shape[1], tail.states.shape
    needed = chain.copies(0, first.sampler.steps)
    if (frames, overlap, steps) != (first.frames, chain.overlap, needed):
        raise SpecError(
            f"clip {first.index} shares {chain.overlap} of {first.frames} frames over {needed} steps, but the tail of"
            f" the clip before holds {overlap} of {frames} over {steps}; all clips of a chain have one recipe"
        )
