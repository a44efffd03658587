"""The perturbed pass of spatiotemporal skip guidance (STG, Hyung et al. 2024, arXiv 2411.18664), at part of its price.

STG-R leaves blocks out: z' = z for all of a block's streams. STG-A lets self-attention be the identity: every token
gets its own value. Where text and video attend to each other jointly, only the video-to-video part of the scores is
the identity, as in the authors' code for Mochi: a video token sees itself and the text, text tokens see what they saw.

A perturbed pass shares every activation before the first perturbed block with the conditional pass of the same
sample. So the conditional pass remembers what that block was given, and the perturbed one starts there.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..errors import ModelRefuses
from .blocks import Anatomy, Skip, anatomy_of, chosen

__all__ = ["Skip", "Skipping", "list_layers", "skipping"]

Result = TypeVar("Result")
Memory = dict[torch.nn.Module, Any]
Forward = Callable[..., Any]

ROWS = 4096
"""Video tokens whose scores towards the text are held at once in STG-A of a joint attention."""


@dataclass(eq=False)
class _Pass:
    """What one thread is doing with the network. memory: outputs before the first perturbed block, filled by a
    conditional pass and read by a perturbed one (None: that runs them itself). kept of batch: samples remembered.
    """

    perturbs: bool
    memory: Memory | None
    kept: int = 1
    batch: int = 1
    perturbed: int = field(default=0)


class Skipping:
    """A network whose calls can be conditional or perturbed passes; any other call is as ever. See `skipping`.

    Which pass a call is belongs to the thread that makes it, so threads may run one network side by side.
    """

    def __init__(self) -> None:
        self._thread = threading.local()

    @property
    def _now(self) -> _Pass | None:
        return getattr(self._thread, "now", None)

    def conditional(self, run: Callable[[], Result], kept: int = 1, batch: int = 1) -> Result:
        """`run()`, a plain pass whose share of the next perturbed one is remembered by this thread.

        Of a batch of `batch` samples, the first `kept` are.
        """
        memory: Memory = {}
        self._thread.__dict__.pop("memory", None)
        result = self._as(_Pass(False, memory, kept, batch), run)
        self._thread.memory = memory
        return result

    def perturbed(self, run: Callable[[], Result], reuse: bool = True) -> Result:
        """`run()` as a perturbed pass over the samples that this thread's last conditional pass kept, in their order.

        Blocks before the first perturbed one are not run again; what was remembered is forgotten afterwards. Without
        `reuse` the whole network runs, with the same bits where the batch has the same shape.

        Raises:
            ModelRefuses: `run` did not come to the perturbed layers, or their attention is not one that can be changed.
        """
        memory = self._thread.__dict__.pop("memory", None) if reuse else None
        if reuse and memory is None:
            raise RuntimeError("a perturbed pass needs the conditional one before it, on the same thread")
        now = _Pass(True, memory)
        result = self._as(now, run)
        if not now.perturbed:
            raise ModelRefuses(
                "the network was called without its layers' own forward, so STG cannot skip them;"
                " leave stg out, or load the model without compiling its blocks"
            )
        return result

    def _as(self, now: _Pass, run: Callable[[], Result]) -> Result:
        before = self._now
        self._thread.now = now
        try:
            return run()
        finally:
            self._thread.now = before


@contextmanager
def skipping(network: torch.nn.Module | Sequence[torch.nn.Module], skip: Skip) -> Iterator[Skipping]:
    """Within: the network can run perturbed passes. Afterwards every `forward` is what it was, whatever happened.

    network: a diffusers network, or all those of one model (the two experts of Wan 2.2).

    Raises:
        ModelRefuses: see `blocks.anatomy_of` and `blocks.chosen`.
    """
    networks = [network] if isinstance(network, torch.nn.Module) else list(network)
    made = Skipping()
    undo: list[tuple[torch.nn.Module, Forward | None]] = []
    try:
        for one in networks:
            for module, forward in _changes(one, skip, made):
                undo.append((module, module.__dict__.get("forward")))
                # In the instance, as accelerate does: the class, shared with other networks, stays as it is.
                module.__dict__["forward"] = forward
        yield made
    finally:
        for module, own in reversed(undo):
            del module.__dict__["forward"]
            if own is not None:
                module.__dict__["forward"] = own


def list_layers(network: torch.nn.Module) -> tuple[str, ...]:
    """What a user may name as `stg.layers` of a network: its blocks or, of a UNet, groups of them and each alone."""
    return _anatomy(network).listed


def _anatomy(network: torch.nn.Module) -> Anatomy:
    config: Any = network.config
    return anatomy_of({"network": {**config, "_class_name": type(network).__name__}}, "network")


def _changes(network: torch.nn.Module, skip: Skip, made: Skipping) -> Iterator[tuple[torch.nn.Module, Forward]]:
    """(module, its forward from now on), for every module that a perturbed pass treats in its own way."""
    anatomy = _anatomy(network)
    indices = chosen(anatomy, skip)
    for path, keeps in _prefix(anatomy, indices[0]):
        module = network.get_submodule(path)
        yield module, _before(module, keeps, anatomy, made)
    for i in indices:
        block = network.get_submodule(anatomy.blocks[i].path)
        if skip.mode == "residual":
            yield block, _left_out(block, anatomy, made)
        else:
            for attention in _self_attentions(block, anatomy):
                yield attention, _passing_values(attention, anatomy, made)


def _prefix(anatomy: Anatomy, first: int) -> list[tuple[str, bool]]:
    """Modules that run before block `first`: path, and whether a perturbed pass needs its output.

    In a stack only the last one's output goes on. In a UNet every block of the way down goes on to the way up.
    """
    paths = [block.path for block in anatomy.blocks[: first + 1]]
    if not anatomy.nested:
        return [(path, path == paths[first - 1]) for path in paths[:first]]
    here = _outer(paths[first])
    return [(name, True) for name in dict.fromkeys(p if _outer(p) == here else _outer(p) for p in paths[:first])]


def _outer(path: str) -> str:
    """`down_blocks.0` of `down_blocks.0.resnets.1`, `mid_block` of `mid_block.attentions.0`."""
    return ".".join(path.split(".")[: 1 if path.startswith("mid_block") else 2])


def _before(module: torch.nn.Module, keeps: bool, anatomy: Anatomy, made: Skipping) -> Forward:
    """The forward of a module that runs before all perturbed ones: a perturbed pass does not run it again."""
    run = module.forward

    @functools.wraps(run)
    def forward(*args: Any, **kwargs: Any) -> Any:
        now = made._now
        if now is None or now.memory is None:
            return run(*args, **kwargs)
        if now.perturbs:
            return now.memory[module] if keeps else _streams(anatomy, args, kwargs)
        output = run(*args, **kwargs)
        if keeps:
            now.memory[module] = _kept(output, now.kept, now.batch)
        return output

    return forward


def _left_out(module: torch.nn.Module, anatomy: Anatomy, made: Skipping) -> Forward:
    """STG-R: in a perturbed pass the block returns what it was given."""
    run = module.forward

    @functools.wraps(run)
    def forward(*args: Any, **kwargs: Any) -> Any:
        now = made._now
        if now is None or not now.perturbs:
            return run(*args, **kwargs)
        now.perturbed += 1
        given = _streams(anatomy, args, kwargs)
        # The transformer modules of UNets answer in a tuple when they are asked to.
        return given if kwargs.get("return_dict", True) else (given,)

    return forward


def _passing_values(module: torch.nn.Module, anatomy: Anatomy, made: Skipping) -> Forward:
    """STG-A: in a perturbed pass the scores of a self-attention are the identity."""
    run = module.forward

    @functools.wraps(run)
    def forward(*args: Any, **kwargs: Any) -> Any:
        now = made._now
        if now is None or not now.perturbs:
            return run(*args, **kwargs)
        tokens = (args[0] if args else kwargs["hidden_states"]).shape[1]
        with _Values(tokens, anatomy.text) as values:
            output = run(*args, **kwargs)
        if not values.seen:
            raise ModelRefuses(
                f"stg.mode attention: the attention of {anatomy.network} does not go through torch's own"
                " scaled_dot_product_attention here; use mode: residual, or the native attention backend"
            )
        now.perturbed += 1
        return output

    return forward


def _streams(anatomy: Anatomy, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a block was given of what it returns."""
    given = tuple(args[i] if i < len(args) else kwargs[name] for i, name in enumerate(anatomy.streams))
    return given if len(given) > 1 else given[0]


def _kept(output: Any, kept: int, batch: int) -> Any:
    """The first `kept` of `batch` samples of an output; several rows may belong to a sample (its frames)."""
    if isinstance(output, tuple):
        return tuple(_kept(one, kept, batch) for one in output)
    return output if kept == batch else output[: output.shape[0] // batch * kept]


def _self_attentions(block: torch.nn.Module, anatomy: Anatomy) -> list[torch.nn.Module]:
    if anatomy.attentions:
        return [block.get_submodule(name) for name in anatomy.attentions]
    # Over time both attentions of a layer are self-attention; either alone would still mix the frames.
    return [m for m in block.modules() if hasattr(m, "is_cross_attention") and not m.is_cross_attention]


class _Values(TorchFunctionMode):
    """Within, on this thread: attention passes values through. tokens: of the video. text: see `Anatomy`."""

    def __init__(self, tokens: int, text: str | None) -> None:
        super().__init__()
        self.tokens = tokens
        self.text = text
        self.seen = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.seen += 1
        return self._attend(*args, **(kwargs or {}))

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None, *rest: Any, **how: Any
    ) -> torch.Tensor:
        """q, k, v [B, H, S, D] -> [B, H, S, D]."""
        extent = value.shape[2]
        if self.text is None or extent == self.tokens:
            return value
        at = 0 if self.text == "last" else extent - self.tokens
        video = slice(at, at + self.tokens)
        words = slice(self.tokens, extent) if self.text == "last" else slice(0, at)
        said_mask = None if attn_mask is None else _rows(attn_mask, words)
        said = F.scaled_dot_product_attention(query[:, :, words], key, value, said_mask, *rest, **how)
        seen = [
            _itself_and_text(query, key, value, slice(start, min(start + ROWS, video.stop)), words, attn_mask)
            for start in range(video.start, video.stop, ROWS)
        ]
        return torch.cat([*seen, said] if self.text == "last" else [said, *seen], dim=2)


def _rows(mask: torch.Tensor, rows: slice) -> torch.Tensor:
    return mask if mask.shape[-2] == 1 else mask[..., rows, :]


def _itself_and_text(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: slice,
    words: slice,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Attention of the video tokens `rows`, each to itself and to the text. mask [B, 1, 1 or S, S], as torch's."""
    asked, scale = query[:, :, rows].float(), query.shape[-1] ** -0.5
    own = (asked * key[:, :, rows]).sum(-1, keepdim=True) * scale
    towards = asked @ key[:, :, words].float().transpose(-1, -2) * scale
    if mask is not None:
        part = _rows(mask, rows)[..., words]
        towards = towards.masked_fill(~part, float("-inf")) if part.dtype == torch.bool else towards + part
    weights = torch.cat([own, towards], dim=-1).softmax(-1).to(value.dtype)
    return weights[..., :1] * value[:, :, rows] + weights[..., 1:] @ value[:, :, words]
