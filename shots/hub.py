"""Where the Hugging Face libraries keep what they downloaded. Looked into; nothing is downloaded. No torch here."""

from __future__ import annotations

import os
import re
from pathlib import Path

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def hub_cache() -> Path:
    """The cache's folder, by the variables that those libraries themselves read."""
    env = os.environ
    home = env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub").expanduser()


def snapshot(name: str, revision: str | None) -> tuple[Path, str] | None:
    """(folder, commit) of a hub id in the cache: that of a commit, branch or tag, `main` unless told; or None."""
    folder = hub_cache() / f"models--{name.replace('/', '--')}"
    ref = folder / "refs" / (revision or "main")
    commit = ref.read_text().strip() if ref.is_file() else revision or ""
    found = folder / "snapshots" / commit
    return (found, commit) if commit and found.is_dir() else None


def folder_named(name: str, base: Path) -> Path | None:
    """A folder or file of that name, relative to `base`; None where there is none."""
    try:
        path = (base / Path(name).expanduser()).resolve()
        return path if name and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or a home that no one has
        return None
