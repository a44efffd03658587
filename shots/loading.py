"""How a model is loaded beside its files and dtype: LoRAs, quantization, and what saves memory. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from .backbones.families import Family
from .errors import ModelError, ModelIncomplete, ModelNotFound, ModelRefuses
from .hub import HUB_ID, folder_named, hub_cache, snapshot
from .model_files import Remembered, check_safetensors
from .settings import LoraRef, ModelRef, Quantized

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
USUAL = "pytorch_lora_weights.safetensors"
"""What diffusers calls the file that it saves."""


@dataclass(frozen=True)
class Loading:
    """What an author may ask of loading; the fields are those of `settings.ModelRef`."""

    variant: str | None = None
    loras: tuple[LoraRef, ...] = ()
    quantized: Quantized | None = None
    tiling: bool = False
    slicing: bool = False
    offload: Literal["none", "model", "sequential", "group"] = "none"

    @classmethod
    def of(cls, ref: ModelRef) -> Self:
        """What a clip spec asks."""
        return cls(ref.variant, ref.loras, ref.quantized, ref.tiling, ref.slicing, ref.offload)

    @property
    def pixels(self) -> tuple[object, ...]:
        """What of it decides pixels, beside the files."""
        return tuple((lora.digest, lora.weight, lora.part) for lora in self.loras), self.quantized, self.tiling


def find_loras(loras: Sequence[LoraRef], family: Family, base: Path) -> Iterator[tuple[LoraRef, Path]]:
    """The LoRAs with the digest of their bytes, and their files; those of weight 0 are looked at and left out.

    Raises:
        ModelRefuses: the family takes none, or a file is none, or a pickle. ModelNotFound, ModelIncomplete.
    """
    if loras and not family.loras:
        what = f"diffusers' {family.pipeline} takes no LoRA; leave `lora` out, or use another model"
        raise ModelRefuses(what).concerning("lora")
    for index, lora in enumerate(loras):
        if lora.part not in (None, *family.denoisers):
            what = f"a {family.name} has no network {lora.part!r}; it has {', '.join(family.denoisers)}"
            raise ModelRefuses(what).concerning("lora", index, "part")
        try:
            found, file = _found(lora, base)
        except ModelError as error:
            raise error.concerning("lora", index) from None
        if lora.weight:
            yield found, file


def _found(lora: LoraRef, base: Path) -> tuple[LoraRef, Path]:
    shown, file = _locate(lora, base)
    _check_is_lora(file)
    with Remembered() as remembered:
        found = replace(lora, id=shown, digest="sha256:" + remembered.sha256(file))
    if lora.digest and lora.digest != found.digest:
        raise ModelRefuses(
            f"LoRA {lora.id} here is {found.digest[:19]}, but the plan was made for {lora.digest[:19]}: it has"
            " changed since, or differs between machines; plan again, or bring the planned file back"
        )
    return found, file


def _locate(lora: LoraRef, base: Path) -> tuple[str, Path]:
    """(what finds it again, file) of a file, a folder, or a hub id that is in the local cache."""
    place = folder_named(lora.id, base)
    if place is not None:
        return str(place), _file_in(place, lora)
    name, _, revision = lora.id.partition("@")
    if not HUB_ID.fullmatch(name) or Path(name).suffix in (".safetensors", *PICKLES):
        raise ModelNotFound(f"no LoRA {lora.id[:200]!r} here: no such file or folder in {base}; name one that is there")
    found = snapshot(name, revision or None)
    if found is None:
        raise ModelNotFound(
            f"no LoRA {lora.id!r} here: no such file in {base}, and not in the hub cache {hub_cache()}. longtake"
            f" downloads nothing by itself; fetch it first with: hf download {name}"
        )
    return f"{name}@{found[1]}", _file_in(found[0], lora)


def _file_in(place: Path, lora: LoraRef) -> Path:
    if place.is_file():
        return _not_pickled(place)
    if lora.file is not None:
        if Path(lora.file).name != lora.file or not (place / lora.file).is_file():
            raise ModelNotFound(f"LoRA {lora.id}: no file {lora.file!r} in {place}; it holds {_listed(place)}")
        return _not_pickled(place / lora.file)
    if (place / USUAL).is_file():
        return place / USUAL
    files = sorted(place.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    if files:
        raise ModelRefuses(f"LoRA {lora.id}: {place} holds several; choose one with `file`: {_listed(place)}")
    pickles = sorted(path for path in place.iterdir() if path.suffix in PICKLES)
    if pickles:
        return _not_pickled(pickles[0])
    raise ModelIncomplete(f"LoRA {lora.id}: no .safetensors file in {place}; name the file or folder that holds it")


def _listed(place: Path) -> str:
    names = sorted(path.name for path in place.glob("*.safetensors"))
    return ", ".join(names[:10]) or "no .safetensors file"


def _not_pickled(path: Path) -> Path:
    if path.suffix != ".safetensors":
        raise ModelRefuses(
            f"LoRA {path}: only .safetensors files are loaded; others are pickles, which can run code when they are"
            " read. Convert it to safetensors and name that file"
        )
    return path


def _check_is_lora(path: Path) -> None:
    check_safetensors(path)
    with path.open("rb") as file:
        names = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    if not any("lora" in name.lower() for name in names if name != "__metadata__"):
        raise ModelRefuses(f"{path} holds no LoRA: none of its {len(names)} tensors is named so; name another file")
