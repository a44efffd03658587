"""A model's folder on disk: which files decide pixels, are they whole, and what is their digest. No torch here."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .backbones.families import Family
from .errors import ModelIncomplete, ModelRefuses
from .spec import digest

log = logging.getLogger("longtake.shots")

CONFIG_OF = {
    "scheduler": "scheduler_config.json",
    "tokenizer": "tokenizer_config.json",
    "tokenizer_2": "tokenizer_config.json",
    "guider": "guider_config.json",
    "image_processor": "preprocessor_config.json",
    "feature_extractor": "preprocessor_config.json",
}
STEMS = ("diffusion_pytorch_model", "model")
TEXTS = (".json", ".txt", ".model")
"""Endings of the small files beside the weights: configs, vocabularies, merges, sentencepiece models."""
NO_GGUF = (
    "GGUF is not loaded: weights are safetensors only, in the folder of a whole pipeline; name such a folder, and let"
    " `quantization` make it small"
)
REMEMBER = 64 * 2**20
"""Files from this many bytes on are hashed once and remembered by (path, size, time of change)."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from `path`.

    Raises:
        ModelIncomplete: missing, unreadable, or not a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelIncomplete(f"{path}: {_short(error)}; copy or download the model again") from None
    if not isinstance(found, dict):
        raise ModelIncomplete(f"{path}: not a JSON object; copy or download the model again")
    return found


def parts_of(folder: Path, index: dict[str, Any], family: Family) -> tuple[str, ...]:
    """The parts of the family that this model has.

    Raises:
        ModelIncomplete: a part that the family needs is null or not named.
        ModelRefuses: a part asks for code that is not diffusers' or transformers'.
    """
    present = tuple(part for part in family.parts if (index.get(part) or [None])[0])
    missing = [part for part in family.parts if part not in present and part not in family.optional]
    if missing:
        raise ModelIncomplete(f"{folder}: model_index.json names no {', '.join(missing)}, and a {family.name} needs it")
    for part in present:
        if index[part][0] not in ("diffusers", "transformers", *family.libraries):
            raise ModelRefuses(
                f"{folder}: part {part} is made by code of {index[part][0]!r}; only parts of diffusers and transformers"
                " are loaded, so that a model cannot run code of its own"
            )
    return present


def configs_of(folder: Path, parts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Part -> its config, for all parts; and the model's own index as "model_index"."""
    configs = {part: read_json(folder / part / CONFIG_OF.get(part, "config.json")) for part in parts}
    for part, config in configs.items():
        if "auto_map" in config:
            raise ModelRefuses(f"{folder}: part {part} wants code of its own (auto_map); such models are not loaded")
    return configs | {"model_index": read_json(folder / "model_index.json")}


def pixel_files(folder: Path, parts: tuple[str, ...], family: Family, variant: str | None = None) -> list[Path]:
    """All files that decide pixels, as they would be loaded: the index, the parts' small files and their weights.

    variant: which weights, of the parts that have such ("fp16": `model.fp16.safetensors`); the others have one kind.

    Raises:
        ModelIncomplete: weights are missing or cut short. ModelRefuses: there is only a pickle, or no such variant.
    """
    files = [folder / "model_index.json"]
    mine = [part for part in parts if part in family.weights]
    varied = [part for part in mine if variant and _found(folder / part, variant)]
    if variant and not varied:
        what = f"{folder} has no variant {variant!r}; {_variants(folder, mine)}"
        raise ModelRefuses(what).concerning("variant")
    for part in parts:
        files += sorted(p for p in (folder / part).iterdir() if p.suffix in TEXTS and p.is_file())
        if part in mine:
            files += weights_of(folder / part, variant if part in varied else None)
    return files


def _variants(folder: Path, parts: list[str]) -> str:
    names = {_variant(file.name) for part in parts for file in (folder / part).glob("*.safetensors")} - {None}
    return f"it has {', '.join(sorted(map(repr, names)))}" if names else "leave `variant` out: it has none"


def _variant(name: str) -> str | None:
    """`fp16` of `model.fp16.safetensors` and of `model.fp16-00001-of-00002.safetensors`."""
    found = re.fullmatch(r"[a-z_]+\.([A-Za-z]\w*)(-\d+-of-\d+)?\.safetensors", name)
    return found[1] if found else None


def _found(part: Path, variant: str | None) -> list[str]:
    """Names of the weights files of a part, none where there are none."""
    mark = f".{variant}" if variant else ""
    for stem in STEMS:
        if (part / f"{stem}{mark}.safetensors").exists():
            return [f"{stem}{mark}.safetensors"]
        # diffusers and transformers put the mark in places of their own.
        for index in (f"{stem}.safetensors{mark}.index.json", f"{stem}.safetensors.index{mark}.json"):
            if (part / index).exists():
                return _shards(part / index)
    return []


def weights_of(part: Path, variant: str | None) -> list[Path]:
    """The weights files of a part, whole.

    Raises:
        ModelIncomplete: they are missing or cut short. ModelRefuses: there is only a pickle.
    """
    names = _found(part, variant)
    if names:
        return [check_safetensors(part / name) for name in names]
    if packed := sorted(p.name for p in part.iterdir() if p.suffix.lower() == ".gguf"):
        raise ModelRefuses(f"{part}: only {', '.join(packed)}; {NO_GGUF}")
    others = sorted(p.name for p in part.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    if others:
        raise ModelRefuses(
            f"{part}: only {', '.join(others)}; such files are pickles, which can run code when they are read."
            " Convert the model to safetensors (save_pretrained writes it) and use that folder"
        )
    others = sorted(p.name for p in part.glob("*.safetensors"))
    variants = ", ".join(sorted({f"`variant: {v}`" for v in map(_variant, others) if v}))
    raise ModelIncomplete(
        f"{part}: no weights ({' or '.join(f'{stem}.safetensors' for stem in STEMS)})"
        + (f"; found only {', '.join(others)}" if others else "")
        + (f"; give {variants}" if variants else "; copy or download the model again")
    )


def _shards(index: Path) -> list[str]:
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    strays = [name for name in names if Path(name).name != name]
    if strays or not names:
        raise ModelIncomplete(f"{index}: names {strays or 'no'} files; shards lie beside their index")
    return names


def check_safetensors(path: Path) -> Path:
    """`path`, if its header can be read and its size is what the header says. The tensors are not read.

    Raises:
        ModelIncomplete: missing, cut short, or not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError("its header is longer than the file (a truncated or placeholder file)")
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            if size != 8 + length + max(ends, default=-1):
                raise ValueError(f"{size} bytes, but its header describes {8 + length + max(ends, default=0)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelIncomplete(
            f"{path}: not a whole safetensors file: {_short(error)}; copy or download the model again"
        ) from None
    return path


def folder_digest(folder: Path, files: list[Path]) -> str:
    """ "sha256:..." over the sorted (relative name, sha256 of bytes) of the files."""
    with Remembered() as remembered:
        named = sorted((file.relative_to(folder).as_posix(), remembered.sha256(file)) for file in files)
    return "sha256:" + digest("model", 1, named)


class Remembered:
    """sha256 of files; that of a big one is kept between processes, so that a plan need not read gigabytes."""

    def __init__(self) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.path = cache / "longtake" / "model-digests.json"
        self.known = dict(self._read())
        self.changed = False

    def __enter__(self) -> Remembered:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.changed:
            self._write()

    def sha256(self, path: Path) -> str:
        """The hex digest of the file's bytes."""
        stat = path.stat()
        name = json.dumps([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
        if stat.st_size >= REMEMBER and name in self.known:
            return self.known[name]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if stat.st_size >= REMEMBER:
            self.known[name], self.changed = found, True
        return found

    def _read(self) -> Iterator[tuple[str, str]]:
        # A cache that is missing or damaged is an empty one.
        try:
            known = json.loads(self.path.read_text())
            yield from ((k, v) for k, v in known.items() if isinstance(v, str) and len(v) == 64)
        except (OSError, ValueError, AttributeError):
            return

    def _write(self) -> None:
        mine = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mine.write_text(json.dumps(self.known, indent=0))
            mine.replace(self.path)
        except OSError as error:
            log.debug("digests of big files cannot be remembered: %s", error)


def _short(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
