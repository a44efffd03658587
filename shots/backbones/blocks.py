"""The blocks of each network, in the order in which they run, from its config.json alone. No torch here.

Spatiotemporal skip guidance (STG, Hyung et al. 2024, arXiv 2411.18664) perturbs some of them. This module knows
their names, what a user may call them, which the paper's authors chose, and what a perturbed pass costs.

A transformer's layers are its blocks: `19`, or `transformer_blocks.19`. A UNet's are the transformer modules between
its convolutions, by group (`down.0`, `mid`, `up.1`) or one by one (`up_blocks.1.attentions.0`): the module as a
whole is the residual `x + f(x)` that STG-R leaves out; convolutions stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from ..errors import ModelRefuses

Part = Literal["joint", "spatial", "temporal"]
Mode = Literal["residual", "attention"]


@dataclass(frozen=True, slots=True)
class Skip:
    """What a perturbed pass does to which layers, as in `shots.settings.Stg`; no layers: the network's default."""

    layers: tuple[str, ...] = ()
    mode: Mode = "residual"
    part: Literal["all", "spatial", "temporal"] = "all"


@dataclass(frozen=True, slots=True)
class Block:
    """A module that the network runs whole. path: on the network. part: what its self-attention spans, "joint" is
    space and time at once; None: it has none, and cannot be skipped."""

    path: str
    part: Part | None = "joint"


@dataclass(frozen=True)
class Anatomy:
    """What STG must know of a network.

    blocks: in the order in which they run. streams: a block's leading arguments, which it returns. attentions: its
    self-attention modules; none named: every one in it. text: where the text stands among the tokens of a joint
    attention, None where text has its own. nested: blocks lie in larger modules (`down_blocks.0`), whose output can
    be kept whole. names: what a user may say -> indices of blocks. listed: those names, one for each layer or group.
    shown: the same, short. mode, default: as published, or nearest to it.
    """

    network: str
    blocks: tuple[Block, ...]
    streams: tuple[str, ...]
    attentions: tuple[str, ...]
    text: Literal["first", "last"] | None
    nested: bool
    names: Mapping[str, tuple[int, ...]] = field(repr=False)
    listed: tuple[str, ...] = field(repr=False)
    shown: str
    mode: Mode
    default: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Stack:
    """A list of blocks. count: its length in the config, `usual` where that says nothing. short: before an index."""

    path: str
    count: str
    usual: int
    short: str = ""
    part: Part = "joint"


@dataclass(frozen=True, slots=True)
class _Transformer:
    """A network that is stacks of equal blocks. published: depth of a model -> the layer that was chosen for it."""

    stacks: tuple[_Stack, ...]
    published: Mapping[int, int]
    streams: tuple[str, ...] = ("hidden_states",)
    attentions: tuple[str, ...] = ("attn1",)
    text: Literal["first", "last"] | None = None
    mode: Mode = "residual"


_TWO = ("hidden_states", "encoder_hidden_states")
_DOUBLE = _Stack("transformer_blocks", "num_layers", 20)
_SINGLE = _Stack("single_transformer_blocks", "num_single_layers", 40, "single.")

TRANSFORMERS = {
    # Layers: the code that came with the paper, but for those marked.
    "LTXVideoTransformer3DModel": _Transformer((_Stack("transformer_blocks", "num_layers", 28),), {28: 19}),
    # The model's own STG, which passes the values of picture and sound through.
    "LTX2VideoTransformer3DModel": _Transformer(
        (_Stack("transformer_blocks", "num_layers", 48),),
        {48: 29},
        ("hidden_states", "audio_hidden_states"),
        ("attn1", "audio_attn1"),
        mode="attention",
    ),
    # The community pipeline's: the authors' own script mixes the wrong terms, and names no layer for it.
    "WanTransformer3DModel": _Transformer((_Stack("blocks", "num_layers", 40),), {30: 8}),
    "CogVideoXTransformer3DModel": _Transformer(
        (_Stack("transformer_blocks", "num_layers", 30),), {42: 11, 30: 11}, _TWO, text="first"
    ),
    "MochiTransformer3DModel": _Transformer(
        (_Stack("transformer_blocks", "num_layers", 48),), {48: 34}, _TWO, text="last"
    ),
    "HunyuanVideoTransformer3DModel": _Transformer((_DOUBLE, _SINGLE), {20: 2}, _TWO, ("attn",), "last"),
    # Nothing published: the share of the depth that the authors chose for 1.0.
    "HunyuanVideo15Transformer3DModel": _Transformer(
        (_Stack("transformer_blocks", "num_layers", 54),), {20: 2}, _TWO, ("attn",), "last"
    ),
    # Nothing published for these two: two thirds down, as for LTX.
    "AllegroTransformer3DModel": _Transformer((_Stack("transformer_blocks", "num_layers", 32),), {28: 19}),
    "LatteTransformer3DModel": _Transformer(
        (
            _Stack("transformer_blocks", "num_layers", 28, "spatial.", "spatial"),
            _Stack("temporal_transformer_blocks", "num_layers", 28, "temporal.", "temporal"),
        ),
        {28: 19},
    ),
}
"""Class of the network -> its stacks."""

UNETS = {"UNetMotionModel": "motion_modules", "UNet3DConditionModel": "temp_attentions"}
"""Class of the network -> what its layers call their attention over time."""


def anatomy_of(configs: Mapping[str, Mapping[str, Any]], denoiser: str) -> Anatomy:
    """The blocks of a model's network. configs: part -> its config.json; denoiser: the network's part.

    Raises:
        ModelRefuses: a kind of network whose blocks this version does not know.
    """
    config = dict(configs[denoiser])
    network = str(config.get("_class_name"))
    if network == "UNet2DConditionModel" and "motion_adapter" in configs:
        network, config = "UNetMotionModel", _with_motion(config, configs["motion_adapter"])
    if network in TRANSFORMERS:
        return _transformer(network, TRANSFORMERS[network], config)
    if network in UNETS:
        return _unet(network, UNETS[network], config)
    known = ", ".join(sorted(TRANSFORMERS | UNETS))
    raise ModelRefuses(f"STG does not know the blocks of {network}; it knows those of {known}. Leave stg out")


def _transformer(network: str, kind: _Transformer, config: Mapping[str, Any]) -> Anatomy:
    """Blocks of stacks that run one after the other, or in turns where each has its own part (space, then time)."""
    depths = [int(config.get(stack.count, stack.usual)) for stack in kind.stacks]
    placed = [(s, i) for s, depth in enumerate(depths) for i in range(depth)]
    turns = len({stack.part for stack in kind.stacks}) > 1
    if turns:
        placed.sort(key=lambda place: (place[1], place[0]))
    names: dict[str, tuple[int, ...]] = {}
    for at, (s, i) in enumerate(placed):
        names[f"{kind.stacks[s].path}.{i}"] = names[f"{kind.stacks[s].short}{i}"] = (at,)
        if turns:  # a plain number is one block of each
            names[str(i)] = (*names.get(str(i), ()), at)
    runs = [("", depths[0])] if turns else []
    runs += [(stack.short, depth) for stack, depth in zip(kind.stacks, depths, strict=True) if depth]
    return Anatomy(
        network=network,
        blocks=tuple(Block(f"{kind.stacks[s].path}.{i}", kind.stacks[s].part) for s, i in placed),
        streams=kind.streams,
        attentions=kind.attentions,
        text=kind.text,
        nested=False,
        names=names,
        listed=tuple(f"{short}{i}" for short, depth in runs for i in range(depth)),
        shown=", ".join(f"{short}0 to {short}{depth - 1}" for short, depth in runs),
        mode=kind.mode,
        default=(str(_published(kind.published, depths[0])),),
    )


def _published(layers: Mapping[int, int], depth: int) -> int:
    """The layer chosen for a model of this depth; of a depth that nobody tried, the same share of it."""
    of, layer = next(iter(layers.items()))
    return layers.get(depth, min(round(Fraction(layer * depth, of)), depth - 1))


def _with_motion(config: Mapping[str, Any], motion: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the UNet that AnimateDiff makes of an image UNet and a motion adapter."""
    return {
        **config,
        "layers_per_block": motion.get("motion_layers_per_block", 2),
        "use_motion_mid_block": motion.get("use_motion_mid_block", True),
        "mid_block_layers": 1,
    }


def _unet(network: str, temporal: str, config: Mapping[str, Any]) -> Anatomy:
    blocks = tuple(_unet_blocks(temporal, config))
    parts = [(block.path, i) for i, block in enumerate(blocks) if block.part]
    names: dict[str, list[int]] = {}
    for path, i in parts:
        where = path.split(".")
        group = where[0] if len(where) < 3 or where[0] == "mid_block" else ".".join(where[:2])
        for name in dict.fromkeys((group, _short(group), path, _short(path))):
            names.setdefault(name, []).append(i)
    groups = tuple(dict.fromkeys(name for name in names if name == _short(name) and name.count(".") < 2))
    # The authors' layer for a UNet (Stable Video Diffusion) is the first self-attention on the way up.
    ups = [name for name in groups if name.startswith("up.")]
    first = next(name for name in (*ups, *groups) if any(blocks[i].part == "spatial" for i in names[name]))
    return Anatomy(
        network=network,
        blocks=blocks,
        streams=("hidden_states",),
        attentions=(),
        text=None,
        nested=True,
        names={name: tuple(found) for name, found in names.items()},
        listed=(*groups, *(_short(path) for path, _ in parts if _short(path) not in groups)),
        shown=f"{', '.join(groups)}, or one module such as {parts[-1][0]}",
        mode="attention",
        default=(first,),
    )


def _short(path: str) -> str:
    return path.replace("down_blocks.", "down.").replace("up_blocks.", "up.").replace("mid_block", "mid")


def _unet_blocks(temporal: str, config: Mapping[str, Any]) -> list[Block]:
    """Down, across and up again: each layer is convolutions, then attention over space, then over time."""
    downs, ups = config["down_block_types"], config["up_block_types"]
    per_block = config.get("layers_per_block", 2)
    depths = [per_block] * len(downs) if isinstance(per_block, int) else list(per_block)
    in_3d = temporal == "temp_attentions"
    convolutions = ("resnets", "temp_convs") if in_3d else ("resnets",)

    def layer(at: str, cross: bool) -> list[Block]:
        spatial = [Block(at.format("attentions"), "spatial")] if cross else []
        # The 3D UNet has attention over time only where it has attention over space.
        over_time = [Block(at.format(temporal), "temporal")] if cross or not in_3d else []
        return [Block(at.format(name), None) for name in convolutions] + spatial + over_time

    found = [Block("transformer_in", "temporal")] if in_3d else []
    for i, (kind, depth) in enumerate(zip(downs, depths, strict=True)):
        for j in range(depth):
            found += layer(f"down_blocks.{i}.{{}}.{j}", "CrossAttn" in kind)
        if i < len(downs) - 1:
            found.append(Block(f"down_blocks.{i}.downsamplers.0", None))
    found += _middle(temporal, convolutions, config)
    for i, (kind, depth) in enumerate(zip(ups, reversed(depths), strict=True)):
        for j in range(depth + 1):
            found += layer(f"up_blocks.{i}.{{}}.{j}", "CrossAttn" in kind)
        if i < len(ups) - 1:
            found.append(Block(f"up_blocks.{i}.upsamplers.0", None))
    return found


def _middle(temporal: str, convolutions: Sequence[str], config: Mapping[str, Any]) -> list[Block]:
    found = [Block(f"mid_block.{name}.0", None) for name in convolutions]
    for j in range(int(config.get("mid_block_layers") or 1)):
        found.append(Block(f"mid_block.attentions.{j}", "spatial"))
        if config.get("use_motion_mid_block", True):
            found.append(Block(f"mid_block.{temporal}.{j}", "temporal"))
        found += [Block(f"mid_block.{name}.{j + 1}", None) for name in convolutions]
    return found


def chosen(anatomy: Anatomy, skip: Skip) -> tuple[int, ...]:
    """Indices of the blocks that `skip` perturbs, ascending.

    Raises:
        ModelRefuses: a layer that the network does not have, or a part that its layers do not keep apart.
    """
    parts = {block.part for block in anatomy.blocks} - {None}
    if skip.part != "all" and skip.part not in parts:
        raise ModelRefuses(
            f"stg.part {skip.part}: the attention of {anatomy.network} spans space and time at once; use part: all"
        )
    found: set[int] = set()
    for name in skip.layers or anatomy.default:
        if name not in anatomy.names:
            raise ModelRefuses(f"stg.layers: {anatomy.network} has no layer {name!r}; it has {anatomy.shown}")
        wanted = {i for i in anatomy.names[name] if skip.part in ("all", anatomy.blocks[i].part)}
        if not wanted:
            raise ModelRefuses(
                f"stg.layers: layer {name!r} of {anatomy.network} has no {skip.part} attention;"
                f" use part: all, or another of {anatomy.shown}"
            )
        found |= wanted
    return tuple(sorted(found))


def share(anatomy: Anatomy, skip: Skip, reuse: bool = True) -> Fraction:
    """Share of the network's blocks that a perturbed pass runs: those from the first perturbed one on.

    A block that is left out (`residual`) is not run; one whose attention passes its values through is. Without
    `reuse` the blocks before the first are run again. Every block counts the same.

    Raises:
        ModelRefuses: see `chosen`.
    """
    indices = chosen(anatomy, skip)
    run = len(anatomy.blocks) - (indices[0] if reuse else 0)
    return Fraction(run - (len(indices) if skip.mode == "residual" else 0), len(anatomy.blocks))
