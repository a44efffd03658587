"""What the tests of perturbed passes share: networks, calls of them, and STG-R done by hand."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from shots.backbones.blocks import Anatomy, Skip, anatomy_of, chosen
from shots.backbones.skip import skipping
from tests.shots.small_networks import network_of

MIDDLE = {"unet_motion": "up.1", "unet_3d": "mid", "latte": "temporal.1"}
"""A layer with some before it and some after it; of any other network, block 2."""


@contextmanager
def alone() -> Iterator[None]:
    """As `shots` evaluates on a CPU: one thread, no gradients."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def middle(name: str, mode: Any = "residual") -> Skip:
    return Skip((MIDDLE.get(name, "2"),), mode)


def anatomy(network: Any) -> Anatomy:
    return anatomy_of({"unet": {**network.config, "_class_name": type(network).__name__}}, "unet")


def paths(network: torch.nn.Module, skip: Skip) -> list[str]:
    """The blocks that `skip` perturbs."""
    known = anatomy(network)
    return [known.blocks[i].path for i in chosen(known, skip)]


def runner(name: str, seed: int = 0) -> tuple[Any, Callable[[], torch.Tensor]]:
    """A network, and a call of it."""
    network, call = network_of(name)
    arguments = call(1, seed)
    return network, lambda: network(**arguments).sample


def passes(name: str, skip: Skip, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(conditional, perturbed from the remembered prefix, perturbed in full)."""
    network, run = runner(name, seed)
    with skipping(network, skip) as s:
        return s.conditional(run), s.perturbed(run), s.perturbed(run, reuse=False)


class Nothing(torch.nn.Module):
    """In place of a block: gives back its first `streams` arguments, in a tuple if it is asked for one."""

    def __init__(self, streams: int) -> None:
        super().__init__()
        self.streams = streams

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())[: self.streams]
        return given if self.streams > 1 or "return_dict" in kwargs else given[0]


def without(network: torch.nn.Module, blocks: list[str]) -> Any:
    """A copy of the network with `blocks` taken out."""
    one_stream = type(network).__name__.startswith(("LTXV", "Wan", "UNet", "Latte", "Allegro"))
    bare = copy.deepcopy(network)
    for path in blocks:
        parent, _, last = path.rpartition(".")
        setattr(bare.get_submodule(parent), last, Nothing(1 if one_stream else 2))
    return bare


def patched(*networks: torch.nn.Module) -> list[str]:
    """Modules whose forward is not that of their class."""
    return [path for network in networks for path, module in network.named_modules() if "forward" in module.__dict__]
