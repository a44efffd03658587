"""Little memory: which parts of a pipeline are on the device, and what to do when that was too much.

A ladder of rungs, each slower and smaller than the one above it. None of them changes what a clip is made of, so a
run may climb down in the middle and go on from the step where it stood:

    0  everything on the device, all samples of a step in one batch
    1  sample by sample
    2  text encoders leave when the prompts are read; the VAE works picture by picture (slicing) where it can
    3  each part is on the device only while it works
    4  layer by layer: the largest piece that is there at once is one layer

Tiles of a VAE are no rung: they are blended into each other, which is another picture. They are a setting (`tiling`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from .errors import NotEnoughMemory

log = logging.getLogger("longtake.shots")

Offload = Literal["none", "model", "sequential", "group"]

RUNGS = (
    "everything on the device",
    "sample by sample",
    "text encoders leave while it samples",
    "each part only while it works",
    "layer by layer",
)
ONE_BY_ONE, RESTING, WORKING, LAYERS = range(1, len(RUNGS))
FIRST: dict[str, int] = {"none": 0, "model": WORKING, "sequential": LAYERS, "group": LAYERS}
"""Where a model begins that was asked to be offloaded."""


def device_bytes(device: torch.device) -> int:
    """All memory of a device, 0 where nobody knows."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if device.type == "cpu" else 0


def below(rung: int, problem: str) -> int:
    """The next rung down.

    Raises:
        NotEnoughMemory: there is none.
    """
    if rung + 1 < len(RUNGS):
        return rung + 1
    raise NotEnoughMemory(
        f"the device's memory is not enough, even layer by layer: {problem.partition(chr(10))[0][:300]}; make the"
        " clips smaller (size, clip_frames), set `tiling: true` or `dtype: bfloat16` in the model, or use a larger"
        " device"
    )


class Placement:
    """Where the parts of one pipeline are, by rung. networks: names of its denoisers. offload: see `FIRST`.

    Up to rung 3 whole parts are moved, and nothing is hooked into them. Rung 4 puts diffusers' hooks into every layer
    (`group`: into every block of a network), which replace its `forward`: it must not be entered while anything else
    has replaced one, such as `skipping`, and is not left again.
    """

    def __init__(
        self,
        pipe: Any,
        device: torch.device,
        networks: tuple[str, ...],
        offload: Offload = "none",
        slicing: bool = False,
    ) -> None:
        parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        # AnimateDiff's motion modules are in its network by now.
        self.parts = {name: part for name, part in parts.items() if name != "motion_adapter"}
        self.pipe = pipe
        self.device = device
        self.networks = frozenset(networks) & set(self.parts)
        self.offload = offload
        self.rung = -1
        self.slicing = slicing
        self.readers = set(self.parts) - self.networks - {"vae"}
        self._there: set[str] = set()

    def settle(self, rung: int) -> None:
        """Go to this rung, or further down where that is too much already.

        Raises:
            NotEnoughMemory: the last rung is too much.
        """
        wanted = LAYERS if self.rung == LAYERS else max(rung, FIRST[self.offload])
        while wanted != self.rung:
            try:
                self._go(wanted)
                self.rung = wanted
            except torch.OutOfMemoryError as error:
                problem = str(error)
            else:
                break
            self._send(set(self.parts))
            wanted = below(max(wanted, RESTING), problem)  # above the third, all weights are there
        empty_cache(self.device)

    def lower(self, problem: str) -> None:
        """One rung down, because of `problem`.

        Raises:
            NotEnoughMemory: this was the last one.
        """
        rung = below(self.rung, problem)
        log.warning("not enough memory on %s (%s); going on: %s", self.device, RUNGS[self.rung], RUNGS[rung])
        self.settle(rung)

    def reading(self) -> None:
        """Before the pipeline is asked how it would call its networks."""
        if self.rung == WORKING:
            self._send(set(self.networks))
        if self.rung != LAYERS:
            self._bring(set(self.parts) - (self.networks if self.rung == WORKING else set()))

    def working(self, part: str) -> None:
        """Before this part, a network or the VAE, is called."""
        idle = {RESTING: self.readers, WORKING: set(self.parts) - {part}}.get(self.rung, set()) & self._there
        if idle:
            self._send(idle)
        if self.rung != LAYERS and part not in self._there:
            self._bring({part})

    def _go(self, rung: int) -> None:
        away = {RESTING: self.readers, WORKING: set(self.parts), LAYERS: set(self.parts)}.get(rung, set())
        self._send(away)
        self._bring(set(self.parts) - away)
        # A batch of another size has other last bits: slices are for accelerators, where those are not promised.
        if hasattr(self.pipe.vae, "use_slicing"):
            self.pipe.vae.use_slicing = self.device.type != "cpu" and (self.slicing or rung >= RESTING)
        if rung == LAYERS:
            self._hook()

    def _hook(self) -> None:
        """diffusers' group offloading: a layer's weights come before its forward and go after it.

        Without a stream of its own, which fetches the layer that came next last time: skip guidance leaves some out.
        In blocks only networks go, whose `forward` is what is called; a VAE is asked to decode.
        """
        from diffusers.hooks import apply_group_offloading

        cpu = torch.device("cpu")
        for name, part in self.parts.items():
            if self.offload == "group" and name in self.networks:
                apply_group_offloading(part, self.device, cpu, offload_type="block_level", num_blocks_per_group=1)
            else:
                apply_group_offloading(part, self.device, cpu, offload_type="leaf_level")

    def _bring(self, names: set[str]) -> None:
        with _ordinary():
            for name in sorted(names & set(self.parts) - self._there):
                self.parts[name].to(self.device)
                self._there.add(name)

    def _send(self, names: set[str]) -> None:
        # Also parts that never quite arrived, when memory ended in the middle of one.
        with _ordinary():
            for name in sorted(names & set(self.parts)):
                self.parts[name].to("cpu")
        gone, self._there = self._there & names, self._there - names
        if gone:
            empty_cache(self.device)


@contextmanager
def _ordinary() -> Iterator[None]:
    """Within: weights that are moved stay ordinary tensors, also where a run without gradients moves them."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def empty_cache(device: torch.device) -> None:
    """Give back what the allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
