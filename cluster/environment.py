"""What a render ran on: code version, library versions, host and device. Recorded with every take."""

from __future__ import annotations

import hashlib
import platform
import socket
from functools import cache
from importlib import metadata
from pathlib import Path

import shots

LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "av")


@cache
def code_version() -> str:
    """`<version>+<12 hex digits>`: the digest is over the sources of `shots`, the code that decides pixels.

    It needs no git, tells an edited checkout from a released one, and is equal on machines with equal code.
    """
    root = Path(shots.__file__).parent
    sources = sorted(p for p in root.rglob("*.py") if "weights" not in p.parts)
    listing = hashlib.sha256()
    for path in sources:
        listing.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{installed('longtake')}+{listing.hexdigest()[:12]}"


def installed(name: str) -> str:
    """Version of an installed distribution, or `unknown`."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def environment() -> dict[str, str]:
    """Host, Python, system and library versions, as text. Imports none of the libraries."""
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        **{name: installed(name) for name in LIBRARIES},
    }
