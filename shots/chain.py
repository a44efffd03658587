"""VidRD (Reuse and Diffuse, arXiv 2309.03549): clips of one shot share noise and, for a while, latent frames.

N frames a clip, M of them shared (`overlap`), T steps, z^k the noise clip k starts from, x^k_i its state entering
step i after its own copies. Where frame j of clip k looks in clip k-1:

    reverse  N-1-j    FNR: the previous noise mirrored; the clip begins with the previous tail, backwards
    forward  N-M+j    the previous noise rolled by M; the clip begins with the previous tail, in order

    PNS   z^k_j = base_j for j < M, and a base_j + b fresh_j for the others
    DSG   x^k_i,j = x^{k-1}_i,src(j) for j < M and i < c_j, after clip k-1 has made its own copies of step i

c_j is the setting's count of copies. The published code copies the states entering steps 0 to c_j - 1, of which the
first is equal already; the paper copies what steps 1 to c_j return, so one state more, and x_T itself where c_j = T.
All frames here are latent frames.

A clip's state entering step i needs its own last state and the previous clip's state at the same step, nothing
later: clips can be denoised together, copies in ascending clip order, and the result is the sequential one
(docs/chaining.md). For M > N/2 a source may itself have been copied in this step, so the order is not optional.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .errors import SpecError
from .joins import check_chain_settings, check_prior
from .levels import Level
from .priors import blend
from .relay import NOISE, LiveTail, Share
from .spec import Anchor, ClipSpec, Sampler, VidRD, Windows, canonical


@dataclass(frozen=True, eq=False)
class Tail:
    """What a clip leaves to the next one. CPU, float32.

    key: the clip that left it. noise [C, N, h, w]: what that clip started from. states [S, C, M, h, w]: its last M
    frames in each of the first S states, after its own copies; S is `copied_states`.
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


def heard(tail: LiveTail, spec: ClipSpec) -> Tail:
    """The tail that `spec` followed while it was being made, whole: the very one that its clip leaves in the store."""
    chain, (c, _, h, w) = spec.recipe.chain, tail.noise.shape
    assert isinstance(chain, VidRD)
    states = [tail.states[i] for i in range(left_states(chain, spec.sampler))]
    return Tail(tail.key, tail.noise, torch.stack(states) if states else torch.empty(0, c, chain.overlap, h, w))


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


def first_noise(specs: Sequence[ClipSpec], fresh: Sequence[torch.Tensor], tail: Tail | LiveTail | None) -> torch.Tensor:
    """Noise [K, C, N, h, w] that the clips of one chain start from, each from the one before it."""
    before = tail.noise if tail else None
    started: list[torch.Tensor] = []
    for spec, own in zip(specs, fresh, strict=True):
        chain = spec.recipe.chain
        noise = chained_noise(chain, before, own) if isinstance(chain, VidRD) and before is not None else own
        started.append(noise)
        before = noise
    return torch.stack(started)


def copied_states(chain: VidRD, steps: int) -> int:
    """S: states of a clip, from the first, of which the next one copies frames; T + 1 when the last is among them."""
    return chain.copies(0, steps) + bool(_held_to_the_end(chain, steps))


def left_states(chain: VidRD, sampler: Sampler) -> int:
    """States that a clip leaves: of a draft, which ends early, no more than it has had."""
    whole = copied_states(chain, sampler.steps)
    return whole if sampler.stop_after is None else min(whole, sampler.stop_after)


def _held_to_the_end(chain: VidRD, steps: int) -> list[int]:
    """Frames copied in x_T, too: by the paper's count, those that its formula holds in all T steps."""
    published = replace(chain, counts="code")
    return [j for j in range(chain.overlap) if chain.counts == "paper" and published.copies(j, steps) == steps]


class Copies:
    """DSG as an edit of the group's state [K, C, N, h, w] at the start of a step; keeps what the tails need.

    `last` is the edit for after the steps. Between steps `state` gives all that a resumed run `restore`s. `share` is
    told what the last clip leaves, as it comes: whoever makes the clips after these may run at the same time.
    """

    def __init__(
        self,
        chain: VidRD,
        frames: int,
        clips: int,
        steps: int,
        tail: Tail | LiveTail | None,
        share: Share | None = None,
    ) -> None:
        """frames: N, latent frames of a clip. clips: K of the group. tail: of the clip before the first, if any."""
        self.steps = steps
        self.counts = [chain.copies(j, steps) for j in range(chain.overlap)]
        self.most = max(self.counts, default=0)
        self.final = _held_to_the_end(chain, steps)
        self.sources = sources(chain, frames)
        self.tail_frames = slice(frames - chain.overlap, frames)
        self.tail = tail
        self.share = share
        self.states: list[list[torch.Tensor]] = [[] for _ in range(clips)]

    def __call__(self, x: torch.Tensor, level: Level) -> torch.Tensor:
        """x with the copies of step `level.i` made, clip by clip in ascending order."""
        if level.i >= self.most:
            return x
        return self._copied(x, level.i, [j for j, count in enumerate(self.counts) if level.i < count])

    def last(self, x: torch.Tensor, level: Level) -> torch.Tensor:
        """x with the copies of the final state made, where the paper's count asks for them; other levels pass."""
        return self._copied(x, self.most, self.final) if level.i == self.steps and self.final else x

    def _copied(self, x: torch.Tensor, state: int, held: list[int]) -> torch.Tensor:
        before = self.tail.states[state].to(x.device) if self.tail else None
        x = x if len(x) == 1 and before is None else x.clone()
        for k, clip in enumerate(x):
            if before is not None:
                clip[:, held] = before[:, [self.sources[j] - self.tail_frames.start for j in held]]
            before = clip[:, self.tail_frames]
            self.states[k].append(before.clone())
        if self.share:
            self.share(state, self.states[-1][-1].cpu())
        return x

    def share_all(self, noise: torch.Tensor) -> None:
        """Tell everything so far; `noise` [K, C, N, h, w] is what the clips started from."""
        if self.share:
            for state, frames in enumerate([noise[-1], *self.states[-1]], NOISE):
                self.share(state, frames.cpu())

    @property
    def kept(self) -> int:
        """States kept so far."""
        return len(self.states[0])

    def state(self, most: int | None = None) -> dict[str, torch.Tensor]:
        """What has been kept so far (the first `most`), as named tensors: `copies` [K, S, C, M, h, w], or nothing."""
        kept = [states[:most] for states in self.states]
        return {"copies": torch.stack([torch.stack(states) for states in kept])} if kept[0] else {}

    def restore(self, named: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave; other names are left alone.

        Raises:
            SpecError: it is of a group of another size.
        """
        kept = named.get("copies", torch.empty(len(self.states), 0))
        if len(kept) != len(self.states):
            raise SpecError(
                f"a stored state is of {len(kept)} clips, and these are {len(self.states)}; delete it and begin anew"
            )
        self.states = [list(clip) for clip in kept]

    def tails(self, specs: Sequence[ClipSpec], noise: torch.Tensor) -> list[Tail]:
        """One tail a clip; `noise` [K, C, N, h, w] is what the clips started from."""
        found = []
        for spec, z, states in zip(specs, noise, self.states, strict=True):
            c, _, h, w = z.shape
            none = torch.empty(0, c, self.tail_frames.stop - self.tail_frames.start, h, w)
            found.append(Tail(spec.key, z.to("cpu", copy=True), torch.stack(states).cpu() if states else none))
        return found


def check_chain(specs: Sequence[ClipSpec], tail: Tail | LiveTail | None, left: bool = False) -> None:
    """Do these clips follow each other, and does the first follow `tail`?

    left: the windows to the left of these are denoised elsewhere at the same time.

    Raises:
        SpecError: no clips, clips of several chains, settings that make no sense, a tail that is missing, foreign or
            too small, or windows without the clips they were planned with.
    """
    if not specs:
        raise SpecError("no clips to shoot: give at least one clip spec")
    first, chain = specs[0], specs[0].recipe.chain
    check_chain_settings(chain, first.latent_frames, first.model.frames_per_latent)
    check_prior(first.recipe.prior, chain)
    for before, spec in pairwise(specs):
        _check_follows(before, spec)
    if isinstance(chain, Windows) and bool(first.index) != left:
        raise SpecError(
            f"clip {first.index} is the first given of clips that are denoised together; give all of them, from clip 0"
        )
    if not isinstance(chain, VidRD):
        return
    if (tail is None) != (first.previous is None):
        raise SpecError(
            f"clip {first.index} continues clip {first.previous or 'none'}, but was given"
            f" {'no tail' if tail is None else f'the tail of {tail.key}'}; give the tail of the clip it continues"
        )
    if tail is not None:
        _check_tail(first, chain, tail)


_SHARED = ("model", "sampler", "recipe", "width", "height", "frames", "together")


def _check_follows(before: ClipSpec, spec: ClipSpec) -> None:
    different = [name for name in _SHARED if getattr(before, name) != getattr(spec, name)]
    if different:
        raise SpecError(
            f"clips {before.index} and {spec.index} differ in {', '.join(different)}; clips that are"
            " denoised together share these, so put them into groups of their own"
        )
    if isinstance(spec.recipe.chain, Windows):
        if spec.index != before.index + 1:
            raise SpecError(
                f"clip {spec.index} was given after clip {before.index}; give all windows of a shot in order"
            )
        return
    wanted = before.key if isinstance(spec.recipe.chain, VidRD | Anchor) else None
    if spec.previous != wanted:
        raise SpecError(
            f"clip {spec.index} continues {spec.previous}, not the clip given before it ({wanted});"
            " give consecutive clips of one chain"
        )


def _check_tail(first: ClipSpec, chain: VidRD, tail: Tail | LiveTail) -> None:
    if tail.key != first.previous:
        raise SpecError(f"clip {first.index} continues {first.previous}, but the tail is that of {tail.key}")
    if isinstance(tail, LiveTail):  # what it holds is seen when it comes
        return
    frames, (steps, _, overlap, *_) = tail.noise.shape[1], tail.states.shape
    needed = left_states(chain, first.sampler)
    if (frames, overlap, steps) != (first.latent_frames, chain.overlap, needed):
        raise SpecError(
            f"clip {first.index} shares {chain.overlap} of {first.latent_frames} frames over {needed} steps, but the"
            f" tail of the clip before holds {overlap} of {frames} over {steps}; all clips of a chain have one recipe"
        )
