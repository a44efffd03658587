"""What this machine has, and whether longtake can work here. Asks; changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shots.errors import ShotsError
from storage.errors import LedgerMissing, StorageError

from .places import Places

if TYPE_CHECKING:
    from shots.footprint import Footprint

State = Literal["ok", "note", "bad"]
FORMATS = {"float32": 4, "bfloat16": 2}
"""Number format -> bytes of a number."""
LADDER = {0: "", 3: "offload: model", 4: "offload: sequential"}
"""Rung of the memory ladder -> the setting that begins there."""
LIBRARIES = ("torch", "diffusers", "transformers", "ray", "moviepy", "av", "sqlalchemy", "pydantic")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `bad` means that longtake will fail without it."""

    what: str
    state: State
    says: str


def examine(places: Places, model: str | None = None) -> list[Finding]:
    """Everything worth knowing before a render, in a few seconds. Imports torch, for the devices.

    model: also whether this model fits into the memory here.
    """
    checks: list[tuple[str, Callable[[], tuple[State, str]]]] = [
        ("longtake", _longtake),
        ("python", lambda: ("ok", f"{sys.version.split()[0]} at {sys.executable}")),
        ("libraries", _libraries),
        ("processor", lambda: ("ok", f"{os.cpu_count()} cores")),
        ("memory", _memory),
        ("accelerator", _accelerator),
        ("disk", lambda: _disk(places)),
        ("ffmpeg", _ffmpeg),
        ("encoders", _encoders),
        ("database", lambda: _database(places)),
        ("nodes", lambda: _nodes(places)),
        ("ray", _ray),
        ("pocket model", _pocket),
        ("model cache", _model_cache),
    ]
    if model is not None:
        checks.append((f"model {model}", lambda: fits(model)))
    return [_look(what, check) for what, check in checks]


def as_json(findings: list[Finding]) -> dict[str, object]:
    """The findings as one document."""
    return {"schema": "longtake.doctor.v1", "findings": [asdict(f) for f in findings]}


def _look(what: str, check: Callable[[], tuple[State, str]]) -> Finding:
    try:
        return Finding(what, *check())
    except Exception as error:  # a broken installation is what this command is for
        return Finding(what, "bad", f"{type(error).__name__}: {error}")


def _longtake() -> tuple[State, str]:
    from cluster.environment import code_version

    return "ok", code_version()


def _libraries() -> tuple[State, str]:
    return "ok", ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)


def _memory() -> tuple[State, str]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return ("ok" if free > 1 << 30 else "note"), f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB unused"


def _accelerator() -> tuple[State, str]:
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
        return "ok", ", ".join(f"{card.name} ({card.total_memory / 2**30:.0f} GiB)" for card in cards)
    if torch.backends.mps.is_available():
        return "ok", "Apple GPU (mps)"
    return "note", "none: renders on the processor, which suits the pocket model; larger models want a GPU"


def _disk(places: Places) -> tuple[State, str]:
    folder = places.data
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return "bad", f"{folder} is not writable: choose another folder with --data"
    return ("ok" if free > 5 << 30 else "note"), f"{free / 2**30:.1f} GiB free for {places.data}"


def _ffmpeg() -> tuple[State, str]:
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    out = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return "ok", f"{out.split(' Copyright')[0]} ({program})"


def _encoders() -> tuple[State, str]:
    import av

    from shots.codecs import CODECS

    missing = [c.encoder for c in CODECS.values() if c.encoder not in av.codecs_available]
    names = ", ".join(f"{name} ({codec.encoder})" for name, codec in CODECS.items())
    return ("bad", f"PyAV lacks {', '.join(missing)}") if missing else ("ok", names)


def _database(places: Places) -> tuple[State, str]:
    from storage.ledger import Ledger

    try:
        with Ledger.open(places.ledger_url, create=False) as ledger:
            return "ok", ledger.url_shown
    except LedgerMissing:
        return "ok", "nothing recorded yet; the first render creates the ledger"
    except StorageError as error:
        return "bad", str(error)


def _nodes(places: Places) -> tuple[State, str]:
    """Nodes that get no work, as the ledger has them."""
    from storage.ledger import Ledger

    try:
        with Ledger.open(places.ledger_url, create=False) as ledger:
            aside = ledger.aside()
    except LedgerMissing:
        aside = {}
    except StorageError:
        return "note", "unknown, the ledger does not answer"
    if not aside:
        return "ok", "none is set aside"
    return "note", "; ".join(f"{host} is set aside: {why}" for host, why in aside.items())


def _ray() -> tuple[State, str]:
    address = os.environ.get("RAY_ADDRESS")
    version = metadata.version("ray")
    if address:
        return "note", f"{version}, RAY_ADDRESS is {address} (asked when `--on ray` is used)"
    return "ok", f"{version}, `--on ray` starts a local one"


def _pocket() -> tuple[State, str]:
    from shots.models import describe

    try:
        card = describe("pocket")
    except ShotsError as error:
        return "bad", str(error)
    return "ok", f"{card.digest[:19]}, up to {card.frames_max} frames a clip"


def fits(model: str) -> tuple[State, str]:
    """Does a model fit into the memory that renders would use, in which number format, and with what offloaded?"""
    import torch

    from shots.footprint import footprint
    from shots.models import describe

    unused = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES"))
    if torch.cuda.is_available():
        free, where, spare = float(torch.cuda.mem_get_info()[0]), torch.cuda.get_device_name(), unused
    else:
        free, where, spare = unused, "the processor's memory", 0.0
    card = describe(model)
    weights = footprint(card)
    parts = ", ".join(f"{part} {count / 1e6:.0f}" for part, count in sorted(weights.parts.items(), key=lambda p: -p[1]))
    sizes = ", ".join(f"{weights.numbers * wide / 2**30:.2f} GiB in {dtype}" for dtype, wide in FORMATS.items())
    says = f"{card.family}, {weights.numbers / 1e6:.0f} million weights: {sizes} ({parts} million)"
    state, advice = verdict(model, weights, free, spare)
    return state, f"{says}; {free / 2**30:.1f} GiB unused in {where}. {advice}"


def verdict(model: str, weights: Footprint, free: float, spare: float) -> tuple[State, str]:
    """The highest rung of the memory ladder that does, in the widest numbers that do there.

    free: bytes of the device. spare: bytes of the memory beside it, where what leaves it goes; 0 on a processor.
    """
    for rung, setting in LADDER.items():
        for dtype, wide in FORMATS.items():
            if weights.needed(rung, dtype) >= free or (setting and weights.numbers * wide > spare):
                continue
            if (rung, dtype) == (0, "float32"):
                return "ok", "It fits"
            told = [f"id: {model}", f"dtype: {dtype}" if dtype != "float32" else "", setting]
            slower = "; slower, same pictures as without offload" if setting else ""
            return "note", f"It fits with `model: {{{', '.join(filter(None, told))}}}`{slower}"
    return "bad", (
        "It does not fit: use a larger device or a smaller model, or `quantization` where its package is installed"
        " (docs/models.md)"
    )


def _model_cache() -> tuple[State, str]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE

    if not Path(HF_HUB_CACHE).is_dir():
        return "note", f"{HF_HUB_CACHE} does not exist: only the pocket model and local folders can be used"
    repos = [repo for repo in scan_cache_dir().repos if repo.repo_type == "model"]
    size = sum(repo.size_on_disk for repo in repos)
    names = ", ".join(sorted(repo.repo_id for repo in repos)) or "empty"
    return "ok", f"{names} ({size / 2**30:.1f} GiB at {HF_HUB_CACHE})"
