"""How much memory a model's weights take, part by part, from the headers of its files. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .backbones.families import BY_NAME
from .model_files import pixel_files
from .models import ModelCard
from .quantize import KINDS

WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a number."""
ROOM = 1.3
"""What is there beside the weights, as a share of them: pictures between the layers. A rule of thumb."""


@dataclass(frozen=True)
class Footprint:
    """parts: name -> numbers in its weights. networks, readers: which of them sample, and which only read prompts.

    largest: numbers of the largest single tensor.
    """

    parts: Mapping[str, int]
    networks: tuple[str, ...]
    readers: tuple[str, ...]
    largest: int
    quantized: Mapping[str, float]

    @property
    def numbers(self) -> int:
        """All numbers."""
        return sum(self.parts.values())

    def bytes_of(self, part: str, dtype: str) -> float:
        """Of a part in a number format; a quantized one has its own."""
        return self.parts[part] * self.quantized.get(part, WIDTHS[dtype])

    def needed(self, rung: int, dtype: str) -> float:
        """Bytes of the device that a rung of the ladder (`memory`) takes, with room for what is computed."""
        sizes = {part: self.bytes_of(part, dtype) for part in self.parts}
        if rung < 2:
            held = sum(sizes.values())
        elif rung == 2:  # all of them while the prompts are read, and nothing but weights then
            sampling = sum(size for part, size in sizes.items() if part not in self.readers)
            return max(sum(sizes.values()), ROOM * sampling)
        elif rung == 3:
            reading = sum(size for part, size in sizes.items() if part not in self.networks)
            held = max([reading, *(sizes[part] for part in self.networks)])
        else:
            held = 2.0 * self.largest * WIDTHS[dtype]
        return ROOM * held


def footprint(card: ModelCard) -> Footprint:
    """The weights that would be loaded for a card."""
    family = BY_NAME[card.family]
    kept = tuple(part for part in family.parts if part in card.configs)
    files = [f for f in pixel_files(card.path, kept, family, card.loading.variant) if f.suffix == ".safetensors"]
    shapes = [(file.parent.name, shape) for file in files for shape in _shapes(file)]
    parts: dict[str, int] = {}
    for part, shape in shapes:
        parts[part] = parts.get(part, 0) + math.prod(shape)
    quantized = card.loading.quantized
    bits = dict.fromkeys(quantized.parts, KINDS[quantized.name].bits / 8) if quantized else {}
    # AnimateDiff's motion modules become a part of its network.
    networks = tuple(part for part in parts if part in (*family.denoisers, "motion_adapter"))
    readers = tuple(part for part in parts if part not in (*networks, "vae"))
    return Footprint(parts, networks, readers, max(math.prod(shape) for _, shape in shapes), bits)


def _shapes(path: Path) -> list[list[int]]:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
