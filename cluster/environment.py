"""What a render ran on: code version, library versions, host and device. Recorded with every take."""

from __future__ import annotations

import hashlib
import platform
import re
import socket
import subprocess
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
    """Host, Python, system, library and driver versions, as text. Imports none of the libraries.

    `driver` is there where there is one, `commit` in a checkout: its hash, with `+dirty` when files were changed since.
    """
    found = {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _line("/proc/cpuinfo", r"model name\s*: (.*)") or platform.processor(),
        "driver": _line("/proc/driver/nvidia/version", r"Module\s+([\d.]+)"),
        "commit": _commit(),
        **{name: installed(name) for name in LIBRARIES},
    }
    return {name: value for name, value in found.items() if value}


def licence(model: Path) -> str:
    """What a model's folder says of its licence: the `license` of its README's head, or ''."""
    try:
        head = (model / "README.md").read_text(errors="replace")[:20_000]
    except OSError:
        return ""
    block = re.match(r"---\n(.*?)\n---", head, re.DOTALL)
    said = re.search(r"^license:[ \t]*(\S[^\n]{0,80})", block[1], re.MULTILINE) if block else None
    return said[1].strip("'\" ") if said else ""


@cache
def _commit() -> str:
    root = Path(shots.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    return commit + ("+dirty" if commit and _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def _line(path: str, pattern: str) -> str:
    """The first thing of that form in a file of the system, or ''."""
    try:
        found = re.search(pattern, Path(path).read_text(errors="replace"))
    except OSError:
        return ""
    return found[1].strip() if found else ""
